"""The difference of two methods of a study under a condition, with three intervals.

The one over trainings (paired by seed) is about methods, and decides. So is the next, with a spread that all methods of
the same kind tell together (see `pooled`): narrower by much, but right only if they spread alike. The one over chips
(paired by seed and chip) is about the very networks that were trained. All intervals of one kind among the differences
that are made together hold at once with 95 % (Bonferroni).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from analog_samson.experiments.conditions import Condition
from analog_samson.experiments.pooled import pooled_difference, pooled_spread
from analog_samson.experiments.results import CellResult
from analog_samson.experiments.schema import Method
from analog_samson.experiments.view import View
from analog_samson.report.statistics import Difference, paired_difference

_MANY = 10_000  # more than a training has chips
Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A method minus another [points] under a condition: over trainings, and over all their chips.

    pooled: over trainings, with the spread of all methods of their kinds; None where that is not known.
    """

    method: Method
    minus: Method
    condition: Condition
    trainings: Difference
    pooled: Difference | None
    chips: Difference

    @property
    def decided_when_pooled(self) -> bool:
        """Whether only the pooled spread decides."""
        return not self.trainings.seen and self.pooled is not None and bool(self.pooled.seen)

    @property
    def verdict(self) -> str:
        """What is certain; "these networks" where only the chips of the trained networks tell it."""
        if self.trainings.seen:
            return word(self.trainings)
        if self.decided_when_pooled:
            return f"{word(self.trainings)} by pooled spread"
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
        pooled=_pooled(view, found, pair, condition, family),
        chips=chips,
    )


def _pooled(
    view: View, found: dict[str, list[CellResult]], pair: Pair, condition: Condition, family: int
) -> Difference | None:
    """Over trainings, with the spread of all trained methods of the families of the pair."""
    kinds = {view.methods[name].family for name in pair}
    values = {
        name: _by_training(results, condition)
        for name, results in found.items()
        if view.methods[name].family in kinds and results[0].cell.training
    }
    one, other = pair
    spread = pooled_spread(values) if one in values and other in values else None
    return None if spread is None else pooled_difference(values[other], values[one], spread, family)


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
