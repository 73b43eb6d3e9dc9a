"""Does sharpness go with robustness? Correlations over the networks of an experiment, within each family and over all.

Within each family is how the paper looks at it; over all, combining a method with clipping or noise is an effect too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from analog_samson.experiments.conditions import Condition
from analog_samson.experiments.findings import fair_seeds
from analog_samson.experiments.results import CellResult
from analog_samson.experiments.schema import Method, Setting
from analog_samson.experiments.shown import Correlation, Measure, StudyTable
from analog_samson.experiments.view import View
from analog_samson.report.grid import Grid
from analog_samson.report.statistics import Summary, summarize
from analog_samson.report.wording import NONE, interval
from analog_samson.sharpness.correlation import METHOD_OF_INTERVAL, correlate
from analog_samson.sharpness.correlation import Correlation as Coefficient

OVER_ALL = "all"
_FAMILIES = ("plain", "clipping", "noise")
_DIGITS = 2
Point = tuple[Method, float, float]


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """Sharpness [nats; percent for keskar] and what it is held against, a point a network or a method of one group.

    group: one family, or all.
    """

    measure: Measure
    group: str
    first: tuple[float, ...]
    second: tuple[float, ...]

    def coefficients(self, family: int = 1) -> tuple[Coefficient, ...]:
        """All three, with intervals of which as many as `family` hold at once."""
        return correlate(self.first, self.second, family=family)

    def rank(self, family: int) -> Coefficient:
        """Spearman's alone."""
        (found,) = [one for one in self.coefficients(family) if one.kind == "Spearman"]
        return found


def drop_points(view: View, result: CellResult, adabs: bool) -> list[float]:
    """Robustness as the paper measures it: accuracy without noise minus that at the largest sigma_c, chip by chip."""
    sigmas = view.scale.evaluation.sigmas if view.scale.evaluation else ()
    quiet = result.at_sigma(min(sigmas), adabs)[0]
    return [quiet - accuracy for accuracy in result.at_sigma(max(sigmas), adabs)]


def points_of(view: View, shows: Correlation, setting: Setting) -> list[tuple[Method, float, Summary]]:
    """Each network's method, sharpness and points lost."""
    return [
        (method, result.sharpness[shows.measure.file], summarize(drop_points(view, result, shows.adabs)))
        for method, results in view.rows(setting)
        for result in results
    ]


def drop_coefficients(view: View, shows: Correlation, setting: Setting) -> Grid:
    """One point a network, as the paper has it."""
    points = [(method, sharpness, drop.mean) for method, sharpness, drop in points_of(view, shows, setting)]
    title = f"{setting.title}: correlation of sharpness with points lost, {METHOD_OF_INTERVAL}"
    return _grid(title, "networks", _scatters(shows.measure, points))


def measured(view: View, setting: Setting, measure: Measure) -> dict[str, list[CellResult]]:
    """The results of each method that have this sharpness."""
    found = {
        method.name: [result for result in results if measure.file in result.sharpness]
        for method, results in view.rows(setting)
    }
    return {name: results for name, results in found.items() if results}


def accuracy_scatters(view: View, shows: StudyTable, setting: Setting, condition: Condition) -> list[Scatter]:
    """Sharpness against accuracy for every measure, one point a method: its trainings are too much alike.

    A point is the mean over those seeds that all methods have, and over those of each method where there is none.
    """
    found = ((measure, fair_seeds(measured(view, setting, measure))) for measure in shows.measures)
    return [
        scatter
        for measure, methods in found
        for scatter in _scatters(
            measure,
            [
                (
                    view.methods[name],
                    fmean(result.sharpness[measure.file] for result in results),
                    fmean(fmean(condition.pick(result)) for result in results),
                )
                for name, results in methods.items()
            ],
        )
    ]


def accuracy_coefficients(
    view: View, shows: StudyTable, setting: Setting, conditions: Sequence[Condition]
) -> list[Grid]:
    """A table for each condition; none where no sharpness is measured."""
    every = [(condition, accuracy_scatters(view, shows, setting, condition)) for condition in conditions]
    what = f"{setting.title}: correlation of sharpness with accuracy"
    return [
        _grid(f"{what}, {condition.title}, {METHOD_OF_INTERVAL}, each alone", "methods", scatters, told=True)
        for condition, scatters in every
        if scatters
    ]


def _scatters(measure: Measure, points: Sequence[Point]) -> list[Scatter]:
    families = {name: [point for point in points if point[0].family == name] for name in _FAMILIES}
    groups: Mapping[str, Sequence[Point]] = {name: found for name, found in families.items() if found} | {
        OVER_ALL: points
    }
    return [
        Scatter(measure=measure, group=name, first=tuple(x for _, x, _ in found), second=tuple(y for _, _, y in found))
        for name, found in groups.items()
        if found
    ]


def _grid(title: str, what: str, scatters: Sequence[Scatter], *, told: bool = False) -> Grid:
    """told: with a column that says which sharpness it is."""
    rows = tuple(
        (
            *((one.measure.title,) if told else ()),
            one.group,
            *(_coefficient(found) for found in one.coefficients()),
            str(len(one.first)),
        )
        for one in scatters
    )
    headers = (*(("sharpness",) if told else ()), what, *(c.kind for c in correlate([0.0], [0.0])), "n")
    return Grid(title=title, headers=headers, rows=rows, align="l" * (1 + told) + "rrrr")


def _coefficient(one: Coefficient) -> str:
    if one.value is None:
        return NONE
    ends = interval(one.low, one.high, _DIGITS)
    return f"{one.value:.2f}" if ends == NONE else f"{one.value:.2f} {ends}"
