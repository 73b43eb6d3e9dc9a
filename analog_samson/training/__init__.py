"""Training: the loop, its options and schedules, and folders that make it resumable."""

from analog_samson.training.distill import Teacher
from analog_samson.training.distributed import World, joined_world
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import EpochRecord, Progress, TrainingError, TrainProgress, TrainResult

__all__ = [
    "EpochRecord",
    "Progress",
    "Teacher",
    "TrainOptions",
    "TrainProgress",
    "TrainResult",
    "TrainingError",
    "World",
    "fit",
    "joined_world",
]
