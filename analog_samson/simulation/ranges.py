"""The input ranges of a run."""

from analog_samson.chip.input_ranges import InputRange, choose_input_ranges, needs_calibration
from analog_samson.crossbar.plan import plan_conversion
from analog_samson.data.batches import Batches
from analog_samson.simulation.inputs import Inputs
from analog_samson.simulation.options import SimulateOptions


def run_input_ranges(inputs: Inputs, options: SimulateOptions, calibration: Batches | None) -> dict[str, InputRange]:
    """The range of each layer by path, as the options choose it; none where the preset has no converters."""
    if not needs_calibration(inputs.preset):
        return {}
    shape = inputs.images.images.shape[1:]
    plan = plan_conversion(inputs.model, inputs.preset, keep_digital=options.keep_digital, input_shape=shape)
    return choose_input_ranges(
        inputs.model,
        inputs.preset,
        calibration,
        seed=options.seed,
        method=options.input_range,
        plan=plan,
    )
