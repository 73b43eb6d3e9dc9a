"""The tables of what drift means for a user: how long a network lasts, and how many chips are good enough."""

from functools import partial
from typing import TYPE_CHECKING, Any

from analog_samson.analysis.lifetime import Crossing, Lifetime, thresholds
from analog_samson.analysis.summary import Result, State
from analog_samson.analysis.yields import Yield, yield_at, yield_curve
from analog_samson.report.contents import FEW, Contents
from analog_samson.report.formats import (
    crossing,
    crossing_interval,
    difference_unit,
    fixed,
    interval,
    short,
)
from analog_samson.report.table import Column, Table, frame_of
from analog_samson.report.value_tables import result_key

if TYPE_CHECKING:
    import pandas as pd

_CROSSINGS = ("mean", "low", "high", "weakest")
_CROSSING = ("seconds", "fate", "coverage")


def lifetime(report: Contents) -> Table | None:
    """How long each result stays as good as its thresholds; of many results the least threshold is shown alone."""
    found = [(result, age) for result, ages in report.lifetimes for age in ages]
    if not found:
        return None
    shown = found if len(report.results) <= FEW else [(result, ages[0]) for result, ages in report.lifetimes]
    rows = [
        {"network": report.label(r), "threshold": age.threshold, "loss": age.loss}
        | {name: getattr(age, name) for name in _CROSSINGS}
        for r, age in shown
    ]
    metric, numbers = report.metric, [_lifetime_numbers(result, age) for result, age in found]
    columns = [
        *_threshold_columns(report),
        Column("mean", "mean lasts", crossing),
        Column(("low", "high"), "95 % interval", crossing_interval),
        Column("weakest", f"weakest 5 % ({no_interval(*(age.instances for _, age in found))})", crossing),
    ]
    return Table(
        title=f"Time until {metric.title} is worse than a threshold",
        frame=frame_of(rows),
        columns=columns if len(report.results) > 1 else columns[1:],
        data=frame_of(numbers),
    )


def chip_yield(report: Contents) -> Table | None:
    """How many chips are as good as each threshold at the last moment of each result, shown as in `lifetime`."""
    found = [(result, one) for result in report.simulated for one in yields(report, result)]
    if not found:
        return None
    first = {id(result): one for result, one in reversed(found)}
    shown = [pair for pair in found if len(report.results) <= FEW or first[id(pair[0])] is pair[1]]
    columns = [
        *_threshold_columns(report)[:1],
        Column("label", "state", coverage="coverage"),
        *_threshold_columns(report)[1:],
        Column(("passed", "n"), "chips", "{} of {}".format),
        Column("share", "share %", "{:.0f}".format),
        Column(("low", "high"), "95 % interval (Clopper-Pearson)", lambda *ends: interval(ends, 0)),
    ]
    side = "above" if report.metric.higher_is_better else "below"
    return Table(
        title=f"Chips at or {side} a threshold at the last time",
        frame=frame_of(_yield_row(report, result, one) for result, one in shown),
        columns=columns if len(report.results) > 1 else columns[1:],
        data=frame_of(_yield_numbers(result, one) for result, one in found),
    )


def yields(report: Contents, result: Result) -> list[Yield]:
    """The yield of a result at its last moment for each of its thresholds."""
    values = result.states[-1].values.values()
    return [yield_at(values, at, result.metric) for at in thresholds(result, report.threshold)]


def yield_numbers(report: Contents) -> "pd.DataFrame":
    """The steps of every yield curve."""
    return frame_of(
        {
            **result_key(result),
            "stage": state.stage,
            "time_seconds": state.time_seconds,
            "metric": result.metric.name,
            "value": at,
            "share_as_good": share,
            "coverage": state.coverage,
        }
        for result in report.simulated
        for state in result.states
        for at, share in yield_curve(list(state.values.values()), result.metric)
    )


def no_interval(*counts: int) -> str:
    """What is said beside the weakest 5 % of a few chips, which lies near the weakest one.

    >>> no_interval(10), no_interval(5, 10)
    ('no interval: n = 10', 'no interval: n = 5 to 10')
    """
    ends = dict.fromkeys((min(counts), max(counts)))
    return f"no interval: n = {' to '.join(map(str, ends))}"


def _threshold_columns(report: Contents) -> list[Column]:
    metric = report.metric
    return [
        Column("network"),
        Column("threshold", f"threshold {metric.unit}".rstrip(), partial(fixed, digits=metric.decimals)),
        Column("loss", f"lost {difference_unit(metric)}".rstrip(), partial(short, digits=metric.decimals + 1)),
    ]


def _yield_row(report: Contents, result: Result, one: Yield) -> dict[str, Any]:
    state = result.states[-1]
    return {
        "network": report.label(result),
        "label": state.label,
        "coverage": state.coverage,
        "threshold": one.threshold,
        "loss": _loss(result, one.threshold),
        "passed": one.passed,
        "n": one.n,
        "share": 100 * one.share,
        "low": None if one.low is None else 100 * one.low,
        "high": None if one.high is None else 100 * one.high,
    }


def _loss(result: Result, threshold: float) -> float | None:
    return None if result.digital is None else result.metric.worse_by(threshold, result.digital.value.mean)


def _lifetime_numbers(result: Result, age: Lifetime) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name in _CROSSINGS:
        found: Crossing | None = getattr(age, name)
        values = (None,) * 3 if found is None else (found.seconds, str(found.fate), found.coverage)
        flat |= dict(zip((f"{name}_{part}" for part in _CROSSING), values, strict=True))
    known = {"metric": result.metric.name, "threshold": age.threshold, "loss": age.loss}
    return {**result_key(result), **known, **flat, "n": age.instances}


def _yield_numbers(result: Result, one: Yield) -> dict[str, Any]:
    state: State = result.states[-1]
    return {
        **result_key(result),
        "time_seconds": state.time_seconds,
        "metric": result.metric.name,
        "threshold": one.threshold,
        "loss": _loss(result, one.threshold),
        **{name: getattr(one, name) for name in ("passed", "n", "low", "high")},
        "coverage": state.coverage,
    }
