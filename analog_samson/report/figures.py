"""The figures of results: over time, over generic noise, differences, yield. Nothing is read or saved here.

Dots are single instances, lines their mean, bands and bars 95 % intervals, dotted lines the digital network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analog_samson.analysis.comparison import Comparison, Step
from analog_samson.analysis.equivalent_sigma import Verdict
from analog_samson.analysis.ranking import has_networks_and_presets, network_name, series_places
from analog_samson.analysis.summary import GaussianPoint, Result, State
from analog_samson.analysis.yields import yield_curve
from analog_samson.report.artists import (
    DOTTED,
    Look,
    annotate,
    axis_title,
    difference_cells,
    difference_title,
    interval_dots,
    legend,
    line_with_band,
    look,
    scatter,
    steps,
    value_axis,
    value_cells,
)
from analog_samson.report.contents import series_labels
from analog_samson.report.drawing import WIDE, Drawing, Layout, make_figure, panels, split
from analog_samson.report.formats import fixed, signed
from analog_samson.report.palette import LIGHT
from analog_samson.report.time_axis import TimeAxis, joined, thinned, time_axis

_DODGE = 0.012  # of the x range, between the dots of neighbouring series


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A result with its look; `offset` sets its dots beside those of the others, as a share of the x range."""

    result: Result
    look: Look
    offset: float


def make_series(results: Sequence[Result]) -> list[Series]:
    """A look for each result.

    Several networks on several presets are drawn preset by preset: equal networks look alike, and their labels leave
    the preset out.
    """
    places = series_places(results)
    middle = max(places, default=0) / 2
    labels = (
        [network_name(result) for result in results] if has_networks_and_presets(results) else series_labels(results)
    )
    return [
        Series(result=result, look=look(place, label), offset=_DODGE * (place - middle))
        for place, result, label in zip(places, results, labels, strict=True)
    ]


def over_time(results: Sequence[Result]) -> Drawing | None:
    """The metric over time, a part for each preset where there are several networks and presets.

    None where nothing was simulated at two moments.
    """
    series = [one for one in make_series(results) if one.result.states]
    if max((len(one.result.states) for one in series), default=0) < 2:
        return None
    return _by_preset(series, _draw_over_time)


def over_time_figure(results: Sequence[Result], axes: Axes | None = None) -> Figure:
    """The metric over time of results on one preset, as a matplotlib figure, or drawn onto axes of the caller's."""
    series = [one for one in make_series(results) if one.result.states]
    if axes is None:
        return make_figure(Drawing(draw=partial(_draw_over_time, series)), WIDE)
    _draw_over_time(series, axes, WIDE)
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def gaussian(results: Sequence[Result]) -> Drawing | None:
    """The metric over the strength of the generic Gaussian model; None without a sweep."""
    series = [one for one in make_series(results) if len(one.result.sweep) > 1]
    return _by_preset(series, _draw_gaussian) if series else None


def difference_over_time(comparisons: Sequence[Comparison], results: Sequence[Result]) -> Drawing | None:
    """Paired differences over time; None where several presets are compared, at the last time."""
    paired = [comparison for comparison in comparisons if comparison.hardware_steps]
    if not paired or has_networks_and_presets(results):
        return None
    return Drawing(draw=partial(_draw_differences, paired, make_series(results)), height=0.75)


def chip_yield(results: Sequence[Result]) -> Drawing | None:
    """The yield curves; None where every result has one chip."""
    series = [one for one in make_series(results) if one.result.states]
    if not any(len(one.result.states[-1].values) > 1 for one in series):
        return None
    return _by_preset(series, _draw_yield)


def _by_preset(series: Sequence[Series], draw: Callable[[Sequence[Series], Axes, Layout], None]) -> Drawing:
    """One drawing of all series, or with several networks and presets a part for each preset."""
    apart = has_networks_and_presets([one.result for one in series])
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
    """From programming to the last time; what lies beyond the validity of a common preset is shaded."""
    moments = [state for one in series for state in one.result.states]
    axis, metric = time_axis(moments), series[0].result.metric
    for one in series:
        _draw_digital(axes, one)
        _draw_values(axes, [(axis.position(state), state) for state in one.result.states], one, axis.span)
    _label_means(axes, series, axis)
    _time_ticks(axes, axis, moments, layout)
    limits = {one.result.validity.max_seconds for one in series}  # where they differ, hollow markers alone tell
    _shade_extrapolation(axes, axis, limits.pop() if len(limits) == 1 else None)
    value_axis(axes, metric)
    digital = [one.result.digital.value.mean for one in series if one.result.digital]
    value = f" {fixed(digital[0], metric.decimals)} {metric.unit}".rstrip() if len(series) == 1 and digital else ""
    reference = [Look(colour=LIGHT["muted"], dashes=DOTTED, label=f"digital{value}")] if digital else []
    legend(axes, [*(one.look for one in series), *reference], layout)


def _draw_gaussian(series: Sequence[Series], axes: Axes, layout: Layout) -> None:
    """The curve over sigma_c, with a marker at the equivalent sigma_c of each time."""
    largest = max(one.result.sweep[-1].sigma_c for one in series)
    axes.set_xlim(-0.03 * largest, 1.06 * largest)
    for one in series:
        points = [(point.sigma_c, point) for point in one.result.sweep]
        _draw_values(axes, points, one, largest, markers=False)
        times = [(state, state.equivalent) for state in one.result.times if state.equivalent]
        rows = []
        for state, sigma in times:
            low, high = (None if end is None else min(end, sigma.largest) for end in (sigma.low, sigma.high))
            rows.append(
                {"y": state.value.mean, "mean": sigma.value, "low": low, "high": high, "coverage": state.coverage}
            )
            if sigma.verdict is Verdict.BEYOND:
                axes.plot([1.02 * largest], [state.value.mean], ">", color=one.look.colour, markersize=5, zorder=4)
        if rows:
            interval_dots(axes, pd.DataFrame(rows), one.look, upright=False)
        if len(series) == 1 and times:
            ticks = joined([(sigma.value, state.label) for state, sigma in times], _letters(layout) * largest)
            axes.secondary_xaxis("top").set_xticks([x for x, _ in ticks], [label for _, label in ticks])
    value_axis(axes, series[0].result.metric)
    axes.set_xlabel("$\\sigma_c$ of the generic Gaussian model")
    legend(axes, [one.look for one in series], layout, dashed=True)


def _draw_differences(comparisons: Sequence[Comparison], series: Sequence[Series], axes: Axes, layout: Layout) -> None:
    """Paired difference with its interval at every moment; a bar over zero: not significant."""
    steps_drawn = [step for comparison in comparisons for step in comparison.hardware_steps]
    axis, metric = time_axis(steps_drawn), series[0].result.metric
    axes.axhline(0, color=LIGHT["ink"], linewidth=1)
    looks = []
    for comparison in comparisons:
        one = next(one for one in series if one.result is comparison.second)
        looks.append(one.look)
        shift = 2 * one.offset * axis.span if len(comparisons) > 1 else 0.0
        frame = pd.DataFrame(
            {"x": axis.position(step) + shift, **difference_cells(step.difference, metric, step.coverage)}
            for step in comparison.hardware_steps
        )
        interval_dots(axes, frame, one.look)
        for row in frame.to_dict("records") if len(comparisons) == 1 else ():
            top = row["high"] if isfinite(row["high"]) else row["mean"]
            text = signed(row["mean"], metric.decimals)
            annotate(axes, text, row["x"], top, one.look.colour, (0, 5), ha="center")
    _time_ticks(axes, axis, steps_drawn, layout)
    axes.set_ylabel(difference_title(metric) + ("" if metric.higher_is_better else ", below 0: better"))
    if len(comparisons) > 1:
        legend(axes, looks, layout)


def _draw_yield(series: Sequence[Series], axes: Axes, layout: Layout) -> None:
    """Steps at the last moment of each result; of a single result also at its first moment, fainter."""
    metric, looks = series[0].result.metric, []
    for one in series:
        states = one.result.states
        last = replace(one.look, marker="")
        shown = [(states[-1], replace(last, label=states[-1].label) if len(series) == 1 else last)]
        if len(series) == 1 and len(states) > 1:
            shown.insert(0, (states[0], replace(last, label=states[0].label, alpha=0.45)))
        for state, style in shown:
            points = yield_curve(list(state.values.values()), metric)
            x = [at for at, _ in points]
            frame = {"x": [x[0], *x, x[-1]], "y": [100.0, *(100 * share for _, share in points), 0.0]}
            steps(axes, pd.DataFrame(frame), style)
            looks.append(style)
    axes.set_ylim(-4, 108)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_xlabel(axis_title(metric))
    axes.set_ylabel(f"chips at or {'above' if metric.higher_is_better else 'below'} it (%)")
    legend(axes, looks, layout, dashed=True)


def _draw_digital(axes: Axes, one: Series) -> None:
    """The digital value as a dotted line."""
    if one.result.digital is not None and isfinite(one.result.digital.value.mean):
        axes.axhline(one.result.digital.value.mean, color=one.look.colour, linewidth=1, linestyle=DOTTED, alpha=0.8)


def _draw_values(
    axes: Axes, points: Sequence[tuple[float, State | GaussianPoint]], one: Series, span: float, *, markers: bool = True
) -> None:
    """The single chips as dots, their mean and its band; points are (x, point)."""
    shift = one.offset * span
    values = [(x + shift, value) for x, point in points for value in point.values.values() if isfinite(value)]
    scatter(axes, pd.DataFrame(values, columns=["x", "value"]), one.look)
    rows = [{"x": x, **value_cells(p.value, one.result.metric, getattr(p, "coverage", ""))} for x, p in points]
    line_with_band(axes, pd.DataFrame(rows), one.look, markers=markers)


def _label_means(axes: Axes, series: Sequence[Series], axis: TimeAxis) -> None:
    """The mean in figures: at every moment of a single series, at the last one of two."""
    digits = series[0].result.metric.decimals
    if len(series) == 1:
        beside = (5, 6) if series[0].result.metric.higher_is_better else (5, -12)  # where the line does not go
        for state in series[0].result.states:
            text = fixed(state.value.mean, digits)
            annotate(axes, text, axis.position(state), state.value.mean, LIGHT["ink"], beside)
        return
    ends = sorted((one.result.states[-1].value.mean, place) for place, one in enumerate(series))
    for (mean, place), side in zip(ends, ("top", "bottom"), strict=True) if len(series) == 2 else ():
        x = axis.position(series[place].result.states[-1])
        annotate(axes, fixed(mean, digits), x, mean, series[place].look.colour, (11, 0), va=side)


def _time_ticks(axes: Axes, axis: TimeAxis, moments: Sequence[State | Step], layout: Layout) -> None:
    cramped = layout.narrow or layout.cramped
    short = {"programmed": "prog." if cramped else "programmed"}
    ticks = [(axis.position(m), short.get(m.label, m.label)) for m in moments]
    shown = thinned(ticks, _letters(layout) * axis.span)
    axes.set_xticks([x for x, _ in shown], [label for _, label in shown])
    left = min(x for x, _ in ticks)
    axes.set_xlim(left - 0.06 * axis.span, axis.last + (0.16 if cramped else 0.1) * axis.span)
    axes.set_xlabel("time since programming (log scale)")


def _letters(layout: Layout) -> float:
    """The least distance between two labels of times, as a share of the axis."""
    return 0.11 if layout.narrow or layout.cramped else 0.05


def _shade_extrapolation(axes: Axes, axis: TimeAxis, max_seconds: float | None) -> None:
    """Shade what lies beyond `max_seconds` (0: everything)."""
    left, end = axes.get_xlim()
    start = axis.of_seconds(max_seconds) if max_seconds else left
    if max_seconds is None or start >= axis.last:
        return
    axes.axvspan(start, end, color=LIGHT["rule"], alpha=0.4, linewidth=0, zorder=0.5)
    style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": 8, "color": LIGHT["muted"]}
    over: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "xytext": (0, 3), "textcoords": "offset points"}
    axes.annotate("extrapolated", ((start + end) / 2, 1), **over, **style)
