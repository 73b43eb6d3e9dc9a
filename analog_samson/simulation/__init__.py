"""One run from end to end: a checkpoint, a preset and data in, a run folder out."""

from analog_samson.simulation.inputs import (
    Inputs,
    as_in_training,
    checkpoint_label,
    load_inputs,
    takes_channels_last,
)
from analog_samson.simulation.options import CODE, VOLATILE, SimulateOptions, count_cells, read_config
from analog_samson.simulation.run import limited_threads, run_simulation

__all__ = [
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
    "run_simulation",
    "takes_channels_last",
]
