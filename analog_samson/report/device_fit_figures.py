"""What a fit leaves over, in pictures: programming error, drift exponents, read noise, and held-out devices."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from analog_samson.analysis.device_fit.held_out import HeldOut
from analog_samson.analysis.device_fit.model import DeviceModel
from analog_samson.analysis.device_fit.programming import polynomial
from analog_samson.report.artists import line_with_band, look, scatter
from analog_samson.report.drawing import WIDE, Layout, panels, png, split
from analog_samson.report.held_out import draw_held_out

_GRID = 101


def fit_picture(model: DeviceModel, held_out: Sequence[HeldOut]) -> bytes:
    """A PNG of every device beside what was fitted: lines are means, bands one standard deviation."""
    parts: list[Callable[[Axes, Layout], None]] = [lambda axes, layout: draw_programming(model, axes)]
    if model.exponents is not None:
        parts.append(lambda axes, layout: draw_exponents(model, axes))
    if model.read is not None:
        parts.append(lambda axes, layout: draw_read_noise(model, axes))
    if held_out:
        parts.append(lambda axes, layout: draw_held_out(held_out, axes, layout))

    def draw(axes: Axes, layout: Layout) -> None:
        for place, part in zip(split(axes, len(parts), layout), parts, strict=True):
            part(place, layout)

    return png(panels(draw, len(parts)), WIDE, dots_per_inch=110)


def draw_programming(model: DeviceModel, axes: Axes) -> None:
    """Error of every device at the end of programming, over its target."""
    scatter(axes, pd.DataFrame({"x": model.targets, "value": model.laws.conductance - model.targets}), look(0))
    grid = np.linspace(float(model.targets.min()), model.g_max, _GRID)
    deviation = polynomial(model.programming.values, grid / model.g_max)
    _band(axes, grid, np.zeros(_GRID), deviation)
    axes.set_xlabel("target [uS]")
    axes.set_ylabel("programmed - target [uS]")


def draw_exponents(model: DeviceModel, axes: Axes) -> None:
    """Drift exponent of every device that can be read, over its target."""
    assert model.exponents is not None
    targets = model.targets[model.readable]
    scatter(axes, pd.DataFrame({"x": targets, "value": model.laws.exponent[model.readable]}), look(0))
    grid = np.geomspace(float(targets.min()), float(targets.max()), _GRID)
    _band(axes, grid, *model.exponents.curves.at(model.exponents.maximum.values, grid))
    axes.set_xscale("log")
    _log_ticks(axes.xaxis)
    axes.set_xlabel("target [uS]")
    axes.set_ylabel("drift exponent")


def draw_read_noise(model: DeviceModel, axes: Axes) -> None:
    """Relative read noise of every device that can be read, over its conductance; without the growth in time."""
    assert model.read is not None
    known = model.readable & (model.laws.noise > 0)
    conductance = model.laws.conductance[known]
    scatter(axes, pd.DataFrame({"x": conductance, "value": np.sqrt(model.laws.noise[known])}), look(0))
    grid = np.geomspace(conductance.min(), conductance.max(), _GRID)
    _band(axes, grid, model.read.q(grid), np.zeros(_GRID))
    axes.set_xscale("log")
    axes.set_yscale("log")
    _log_ticks(axes.xaxis)
    _log_ticks(axes.yaxis)
    axes.set_xlabel("programmed conductance [uS]")
    axes.set_ylabel("relative read noise q")


def _log_ticks(axis: Axis) -> None:
    """Plain numbers at 1, 2 and 5 of each decade."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())


def _band(axes: Axes, x: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> None:
    frame = pd.DataFrame({"x": x, "mean": mean, "low": mean - deviation, "high": mean + deviation, "coverage": ""})
    line_with_band(axes, frame, look(1), markers=False)
