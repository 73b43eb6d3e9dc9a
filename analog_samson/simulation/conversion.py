"""The conversion of a named model or checkpoint as text and JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import nn

from analog_samson import rng
from analog_samson.analysis.cost import Cost, cost_of
from analog_samson.analysis.cost_figures import cost_figures
from analog_samson.chip.convert import convert
from analog_samson.crossbar.plan import ConversionPlan, plan_conversion
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.options import HARDWARE, NETWORK, OUTPUT, Options, Written, listed, option
from analog_samson.presets.layers import read_layer_presets
from analog_samson.presets.search import load_preset
from analog_samson.results.atomic import write_atomically
from analog_samson.simulation.hardware_options import KeepDigital, LayerPresets, OnChip, PresetName
from analog_samson.simulation.options import PRESET, ModelName


class ConvertOptions(Options):
    """What is converted, and where the facts go."""

    NAME = "convert"
    PANELS = (NETWORK, HARDWARE, OUTPUT)

    model: ModelName = None
    checkpoint: Annotated[str | None, option("Checkpoint or zoo:NAME, to check its weights too.", NETWORK, "FILE")] = (
        None
    )
    input_shape: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...] | None,
        option("Shape of one sample, to count multiply-accumulates (MACs).", NETWORK, min_length=1),
        Written(listed(int, "whole numbers above 0 such as 3,32,32"), str, "C,H,W"),
    ] = None
    preset: PresetName = PRESET
    keep_digital: KeepDigital = ()
    on_chip: OnChip = ()
    layer_presets: LayerPresets = None
    out: Annotated[Path | None, option("Also write plan and summary as JSON.", OUTPUT, "FILE.json")] = None

    def problems(self) -> Iterator[str]:
        if self.model is None and self.checkpoint is None:
            yield "give --model NAME, --checkpoint FILE, or both"
        if self.out is not None and self.out.suffix != ".json":  # so that --out never overwrites a checkpoint
            yield f"--out {self.out}: expected a file name that ends in .json"


def describe_conversion(options: ConvertOptions) -> str:
    """Convert once for real, so that every problem shows, and describe plan and hardware."""
    model, plan = planned(options)
    convert(model, plan.preset, plan=plan)
    if options.out is not None:
        _write(plan, options.out)
    return f"{plan.text()}\n\n{summary_text(plan)}"


def planned(options: ConvertOptions) -> tuple[nn.Module, ConversionPlan]:
    """The network that the options name, and its plan; not checked."""
    model = (
        restore_model(load_checkpoint(options.checkpoint), options.model)
        if options.checkpoint is not None
        else _untrained(str(options.model))
    )
    plan = plan_conversion(
        model,
        load_preset(options.preset),
        keep_digital=options.keep_digital,
        on_chip=options.on_chip,
        layer_presets={} if options.layer_presets is None else read_layer_presets(options.layer_presets),
        input_shape=options.input_shape,
    )
    return model, plan


def _untrained(name: str) -> nn.Module:
    """A network of that name with the same weights in each call, so that the plan repeats."""
    with rng.stream(0, "initial weights"):
        return build_model(name)


def summary_text(plan: ConversionPlan) -> str:
    """The hardware summary in a few lines."""
    s = plan.summary()
    lines = [
        f"preset       {', '.join(preset.name for preset in plan.presets)}",
        f"tiles        {s.tiles}, {s.utilisation_percent:.1f} % of their cells used",
        f"devices      {s.devices:,}",
        f"parameters   {s.parameters:,}, {s.analog_parameters_percent:.1f} % on analog tiles",
        f"matrices     {s.matrix_weights:,} weights, {s.analog_matrix_weights_percent:.1f} % on analog tiles",
    ]
    if s.macs:
        lines.append(f"MACs         {s.macs:,} a sample, {s.analog_macs_percent:.1f} % on analog tiles")
    else:
        lines.append("MACs         not counted (give --input-shape)")
    return "\n".join([*lines, f"cost         {_cost_text(plan)}"])


def _cost_text(plan: ConversionPlan) -> str:
    cost = plan_cost(plan)
    if cost is None:
        return "not given by the preset" + ("s" if len(plan.presets) > 1 else "")
    known = {figure.name: figure for figure in cost_figures(cost)}
    shown = [f"{known[name].title} {known[name]}" for name in ("area_mm2", "tile_joules", "sequential_seconds")]
    return f"{', '.join(shown)} ({cost.mode}; `analog-samson cost` shows what is assumed)"


def plan_cost(plan: ConversionPlan) -> Cost | None:
    """The cost of an inference; None where the preset gives none, or not for all weights."""
    return cost_of(plan.records(), plan.preset) if plan.presets == [plan.preset] and plan.preset.cost else None


def _write(plan: ConversionPlan, out: Path) -> None:
    cost = plan_cost(plan)
    facts = {
        "preset": plan.preset.name,
        "hardware": asdict(plan.summary()),
        "cost": cost and [asdict(figure) for figure in cost_figures(cost)],
        "plan": plan.records(),
    }
    write_atomically(out, (json.dumps(facts, indent=1) + "\n").encode())
