"""What figures are drawn with: looks, five primitives over data frames, axes of a metric, the legend.

A frame of values has the columns `mean`, `low`, `high` (NaN where there is no interval) and `coverage`, see
`Validity.coverage`, besides the places of the values.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analog_samson.analysis.statistics import Difference, Summary, difference_interval, value_interval
from analog_samson.presets.validity import EXTRAPOLATED, INTERPOLATED, UNSTATED
from analog_samson.report.drawing import Layout
from analog_samson.report.palette import DASHES, LIGHT, MARKERS, series_role
from analog_samson.results.metric import Metric

DOTTED = (0, (2, 2))
_LETTERS, _HANDLE = 97, 9  # that a wide figure has room for beside each other, and a handle takes
_BAR: dict[str, Any] = {"linewidth": 2.2, "alpha": 0.55, "capstyle": "butt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How one thing is drawn throughout a figure, and what the legend calls it."""

    colour: str
    marker: str = ""
    dashes: Any = "solid"
    label: str = ""
    alpha: float = 1.0


def look(place: int, label: str = "") -> Look:
    """The look of the series at `place`, counted from 0: a colour, a marker and a dash pattern of its own."""
    return Look(
        colour=LIGHT[series_role(place)],
        marker=MARKERS[place % len(MARKERS)],
        dashes=DASHES[place % len(DASHES)],
        label=label,
    )


def literal(text: str) -> str:
    r"""A name as matplotlib draws it to the letter; what stands between two $ would be mathematics.

    >>> print(literal("a$b$"))
    a\$b\$
    """
    return text.replace("$", r"\$")


def value_cells(value: Summary, metric: Metric, coverage: str = "") -> dict[str, Any]:
    """The columns of a frame for a value with its interval within the metric's bounds."""
    return _cells(value.mean, value_interval(value, metric), coverage)


def difference_cells(difference: Difference, metric: Metric, coverage: str = "") -> dict[str, Any]:
    """The same for a difference."""
    return _cells(difference.mean, difference_interval(difference, metric), coverage)


def _cells(mean: float, ends: tuple[float | None, float | None], coverage: str) -> dict[str, Any]:
    low, high = (nan if end is None else end for end in ends)
    return {"mean": mean if isfinite(mean) else nan, "low": low, "high": high, "coverage": coverage}


def line_with_band(axes: Axes, frame: pd.DataFrame, look: Look, *, markers: bool = True) -> None:
    """Means over `x` as a line, their intervals as a band; the band has no width where there is no interval."""
    low, high = (frame[end].fillna(frame["mean"]) for end in ("low", "high"))
    axes.fill_between(frame["x"], low, high, color=look.colour, alpha=0.16, linewidth=0, zorder=1.5)
    axes.plot(frame["x"], frame["mean"], color=look.colour, linestyle="solid" if markers else look.dashes, zorder=3)
    if markers:
        _markers(axes, frame["x"], frame["mean"], frame["coverage"], look)


def interval_dots(axes: Axes, frame: pd.DataFrame, look: Look, *, upright: bool = True) -> None:
    """Means as markers on bars of their intervals: over `x`, or beside `y` where they do not stand upright."""
    known = frame.dropna(subset=["low", "high"])
    draw, place = (axes.vlines, "x") if upright else (axes.hlines, "y")
    draw(known[place], known["low"], known["high"], color=look.colour, **_BAR)
    x, y = (frame["x"], frame["mean"]) if upright else (frame["mean"], frame["y"])
    _markers(axes, x, y, frame["coverage"], look)


def _markers(axes: Axes, x: Iterable[Any], y: Iterable[Any], coverages: Iterable[Any], look: Look) -> None:
    """Hollow where a value is extrapolated or may be, the lower half filled where it is interpolated."""
    for at, value, coverage in zip(x, y, coverages, strict=True):
        face = LIGHT["surface"] if coverage in (EXTRAPOLATED, UNSTATED) else look.colour
        half = {"fillstyle": "bottom", "markerfacecoloralt": LIGHT["surface"]} if coverage == INTERPOLATED else {}
        style: dict[str, Any] = {"markerfacecolor": face, "markeredgewidth": 1.6, "zorder": 4, **half}
        axes.plot([at], [value], look.marker, color=look.colour, **style)


def scatter(axes: Axes, frame: pd.DataFrame, look: Look) -> None:
    """Every `value` over its `x` as a faint dot."""
    axes.scatter(frame["x"], frame["value"], s=12, color=look.colour, alpha=0.35, linewidths=0, zorder=2)


def steps(axes: Axes, frame: pd.DataFrame, look: Look, *, fill: bool = False) -> None:
    """`y` over `x` as steps: each value holds from the x before it up to its own."""
    axes.step(frame["x"], frame["y"], where="pre", color=look.colour, linestyle=look.dashes, alpha=look.alpha)
    if fill:
        axes.fill_between(frame["x"], frame["y"], step="pre", color=look.colour, alpha=0.12, linewidth=0)


def heat(axes: Axes, frame: pd.DataFrame, *, height: float = 0.98, size: float = 8.5) -> None:
    """A rectangle at every (`column`, `row`) with its `text`, as strong as `share` (0 to 1) in the colour of `role`."""
    for cell in frame.to_dict("records"):
        x, y, style = cell["column"], cell["row"], {"alpha": 0.06 + 0.44 * cell["share"], "linewidth": 0}
        axes.add_patch(Rectangle((x - 0.49, y - height / 2), 0.98, height, facecolor=LIGHT[cell["role"]], **style))
        annotate(axes, cell["text"], x, y, LIGHT["ink"], (0, 0), ha="center", va="center", fontsize=size)


def annotate(
    axes: Axes, text: str, x: float, y: float, colour: str, offset: tuple[float, float], **options: Any
) -> None:
    """Text at a point, shifted by `offset` [points]; not cut at the edge of the axes."""
    options = {"zorder": 5, "annotation_clip": False, **options}
    axes.annotate(literal(text), (x, y), xytext=offset, textcoords="offset points", color=colour, **options)


def axis_title(metric: Metric) -> str:
    """What the axis of a metric is called."""
    return f"{metric.title} ({metric.unit})" if metric.unit else metric.title


def difference_title(metric: Metric) -> str:
    """What the axis of a difference of two values is called."""
    unit = metric.difference_unit or metric.unit
    return f"difference ({unit})" if unit else f"difference in {metric.title}"


def value_axis(axes: Axes, metric: Metric) -> None:
    """The y axis as that of a metric: its title, no tick beyond its bounds, and next to no room there."""
    bottom, top = axes.get_ylim()
    edge = 0.03 * (top - bottom)
    bottom, top = max(bottom, metric.lower - edge), min(top, metric.upper + edge)
    axes.set_yticks([tick for tick in axes.get_yticks() if max(bottom, metric.lower) <= tick <= min(top, metric.upper)])
    axes.set_ylim(bottom, top)
    axes.set_ylabel(axis_title(metric))


def legend(axes: Axes, looks: Sequence[Look], layout: Layout, *, lines: bool = True, dashed: bool = False) -> None:
    """A legend above the figure, once; of lines where they are drawn, in the dash patterns where those are."""
    figure = axes.get_figure(root=True)
    if figure is None or figure.legends or not looks:  # another part of the figure shows the same
        return
    handles = [
        Line2D(
            [],
            [],
            color=one.colour,
            marker=one.marker,
            linestyle=(one.dashes if dashed or not one.marker else "solid") if lines else "",
            linewidth=1.8 if one.marker else 1,
            alpha=one.alpha,
            label=literal(one.label),
        )
        for one in looks
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=legend_columns(looks, layout))


def legend_columns(looks: Sequence[Look], layout: Layout) -> int:
    """How many entries of a legend are beside each other: three at most, and as many as have room."""
    longest = max((len(one.label) for one in looks), default=0)
    return 1 if layout.narrow else max(1, min(len(looks), 3, _LETTERS // (longest + _HANDLE)))
