"""Drift compensation of a preset as aihwkit has it, with a reading that may be averaged.

aihwkit takes the mean size of a tile's answers to all one-hot inputs, from one reading. Noise on an output adds to its
size whatever the weight, before and after drift, so the factor is pulled towards 1. The mean of n readings of the
same weights carries 1 / n of that noise's variance; the tiles take it before the size is taken.
"""

from aihwkit.inference.compensation.base import BaseDriftCompensation
from aihwkit.inference.compensation.drift import GlobalDriftCompensation, PerColumnDriftCompensation

from analog_samson.presets.schema import Compensation


class AveragedGlobalCompensation(GlobalDriftCompensation):
    """One factor a tile, from the mean of `reads` readings."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self.reads = reads


class AveragedPerColumnCompensation(PerColumnDriftCompensation):
    """One factor a column, from the mean of `reads` readings."""

    def __init__(self, reads: int) -> None:
        super().__init__()
        self.reads = reads


def compensation(section: Compensation) -> BaseDriftCompensation | None:
    """The compensation of a preset; aihwkit's own classes where a single reading is asked for."""
    match section.kind:
        case "global":
            return AveragedGlobalCompensation(section.reads) if section.reads > 1 else GlobalDriftCompensation()
        case "per_column":
            return AveragedPerColumnCompensation(section.reads) if section.reads > 1 else PerColumnDriftCompensation()
    return None


def reads_of(chosen: BaseDriftCompensation | None) -> int:
    """How many readings a compensation averages: 1 for aihwkit's classes.

    >>> reads_of(GlobalDriftCompensation()), reads_of(AveragedGlobalCompensation(8))
    (1, 8)
    """
    if isinstance(chosen, AveragedGlobalCompensation | AveragedPerColumnCompensation):
        return chosen.reads
    return 1
