"""The plan of a run, made once, and its input ranges."""

from analog_samson.chip.input_ranges import InputRange, choose_input_ranges, needs_calibration
from analog_samson.crossbar.plan import ConversionPlan, plan_conversion
from analog_samson.data.batches import Batches
from analog_samson.simulation.inputs import Inputs
from analog_samson.simulation.options import SimulateOptions


def run_plan(inputs: Inputs, options: SimulateOptions) -> ConversionPlan:
    """What goes on tiles, with multiply-accumulates counted. Raises PlanError for layers that cannot be converted."""
    shape = inputs.images.images.shape[1:]
    plan = plan_conversion(
        inputs.model, inputs.preset, keep_digital=options.keep_digital, on_chip=options.on_chip, input_shape=shape
    )
    plan.check()
    return plan


def run_input_ranges(
    inputs: Inputs, plan: ConversionPlan, options: SimulateOptions, calibration: Batches | None
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
    )
