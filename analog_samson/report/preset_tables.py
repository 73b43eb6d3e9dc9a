"""Presets set side by side for one network: differences with intervals, and the values in which presets differ."""

from collections.abc import Mapping
from typing import Any

from analog_samson.analysis.comparison import Comparison, Step
from analog_samson.analysis.ranking import network_name
from analog_samson.report.comparison_tables import MANY_ROWS, STEP_NUMBERS, difference_columns
from analog_samson.report.contents import MOST_CURVES, Contents
from analog_samson.report.formats import difference_unit, verdict
from analog_samson.report.table import Column, Table, frame_of

_PAIRED, _APART = "paired", "drawn apart"


def preset_differences(report: Contents) -> Table | None:
    """Every network on one preset minus itself on another, at every moment that both have."""
    found = [(pair, step) for pair in report.preset_comparisons for step in pair.steps]
    if not found:
        return None
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
        frame=frame_of(_row(report, pair, step) for pair, step in found),
        columns=[Column("network"), *columns] if several else columns,
        data=frame_of((_numbers(pair, step) for pair, step in found), (*STEP_NUMBERS, "paired")),
        folded=len(found) > MANY_ROWS,
    )


def preset_facts(report: Contents) -> Mapping[str, Any]:
    """Of the sentences on presets: a verdict for each of a few networks, and how chips were compared."""
    verdicts, pairs = report.preset_verdicts, [pair for pair in report.preset_comparisons if pair.steps]
    return {
        "verdicts": verdicts if len(verdicts) <= MOST_CURVES else (),
        "kinds": {pair.same_chips for pair in pairs},
        "obstacles": [pair for pair in report.preset_comparisons if pair.leading and pair.obstacles],
    }


def _row(report: Contents, pair: Comparison, step: Step) -> dict[str, Any]:
    better = [f"{result.preset} is better" for result in (pair.second, pair.first)]
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
