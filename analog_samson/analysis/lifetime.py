"""How long a network stays above a threshold: where its accuracy over time crosses it.

Between simulated times accuracy is taken to be linear in the logarithm of time, as drift makes it nearly so. Beyond the
last one the line through the last two times is followed for at most one decade, by the ends of the interval of the mean
in parallel to the mean. A crossing found there is called extrapolated; where there is none the answer is "not within
the simulated times". Each crossing has a mark of its own: the mean may fall where the preset's source gives a law, the
end of its interval where it does not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import log10

import numpy as np

from analog_samson.analysis.statistics import reaches
from analog_samson.analysis.summary import Result, State
from analog_samson.presets.validity import EXTRAPOLATED, UNKNOWN, Validity

LOSSES_POINTS = (1.0, 2.0, 5.0, 10.0)
LOW_QUANTILE = 0.05
REACH = 10.0  # how far beyond the last time a line is followed, as a factor


class Fate(StrEnum):
    """What happens to an accuracy and a threshold."""

    BEFORE = "before the first time"
    WITHIN = "within the simulated times"
    BEYOND = "extrapolated"
    NEVER = "not within the simulated times"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """When an accuracy falls below a threshold.

    seconds: the crossing; the first simulated time for BEFORE (it is earlier still), the last one for NEVER (up to then
    it does not happen). mark: "extrapolated" where the line was followed beyond the last simulated time, else what the
    preset's validity calls `seconds`.
    """

    fate: Fate
    seconds: float
    mark: str = ""

    @property
    def extrapolated(self) -> bool:
        """Whether the crossing lies beyond the last simulated time or the preset's validity."""
        return self.mark == EXTRAPOLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """Crossings of one threshold [%] by the mean, the ends of its 95 % interval, and the 5th percentile of the chips.

    Of the few chips that are simulated the 5th percentile lies near the weakest one, and no interval is given for it.

    low and high: where the lower and the upper end of the interval of the mean cross; together they hold the lifetime
    with 95 %. None, like `weakest`, where a single instance allows none. loss: threshold below digital [points].
    """

    threshold: float
    loss: float | None
    mean: Crossing
    low: Crossing | None
    high: Crossing | None
    weakest: Crossing | None
    instances: int


def lifetime(result: Result, threshold: float) -> Lifetime | None:
    """The lifetime of a result above `threshold` [%]; None where it was simulated at no time above 0."""
    states = [state for state in result.times if state.time_seconds]
    if not states:
        return None

    def points(accuracy: Callable[[State], float]) -> list[tuple[float, float]]:
        return [(float(state.time_seconds or 0), accuracy(state)) for state in states]

    def crossing(accuracy: Callable[[State], float], slope: float | None = None) -> Crossing:
        return find_crossing(points(accuracy), threshold, result.validity, slope)

    slope = last_slope(points(lambda state: state.accuracy.mean))  # its interval keeps its width beyond the last time
    n = min(state.accuracy.n for state in states)
    digital = None if result.digital is None else result.digital.accuracy.mean
    return Lifetime(
        threshold=threshold,
        loss=None if digital is None else digital - threshold,
        mean=crossing(lambda state: state.accuracy.mean),
        low=crossing(lambda state: _known(state.accuracy.low), slope) if n > 1 else None,
        high=crossing(lambda state: _known(state.accuracy.high), slope) if n > 1 else None,
        weakest=crossing(low_percentile) if n > 1 else None,
        instances=n,
    )


def thresholds(result: Result, threshold: float | None = None) -> tuple[float, ...]:
    """`threshold` [%] alone, or where none is given 1, 2, 5 and 10 points below the digital accuracy.

    Without a threshold and without a digital accuracy there is nothing to measure a loss from: none.
    """
    if threshold is not None:
        return (threshold,)
    if result.digital is None:
        return ()
    return tuple(result.digital.accuracy.mean - loss for loss in LOSSES_POINTS)


def lifetimes(result: Result, threshold: float | None = None) -> tuple[Lifetime, ...]:
    """The lifetime of a result above each of its `thresholds`; none where it was not simulated over time."""
    found = (lifetime(result, one) for one in thresholds(result, threshold))
    return tuple(one for one in found if one is not None)


def low_percentile(state: State) -> float:
    """The 5th percentile of the instances [%], linear between the two it lies between."""
    return float(np.quantile(list(state.accuracies.values()), LOW_QUANTILE))


def last_slope(points: Sequence[tuple[float, float]]) -> float:
    """Points of accuracy a decade of time between the last two (seconds, accuracy); 0 where there is only one."""
    if len(points) < 2:
        return 0.0
    (before, high), (after, low) = points[-2:]
    return (low - high) / (log10(after) - log10(before))


def find_crossing(
    points: Sequence[tuple[float, float]], threshold: float, validity: Validity = UNKNOWN, slope: float | None = None
) -> Crossing:
    """Where the line through (seconds above 0, accuracy) points, in order of time, first falls below the threshold.

    validity: that of the preset, which marks the crossing. slope [points a decade]: of the line beyond the last time,
    if not that through the last two points.

    >>> find_crossing([(1.0, 91.0), (100.0, 89.0)], 90.0).seconds
    10.0
    >>> find_crossing([(1.0, 91.0), (100.0, 90.5)], 90.0).fate
    <Fate.NEVER: 'not within the simulated times'>
    """
    last = points[-1][0]
    below = next((place for place, (_, accuracy) in enumerate(points) if not reaches(accuracy, threshold)), None)
    if below == 0:
        fate, seconds = Fate.BEFORE, points[0][0]
    elif below is not None:
        fate, seconds = Fate.WITHIN, _between(points[below - 1], points[below], threshold)
    else:
        fate, seconds = _followed(points[-1], last_slope(points) if slope is None else slope, threshold)
    return Crossing(fate=fate, seconds=seconds, mark=EXTRAPOLATED if seconds > last else validity.mark(seconds))


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


def _known(value: float | None) -> float:
    assert value is not None
    return value
