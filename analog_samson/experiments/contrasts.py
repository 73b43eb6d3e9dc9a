"""The difference of two methods of a study under a condition, with two intervals.

The one over trainings (paired by seed) is about methods, and decides. The one over chips (paired by seed and chip) is
about the very networks that were trained. All intervals of one kind among the differences that are made together hold
at once with 95 % (Bonferroni), for the test images that were used.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from analog_samson.experiments.conditions import Condition
from analog_samson.experiments.results import CellResult
from analog_samson.experiments.schema import Method
from analog_samson.experiments.view import View
from analog_samson.report.statistics import Difference, paired_difference

_MANY = 10_000  # more than a training has chips
Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A method minus another [points] under a condition: over trainings, and over all their chips."""

    method: Method
    minus: Method
    condition: Condition
    trainings: Difference
    chips: Difference

    @property
    def verdict(self) -> str:
        """What is certain; "these networks" where only the chips of the trained networks tell it."""
        if self.trainings.seen:
            return word(self.trainings)
        n = self.trainings.n
        said = f"not decided with {n} trainings" if n > 1 else "one training: not decided"
        return f"{said}; these networks: {word(self.chips)}" if self.chips.seen else said


def contrast(
    view: View, found: dict[str, list[CellResult]], wanted: Sequence[Pair], conditions: Sequence[Condition]
) -> list[Contrast]:
    """Differences (first of a pair minus second) of those pairs that have a seed in common, as one family."""
    kept = [(one, other) for one, other in wanted if one in found and other in found]
    kept = [(one, other) for one, other in kept if {*seeds_of(found[one])} & {*seeds_of(found[other])}]
    family = len(kept) * len(conditions)
    return [_contrast(view, found, pair, condition, family) for condition in conditions for pair in kept]


def _contrast(
    view: View, found: dict[str, list[CellResult]], pair: Pair, condition: Condition, family: int
) -> Contrast:
    one, other = (found[name] for name in pair)
    trainings = paired_difference(_by_training(other, condition), _by_training(one, condition), family)
    chips = paired_difference(_by_chip(other, condition), _by_chip(one, condition), family)
    assert trainings is not None
    assert chips is not None
    methods = [view.methods[name] for name in pair]
    return Contrast(
        method=methods[0],
        minus=methods[1],
        condition=condition,
        trainings=trainings,
        chips=chips,
    )


def _by_training(results: Sequence[CellResult], condition: Condition) -> dict[int, float]:
    return {result.cell.seed: fmean(condition.pick(result)) for result in results}


def _by_chip(results: Sequence[CellResult], condition: Condition) -> dict[int, float]:
    """Chip i of seed s is the same simulated chip for every method."""
    return {
        result.cell.seed * _MANY + chip: accuracy
        for result in results
        for chip, accuracy in enumerate(condition.pick(result))
    }


def seeds_of(results: Sequence[CellResult]) -> list[int]:
    """The seeds that a method has been trained with."""
    return [result.cell.seed for result in results]


def word(difference: Difference) -> str:
    """Which way a difference goes."""
    return "higher" if difference.mean > 0 else "lower"
