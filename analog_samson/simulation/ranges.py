"""The plan of a run, made once, and its input ranges."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from analog_samson.chip.choices import LEARNED
from analog_samson.chip.input_range import InputRange
from analog_samson.chip.input_ranges import choose_input_ranges, needs_calibration
from analog_samson.crossbar.observe import Example
from analog_samson.crossbar.plan import ConversionPlan, plan_conversion
from analog_samson.data.image_set import ImageSet
from analog_samson.errors import OptionError
from analog_samson.presets.schema import Preset
from analog_samson.simulation.inputs import Inputs
from analog_samson.simulation.options import SimulateOptions


def run_plan(inputs: Inputs, options: SimulateOptions) -> ConversionPlan:
    """What goes on tiles, with multiply-accumulates counted.

    Raises:
        PlanError: Layers cannot be converted.
        OptionError: The checkpoint lacks input ranges that it should have learned.
    """
    plan = plan_of(inputs, options, inputs.preset, options.keep_digital, options.on_chip)
    plan.check()
    if options.input_range == LEARNED and needs_calibration(plan):
        _learned_ranges(inputs, plan)  # before anything is written
    return plan


def plan_of(
    inputs: Inputs,
    options: SimulateOptions,
    preset: Preset,
    keep_digital: Sequence[str],
    on_chip: Sequence[str],
    layer_presets: Mapping[str, Preset] | None = None,
) -> ConversionPlan:
    """The plan of the run's network for any hardware and any choice of layers; not checked.

    layer_presets: the hardware of single layers; None takes the run's.
    """
    layers = inputs.layer_presets if layer_presets is None else layer_presets
    given: dict[str, Any] = {"keep_digital": keep_digital, "on_chip": on_chip, "layer_presets": layers}
    if isinstance(inputs.images, ImageSet):
        return plan_conversion(inputs.model, preset, input_shape=inputs.images.images.shape[1:], **given)
    few = inputs.batches(inputs.first(2), options, channels_last=False)
    return plan_conversion(inputs.model, preset, example=Example(batch=next(iter(few)), run=inputs.task.run), **given)


def run_input_ranges(
    inputs: Inputs, plan: ConversionPlan, options: SimulateOptions, calibration: Any
) -> dict[str, InputRange]:
    """The range of each layer by path, as the options choose it; none where the preset has no converters."""
    if not needs_calibration(plan):
        return {}
    learned = options.input_range == LEARNED
    return choose_input_ranges(
        inputs.model,
        inputs.preset,
        calibration,
        seed=options.seed,
        method=_learned_ranges(inputs, plan) if learned else options.input_range,
        scaling=options.input_scaling,
        plan=plan,
        run=inputs.task.run,
    )


def _learned_ranges(inputs: Inputs, plan: ConversionPlan) -> Mapping[str, float]:
    """What a hardware-aware training left in the checkpoint. Raises OptionError where a weight has none."""
    told = inputs.checkpoint.metadata.get("input_ranges")
    found = told if isinstance(told, Mapping) else {}
    wanted = [one.path for one in plan.placements if needs_calibration(one.preset or plan.preset)]
    absent = [path for path in wanted if not _is_size(found.get(path))]
    if absent:
        some = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        raise OptionError(
            f"input_range learned: the checkpoint has no learned range for {len(absent)} of {len(wanted)} weights "
            f"({some}); train with --hardware-aware, or choose another --input-range"
        )
    return found


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value) and value > 0
