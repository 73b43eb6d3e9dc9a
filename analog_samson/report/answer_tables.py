"""The tables of what drift means for a user: how long a network lasts, and how many chips are good enough."""

from collections.abc import Sequence
from typing import Any

from analog_samson.analysis.lifetime import Crossing, Fate, Lifetime, lifetimes, thresholds
from analog_samson.analysis.summary import Result, State
from analog_samson.analysis.yields import Yield, yield_at
from analog_samson.report.grid import Data, Grid
from analog_samson.report.wording import (
    NONE,
    about,
    duration_words,
    interval,
    marked,
    no_interval,
    series_labels,
    state_label,
)

_KEY = ("checkpoint", "preset", "calibration")
_CROSSING = ("seconds", "fate", "mark")
FEW_RESULTS = 2


def lifetime_grid(results: Sequence[Result], threshold: float | None) -> Grid | None:
    """How long each result stays above its thresholds; None where nothing was simulated over time.

    Of more than two results the text has the first threshold alone; the data has all.
    """
    found = [
        (label, result, one)
        for label, result in zip(series_labels(results), results, strict=True)
        for one in lifetimes(result, threshold)
    ]
    firsts = {id(result): lifetimes(result, threshold)[:1] for result in results}
    if not found:
        return None
    counts = sorted({one.instances for _, _, one in found})
    weakest = f"weakest 5 % ({no_interval(*counts)})"
    headers = ("network", "threshold %", "below digital", "mean lasts", "95 % interval", weakest)
    few = len(results) <= FEW_RESULTS
    rows = tuple((label, *_lifetime_row(one)) for label, result, one in found if few or one in firsts[id(result)])
    several = len(results) > 1  # the name of a single network would say nothing
    parts = ("mean", "low", "high", "weakest")
    columns = tuple(f"{part}_{name}" for part in parts for name in _CROSSING)
    data = tuple((*_key(result), *_lifetime_data(one)) for _, result, one in found)
    return Grid(
        name="lifetime",
        title="How long accuracy stays above a threshold",
        headers=headers if several else headers[1:],
        rows=rows if several else tuple(row[1:] for row in rows),
        align="lrrrrr" if several else "rrrrr",
        data=Data(columns=(*_KEY, "threshold_percent", "loss_points", *columns, "n"), rows=data),
    )


def crossing_words(crossing: Crossing | None) -> str:
    """When, in a cell: a duration, "<" of the first time where it is earlier, ">" of the last where it is later.

    >>> crossing_words(Crossing(fate=Fate.NEVER, seconds=31536000.0, mark="extrapolated"))
    '>1 year (extrapolated)'
    """
    if crossing is None:
        return NONE
    place = {Fate.BEFORE: "<", Fate.NEVER: ">"}.get(crossing.fate, "")
    return marked(f"{place}{crossing_time(crossing)}", crossing.mark)


def crossing_time(crossing: Crossing) -> str:
    """In words: a simulated time to the letter, a time that was calculated to two digits.

    >>> [crossing_time(Crossing(fate=fate, seconds=7776000.0)) for fate in (Fate.NEVER, Fate.WITHIN)]
    ['90 days', '13 weeks']
    """
    simulated = crossing.fate in (Fate.BEFORE, Fate.NEVER)
    return duration_words(crossing.seconds) if simulated else about(crossing.seconds)


def yield_grid(results: Sequence[Result], threshold: float | None) -> Grid | None:
    """How many chips are at or above each threshold at the last moment of each result, as in `lifetime_grid`."""
    found: list[tuple[str, Result, State, float | None, Yield]] = []
    for label, result in zip(series_labels(results), results, strict=True):
        if result.states:
            last = result.states[-1]
            for at in thresholds(result, threshold):
                loss = None if result.digital is None else result.metric.worse_by(at, result.digital.value.mean)
                found.append((label, result, last, loss, yield_at(last.values.values(), at, result.metric)))
    if not found:
        return None
    data = tuple(
        (*_key(result), state.time_seconds, one.threshold, loss, one.passed, one.n, one.low, one.high, state.mark)
        for _, result, state, loss, one in found
    )
    columns = ("time_seconds", "threshold_percent", "loss_points", "passed", "n", "low", "high", "mark")
    headers = ("network", "state", "at least %", "below digital", "chips", "share %", "95 % interval")
    few = len(results) <= FEW_RESULTS
    rows = tuple(
        _yield_row(label, state, loss, one)
        for label, result, state, loss, one in found
        if few or one.threshold == thresholds(result, threshold)[0]
    )
    several = len(results) > 1
    return Grid(
        name="yield",
        title="Chips at or above a threshold at the last time",
        headers=headers if several else headers[1:],
        rows=rows if several else tuple(row[1:] for row in rows),
        align="llrrrrr" if several else "lrrrrr",
        data=Data(columns=(*_KEY, *columns), rows=data),
    )


def _key(result: Result) -> tuple[Any, ...]:
    return result.checkpoint, result.preset, result.calibration


def loss_words(loss: float | None) -> str:
    """A loss in points, whole where it is; a dash where nothing is known to lose from."""
    return NONE if loss is None else f"{round(loss, 2):g}"


def _lifetime_row(one: Lifetime) -> tuple[str, ...]:
    mean, between, weakest = crossing_words(one.mean), _between(one.low, one.high), crossing_words(one.weakest)
    return f"{one.threshold:.1f}", loss_words(one.loss), mean, between, weakest


def _between(low: Crossing | None, high: Crossing | None) -> str:
    """An interval of lifetimes; open where the upper end of the accuracies does not cross.

    >>> first, last = Crossing(fate=Fate.BEFORE, seconds=1.0), Crossing(fate=Fate.NEVER, seconds=3600.0)
    >>> _between(first, last)
    'anything from <1 second on'
    """
    if low is None or high is None:
        return NONE
    ends = crossing_words(low), crossing_words(high)
    if ends[0] == ends[1]:
        return ends[0]
    if high.fate is not Fate.NEVER:
        return f"{ends[0]} to {ends[1]}"
    return f"anything from {ends[0]} on" if low.fate is Fate.BEFORE else f"{ends[0]} or more"


def _lifetime_data(one: Lifetime) -> tuple[Any, ...]:
    crossings = (one.mean, one.low, one.high, one.weakest)
    flat = [value for c in crossings for value in ((None,) * 3 if c is None else (c.seconds, str(c.fate), c.mark))]
    return one.threshold, one.loss, *flat, one.instances


def _yield_row(label: str, state: State, loss: float | None, one: Yield) -> tuple[str, ...]:
    between = NONE if one.low is None or one.high is None else interval(100 * one.low, 100 * one.high, 0)
    chips, share = f"{one.passed} of {one.n}", f"{100 * one.share:.0f}"
    return label, state_label(state), f"{one.threshold:.1f}", loss_words(loss), chips, share, between
