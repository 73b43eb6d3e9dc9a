"""The figures of an experiment, one a setting. Colour is the method, dashes and marker what it is combined with.

Means with the standard deviation over chips, or over trainings where there are several (see `results.pool`).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analog_samson.analysis.statistics import Summary
from analog_samson.experiments.results import CellResult, ExperimentResults, pool
from analog_samson.experiments.schema import Method, Setting
from analog_samson.experiments.shown import Correlation, Measure, SigmaCurves, TimeBars
from analog_samson.experiments.tables import points_of
from analog_samson.report.artists import value_axis
from analog_samson.report.drawing import Drawing, Layout
from analog_samson.report.palette import DASHES, LIGHT, MARKERS, SERIES, series_role
from analog_samson.results.metric import ACCURACY
from analog_samson.units import parse_duration

_FAMILIES = ("plain", "clipping", "noise")
_HEIGHT = 1.35  # of the layout, for legends of up to eighteen entries
_BAR = 0.8
_FEW_BARS = 8  # names of more would run into each other if they were not steep
Points = Sequence[tuple[float, Summary]]


def result_figures(outcome: ExperimentResults) -> Mapping[str, Drawing]:
    """The figures that there are results for, by the name of their setting; none for tables."""
    shows = outcome.experiment.shows
    found: dict[str, Drawing] = {}
    for setting in outcome.settings:
        match shows:
            case SigmaCurves():
                draw: Any = partial(_draw_sigma, _curves(outcome, setting, shows.adabs), setting)
            case TimeBars():
                draw = partial(_draw_bars, _bars(outcome, setting, shows), setting, shows.time)
            case Correlation():
                draw = partial(_draw_scatter, points_of(outcome, shows, setting), setting, _lost(shows))
            case _:
                continue
        found[setting.name] = Drawing(draw=draw, height=_HEIGHT)
    return found


def _sharpness_label(measure: Measure) -> str:
    return f"sharpness ({measure.title})"


def _lost(shows: Correlation) -> tuple[str, str]:
    return _sharpness_label(shows.measure), "points lost between the ends of $\\sigma_c$"


def _curves(outcome: ExperimentResults, setting: Setting, adabs: bool) -> list[tuple[Method, Points]]:
    sigmas = outcome.scale.evaluation.sigmas if outcome.scale.evaluation else ()
    return [
        (method, [(sigma, pool([result.at_sigma(sigma, adabs) for result in results])) for sigma in sigmas])
        for method, results in outcome.rows(setting)
    ]


def _bars(outcome: ExperimentResults, setting: Setting, shows: TimeBars) -> list[tuple[Method, Summary, Summary]]:
    """Method, digital accuracy, accuracy at the time."""
    seconds = parse_duration(shows.time)

    def both(results: Sequence[CellResult]) -> tuple[Summary, Summary]:
        later = pool([result.at_time(seconds, shows.adabs) for result in results])
        return pool([result.digital() for result in results]), later

    return [(method, *both(results)) for method, results in outcome.rows(setting)]


def _draw_sigma(curves: Sequence[tuple[Method, Points]], setting: Setting, axes: Axes, layout: Layout) -> None:
    kins = _kins([method for method, _ in curves])
    for method, points in curves:
        x, means = [sigma for sigma, _ in points], [summary.mean for _, summary in points]
        stds = [summary.std or 0.0 for _, summary in points]
        axes.errorbar(x, means, yerr=stds, elinewidth=1, capsize=2, **_look(method, kins))
    axes.set_xlabel("$\\sigma_c$ of the generic Gaussian model")
    value_axis(axes, ACCURACY)
    axes.set_ylabel("test accuracy (%)")
    _finish(axes, setting, [method for method, _ in curves], kins, layout)


def _draw_bars(
    bars: Sequence[tuple[Method, Summary, Summary]], setting: Setting, time: str, axes: Axes, layout: Layout
) -> None:
    """A bar from zero would hide the differences: points with their spread, and dashes for the digital accuracy."""
    kins = _kins([method for method, *_ in bars])
    for place, (method, digital, later) in enumerate(bars):
        look = _look(method, kins)
        axes.errorbar([place], [later.mean], yerr=[later.std or 0.0], capsize=4, **look | {"linestyle": "none"})
        ends = [place - _BAR / 2, place + _BAR / 2]
        axes.plot(ends, [digital.mean] * 2, color=look["color"], linewidth=1, linestyle=(0, (2, 2)))
    steep = 20 if len(bars) <= _FEW_BARS else 40
    axes.set_xticks(range(len(bars)), [method.title for method, *_ in bars], rotation=steep, ha="right")
    axes.tick_params(axis="x", labelsize="small")
    axes.set_ylabel(f"test accuracy after {time} (%), dashes: digital")
    axes.set_title(setting.title, fontsize="medium", color=LIGHT["ink"])


def _draw_scatter(
    points: Sequence[tuple[Method, float, Summary]],
    setting: Setting,
    labels: tuple[str, str],
    axes: Axes,
    layout: Layout,
) -> None:
    """One point a network, with its spread; labels: of the axes; logarithmic where all sharpness is above 0."""
    kins = _kins([method for method, *_ in points])
    for method, sharpness, drop in points:
        look = _look(method, kins) | {"linestyle": "none"}
        axes.errorbar([sharpness], [drop.mean], yerr=[drop.std or 0.0], elinewidth=1, capsize=2, **look)
    if points and min(sharpness for _, sharpness, _ in points) > 0:
        axes.set_xscale("log")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    unique = list({method.name: method for method, *_ in points}.values())
    _finish(axes, setting, unique, kins, layout, lines=False)


def _kins(methods: Sequence[Method]) -> list[str]:
    return list(dict.fromkeys(method.kin for method in methods))


def _look(method: Method, kins: Sequence[str]) -> dict[str, Any]:
    """Kin beyond the last colour begin with the first again, and have markers of their own."""
    family, place = _FAMILIES.index(method.family), kins.index(method.kin)
    round_of_colours = place // len(SERIES)
    return {
        "color": LIGHT[series_role(place)],
        "linestyle": DASHES[(0, 1, 3)[family]],
        "marker": MARKERS[(family + len(_FAMILIES) * round_of_colours) % len(MARKERS)],
    }


def _finish(
    axes: Axes,
    setting: Setting,
    methods: Sequence[Method],
    kins: Sequence[str],
    layout: Layout,
    *,
    lines: bool = True,
) -> None:
    """Title, and a legend above the axes."""
    axes.set_title(setting.title, fontsize="medium", color=LIGHT["ink"])
    bare = {} if lines else {"linestyle": "none"}
    handles = [Line2D([], [], label=method.title, **_look(method, kins) | bare) for method in methods]
    figure = axes.get_figure(root=True)
    assert figure is not None
    columns = 1 if layout.narrow else min(len(handles), 3)
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, fontsize="small")
