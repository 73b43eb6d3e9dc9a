"""Spread between chips as a yield: the share of them that is at least as good as a threshold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analog_samson.analysis.statistics import at_least_as_good, goodness, share_interval
from analog_samson.results.metric import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Yield:
    """`passed` of `n` chips are at least as good as `threshold`; low and high: 95 % interval of the share (0 to 1).

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


def yield_at(values: Iterable[float], threshold: float, metric: Metric) -> Yield:
    """The yield of chips with these values of a metric; a chip whose value is NaN fails.

    >>> y = yield_at([80.0, 85.0, 90.0, 91.0], 85.0, Metric(name="accuracy", title="accuracy"))
    >>> y.passed, y.n, round(y.low, 2), round(y.high, 2)
    (3, 4, 0.19, 0.99)
    """
    chips = list(values)
    n, passed = len(chips), sum(at_least_as_good(value, threshold, metric) for value in chips)
    low, high = share_interval(passed, n) if n > 1 else (None, None)
    return Yield(threshold=threshold, passed=passed, n=n, low=low, high=high)


def yield_curve(values: Sequence[float], metric: Metric) -> list[tuple[float, float]]:
    """(value, share of chips at least as good) at the value of every chip, from the worst to the best.

    >>> yield_curve([90.0, 80.0], Metric(name="accuracy", title="accuracy"))
    [(80.0, 1.0), (90.0, 0.5)]
    >>> yield_curve([9.0, 8.0], Metric(name="rmse", title="RMSE", higher_is_better=False))
    [(9.0, 1.0), (8.0, 0.5)]
    """
    known = [value for value in values if value == value]  # without NaN
    worst_first = sorted(dict.fromkeys(known), key=lambda value: goodness(value, metric))
    shares = [
        sum(goodness(other, metric) >= goodness(at, metric) for other in known) / len(values) for at in worst_first
    ]
    return list(zip(worst_first, shares, strict=True))
