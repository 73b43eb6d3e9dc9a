"""What an inference of a named network costs on a preset's chip."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, NoReturn

from analog_samson.analysis.cost import NEEDED, Cost, cost_of
from analog_samson.analysis.cost_figures import cost_figures
from analog_samson.crossbar.plan import ConversionPlan
from analog_samson.errors import PresetError
from analog_samson.models.huggingface import HUGGING_FACE
from analog_samson.options import HARDWARE, NETWORK, OUTPUT, option
from analog_samson.presets.search import list_presets, load_preset
from analog_samson.results.atomic import write_atomically
from analog_samson.simulation.conversion import ConvertOptions, planned
from analog_samson.simulation.options import SimulateOptions

PRICED = "pcm_hermes_2023_two_devices"
_EXACT = "ideal"  # needs no calibration data
_SAMPLES = 2


class CostOptions(ConvertOptions):
    """What is priced, and how the chip is read."""

    NAME = "cost"

    data: Annotated[
        str | None,
        option("Test data, in place of --input-shape: its first samples show the products.", NETWORK, "DATA"),
    ] = None
    preset: Annotated[
        str, option("Hardware preset with a section [cost]: a name or a TOML file.", HARDWARE, "PRESET")
    ] = PRICED
    out: Annotated[Path | None, option("Also write the figures as JSON.", OUTPUT, "FILE.json")] = None
    read_mode: Annotated[
        str | None, option("Way to read the chip, as the preset names it.", HARDWARE, "NAME", default="its first")
    ] = None
    digital_pj_per_mac: Annotated[
        float | None,
        option(
            "Energy of a digital multiply-accumulate.",
            HARDWARE,
            "X",
            default="not given",
            unit="pJ",
            ge=0,
            allow_inf_nan=False,
        ),
    ] = None

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if (self.data is None) == (self.input_shape is None):
            yield "give either --input-shape or --data: products are counted on a sample"
        if self.data is not None and self.checkpoint is None and not str(self.model).startswith(HUGGING_FACE):
            yield "--data: runs a trained network; give --checkpoint, or --input-shape in place of --data"
        if self.layer_presets is not None:
            yield "--layer-presets: a cost is of one preset; leave it out"


def cost_of_options(options: CostOptions) -> Cost:
    """Plan the network and price it; writes `--out` where it is given.

    Raises:
        PresetError: The preset has no figures.
        AnalogSamsonError: Whatever else is missing or does not fit.
    """
    preset = load_preset(options.preset)
    if preset.cost is None:
        _refuse(preset.name)
    plan = planned(options)[1] if options.data is None else _plan_on_data(options)
    plan.check()
    cost = cost_of(plan.records(), preset, mode=options.read_mode, digital_pj_per_mac=options.digital_pj_per_mac)
    if options.out is not None:
        facts = {"cost": asdict(cost), "figures": [asdict(figure) for figure in cost_figures(cost)]}
        write_atomically(options.out, (json.dumps(facts, indent=1) + "\n").encode())
    return cost


def _plan_on_data(options: CostOptions) -> ConversionPlan:
    """The plan with the products that the network does on a few samples of the data."""
    from analog_samson.simulation.inputs import load_inputs
    from analog_samson.simulation.ranges import run_plan

    names = ("checkpoint", "model", "data", "keep_digital", "on_chip")
    shared = {name: value for name in names if (value := getattr(options, name)) is not None}
    simulated = SimulateOptions(preset=_EXACT, limit=_SAMPLES, **shared)
    return run_plan(replace(load_inputs(simulated), preset=load_preset(options.preset)), simulated)


def _refuse(name: str) -> NoReturn:
    priced = ", ".join(preset.name for preset in list_presets() if preset.cost is not None)
    raise PresetError(
        f"preset {name}: has no section [cost], so neither area nor energy nor time of a read is given; "
        f"missing: {NEEDED}. Presets with such figures: {priced}"
    )
