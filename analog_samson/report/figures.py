"""The figures of a report. Each function draws plain data onto given axes; nothing is read or saved here.

Dots are single instances, lines their mean, bands and bars 95 % intervals, dashes the digital accuracy.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analog_samson.analysis.comparison import Comparison, Step
from analog_samson.analysis.ranking import is_study
from analog_samson.analysis.statistics import difference_interval
from analog_samson.analysis.summary import Result, State
from analog_samson.report.drawing import WIDE, Drawing, Layout, make_figure, panels, split
from analog_samson.report.formats import signed
from analog_samson.report.marks import (
    Series,
    annotate,
    draw_digital_line,
    draw_dots,
    draw_legend,
    draw_marker,
    draw_mean_and_band,
    draw_sigma_bar,
    end_at_hundred,
    make_series,
)
from analog_samson.report.palette import LIGHT
from analog_samson.report.timeaxis import TimeAxis, spread, thinned, time_axis
from analog_samson.report.yield_figure import draw_yield


def over_time(results: Sequence[Result]) -> Drawing | None:
    """The metric over time, a part for each preset where there are several networks and presets.

    None where nothing was simulated at two moments.
    """
    series = [one for one in make_series(results) if one.result.states]
    if max((len(one.result.states) for one in series), default=0) < 2:
        return None
    return by_preset(series, _draw_over_time)


def gaussian(results: Sequence[Result]) -> Drawing | None:
    """The metric over the strength of the generic Gaussian model; None without a sweep."""
    series = [one for one in make_series(results) if len(one.result.sweep) > 1]
    return by_preset(series, draw_gaussian) if series else None


def difference_over_time(comparisons: Sequence[Comparison], results: Sequence[Result]) -> Drawing | None:
    """Paired differences over time; None in a study, whose differences are drawn at the last time."""
    paired = [comparison for comparison in comparisons if comparison.steps]
    if not paired or is_study(results):
        return None
    return Drawing(draw=partial(draw_differences, paired, make_series(results)), height=0.75)


def chip_yield(results: Sequence[Result]) -> Drawing | None:
    """The yield curves; None where every result has one chip."""
    series = [one for one in make_series(results) if one.result.states]
    if not any(len(one.result.states[-1].values) > 1 for one in series):
        return None
    return by_preset(series, draw_yield)


def by_preset(series: Sequence[Series], draw: Callable[[Sequence[Series], Axes, Layout], None]) -> Drawing:
    """One drawing of all series, or in a study a part for each preset."""
    apart = is_study([one.result for one in series])
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one.result.preset if apart else "", []).append(one)

    def draw_parts(axes: Axes, layout: Layout) -> None:
        for part, (preset, group) in zip(split(axes, len(groups), layout), groups.items(), strict=True):
            draw(group, part, replace(layout, cramped=len(groups) > 1))
            if preset:
                part.set_title(preset, loc="left", fontsize=8.5, color=LIGHT["ink"], pad=14)

    return panels(draw_parts, len(groups))


def _draw_over_time(series: Sequence[Series], axes: Axes, layout: Layout) -> None:
    limits = {one.result.validity.max_seconds for one in series}  # where they differ, hollow markers alone tell
    draw_accuracy_over_time(series, limits.pop() if len(limits) == 1 else None, axes, layout)


def over_time_figure(results: Sequence[Result]) -> Figure:
    """The metric over time of results on one preset, as a matplotlib figure."""
    series = [one for one in make_series(results) if one.result.states]
    return make_figure(Drawing(draw=partial(_draw_over_time, series)), WIDE)


def draw_accuracy_over_time(series: Sequence[Series], max_seconds: float | None, axes: Axes, layout: Layout) -> None:
    """Accuracy from programming to the last time; what lies beyond `max_seconds` is shaded (0: everything)."""
    moments = [state for one in series for state in one.result.states]
    axis = time_axis(moments)
    for one in series:
        draw_digital_line(axes, one)
        draw_dots(axes, [(axis.position(s) + one.offset * axis.span, s.values) for s in one.result.states], one)
        draw_mean_and_band(axes, [(axis.position(state), state) for state in one.result.states], one)
    axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    _label_means(axes, series, axis, layout)
    _time_ticks(axes, axis, moments, layout)
    _shade_extrapolation(axes, axis, max_seconds)
    axes.set_ylabel("accuracy (%)")
    end_at_hundred(axes)
    draw_legend(axes, series, layout, digital=True)


def draw_gaussian(series: Sequence[Series], axes: Axes, layout: Layout) -> None:
    """Accuracy over sigma_c, with each drift time dropped to the axis at its equivalent sigma_c."""
    largest = max(one.result.sweep[-1].sigma_c for one in series)
    for one in series:
        points = [(point.sigma_c, point) for point in one.result.sweep]
        draw_dots(axes, [(x + one.offset * largest, point.values) for x, point in points], one)
        draw_mean_and_band(axes, points, one, markers=False)
    axes.set_xlim(-0.03 * largest, 1.06 * largest)
    _mark_all_times(axes, [one for one in series if any(s.equivalent for s in one.result.times)], layout)
    end_at_hundred(axes)
    axes.set_xlabel("$\\sigma_c$ of the generic Gaussian model")
    axes.set_ylabel("accuracy (%)")
    draw_legend(axes, series, layout, dashed=True)


def draw_differences(comparisons: Sequence[Comparison], series: Sequence[Series], axes: Axes, layout: Layout) -> None:
    """Paired difference in points, with its interval, at every moment; a bar over zero: not significant."""
    looks = {id(one.result): one for one in series}
    steps = [step for comparison in comparisons for step in comparison.steps if step.stage != "digital"]
    axis = time_axis(steps)
    shift = 2.0 if len(comparisons) > 1 else 0.0
    axes.axhline(0, color=LIGHT["ink"], linewidth=1)
    for comparison in comparisons:
        one = looks[id(comparison.second)]
        for step in (step for step in comparison.steps if step.stage != "digital"):
            x, difference = axis.position(step) + shift * one.offset * axis.span, step.difference
            low, high = (
                difference.mean if end is None else end for end in difference_interval(difference, one.result.metric)
            )
            axes.plot([x, x], [low, high], color=one.colour, linewidth=2.2, solid_capstyle="butt", alpha=0.55)
            draw_marker(axes, x, difference.mean, one, mark=step.mark)
            if len(comparisons) == 1:
                annotate(axes, signed(difference.mean), x, high, one.colour, (0, 5), ha="center")
    _time_ticks(axes, axis, steps, layout)
    axes.set_ylabel("difference (points)")
    if len(comparisons) > 1:
        draw_legend(axes, [looks[id(comparison.second)] for comparison in comparisons], layout)


def _label_means(axes: Axes, series: Sequence[Series], axis: TimeAxis, layout: Layout) -> None:
    """The mean in figures: at every moment of a single series, else at the last one, pushed apart."""
    if len(series) == 1:
        for state in series[0].result.states:
            x, mean = axis.position(state), state.value.mean
            annotate(axes, f"{mean:.1f}", x, mean, LIGHT["ink"], (5, 6))
        return
    ends = sorted((one.result.states[-1].value.mean, place) for place, one in enumerate(series))
    bottom, top = axes.get_ylim()
    height = (0.075 if layout.narrow else 0.06) * (top - bottom)
    places = spread([mean for mean, _ in ends], [height] * len(ends), bottom, top)
    for (mean, place), y in zip(ends, places, strict=True):
        x = axis.position(series[place].result.states[-1])
        annotate(axes, f"{mean:.1f}", x, y, series[place].colour, (11, 0), va="center_baseline")


def _time_ticks(axes: Axes, axis: TimeAxis, moments: Sequence[State | Step], layout: Layout) -> None:
    cramped = layout.narrow or layout.cramped
    short = {"programmed": "prog." if cramped else "programmed"}
    ticks = [(axis.position(m), short.get(m.label, m.label)) for m in moments]
    kept = thinned(ticks, (0.11 if cramped else 0.05) * axis.span)
    axes.set_xticks([x for x, _ in kept], [label for _, label in kept])
    left = min(x for x, _ in ticks)
    axes.set_xlim(left - 0.06 * axis.span, axis.last + (0.16 if cramped else 0.1) * axis.span)
    axes.set_xlabel("time since programming (log scale)")


def _shade_extrapolation(axes: Axes, axis: TimeAxis, max_seconds: float | None) -> None:
    left, end = axes.get_xlim()
    start = axis.of_seconds(max_seconds) if max_seconds else left
    if max_seconds is None or start >= axis.last:
        return
    axes.axvspan(start, end, color=LIGHT["rule"], alpha=0.4, linewidth=0, zorder=0.5)
    axes.annotate(
        "extrapolated",
        ((start + end) / 2, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        color=LIGHT["muted"],
        fontsize=8,
    )


def _mark_all_times(axes: Axes, series: Sequence[Series], layout: Layout) -> None:
    """Markers of every series; labels in a row below the curves for the lowest, above for the other of two.

    With more than two the leaders would cross each other, so the markers stand alone, in the order of time.
    """
    bottom, top = axes.get_ylim()
    row = (0.09 if layout.narrow else 0.075) * (top - bottom)
    lowest_first = sorted(series, key=lambda one: one.result.times[-1].value.mean)
    rows = dict(zip(map(id, lowest_first), (bottom - row, top + row), strict=False)) if len(series) < 3 else {}
    axes.set_ylim(bottom - 2 * row if rows else bottom, top + 2 * row if len(rows) > 1 else top)
    for one in series:
        marks = [(s.equivalent.value, s) for s in one.result.times if s.equivalent is not None]
        if id(one) in rows:
            _label_times(axes, sorted(marks, key=lambda mark: mark[0]), one, rows[id(one)], layout)
        for x, state in marks:
            draw_sigma_bar(axes, state.equivalent, state.value.mean, one)
            draw_marker(axes, x, state.value.mean, one, mark=state.mark)


def _label_times(axes: Axes, marks: Sequence[tuple[float, State]], one: Series, row: float, layout: Layout) -> None:
    """Leaders from the markers to labels that do not overlap; marks are (sigma_c, state), increasing."""
    low, high = axes.get_xlim()
    letter = (0.032 if layout.narrow else 0.0165) * (high - low)
    widths = [letter * (len(state.label) + 1) for _, state in marks]
    below = row < marks[0][1].value.mean
    bend = row + (0.045 if below else -0.045) * (axes.get_ylim()[1] - axes.get_ylim()[0])
    for (x, state), centre in zip(marks, spread([x for x, _ in marks], widths, low, high), strict=True):
        path = [state.value.mean, bend, row]
        axes.plot([x, x, centre], path, color=one.colour, linewidth=0.8, alpha=0.6, zorder=2)
        side = {"ha": "center", "va": "top" if below else "bottom", "fontsize": 8.5}
        annotate(axes, state.label, centre, row, one.colour, (0, -2 if below else 2), **side)
