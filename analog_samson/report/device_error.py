"""How far a device is from its target over conductance and time: as a table and as a figure."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analog_samson.analysis.device_error import ErrorCurve
from analog_samson.errors import OptionError
from analog_samson.presets.validity import Validity
from analog_samson.report.artists import legend, line_with_band, look
from analog_samson.report.drawing import WIDE, Drawing, Layout, png, svg
from analog_samson.report.formats import tagged
from analog_samson.units import format_duration

_FORMATS = ("svg", "png")


def error_table(curves: Sequence[ErrorCurve], validity: Validity) -> list[tuple[str, ...]]:
    """Rows of text, the head first: one line a target, one column a time, each cell mean +- standard deviation."""
    head = ("TARGET [uS]", *(_title(curve, validity) for curve in curves))
    rows = [(f"{target:.3g}", *(_cell(curve, row) for curve in curves)) for row, target in enumerate(curves[0].targets)]
    return [head, *rows]


def _cell(curve: ErrorCurve, row: int) -> str:
    mean, deviation = round(curve.means[row], 3) + 0.0, curve.deviations[row]  # + 0.0 turns -0.0 into 0.0
    return f"{mean:+.3f} +- {deviation:.3f}" if mean or deviation else "0"


def _title(curve: ErrorCurve, validity: Validity) -> str:
    label = "programmed" if curve.time_seconds is None else format_duration(curve.time_seconds)
    return tagged(label, validity.coverage(curve.time_seconds))


def check_format(format_: str) -> None:
    """Raise OptionError for a format that there is no picture in."""
    if format_ not in _FORMATS:
        raise OptionError(f"picture format {format_!r}: expected one of {', '.join(_FORMATS)}")


def error_picture(curves: Sequence[ErrorCurve], validity: Validity, format_: str) -> bytes:
    """The same as a figure, "svg" or "png": means as lines, one standard deviation as bands."""
    check_format(format_)
    drawing = Drawing(draw=partial(draw_error, curves, validity))
    return svg(drawing, WIDE, text=False) if format_ == "svg" else png(drawing, WIDE)


def draw_error(curves: Sequence[ErrorCurve], validity: Validity, axes: Axes, layout: Layout) -> None:
    """Error against target, one line with its band a time; the legend says what the source does not cover."""
    looks = [look(place, _title(curve, validity)) for place, curve in enumerate(curves)]
    for curve, one in zip(curves, looks, strict=True):
        means, stds = np.array(curve.means), np.array(curve.deviations)
        frame = {"x": curve.targets, "mean": means, "low": means - stds, "high": means + stds, "coverage": ""}
        line_with_band(axes, pd.DataFrame(frame), one)
    axes.set_xlabel("target conductance [uS]")
    axes.set_ylabel("conductance - target [uS]")
    legend(axes, looks, layout)
