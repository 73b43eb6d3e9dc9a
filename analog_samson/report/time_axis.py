"""Where moments lie on the axis of a figure: log10 of the time, with "programmed" and 0 s set apart at its left."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log10

from analog_samson.analysis.comparison import Step
from analog_samson.analysis.summary import State

_GAP_SHARE = 0.14  # of the span of the times, between the axis proper and what is set apart from it
_LEAST_GAP = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeAxis:
    """A map from moments to positions (decades), made for the moments of one figure."""

    first: float
    last: float
    has_zero: bool

    @property
    def span(self) -> float:
        """Decades between the first and the last time, at least one."""
        return max(self.last - self.first, 1.0)

    def position(self, moment: State | Step) -> float:
        """The place of a moment: log10(seconds) for a time above zero, further left for the others."""
        gap = max(_LEAST_GAP, _GAP_SHARE * self.span)
        if moment.time_seconds is None:
            return self.first - gap * (2 if self.has_zero else 1)
        return log10(moment.time_seconds) if moment.time_seconds > 0 else self.first - gap

    def of_seconds(self, seconds: float) -> float:
        """The place of a time above zero."""
        return log10(seconds)


def time_axis(moments: Iterable[State | Step]) -> TimeAxis:
    """The axis that fits the given moments."""
    seconds = [moment.time_seconds for moment in moments if moment.time_seconds is not None]
    positive = [log10(second) for second in seconds if second > 0]
    return TimeAxis(first=min(positive, default=0.0), last=max(positive, default=0.0), has_zero=0.0 in seconds)


def thinned(ticks: Sequence[tuple[float, str]], least_distance: float) -> list[tuple[float, str]]:
    """The ticks (position, label) that keep a distance; the last one always stays.

    >>> thinned([(0.0, "1s"), (0.3, "2s"), (3.6, "1h")], 1.0)
    [(0.3, '2s'), (3.6, '1h')]
    """
    kept: list[tuple[float, str]] = []
    for tick in sorted(set(ticks), reverse=True):
        if not kept or kept[-1][0] - tick[0] >= least_distance:
            kept.append(tick)
    return kept[::-1]


def joined(ticks: Sequence[tuple[float, str]], least_distance: float) -> list[tuple[float, str]]:
    """The ticks (position, label), those together that keep no distance.

    >>> joined([(0.1, "1s"), (0.21, "1h"), (0.22, "1d")], 0.05)
    [(0.1, '1s'), (0.215, '1h, 1d')]
    """
    groups: list[list[tuple[float, str]]] = []
    for tick in sorted(ticks, key=lambda tick: tick[0]):
        near = groups and tick[0] - groups[-1][-1][0] < least_distance
        groups[-1].append(tick) if near else groups.append([tick])
    return [(sum(x for x, _ in group) / len(group), ", ".join(label for _, label in group)) for group in groups]
