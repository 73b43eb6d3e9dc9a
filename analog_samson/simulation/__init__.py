"""One run from end to end: a checkpoint, a preset and data in, a run folder out."""

from analog_samson.simulation.inputs import (
    Inputs,
    as_in_training,
    checkpoint_label,
    load_inputs,
    takes_channels_last,
)
from analog_samson.simulation.options import (
    BEFORE,
    CODE,
    VOLATILE,
    SimulateOptions,
    count_cells,
    read_config,
    stored_options,
)
from analog_samson.simulation.ranges import run_input_ranges
from analog_samson.simulation.run import limited_threads, run_simulation

__all__ = [
    "BEFORE",
    "CODE",
    "VOLATILE",
    "Inputs",
    "SimulateOptions",
    "as_in_training",
    "checkpoint_label",
    "count_cells",
    "limited_threads",
    "load_inputs",
    "read_config",
    "run_input_ranges",
    "run_simulation",
    "stored_options",
    "takes_channels_last",
]
