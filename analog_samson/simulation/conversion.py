"""The conversion of a named model or checkpoint as text and JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from torch import nn

from analog_samson import rng
from analog_samson.chip.convert import convert
from analog_samson.crossbar.plan import ConversionPlan, plan_conversion
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.presets.search import load_preset
from analog_samson.results.atomic import write_atomically


def describe_conversion(
    model_name: str | None,
    checkpoint: str | None,
    preset_name: str,
    *,
    keep_digital: Sequence[str],
    input_shape: Sequence[int] | None,
    out: Path | None,
) -> str:
    """Convert once for real, so that every fault shows, and describe plan and hardware.

    One of `model_name` and `checkpoint` must be given. `out` gets the same facts as JSON.
    """
    preset = load_preset(preset_name)
    model = (
        restore_model(load_checkpoint(checkpoint), model_name)
        if checkpoint is not None
        else _untrained(str(model_name))
    )
    plan = plan_conversion(model, preset, keep_digital=keep_digital, input_shape=input_shape)
    convert(model, preset, plan=plan)
    if out is not None:
        _write(plan, out)
    return f"{plan.text()}\n\n{summary_text(plan)}"


def _untrained(name: str) -> nn.Module:
    """A network of that name with the same weights in each call, so that the plan repeats."""
    with rng.stream(0, "initial weights"):
        return build_model(name)


def summary_text(plan: ConversionPlan) -> str:
    """The hardware summary in a few lines."""
    s = plan.summary()
    lines = [
        f"preset       {plan.preset.name}",
        f"tiles        {s.tiles}, {s.utilisation_percent:.1f} % of their cells used",
        f"devices      {s.devices:,}",
        f"parameters   {s.parameters:,}, {s.analog_parameters_percent:.1f} % on analog tiles",
        f"matrices     {s.matrix_weights:,} weights, {s.analog_matrix_weights_percent:.1f} % on analog tiles",
    ]
    if s.macs:
        lines.append(f"MACs         {s.macs:,} a sample, {s.analog_macs_percent:.1f} % on analog tiles")
    else:
        lines.append("MACs         not counted (give --input-shape)")
    return "\n".join(lines)


def _write(plan: ConversionPlan, out: Path) -> None:
    facts = {"preset": plan.preset.name, "hardware": asdict(plan.summary()), "plan": plan.records()}
    write_atomically(out, (json.dumps(facts, indent=1) + "\n").encode())
