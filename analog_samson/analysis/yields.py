"""Spread between chips as a yield: which share of them is at least as accurate as asked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy import special

from analog_samson.analysis.statistics import CONFIDENCE, reaches


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """`passed` of `n` chips are at or above `threshold` [%]; low and high: 95 % interval of the share (0 to 1).

    The interval is that of Clopper and Pearson: exact for independent chips, None for a single one.
    """

    threshold: float
    passed: int
    n: int
    low: float | None
    high: float | None

    @property
    def share(self) -> float:
        """Share of the chips that pass, 0 to 1."""
        return self.passed / self.n


def yield_at(accuracies: Iterable[float], threshold: float) -> Yield:
    """The yield of chips with these accuracies [%].

    >>> y = yield_at([80.0, 85.0, 90.0, 91.0], 85.0)
    >>> y.passed, y.n, round(y.low, 2), round(y.high, 2)
    (3, 4, 0.19, 0.99)
    """
    values = list(accuracies)
    n, passed = len(values), sum(reaches(value, threshold) for value in values)
    low, high = share_interval(passed, n) if n > 1 else (None, None)
    return Yield(threshold=threshold, passed=passed, n=n, low=low, high=high)


def yield_curve(accuracies: Sequence[float]) -> list[tuple[float, float]]:
    """(accuracy [%], share of chips at least so accurate) at the accuracy of every chip, increasing.

    >>> yield_curve([90.0, 80.0])
    [(80.0, 1.0), (90.0, 0.5)]
    """
    ordered = sorted(accuracies)
    return [(at, sum(value >= at for value in ordered) / len(ordered)) for at in dict.fromkeys(ordered)]


def share_interval(passed: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share of which `passed` of `n` were seen."""
    tail = (1 - CONFIDENCE) / 2
    low = float(special.betaincinv(passed, n - passed + 1, tail)) if passed else 0.0
    high = float(special.betaincinv(passed + 1, n - passed, 1 - tail)) if passed < n else 1.0
    return low, high
