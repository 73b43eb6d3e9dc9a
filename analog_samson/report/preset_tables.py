"""Presets set side by side for one network: differences with intervals, and the values in which presets differ."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analog_samson.analysis.comparison import Comparison, Step
from analog_samson.analysis.ranking import network_name
from analog_samson.report.comparison_tables import MANY_ROWS, difference_columns
from analog_samson.report.contents import MOST_CURVES, Contents
from analog_samson.report.formats import difference_unit, verdict
from analog_samson.report.table import Column, Table, frame_of

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = (
    *("network", "preset", "minus", "stage", "time_seconds", "metric", "mean", "low", "high", "n"),
    *("significant", "coverage", "paired"),
)
_PAIRED, _APART = "paired", "drawn apart"


def preset_differences(report: Contents) -> Table | None:
    """Every network on one preset minus itself on another, at every moment that both have.

    Of more results than curves can show: with its best preset alone, at the moment of the verdict.
    """
    found = [(pair, step) for pair in report.preset_comparisons for step in pair.steps]
    if not found:
        return None
    decisive = {(id(verdict.best), verdict.state.time_seconds) for verdict in report.preset_verdicts}
    shown = [
        (pair, step)
        for pair, step in found
        if not report.crowded
        or any((id(result), step.time_seconds) in decisive for result in (pair.first, pair.second))
    ]
    several, unit = len({network_name(pair.first) for pair, _ in found}) > 1, difference_unit(report.metric)
    columns = [
        Column("preset"),
        Column("minus"),
        Column("label", "state", coverage="coverage"),
        *difference_columns(report),
        Column("chips"),
    ]
    return Table(
        title=f"One preset minus another{f', {unit}' if unit else ''}",
        frame=frame_of(_row(report, pair, step) for pair, step in shown),
        columns=[Column("network"), *columns] if several else columns,
        data=preset_difference_numbers(report),
        folded=len(shown) > MANY_ROWS,
    )


def preset_difference_numbers(report: Contents) -> "pd.DataFrame":
    """The numbers of `preset_differences`, all of them."""
    pairs = [(pair, step) for pair in report.preset_comparisons for step in pair.steps]
    return frame_of((_numbers(pair, step) for pair, step in pairs), _NUMBERS)


def preset_facts(report: Contents) -> Mapping[str, Any]:
    """Of the sentences on presets: a verdict for each of a few networks, and how chips were compared."""
    verdicts, pairs = report.preset_verdicts, [pair for pair in report.preset_comparisons if pair.steps]
    return {
        "verdicts": verdicts if len(verdicts) <= MOST_CURVES else (),
        "kinds": {pair.same_chips for pair in pairs},
        "obstacles": [pair for pair in report.preset_comparisons if pair.leading and pair.obstacles],
    }


def _row(report: Contents, pair: Comparison, step: Step) -> dict[str, Any]:
    better = ["better", "worse"]
    return {
        "network": network_name(pair.first),
        "preset": pair.second.preset,
        "minus": pair.first.preset,
        "label": step.label,
        "difference": step.difference,
        "coverage": step.coverage,
        "says": verdict(step.difference, *(better if report.metric.higher_is_better else better[::-1])),
        "chips": _PAIRED if pair.same_chips else _APART,
    }


def _numbers(pair: Comparison, step: Step) -> dict[str, Any]:
    found = step.difference
    return {
        "network": network_name(pair.first),
        "preset": pair.second.preset,
        "minus": pair.first.preset,
        "stage": step.stage,
        "time_seconds": step.time_seconds,
        "metric": pair.first.metric.name,
        **{name: getattr(found, name) for name in ("mean", "low", "high", "n", "significant")},
        "coverage": step.coverage,
        "paired": pair.same_chips,
    }
