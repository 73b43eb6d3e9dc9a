"""The map of an exploration: verdicts over two numbers, or values over one."""

from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analog_samson.analysis.exploration import Verdict
from analog_samson.analysis.explored import Exploration
from analog_samson.report.artists import Look, heat, interval_dots, legend, value_axis, value_cells
from analog_samson.report.drawing import WIDE, Drawing, Layout
from analog_samson.report.exploration import SIGNS
from analog_samson.report.formats import fixed
from analog_samson.report.palette import LIGHT

_ROLES = {Verdict.HOLDS: "series-1", Verdict.UNDECIDED: "series-6", Verdict.FAILS: "series-2"}
_MARKERS = {Verdict.HOLDS: "o", Verdict.UNDECIDED: "D", Verdict.FAILS: "v"}
_ROW, _MARGIN = 0.34, 1.0  # heights [inches]


def map_drawing(found: Exploration) -> Drawing:
    """The map as a drawing."""
    if len(found.axes) == 1:
        return Drawing(draw=partial(_draw_line, found))
    return Drawing(draw=partial(_draw_map, found), height=(_MARGIN + _ROW * found.found.shape[1]) / WIDE.height)


def _draw_map(found: Exploration, axes: Axes, layout: Layout) -> None:
    """Measured cells are strong and have their value, the others follow from them."""
    rows = []
    for cell in found.found.cells:
        margin, verdict = found.measured.get(cell), found.verdict(cell)
        shown = "" if margin is None or layout.narrow else fixed(margin.value.mean, found.metric.decimals)
        text = f"{SIGNS[verdict]} {shown}".rstrip()
        share = 0.15 if margin is None else 1.0
        rows.append({"column": cell[0], "row": cell[1], "text": text, "share": share, "role": _ROLES[verdict]})
    heat(axes, pd.DataFrame(rows), size=6.5 if layout.narrow else 8.5)
    for framed, style in ((found.own_cell, "dotted"), (found.cheapest, "solid")):
        if framed is not None:
            x, y = framed
            frame = Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, linestyle=style, linewidth=1.6)
            frame.set_edgecolor(LIGHT["ink"])
            axes.add_patch(frame)
    for axis, number in ((axes.xaxis, found.axes[0]), (axes.yaxis, found.axes[1])):
        axis.set_ticks(range(len(number.levels)), [number.text(level) for level in range(len(number.levels))])
        axis.set_label_text(number.title)
    axes.set_xlim(-0.5, found.found.shape[0] - 0.5)
    axes.set_ylim(-0.5, found.found.shape[1] - 0.5)
    axes.grid(visible=False)


def _draw_line(found: Exploration, axes: Axes, layout: Layout) -> None:
    axes.axhline(found.threshold, color=LIGHT["ink"], linewidth=1)
    axis, looks = found.axes[0], []
    for verdict in Verdict:
        cells = [cell for cell, margin in found.measured.items() if margin.verdict == verdict]
        if cells:
            looks.append(Look(colour=LIGHT[_ROLES[verdict]], marker=_MARKERS[verdict], label=verdict.word))
            values = [{"x": cell[0], **value_cells(found.measured[cell].value, found.metric)} for cell in cells]
            interval_dots(axes, pd.DataFrame(values), looks[-1])
    every = range(0, len(axis.levels), 2 if layout.narrow else 1)
    axes.set_xticks(list(every), [axis.text(level) for level in every])
    axes.set_xlim(-0.5, len(axis.levels) - 0.5)
    axes.set_xlabel(axis.title)
    value_axis(axes, found.metric)
    legend(axes, looks, layout, lines=False)
