"""The plan of a run, made once, and its input ranges."""

from typing import Any

from analog_samson.chip.input_ranges import InputRange, choose_input_ranges, needs_calibration
from analog_samson.crossbar.observe import Example
from analog_samson.crossbar.plan import ConversionPlan, plan_conversion
from analog_samson.data.image_set import ImageSet
from analog_samson.simulation.inputs import Inputs
from analog_samson.simulation.options import SimulateOptions


def run_plan(inputs: Inputs, options: SimulateOptions) -> ConversionPlan:
    """What goes on tiles, with multiply-accumulates counted. Raises PlanError for layers that cannot be converted."""
    given: dict[str, Any] = {"keep_digital": options.keep_digital, "on_chip": options.on_chip}
    if isinstance(inputs.images, ImageSet):
        given["input_shape"] = inputs.images.images.shape[1:]
    else:
        few = inputs.batches(inputs.images.take(2), options, channels_last=False)
        given["example"] = Example(batch=next(iter(few)), run=inputs.task.run)
    plan = plan_conversion(inputs.model, inputs.preset, **given)
    plan.check()
    return plan


def run_input_ranges(
    inputs: Inputs, plan: ConversionPlan, options: SimulateOptions, calibration: Any
) -> dict[str, InputRange]:
    """The range of each layer by path, as the options choose it; none where the preset has no converters."""
    if not needs_calibration(inputs.preset):
        return {}
    return choose_input_ranges(
        inputs.model,
        inputs.preset,
        calibration,
        seed=options.seed,
        method=options.input_range,
        plan=plan,
        run=inputs.task.run,
    )
