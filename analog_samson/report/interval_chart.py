"""A figure of rows: headings, and below each its values with intervals on one common axis."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from analog_samson.report.artists import Look, interval_dots, legend, legend_columns, literal
from analog_samson.report.drawing import NARROW, WIDE, Drawing, Layout
from analog_samson.report.palette import LIGHT

_HEADING, _VALUE, _GAP, _AXIS, _LEGEND = 0.22, 0.17, 0.1, 0.75, 0.24  # heights [inches]


def interval_chart(frame: pd.DataFrame, looks: Mapping[str, Look], label: str, reference: float = 0.0) -> Drawing:
    """A drawing as high as its rows need.

    Args:
        frame: One row a value: its `heading`, a `note` at the right end of the heading's line, its `series`, and the
            columns of a frame of values. Values under one heading are neighbours.
        looks: Of each series; with more than one there is a legend.
        label: Of the axis.
        reference: Where a line crosses all rows.
    """
    inches = _AXIS + frame["heading"].nunique() * (_HEADING + _GAP) + _VALUE * len(frame)
    wide, narrow = (inches + _LEGEND * legend_lines(list(looks.values()), layout) for layout in (WIDE, NARROW))
    draw = partial(_draw, frame, looks, label, reference)
    return Drawing(draw=draw, height=wide / WIDE.height, narrow_height=narrow / NARROW.height)


def legend_lines(looks: Sequence[Look], layout: Layout) -> int:
    """Lines that a legend takes; one of a single entry is left out."""
    return 0 if len(looks) < 2 else ceil(len(looks) / legend_columns(looks, layout))


def _draw(
    frame: pd.DataFrame, looks: Mapping[str, Look], label: str, reference: float, axes: Axes, layout: Layout
) -> None:
    """Rows from top to bottom; heights are in inches, so that nothing is squeezed."""
    axes.axvline(reference, color=LIGHT["ink"], linewidth=1)
    y, heights = 0.0, []
    for heading, values in frame.groupby("heading", sort=False):
        y -= _HEADING
        for x, side, text, role in ((0, "left", str(heading), "ink"), (1, "right", values["note"].iloc[0], "muted")):
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": side, "va": "bottom", "fontsize": 8.5}
            ground = {"facecolor": LIGHT["surface"], "alpha": 0.8, "linewidth": 0, "pad": 0.3}
            axes.annotate(literal(text), (x, y), color=LIGHT[role], annotation_clip=False, bbox=ground, **place)
        heights += [y - _VALUE * (i + 0.5) - 0.02 for i in range(len(values))]
        y -= _VALUE * len(values) + _GAP
    for series, values in frame.assign(y=heights).groupby("series", sort=False):
        interval_dots(axes, values, looks[str(series)], upright=False)
    axes.set_ylim(y, 0)
    axes.set_yticks([])
    axes.grid(visible=True, axis="x")
    axes.set_xlabel(label)
    if len(looks) > 1:
        legend(axes, list(looks.values()), layout, lines=False)
