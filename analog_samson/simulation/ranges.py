"""The plan of a run, made once, and its input ranges."""

from collections.abc import Mapping, Sequence
from typing import Any

from analog_samson.chip.input_range import InputRange
from analog_samson.chip.input_ranges import choose_input_ranges, needs_calibration
from analog_samson.crossbar.observe import Example
from analog_samson.crossbar.plan import ConversionPlan, plan_conversion
from analog_samson.data.image_set import ImageSet
from analog_samson.presets.schema import Preset
from analog_samson.simulation.inputs import Inputs
from analog_samson.simulation.options import SimulateOptions


def run_plan(inputs: Inputs, options: SimulateOptions) -> ConversionPlan:
    """What goes on tiles, with multiply-accumulates counted. Raises PlanError for layers that cannot be converted."""
    plan = plan_of(inputs, options, inputs.preset, options.keep_digital, options.on_chip)
    plan.check()
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
    few = inputs.batches(inputs.images.take(2), options, channels_last=False)
    return plan_conversion(inputs.model, preset, example=Example(batch=next(iter(few)), run=inputs.task.run), **given)


def run_input_ranges(
    inputs: Inputs, plan: ConversionPlan, options: SimulateOptions, calibration: Any
) -> dict[str, InputRange]:
    """The range of each layer by path, as the options choose it; none where the preset has no converters."""
    if not needs_calibration(plan):
        return {}
    return choose_input_ranges(
        inputs.model,
        inputs.preset,
        calibration,
        seed=options.seed,
        method=options.input_range,
        scaling=options.input_scaling,
        plan=plan,
        run=inputs.task.run,
    )
