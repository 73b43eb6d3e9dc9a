"""What all figures share: size, fonts, axes, and turning a drawing into SVG or PNG bytes without a date."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analog_samson.report.palette import LIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Size of a figure [inches]; narrow ones are drawn anew for a phone, not shrunk, so text keeps its size.

    cramped: the axes are a part of the figure only, so labels along them have to be short.
    """

    width: float
    height: float
    narrow: bool
    cramped: bool = False


WIDE = Layout(width=7.6, height=4.1, narrow=False)
NARROW = Layout(width=3.7, height=3.6, narrow=True)
COLUMN = Layout(width=3.3, height=3.2, narrow=True)  # of a paper in two columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A function that draws onto axes, and how high the figure is as a share of the layout's height.

    narrow_height: that share for a narrow layout, where it differs.
    """

    draw: Callable[[Axes, Layout], None]
    height: float = 1.0
    narrow_height: float | None = None

    def share(self, layout: Layout) -> float:
        """The share for a layout."""
        return self.narrow_height if layout.narrow and self.narrow_height is not None else self.height


_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "svg.hashsalt": "analog-samson",  # ids would be random; equal data must give equal bytes
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.edgecolor": LIGHT["muted"],
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": LIGHT["rule"],
    "grid.linewidth": 0.8,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


def svg(drawing: Drawing, layout: Layout, *, text: bool) -> bytes:
    """The drawing as SVG; `text` keeps letters as text for the page's own font, else they are outlines."""
    fonts = {"svg.fonttype": "none" if text else "path"}
    return _render(drawing, layout, fonts, format="svg", metadata={"Date": None, "Creator": None})


def png(drawing: Drawing, layout: Layout, *, dots_per_inch: int = 200) -> bytes:
    """The drawing as PNG on a white ground."""
    return _render(drawing, layout, {}, format="png", dpi=dots_per_inch, facecolor="white", metadata={"Software": None})


def pdf(drawing: Drawing) -> bytes:
    """The drawing as PDF in the width of a paper's column, with embedded TrueType fonts."""
    metadata = {"CreationDate": None, "Creator": None, "Producer": None}
    return _render(drawing, COLUMN, {"pdf.fonttype": 42}, format="pdf", metadata=metadata)


def make_figure(drawing: Drawing, layout: Layout) -> Figure:
    """The drawing as a matplotlib figure that belongs to no window."""
    settings: Any = _STYLE
    with matplotlib.rc_context(settings):
        return _draw(drawing, layout)


def split(axes: Axes, count: int, layout: Layout) -> list[Axes]:
    """Replace axes by `count` smaller ones: two side by side where there is room, else all below each other."""
    if count == 1:
        return [axes]
    columns = 1 if layout.narrow else 2
    figure, place = axes.get_figure(), axes.get_subplotspec()
    assert figure is not None
    assert place is not None
    parts = place.subgridspec(ceil(count / columns), columns)
    axes.remove()
    return [figure.add_subplot(parts[i // columns, i % columns]) for i in range(count)]


def panels(draw: Callable[[Axes, Layout], None], count: int, height: float = 0.85) -> Drawing:
    """A drawing that splits its axes into `count`, with room for each."""
    if count == 1:
        return Drawing(draw=draw)
    return Drawing(draw=draw, height=height * ceil(count / 2), narrow_height=height * count)


def _render(drawing: Drawing, layout: Layout, style: dict[str, Any], **options: Any) -> bytes:
    settings: Any = _STYLE | style
    with matplotlib.rc_context(settings):
        file = io.BytesIO()
        _draw(drawing, layout).savefig(file, **options)
    return file.getvalue()


def _draw(drawing: Drawing, layout: Layout) -> Figure:
    figure = Figure(figsize=(layout.width, drawing.share(layout) * layout.height), layout="constrained")
    drawing.draw(figure.add_subplot(), layout)
    return figure
