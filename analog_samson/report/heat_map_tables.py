"""Heat maps of more results than curves can show: every network on every preset, at one moment each."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from analog_samson.analysis.ranking import network_name
from analog_samson.analysis.statistics import goodness
from analog_samson.analysis.summary import Result, State
from analog_samson.presets.validity import least_covered
from analog_samson.report.contents import MOST_CURVES, Cells, Contents
from analog_samson.report.formats import ABSENT, daggered, fixed, moment, titled, upper_first
from analog_samson.report.section_facts import chip_counts
from analog_samson.report.table import Column, Table, frame_of
from analog_samson.report.value_tables import result_key


def heat_map(report: Contents, cells: Cells) -> Table:
    """The means of one moment; the first map of a report is open, the others are folded.

    The longer of the two lists runs down. Networks come in the order of their mean ranks, presets in that of the runs.
    """
    metric = report.metric
    there = {network_name(result) for result, _ in cells}
    networks = [network for network in report.ranking.mean_ranks if network in there]
    coverages: dict[str, list[str]] = {}
    for result, state in cells:
        coverages.setdefault(result.preset, []).append(state.coverage)
    presets = {preset: daggered(preset, least_covered(found)) for preset, found in coverages.items()}
    upright = len(networks) >= len(presets)
    down, across = (dict(zip(networks, networks, strict=True)), presets)[:: 1 if upright else -1]
    rows: dict[str, dict[str, Any]] = {name: {"name": title, **dict.fromkeys(across)} for name, title in down.items()}
    for result, state in cells:
        network = network_name(result)
        row, column = (network, result.preset) if upright else (result.preset, network)
        rows[row][column] = state
    scores = [goodness(state.value.mean, metric) for _, state in cells if isfinite(state.value.mean)]
    low, span = min(scores, default=0.0), max(scores, default=0.0) - min(scores, default=0.0)

    def cell(state: State | None) -> str:
        return ABSENT if state is None else fixed(state.value.mean, metric.decimals)

    def shade(state: State | None) -> float | None:
        if state is None or not isfinite(state.value.mean):
            return None
        return (goodness(state.value.mean, metric) - low) / span if span else 0.5

    return Table(
        title=f"{upper_first(titled(metric))} {_when(cells)}",
        frame=frame_of(rows.values()),
        columns=[
            Column("name", "network" if upright else "preset"),
            *(Column(name, title, cell, shade=shade) for name, title in across.items()),
        ],
        data=frame_of(_numbers(result, state) for result, state in cells),
        folded=cells is not report.heat_maps[0],
    )


def heat_map_facts(report: Contents, cells: Cells) -> Mapping[str, Any]:
    """Of the remark on the first heat map."""
    return {
        "first": cells is report.heat_maps[0],
        "chips": chip_counts(state.value.n for _, state in cells),
        "most": MOST_CURVES,
    }


def _when(cells: Cells) -> str:
    moments = {moment(state.time_seconds) for _, state in cells}
    return moments.pop() if len(moments) == 1 else "at the last time"


def _numbers(result: Result, state: State) -> dict[str, Any]:
    return {
        **result_key(result),
        "time_seconds": state.time_seconds,
        "metric": result.metric.name,
        **{name: getattr(state.value, name) for name in ("mean", "std", "n", "low", "high")},
        "coverage": state.coverage,
    }
