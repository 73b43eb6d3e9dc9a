"""The yield curve: which share of the chips is at least so accurate."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from analog_samson.report.digest import State
from analog_samson.report.drawing import Layout
from analog_samson.report.marks import Series, annotate, draw_legend
from analog_samson.report.palette import LIGHT
from analog_samson.report.yields import yield_curve

_FAINT = 0.45


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
    points = yield_curve(list(state.accuracies.values()))
    x = [at for at, _ in points]
    y = [100 * share for _, share in points]
    axes.step([x[0], *x, x[-1]], [100.0, *y, 0.0], where="pre", color=one.colour, linestyle=one.dashes, alpha=alpha)


def _name_ends(axes: Axes, one: Series) -> None:
    """The first and the last moment named at the top of their steps."""
    states = one.result.states
    ends = {state.label: state for state in (states[0], states[-1])}
    for place, state in enumerate(ends.values()):
        top = min(state.accuracies.values())
        side = {"ha": "right" if place else "left", "fontsize": 8.5, "va": "bottom"}
        annotate(axes, state.label, top, 100, LIGHT["ink"], (-3 if place else 3, 3), **side)
