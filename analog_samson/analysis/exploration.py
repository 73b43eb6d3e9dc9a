"""Which hardware holds a threshold: a map over one or more numbers, found by bisection, with intervals.

The response is taken to be monotone along every axis. A cell of the map is measured, or it follows from measured ones:
what is better than a cell that holds, holds too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import product

from analog_samson.analysis.statistics import Summary, summarize
from analog_samson.results.metric import Metric

Cell = tuple[int, ...]  # the level on each axis
_ROUNDING = 1e-9  # of the threshold, which may be a difference of values


class Verdict(IntEnum):
    """Whether the mean over chips is as good as the threshold, by its 95 % interval."""

    FAILS = 0
    UNDECIDED = 1
    HOLDS = 2

    @property
    def word(self) -> str:
        """In tables and files."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How much better than the threshold the chips of one cell are, in the metric's unit; negative is worse.

    Attributes:
        value: Mean of the metric over chips, with its interval.
        margin: Mean distance from the threshold, with its interval.
        verdict: What the interval says; a value that is not finite fails.
    """

    value: Summary
    margin: Summary
    verdict: Verdict


def margin_of(values: Sequence[float], threshold: float, metric: Metric, step: float | None = None) -> Margin:
    """The margin of chips with these values; two or more.

    Args:
        values: Of the metric, one a chip.
        threshold: In the metric's unit.
        metric: Which direction is better.
        step: As for `summarize`.

    >>> margin_of([91.0, 92.0, 93.0], 85.0, Metric(name="accuracy", title="accuracy")).verdict.word
    'holds'
    """
    margin = summarize([-metric.worse_by(value, threshold) for value in values], step)
    slack = _ROUNDING * abs(threshold)
    if margin.low is None or margin.high is None or margin.high < -slack:
        verdict = Verdict.FAILS
    else:
        verdict = Verdict.HOLDS if margin.low >= -slack else Verdict.UNDECIDED
    return Margin(value=summarize(values, step), margin=margin, verdict=verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Where a line through the map crosses the threshold.

    The crossing lies after `fails` and at or before `holds`, going from worse to better; None: beyond that end.
    """

    fails: int | None
    undecided: tuple[int, ...]
    holds: int | None


@dataclass
class ThresholdMap:
    """Verdicts on a grid of cells, of which few are measured.

    Attributes:
        shape: Number of levels of each axis.
        better: For each axis 1 where higher levels are better, -1 where lower ones are.
        verdicts: Of the measured cells.
    """

    shape: Sequence[int]
    better: Sequence[int]
    verdicts: dict[Cell, Verdict] = field(default_factory=dict)

    @property
    def cells(self) -> list[Cell]:
        """Every cell of the grid."""
        return list(product(*map(range, self.shape)))

    def at_least(self, cell: Cell, other: Cell) -> bool:
        """Whether `cell` is at least as good as `other` on every axis."""
        return all(sign * (mine - its) >= 0 for sign, mine, its in zip(self.better, cell, other, strict=True))

    def range_of(self, cell: Cell) -> tuple[Verdict, Verdict]:
        """The worst and the best verdict that the measured cells leave open for a cell."""
        if cell in self.verdicts:
            return self.verdicts[cell], self.verdicts[cell]
        worst = max((v for c, v in self.verdicts.items() if self.at_least(cell, c)), default=Verdict.FAILS)
        best = min((v for c, v in self.verdicts.items() if self.at_least(c, cell)), default=Verdict.HOLDS)
        return worst, best

    def verdict(self, cell: Cell) -> Verdict:
        """The verdict of a cell; undecided also where measured cells contradict each other or leave it open."""
        worst, best = self.range_of(cell)
        return worst if worst == best else Verdict.UNDECIDED

    def open_cells(self) -> list[Cell]:
        """The cells about which measured ones do not say enough."""
        ranges = {cell: self.range_of(cell) for cell in self.cells}
        return [cell for cell, (worst, best) in ranges.items() if worst < best]

    def next_cells(self, count: int) -> list[Cell]:
        """Up to `count` cells to measure next, no two of which could make the other needless; none when all is known.

        Each is the one that settles most open cells whatever its verdict is: on one axis the middle of them, which is
        bisection.
        """
        waiting = self.open_cells()
        chosen: list[Cell] = []
        while waiting and len(chosen) < count:
            chosen.append(max(waiting, key=lambda cell: (*self._settled(cell, waiting), [-level for level in cell])))
            waiting = [
                cell for cell in waiting if not (self.at_least(cell, chosen[-1]) or self.at_least(chosen[-1], cell))
            ]
        return chosen

    def _settled(self, cell: Cell, waiting: Iterable[Cell]) -> tuple[int, int]:
        """How many of the waiting cells a verdict on `cell` settles: at least, and in both cases together."""
        better = sum(self.at_least(other, cell) for other in waiting)
        worse = sum(self.at_least(cell, other) for other in waiting)
        return min(better, worse), better + worse

    def contradictions(self) -> list[tuple[Cell, Cell]]:
        """Pairs of measured cells of which the first holds and the second, which should be better, fails."""
        return [
            (worse, better)
            for worse, low in self.verdicts.items()
            for better, high in self.verdicts.items()
            if low == Verdict.HOLDS and high == Verdict.FAILS and self.at_least(better, worse)
        ]

    def boundary(self, cell: Cell, axis: int) -> Boundary:
        """The crossing on the line through `cell` along an axis."""
        line = [(*cell[:axis], level, *cell[axis + 1 :]) for level in range(self.shape[axis])]
        found = {c[axis]: self.verdict(c) for c in line[:: self.better[axis]]}  # from worse to better
        holds = [level for level, verdict in found.items() if verdict == Verdict.HOLDS]
        fails = [level for level, verdict in found.items() if verdict == Verdict.FAILS]
        undecided = tuple(level for level, verdict in found.items() if verdict == Verdict.UNDECIDED)
        return Boundary(fails=fails[-1] if fails else None, undecided=undecided, holds=holds[0] if holds else None)

    def least_demanding(self) -> list[Cell]:
        """The cells that hold, beside which no cell that is worse on one axis and better on none holds."""
        holding = [cell for cell in self.cells if self.verdict(cell) == Verdict.HOLDS]
        return [cell for cell in holding if not any(o != cell and self.at_least(cell, o) for o in holding)]


def complete(
    found: ThresholdMap,
    measured: Mapping[Cell, Margin],
    measure: Callable[[list[Cell]], Mapping[Cell, Margin]],
    ahead: int,
) -> dict[Cell, Margin]:
    """Measure one open cell after the other until every verdict is known.

    Args:
        found: Gets the verdicts.
        measured: The margins that are known already.
        measure: Gives the margins of cells; it may be asked for a cell again.
        ahead: How many cells to ask for at a time. The further ones are those that are likely to be next; they change
            no verdict, so the map does not depend on this number.

    Returns:
        The margins that the map is made of.
    """
    used = dict(measured)
    found.verdicts |= {cell: margin.verdict for cell, margin in used.items()}
    while cells := found.next_cells(ahead):
        used[cells[0]] = measure(cells)[cells[0]]
        found.verdicts[cells[0]] = used[cells[0]].verdict
    return used


def directions(shape: Sequence[int], corners: Mapping[Cell, Margin], guesses: Sequence[int]) -> tuple[int, ...]:
    """Which end of each axis is better, from the margins at the corners of the grid.

    Args:
        shape: Number of levels of each axis.
        corners: The margins of all corners.
        guesses: What is taken where both ends are equally good.

    Returns:
        1 or -1 for each axis.
    """
    found = []
    for axis, guess in enumerate(guesses):
        rises = []
        for cell, corner in corners.items():
            opposite = (*cell[:axis], shape[axis] - 1, *cell[axis + 1 :])
            if cell[axis] == 0:
                rises.append(corners[opposite].margin.mean - corner.margin.mean)
        total = sum(rise for rise in rises if rise == rise)
        found.append(guess if total == 0 else 1 if total > 0 else -1)
    return tuple(found)
