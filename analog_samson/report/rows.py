"""A figure of rows: headings, and below each its values with intervals on one axis that shows zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analog_samson.report.drawing import NARROW, WIDE, Drawing, Layout
from analog_samson.report.marks import Look, draw_marker, literal
from analog_samson.report.palette import LIGHT

_HEADING, _MARK, _GAP = 0.22, 0.17, 0.1  # heights [inches]
_FRAME = 0.75  # axis and its label


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainLook:
    """A colour, a marker and a label for what is no result."""

    colour: str
    marker: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A value with its interval, its look, and what it has to be called besides, see `Validity.mark`."""

    mean: float
    low: float | None
    high: float | None
    look: Look
    mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A heading and the marks below it; `note` stands at the right end of the heading's line."""

    heading: str
    marks: tuple[Mark, ...]
    note: str = ""


def rows_drawing(rows: Sequence[Row], label: str, legend: Sequence[Look]) -> Drawing:
    """A drawing as high as its rows need; `label` is that of the axis."""
    inches = _FRAME + sum(_HEADING + _GAP + _MARK * len(row.marks) for row in rows)
    wide, narrow = (inches + 0.24 * legend_lines(legend, layout) for layout in (WIDE, NARROW))
    draw = partial(draw_rows, rows, label, legend)
    return Drawing(draw=draw, height=wide / WIDE.height, narrow_height=narrow / NARROW.height)


def draw_rows(rows: Sequence[Row], label: str, legend: Sequence[Look], axes: Axes, layout: Layout) -> None:
    """Rows from top to bottom; heights are in inches, so that nothing is squeezed."""
    axes.axvline(0, color=LIGHT["ink"], linewidth=1)
    y = 0.0
    for row in rows:
        y -= _HEADING
        for x, side, text in ((0.0, "left", row.heading), (1.0, "right", row.note)):
            colour = LIGHT["ink" if side == "left" else "muted"]
            place = {"xycoords": ("axes fraction", "data"), "ha": side, "va": "bottom", "fontsize": 8.5}
            ground = {"facecolor": LIGHT["surface"], "alpha": 0.8, "linewidth": 0, "pad": 0.3}
            axes.annotate(literal(text), (x, y), color=colour, annotation_clip=False, bbox=ground, **place)  # type: ignore[arg-type]
        for mark in row.marks:
            y -= _MARK
            _draw_mark(axes, mark, y + _MARK / 2 - 0.02)
        y -= _GAP
    axes.set_ylim(y, 0)
    axes.set_yticks([])
    axes.grid(visible=True, axis="x")
    axes.set_xlabel(label)
    draw_looks(axes, legend, layout)


def draw_looks(axes: Axes, looks: Sequence[Look], layout: Layout) -> None:
    """A legend of markers above the axes; none for a single one."""
    if len(looks) < 2:
        return
    handles = [Line2D([], [], color=s.colour, linestyle="", marker=s.marker, label=literal(s.label)) for s in looks]
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.legend(handles=handles, loc="outside upper left", ncols=1 if layout.narrow else 3)


def legend_lines(looks: Sequence[Look], layout: Layout) -> int:
    """Lines that `draw_looks` takes."""
    return 0 if len(looks) < 2 else len(looks) if layout.narrow else -(-len(looks) // 3)


def _draw_mark(axes: Axes, mark: Mark, y: float) -> None:
    low, high = (mark.mean if end is None else end for end in (mark.low, mark.high))
    axes.plot([low, high], [y, y], color=mark.look.colour, linewidth=2.2, solid_capstyle="butt", alpha=0.55)
    draw_marker(axes, mark.mean, y, mark.look, mark=mark.mark)
