"""The tables of the metric itself: overview, details and Gaussian sweep."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from analog_samson.analysis.labels import calibrated_name, calibration_title
from analog_samson.analysis.summary import Result, State
from analog_samson.report.contents import Contents, series_labels
from analog_samson.report.formats import (
    ABSENT,
    daggered,
    difference_unit,
    fixed,
    interval,
    mean_and_std,
    shown_interval,
    sigma_interval,
    sigma_value,
    titled,
    upper_first,
)
from analog_samson.report.table import Column, Table, frame_of
from analog_samson.results.condition import UNCALIBRATED

if TYPE_CHECKING:
    import pandas as pd

_ORDER = {"digital": -2.0, "programmed": -1.0}


def result_key(result: Result) -> dict[str, Any]:
    """What tells a result from others in exported numbers."""
    return {"checkpoint": result.checkpoint, "preset": result.preset, "calibration": result.calibration}


def all_states(result: Result) -> tuple[State, ...]:
    """Digital, if measured, and then the states in order."""
    return ((result.digital,) if result.digital else ()) + result.states


def overview(report: Contents) -> Table:
    """One row a result, one column a moment: mean and standard deviation."""
    states = [state for result in report.results for state in all_states(result)]
    moments = list(dict.fromkeys(state.label for state in sorted(states, key=_order)))
    shown = [
        {
            **result_key(result),
            "n": "-".join(dict.fromkeys(str(n) for n in _ends([state.value.n for state in result.states]))) or ABSENT,
            **dict.fromkeys(moments),
            **{state.label: state for state in all_states(result)},
        }
        for result in report.results
    ]
    calibrated = any(result.calibration != UNCALIBRATED for result in report.results)
    columns = [
        Column("checkpoint"),
        Column("preset"),
        *([Column("calibration", format=calibration_title, align="l")] if calibrated else ()),
        Column("n", align="r"),
        *(Column(moment, format=partial(_state_cell, report)) for moment in moments),
    ]
    return Table(
        title=upper_first(titled(report.metric)),
        frame=frame_of(shown),
        columns=columns,
        data=state_numbers(report.results),
        plain=len(report.results) < 2,
    )


_SAMPLED = Column("state", "other samples too", lambda state: interval(state.sampled or (None, None)))


def details(report: Contents, result: Result) -> Table:
    """One row a moment with everything that is known about it."""
    metric, states = report.metric, all_states(result)
    rows = [{"label": state.label, "state": state, "coverage": state.coverage, "drop": state.drop} for state in states]
    columns = [
        Column("label", "state", coverage="coverage"),
        Column("state", titled(metric), lambda state: fixed(state.value.mean, metric.decimals)),
        Column("state", "std", lambda state: fixed(state.value.std, metric.decimals)),
        Column("state", "n", lambda state: str(state.value.n)),
        Column("state", "95 % interval", lambda state: shown_interval(state.value, metric)),
        *([_SAMPLED] if any(state.sampled for state in states) else []),
        Column("drop", f"lost {difference_unit(metric)}".rstrip(), partial(fixed, digits=metric.decimals)),
    ]
    if any(state.equivalent for state in states):
        columns.append(Column("state", "equivalent sigma_c", lambda state: sigma_value(state.equivalent)))
        columns.append(Column("state", "95 % interval", lambda state: sigma_interval(state.equivalent)))
    if any(state.weight_error for state in states):
        columns.append(Column("state", "weight error", _weight_error))
    return Table(
        title=calibrated_name(f"{result.checkpoint} on {result.preset}", result.calibration, " with "),
        frame=frame_of(rows, ["label", "state", "coverage", "drop"]),
        columns=columns,
        data=state_numbers([result]),
        folded=len(report.results) > 1,
    )


def gaussian(report: Contents) -> Table | None:
    """Every result over the sigma_c of the generic Gaussian model."""
    if not report.swept:
        return None
    labels, metric = series_labels(report.swept), report.metric
    sigmas = sorted({point.sigma_c for result in report.swept for point in result.sweep})
    points = [{point.sigma_c: point for point in result.sweep} for result in report.swept]
    rows = [
        {"sigma_c": sigma, **{label: found.get(sigma) for label, found in zip(labels, points, strict=True)}}
        for sigma in sigmas
    ]

    def cell(point: Any) -> str:
        return ABSENT if point is None else f"{mean_and_std(point.value, metric.decimals)} ({point.value.n})"

    return Table(
        title=f"{upper_first(titled(metric))} with generic Gaussian conductance noise (n)",
        frame=frame_of(rows),
        columns=[Column("sigma_c", format="{:g}".format), *(Column(label, format=cell) for label in labels)],
        data=sweep_numbers(report.swept),
        folded=True,
    )


def state_numbers(results: Sequence[Result]) -> "pd.DataFrame":
    """Every moment of every result, digital included: one row a moment."""
    return frame_of(_state_row(result, state) for result in results for state in all_states(result))


def sweep_numbers(results: Sequence[Result]) -> "pd.DataFrame":
    """Every point of the Gaussian sweeps."""
    return frame_of(
        {
            **result_key(result),
            "sigma_c": point.sigma_c,
            "metric": result.metric.name,
            "mean": point.value.mean,
            "std": point.value.std,
            "n": point.value.n,
            "low": point.value.low,
            "high": point.value.high,
        }
        for result in results
        for point in result.sweep
    )


def _state_row(result: Result, state: State) -> dict[str, Any]:
    value, sigma = state.value, state.equivalent
    return {
        **result_key(result),
        "stage": state.stage,
        "time_seconds": state.time_seconds,
        "metric": result.metric.name,
        **{name: getattr(value, name) for name in ("mean", "std", "n", "low", "high")},
        "sampled_low": None if state.sampled is None else state.sampled[0],
        "sampled_high": None if state.sampled is None else state.sampled[1],
        "drop": state.drop,
        "equivalent_sigma_c": None if sigma is None else sigma.value,
        "sigma_low": None if sigma is None else _inside(sigma.low),
        "sigma_high": None if sigma is None else _inside(sigma.high),
        "sigma_verdict": None if sigma is None else sigma.verdict.value,
        "sigma_leaves_sweep": None if sigma is None else sigma.high == float("inf"),
        "weight_error": None if state.weight_error is None else state.weight_error.mean,
        "coverage": state.coverage,
        **_samples(result, state),
    }


def _samples(result: Result, state: State) -> dict[str, int]:
    """On how many samples a value was measured and how many there are, where values of chips are estimates."""
    if result.estimated is None:
        return {}
    measured, samples = result.estimated
    return {"samples_measured": samples if state.stage == "digital" else measured, "samples": samples}


def _inside(end: float | None) -> float | None:
    """An end of an interval; none where it leaves the sweep."""
    return None if end is None or end == float("inf") else end


def _state_cell(report: Contents, state: State | None) -> str:
    return ABSENT if state is None else daggered(mean_and_std(state.value, report.metric.decimals), state.coverage)


def _weight_error(state: State) -> str:
    return ABSENT if state.weight_error is None else fixed(state.weight_error.mean, 3)


def _order(state: State) -> float:
    return _ORDER.get(state.stage, 0.0) if state.time_seconds is None else state.time_seconds


def _ends(counts: Sequence[int]) -> tuple[int, ...]:
    return (min(counts), max(counts)) if counts else ()
