"""Training: the loop, its options and schedules, and folders that make it resumable."""

from analog_samson.training.distill import Teacher
from analog_samson.training.distributed import DistributedContext, joined_processes
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import EpochRecord, Progress, TrainingError, TrainProgress, TrainResult

__all__ = [
    "DistributedContext",
    "EpochRecord",
    "Progress",
    "Teacher",
    "TrainOptions",
    "TrainProgress",
    "TrainResult",
    "TrainingError",
    "fit",
    "joined_processes",
]
