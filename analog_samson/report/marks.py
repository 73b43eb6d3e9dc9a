"""Series, and the marks that figures are made of: dots, means, bands, bars, markers, the legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analog_samson.analysis.equivalent_sigma import EquivalentSigma, Verdict
from analog_samson.analysis.ranking import is_study, method_name, series_places
from analog_samson.analysis.statistics import value_interval
from analog_samson.analysis.summary import GaussianPoint, Result, State
from analog_samson.presets.validity import EXTRAPOLATED, INTERPOLATED
from analog_samson.report.contents import series_labels
from analog_samson.report.drawing import Layout
from analog_samson.report.palette import DASHES, LIGHT, MARKERS, series_role

_DOT_SIZE = 12
_DOT_ALPHA = 0.35
_BAND_ALPHA = 0.16
_DOTS = (0, (2, 2))
_DODGE = 0.012  # of the x range, between the dots of neighbouring series


class Look(Protocol):
    """How something is drawn: its colour, its marker, and what a legend calls it."""

    @property
    def colour(self) -> str: ...
    @property
    def marker(self) -> str: ...
    @property
    def label(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A result with its look."""

    result: Result
    label: str
    colour: str
    marker: str
    dashes: Any
    offset: float


def literal(text: str) -> str:
    r"""A name as matplotlib draws it to the letter; what stands between two $ would be mathematics.

    >>> print(literal("a$b$"))
    a\$b\$
    """
    return text.replace("$", r"\$")


def make_series(results: Sequence[Result]) -> list[Series]:
    """A colour, marker and dash pattern for each result, and its place beside the others.

    Several networks on several presets are told apart by their looks and seen preset by preset: equal networks look
    alike, and their labels leave the preset out.
    """
    places = series_places(results)
    middle = max(places, default=0) / 2
    labels = [method_name(r) for r in results] if is_study(results) else series_labels(results)
    return [
        Series(
            result=result,
            label=label,
            colour=LIGHT[series_role(place)],
            marker=MARKERS[place % len(MARKERS)],
            dashes=DASHES[place % len(DASHES)],
            offset=_DODGE * (place - middle),
        )
        for place, result, label in zip(places, results, labels, strict=True)
    ]


def draw_digital_line(axes: Axes, one: Series) -> None:
    """The digital accuracy as a dotted reference."""
    if one.result.digital is not None:
        digital = one.result.digital.value.mean
        axes.axhline(digital, color=one.colour, linewidth=1, linestyle=_DOTS, alpha=0.8)


def draw_dots(axes: Axes, columns: Sequence[tuple[float, Mapping[int, float]]], one: Series) -> None:
    """Every instance as a faint dot; columns are (x, accuracy by instance)."""
    x = [at for at, values in columns for _ in values]
    y = [value for _, values in columns for value in values.values()]
    axes.scatter(x, y, s=_DOT_SIZE, color=one.colour, alpha=_DOT_ALPHA, linewidths=0, zorder=2)


def draw_mean_and_band(
    axes: Axes, points: Sequence[tuple[float, State | GaussianPoint]], one: Series, *, markers: bool = True
) -> None:
    """Mean line and 95 % band through (x, point); where n = 1 the band has no width."""
    x, means = [at for at, _ in points], [point.value.mean for _, point in points]
    ends = [value_interval(point.value, one.result.metric) for _, point in points]
    low = [mean if end is None else end for mean, (end, _) in zip(means, ends, strict=True)]
    high = [mean if end is None else end for mean, (_, end) in zip(means, ends, strict=True)]
    axes.fill_between(x, low, high, color=one.colour, alpha=_BAND_ALPHA, linewidth=0, zorder=1.5)
    axes.plot(x, means, color=one.colour, linestyle="solid" if markers else one.dashes, zorder=3)
    for at, point in points if markers else ():
        draw_marker(axes, at, point.value.mean, one, mark=point.mark if isinstance(point, State) else "")


def draw_marker(axes: Axes, x: float, y: float, one: Look, *, mark: str) -> None:
    """A marker: hollow where the value is extrapolated, its lower half filled where it is interpolated."""
    face = LIGHT["surface"] if mark == EXTRAPOLATED else one.colour
    half: Any = {"fillstyle": "bottom", "markerfacecoloralt": LIGHT["surface"]} if mark == INTERPOLATED else {}
    axes.plot([x], [y], one.marker, color=one.colour, markerfacecolor=face, markeredgewidth=1.6, zorder=4, **half)


def annotate(
    axes: Axes, text: str, x: float, y: float, colour: str, offset: tuple[float, float], **options: Any
) -> None:
    """Text at a point, shifted by `offset` [points]; not cut at the edge of the axes."""
    options = {"zorder": 5, "annotation_clip": False, **options}
    axes.annotate(text, (x, y), xytext=offset, textcoords="offset points", color=colour, **options)


def draw_sigma_bar(axes: Axes, equivalent: EquivalentSigma | None, y: float, one: Series) -> None:
    """The interval, and an arrowhead where the sweep does not reach the accuracy."""
    if equivalent is None or equivalent.low is None or equivalent.high is None:
        return
    low, high = (end if isfinite(end) else equivalent.largest for end in (equivalent.low, equivalent.high))
    axes.plot([low, high], [y, y], color=one.colour, linewidth=2.2, alpha=0.55, solid_capstyle="butt", zorder=3)
    if equivalent.verdict is Verdict.BEYOND:
        end = equivalent.largest + 0.02 * (axes.get_xlim()[1] - axes.get_xlim()[0])
        axes.plot([end], [y], ">", color=one.colour, markersize=5, zorder=4)


def draw_legend(
    axes: Axes, series: Sequence[Series], layout: Layout, *, digital: bool = False, dashed: bool = False
) -> None:
    """A legend above the axes; with `digital` it names the dotted line, and its value where there is one.

    dashed: the lines have the dash patterns of their series.
    """
    styles: list[Any] = [one.dashes if dashed else "solid" for one in series]
    handles = [
        Line2D([], [], color=one.colour, linestyle=style, marker=one.marker, label=literal(one.label))
        for one, style in zip(series, styles, strict=True)
    ]
    values = [one.result.digital.value.mean for one in series if one.result.digital]
    if digital and values:
        label = f"digital {values[0]:.1f} %" if len(series) == 1 else "digital"
        handles.append(Line2D([], [], color=LIGHT["muted"], linewidth=1, linestyle=_DOTS, label=label))
    figure = axes.get_figure(root=True)
    columns = 1 if layout.narrow else min(len(handles), 3)
    assert figure is not None
    if figure.legends:  # that of another part of the figure, which shows the same networks
        return
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)


def end_at_hundred(axes: Axes) -> None:
    """No tick above 100 %, and no empty room there unless labels take it."""
    bottom, top = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if bottom <= tick <= min(top, 100)])
    axes.set_ylim(bottom, top)
