"""How long a network stays as good as a threshold: where its value over time crosses it.

Between simulated times the value is taken to be linear in the logarithm of time, as drift makes it nearly so. Beyond
the last one the line through the last two times is followed for at most one decade, by the ends of the interval of the
mean in parallel to the mean. A crossing found there is called extrapolated; where there is none the answer is "not
within the simulated times". Each crossing has a coverage of its own: the mean may cross where the preset's source gives
a law, the end of its interval where it does not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, log10

import numpy as np

from analog_samson.analysis.statistics import at_least_as_good, goodness
from analog_samson.analysis.summary import Result, State
from analog_samson.presets.validity import EXTRAPOLATED, UNKNOWN, Validity
from analog_samson.results.metric import Metric
from analog_samson.runtime.older_python import StrEnum

LOSSES = (0.01, 0.02, 0.05, 0.1)  # of the metric's range, or of the digital value where that is unbounded
WEAK_QUANTILE = 0.05
REACH = 10.0  # how far beyond the last time a line is followed, as a factor


class Fate(StrEnum):
    """How a value over time meets a threshold."""

    BEFORE = "before the first time"
    WITHIN = "within the simulated times"
    BEYOND = "extrapolated"
    NEVER = "not within the simulated times"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """When a value becomes worse than a threshold.

    Attributes:
        seconds: The crossing; the first simulated time for BEFORE (it is earlier still), the last one for NEVER (up to
            then it does not happen).
        coverage: "extrapolated" where the line was followed beyond the last simulated time, else what the preset's
            validity calls `seconds`.
    """

    fate: Fate
    seconds: float
    coverage: str = ""

    @property
    def extrapolated(self) -> bool:
        """Whether the crossing lies beyond the last simulated time or the preset's validity."""
        return self.coverage == EXTRAPOLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """Crossings of one threshold by the mean, the ends of its 95 % interval, and the weakest 5 % of the chips.

    Of the few chips that are simulated the 5th percentile lies near the weakest one, and no interval is given for it.

    Attributes:
        threshold: In the metric's unit.
        loss: How much worse the threshold is than the digital network, in the unit of differences.
        low, high: Where the worse and the better end of the interval of the mean cross; together they hold the
            lifetime with 95 %. None, like `weakest`, where a single instance allows none.
    """

    threshold: float
    loss: float | None
    mean: Crossing
    low: Crossing | None
    high: Crossing | None
    weakest: Crossing | None
    instances: int


def lifetime(result: Result, threshold: float) -> Lifetime | None:
    """For how long a result is at least as good as `threshold`; None where it was simulated at no time above 0."""
    states, metric = [state for state in result.times if state.time_seconds], result.metric
    if not states:
        return None

    def points(value: Callable[[State], float]) -> list[tuple[float, float]]:
        return [(float(state.time_seconds or 0), value(state)) for state in states]

    def crossing(value: Callable[[State], float], slope: float | None = None) -> Crossing:
        return find_crossing(points(value), threshold, metric, result.validity, slope)

    slope = last_slope(points(lambda state: state.value.mean))  # its interval keeps its width beyond the last time
    has_interval = all(state.value.low is not None for state in states)
    digital = None if result.digital is None else result.digital.value.mean
    return Lifetime(
        threshold=threshold,
        loss=None if digital is None else metric.worse_by(threshold, digital),
        mean=crossing(lambda state: state.value.mean),
        low=crossing(lambda state: _end(state, worse=True, metric=metric), slope) if has_interval else None,
        high=crossing(lambda state: _end(state, worse=False, metric=metric), slope) if has_interval else None,
        weakest=crossing(lambda state: weak_percentile(state, metric)) if has_interval else None,
        instances=min(state.value.n for state in states),
    )


def thresholds(result: Result, threshold: float | None = None) -> tuple[float, ...]:
    """`threshold` alone, or where none is given the digital value made worse by each of `default_losses`.

    Values that the metric cannot take are left out. Without a threshold and without a digital value there is none.
    """
    if threshold is not None:
        return (threshold,)
    if result.digital is None:
        return ()
    digital, metric = result.digital.value.mean, result.metric
    sign = -1 if metric.higher_is_better else 1
    found = (digital + sign * loss for loss in default_losses(metric, digital))
    return tuple(value for value in found if metric.lower <= value <= metric.upper)


def default_losses(metric: Metric, digital: float) -> tuple[float, ...]:
    """1, 2, 5 and 10 % of the metric's range; of the digital value where the range is unbounded.

    None where the digital value of an unbounded metric is 0 or not finite.

    >>> default_losses(Metric(name="accuracy", title="accuracy", lower=0.0, upper=100.0), 91.0)
    (1.0, 2.0, 5.0, 10.0)
    >>> default_losses(Metric(name="rmse", title="RMSE", lower=0.0, higher_is_better=False), 50.0)
    (0.5, 1.0, 2.5, 5.0)
    """
    span = metric.upper - metric.lower
    scale = span if isfinite(span) else abs(digital)
    return tuple(loss * scale for loss in LOSSES) if isfinite(scale) and scale > 0 else ()


def lifetimes(result: Result, threshold: float | None = None) -> tuple[Lifetime, ...]:
    """The lifetime of a result at each of its `thresholds`; none where it was not simulated over time."""
    found = (lifetime(result, at) for at in thresholds(result, threshold))
    return tuple(one for one in found if one is not None)


def weak_percentile(state: State, metric: Metric) -> float:
    """The value that 95 % of the instances are better than, linear between the two it lies between."""
    quantile = WEAK_QUANTILE if metric.higher_is_better else 1 - WEAK_QUANTILE
    return float(np.quantile(list(state.values.values()), quantile))


def _end(state: State, *, worse: bool, metric: Metric) -> float:
    end = state.value.low if worse == metric.higher_is_better else state.value.high
    assert end is not None
    return end


def last_slope(points: Sequence[tuple[float, float]]) -> float:
    """Change a decade of time between the last two (seconds, value) points; 0 where there is only one."""
    if len(points) < 2 or not isfinite(points[-1][1] - points[-2][1]):
        return 0.0
    (before, first), (after, last) = points[-2:]
    return (last - first) / (log10(after) - log10(before))


def find_crossing(
    points: Sequence[tuple[float, float]],
    threshold: float,
    metric: Metric,
    validity: Validity = UNKNOWN,
    slope: float | None = None,
) -> Crossing:
    """Where the line through (seconds above 0, value) points, in order of time, first gets worse than the threshold.

    Args:
        points: A value that is not finite counts as infinitely bad.
        threshold: In the unit of the values.
        metric: Of the values; it gives the direction.
        validity: Of the preset, which coverages the crossing.
        slope: Change a decade of the line beyond the last time, if not that through the last two points.

    >>> accuracy = Metric(name="accuracy", title="accuracy")
    >>> find_crossing([(1.0, 91.0), (100.0, 89.0)], 90.0, accuracy).seconds
    10.0
    >>> find_crossing([(1.0, 91.0), (100.0, 90.5)], 90.0, accuracy).fate
    <Fate.NEVER: 'not within the simulated times'>
    """
    good, least, last = (
        [(t, goodness(value, metric)) for t, value in points],
        goodness(threshold, metric),
        points[-1][0],
    )
    worse = next((i for i, (_, value) in enumerate(points) if not at_least_as_good(value, threshold, metric)), None)
    if worse == 0:
        fate, seconds = Fate.BEFORE, points[0][0]
    elif worse is not None:
        fate, seconds = Fate.WITHIN, _between(good[worse - 1], good[worse], least)
    else:
        fate, seconds = _followed(good[-1], last_slope(good) if slope is None else goodness(slope, metric), least)
    return Crossing(fate=fate, seconds=seconds, coverage=EXTRAPOLATED if seconds > last else validity.coverage(seconds))


def _between(first: tuple[float, float], second: tuple[float, float], threshold: float) -> float:
    """The time at which the line from `first`, not below the threshold, to `second`, below it, meets it."""
    share = (first[1] - threshold) / (first[1] - second[1])
    return float(10 ** (log10(first[0]) + share * (log10(second[0]) - log10(first[0]))))


def _followed(last: tuple[float, float], slope: float, threshold: float) -> tuple[Fate, float]:
    """Beyond the last point, along a line of this slope; never where it crosses nothing within reach."""
    decades = (threshold - last[1]) / slope if slope < 0 else float("inf")
    if decades <= log10(REACH):
        return Fate.BEYOND, float(last[0] * 10**decades)
    return Fate.NEVER, last[0]
