"""The figures of several networks on several presets: differences, the frontier, the heat map."""

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analog_samson.analysis.ranking import Entry, Study, method_name
from analog_samson.analysis.statistics import difference_interval, value_interval
from analog_samson.report.drawing import NARROW, WIDE, Drawing, Layout, panels, split
from analog_samson.report.formats import tagged
from analog_samson.report.marks import Series, annotate, draw_marker, make_series
from analog_samson.report.palette import LIGHT
from analog_samson.report.rows import Mark, Row, draw_looks, legend_lines, rows_drawing

Looks = Mapping[str, Series]
_CELL_INCHES = 0.55


def study_figures(study: Study) -> dict[str, Drawing]:
    """The figures of a study of several networks, by file name."""
    if len(study.methods) < 2 or not study.entries:
        return {}
    made = make_series([entry.result for entry in study.entries])
    looks = {method_name(one.result): one for one in reversed(made)}  # as they are in the other figures
    looks = {method: looks[method] for method in study.methods if method in looks}
    found = {}
    rows = _difference_rows(study, looks)
    if len(study.presets) > 1 and rows:
        drawn = {id(mark.look) for row in rows for mark in row.marks}
        found["differences"] = rows_drawing(
            rows, "difference (points)", [look for look in looks.values() if id(look) in drawn]
        )
    shown = [preset for preset in study.presets if study.on(preset)]
    if any(entry.result.digital for entry in study.entries):
        found["frontier"] = panels(partial(_draw_frontiers, study, shown, looks), len(shown), 0.9)
    if len(study.presets) > 1:
        inches = 0.5 + _CELL_INCHES * len(shown)
        wide, narrow = ((inches + 0.24 * legend_lines(list(looks.values()), at)) / at.height for at in (WIDE, NARROW))
        found["heat_map"] = Drawing(
            draw=partial(_draw_heat_map, study, shown, looks), height=wide, narrow_height=narrow
        )
    return found


def _difference_rows(study: Study, looks: Looks) -> list[Row]:
    """A row per preset: every network against the first one, or where that is not there against the one named."""
    rows = []
    for preset in study.presets:
        steps = [(c, s) for c, s in study.differences if c.first.preset == preset and c.leading]
        marks = tuple(
            Mark(
                mean=step.difference.mean,
                low=difference_interval(step.difference, comparison.first.metric)[0],
                high=difference_interval(step.difference, comparison.first.metric)[1],
                look=looks[method_name(comparison.second)],
                mark=step.mark,
            )
            for comparison, step in steps
        )
        if marks:
            reference = method_name(steps[0][0].first)
            rows.append(
                Row(heading=preset if reference == study.methods[0] else f"{preset} (minus {reference})", marks=marks)
            )
    return rows


def _draw_frontiers(study: Study, presets: Sequence[str], looks: Looks, axes: Axes, layout: Layout) -> None:
    parts = split(axes, len(presets), layout)
    for part, preset in zip(parts, presets, strict=True):
        _draw_frontier(study.on(preset), looks, part)
        if len(presets) > 1:
            part.set_title(preset, loc="left", fontsize=8.5, color=LIGHT["ink"])
    draw_looks(parts[0], list(looks.values()), layout)


def _draw_frontier(entries: Sequence[Entry], looks: Looks, axes: Axes) -> None:
    """Every network at (clean, on the device) with its interval; the frontier joins those that none beats in both."""
    points = [(e.result.digital.value.mean, e) for e in entries if e.result.digital is not None]
    front = sorted((x, entry.state.value.mean) for x, entry in points if entry.on_frontier)
    axes.plot([x for x, _ in front], [y for _, y in front], color=LIGHT["muted"], linewidth=1, zorder=1)
    for x, entry in points:
        accuracy, look = entry.state.value, looks[entry.method]
        low, high = value_interval(accuracy, entry.result.metric)
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=look.colour, linewidth=2.2, alpha=0.55)
        draw_marker(axes, x, accuracy.mean, look, mark=entry.state.mark)
    axes.margins(0.12)
    axes.set_xlabel("digital accuracy (%)")
    state = entries[0].state
    when = tagged(state.label, state.mark)
    axes.set_ylabel(f"after {when}, %" if state.time_seconds else "accuracy (%)")


def _draw_heat_map(study: Study, presets: Sequence[str], looks: Looks, axes: Axes, layout: Layout) -> None:
    """A row of cells per preset, a column per network; darker is more accurate."""
    means = [entry.state.value.mean for entry in study.entries]
    low, span = min(means), max(means) - min(means) or 1.0
    for row, preset in enumerate(presets):
        heading = tagged(preset, study.on(preset)[0].state.mark)
        annotate(axes, heading, -0.5, -row + 0.36, LIGHT["ink"], (0, 0), fontsize=8.5, va="bottom")
        for column, method in enumerate(looks):
            entry = study.entry(method, preset)
            if entry is not None:
                share = (entry.state.value.mean - low) / span
                _draw_cell(axes, column, -row, share, f"{entry.state.value.mean:.1f}")
    for column, look in enumerate(looks.values()):
        draw_marker(axes, column, 0.85, look, mark="")
    axes.set_xlim(-0.5, len(looks) - 0.5)
    axes.set_ylim(-len(presets) + 0.55, 1.1)
    axes.set_axis_off()
    draw_looks(axes, list(looks.values()), layout)


def _draw_cell(axes: Axes, x: float, y: float, share: float, text: str) -> None:
    """A cell with a number; share (0 to 1) decides how strong its colour is."""
    colour = LIGHT["series-1"]
    axes.add_patch(
        Rectangle((x - 0.49, y - 0.34), 0.98, 0.68, facecolor=colour, alpha=0.06 + 0.34 * share, linewidth=0)
    )
    annotate(axes, text, x, y, LIGHT["ink"], (0, 0), ha="center", va="center", fontsize=9)
