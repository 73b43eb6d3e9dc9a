"""The yield curve: which share of the chips is at least so accurate."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from analog_samson.analysis.summary import State
from analog_samson.analysis.yields import yield_curve
from analog_samson.report.drawing import Layout
from analog_samson.report.formats import tagged
from analog_samson.report.marks import Series, annotate, draw_legend
from analog_samson.report.palette import LIGHT

_FAINT = 0.45
_ROOM = 0.7  # of the axis, for two names beside each other


def draw_yield(series: Sequence[Series], axes: Axes, layout: Layout) -> None:
    """Steps at the last moment of each result; of a single result also at its first moment, fainter."""
    for one in series:
        if len(series) == 1 and len(one.result.states) > 1:
            _draw_steps(axes, one.result.states[0], one, _FAINT)
        _draw_steps(axes, one.result.states[-1], one, 1.0)
    if len(series) == 1:
        _name_ends(axes, series[0])
    axes.set_ylim(-4, 108)
    axes.set_yticks([0, 25, 50, 75, 100])
    axes.set_xlabel("accuracy (%)")
    axes.set_ylabel("chips at or above it (%)")
    draw_legend(axes, series, layout, dashed=True) if len(series) > 1 else None


def _draw_steps(axes: Axes, state: State, one: Series, alpha: float) -> None:
    """All chips are at or above the worst one, none above the best one."""
    points = yield_curve(list(state.values.values()), one.result.metric)
    x = [at for at, _ in points]
    y = [100 * share for _, share in points]
    axes.step([x[0], *x, x[-1]], [100.0, *y, 0.0], where="pre", color=one.colour, linestyle=one.dashes, alpha=alpha)


def _name_ends(axes: Axes, one: Series) -> None:
    """The first and the last moment named at the top of their steps, between them where both names fit there."""
    states = one.result.states
    ends = {tagged(state.label, state.mark): min(state.values.values()) for state in (states[0], states[-1])}
    tops, (low, high) = sorted((top, label) for label, top in ends.items()), axes.get_xlim()
    inside = tops[-1][0] - tops[0][0] > _ROOM * (high - low)
    for (top, label), is_left in zip(tops, (True, False), strict=False):
        side, shift = ("left", 3) if is_left == inside else ("right", -3)
        annotate(axes, label, top, 100, LIGHT["ink"], (shift, 3 if inside else 7), ha=side, fontsize=8.5, va="bottom")
