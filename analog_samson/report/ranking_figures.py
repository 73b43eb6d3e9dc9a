"""The figures of several networks on several presets: differences, the frontiers, the heat map."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analog_samson.analysis.ranking import RankedNetwork, Ranking, network_name
from analog_samson.analysis.run_cost import CostPoint
from analog_samson.report.artists import (
    Look,
    annotate,
    axis_title,
    difference_cells,
    difference_title,
    heat,
    interval_dots,
    legend,
    value_axis,
    value_cells,
)
from analog_samson.report.drawing import NARROW, WIDE, Drawing, Layout, panels, split
from analog_samson.report.figures import make_series
from analog_samson.report.formats import fixed, tagged
from analog_samson.report.interval_chart import interval_chart, legend_lines
from analog_samson.report.palette import LIGHT

Looks = Mapping[str, Look]
_WIDE_RANGE = 5.0  # of energies; beyond it their axis is logarithmic


def differences(ranking: Ranking) -> Drawing | None:
    """On each preset every network against the first one, or where that is not there against the one named."""
    looks, rows = _looks(ranking), []
    for comparison, step in ranking.differences if len(ranking.presets) > 1 else ():
        if comparison.leading:
            preset, first = comparison.first.preset, network_name(comparison.first)
            cells = difference_cells(step.difference, comparison.first.metric, step.coverage)
            heading = preset if first == ranking.networks[0] else f"{preset} (minus {first})"
            rows.append({"heading": heading, "note": "", "series": network_name(comparison.second), **cells})
    if not rows:
        return None
    drawn = {row["series"] for row in rows}
    title = difference_title(ranking.entries[0].result.metric)
    return interval_chart(pd.DataFrame(rows), {name: one for name, one in looks.items() if name in drawn}, title)


def frontier(ranking: Ranking) -> Drawing | None:
    """Every network at (digital, on the device), a part for each preset; None for one network."""
    presets = [preset for preset in ranking.presets if ranking.on(preset)]
    if len(ranking.networks) < 2 or not any(entry.result.digital for entry in ranking.entries):
        return None
    return panels(partial(_draw_frontiers, ranking, presets, _looks(ranking)), len(presets), 0.9)


def cost_frontier(ranking: Ranking, points: Sequence[CostPoint]) -> Drawing | None:
    """Every network at (energy, on the device), presets by name; None without points."""
    return Drawing(draw=partial(_draw_cost, points, _looks(ranking))) if points else None


def heat_map(ranking: Ranking) -> Drawing | None:
    """Cells of mean values: a row for each preset, a column for each network; None for one of either."""
    presets, looks = [preset for preset in ranking.presets if ranking.on(preset)], _looks(ranking)
    if len(ranking.presets) < 2 or len(ranking.networks) < 2 or not ranking.entries:
        return None
    inches = 0.5 + 0.55 * len(presets)
    wide, narrow = (
        (inches + 0.24 * legend_lines(list(looks.values()), layout)) / layout.height for layout in (WIDE, NARROW)
    )
    return Drawing(draw=partial(_draw_heat_map, ranking, presets, looks), height=wide, narrow_height=narrow)


def _looks(ranking: Ranking) -> dict[str, Look]:
    """The looks of the networks, as in the other figures."""
    series = make_series([entry.result for entry in ranking.entries])
    looks = {network_name(one.result): one.look for one in reversed(series)}
    return {method: looks[method] for method in ranking.networks if method in looks}


def _draw_frontiers(ranking: Ranking, presets: Sequence[str], looks: Looks, axes: Axes, layout: Layout) -> None:
    parts = split(axes, len(presets), layout)
    for part, preset in zip(parts, presets, strict=True):
        _draw_frontier(ranking.on(preset), looks, part)
        if len(presets) > 1:
            part.set_title(preset, loc="left", fontsize=8.5, color=LIGHT["ink"])
    legend(parts[0], list(looks.values()), layout, lines=False)


def _draw_frontier(entries: Sequence[RankedNetwork], looks: Looks, axes: Axes) -> None:
    """Networks with their intervals; the frontier joins those that none beats in both."""
    points = [(e.result.digital.value.mean, e) for e in entries if e.result.digital is not None]
    front = sorted((x, entry.state.value.mean) for x, entry in points if entry.on_frontier)
    axes.plot([x for x, _ in front], [y for _, y in front], color=LIGHT["muted"], linewidth=1, zorder=1)
    metric, state = entries[0].result.metric, entries[0].state
    for x, entry in points:
        frame = pd.DataFrame([{"x": x, **value_cells(entry.state.value, metric, entry.state.coverage)}])
        interval_dots(axes, frame, looks[entry.network])
    axes.margins(0.12)
    value_axis(axes, metric)
    axes.set_xlabel(f"digital {axis_title(metric)}")
    if state.time_seconds:
        axes.set_ylabel(f"after {tagged(state.label, state.coverage)}" + (f" ({metric.unit})" if metric.unit else ""))


def _draw_cost(points: Sequence[CostPoint], looks: Looks, axes: Axes, layout: Layout) -> None:
    """Networks with their intervals; a line for each moment joins those that none beats in both."""
    for time in {point.entry.state.time_seconds for point in points}:
        front = [point for point in points if point.on_frontier and point.entry.state.time_seconds == time]
        ends = sorted((1e6 * point.joules, point.entry.state.value.mean) for point in front)
        axes.plot([x for x, _ in ends], [y for _, y in ends], color=LIGHT["muted"], linewidth=1, zorder=1)
    metric, several = points[0].entry.result.metric, len({point.entry.preset for point in points}) > 1
    for point in points:
        entry, x = point.entry, 1e6 * point.joules
        frame = pd.DataFrame([{"x": x, **value_cells(entry.state.value, metric, entry.state.coverage)}])
        interval_dots(axes, frame, looks[entry.network])
        if several:
            annotate(axes, entry.preset, x, entry.state.value.mean, LIGHT["muted"], (6, 4), fontsize=7.5)
    energies = [point.joules for point in points]
    if max(energies) > _WIDE_RANGE * min(energies) > 0:
        axes.set_xscale("log")
    axes.margins(0.12)
    value_axis(axes, metric)
    axes.set_xlabel("energy an inference (uJ)")
    legend(axes, [looks[name] for name in dict.fromkeys(p.entry.network for p in points)], layout, lines=False)


def _draw_heat_map(ranking: Ranking, presets: Sequence[str], looks: Looks, axes: Axes, layout: Layout) -> None:
    """The stronger the colour, the higher the value."""
    means, metric, columns = (
        [e.state.value.mean for e in ranking.entries],
        ranking.entries[0].result.metric,
        list(looks),
    )
    low, span = min(means), max(means) - min(means) or 1.0
    cells = [
        {
            "column": columns.index(entry.network),
            "row": -presets.index(entry.preset),
            "share": 0.75 * (entry.state.value.mean - low) / span,
            "text": fixed(entry.state.value.mean, metric.decimals),
            "role": "series-1",
        }
        for entry in ranking.entries
    ]
    heat(axes, pd.DataFrame(cells), height=0.68, size=9)
    for row, preset in enumerate(presets):
        heading = tagged(preset, ranking.on(preset)[0].state.coverage)
        annotate(axes, heading, -0.5, -row + 0.36, LIGHT["ink"], (0, 0), fontsize=8.5, va="bottom")
    for column, one in enumerate(looks.values()):
        axes.plot([column], [0.85], one.marker, color=one.colour, zorder=4)
    axes.set_xlim(-0.5, len(looks) - 0.5)
    axes.set_ylim(-len(presets) + 0.55, 1.1)
    axes.set_axis_off()
    legend(axes, list(looks.values()), layout, lines=False)
