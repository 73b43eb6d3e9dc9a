"""The pictures of a page: drawing, caption, words for those who do not see it, and the data behind it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analog_samson.analysis.comparison import compare
from analog_samson.analysis.error_budget import ErrorBudget
from analog_samson.analysis.ranking import Study, study
from analog_samson.analysis.runs import Run
from analog_samson.analysis.summary import Result
from analog_samson.report import captions, study_captions
from analog_samson.report.blocks import runs_with_budget
from analog_samson.report.data import state_data, step_data, sweep_data
from analog_samson.report.drawing import Drawing
from analog_samson.report.explanation_captions import error_budget_words
from analog_samson.report.explanation_figures import error_budget_figures
from analog_samson.report.explanation_tables import (
    confusion_grid,
    effects_grid,
    layers_grid,
    margins_grid,
    remedies_grid,
)
from analog_samson.report.figures import by_preset, figures
from analog_samson.report.grid import Data
from analog_samson.report.marks import make_series
from analog_samson.report.study_figures import study_figures
from analog_samson.report.study_tables import differences_grid, frontier_grid
from analog_samson.report.wording import series_labels
from analog_samson.report.yield_figure import draw_yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing with everything that belongs to it."""

    drawing: Drawing
    caption: str
    alternative: str
    data: Data


def pictures(runs: Sequence[Run]) -> dict[str, Picture]:
    """The pictures that these runs have data for, by file name, in the order of the page."""
    results = [result for run in runs for result in run.results]
    found = dict(_core(runs, results))
    found |= dict(_of_study(study(runs)))
    found |= dict(_of_chips(results))
    for place, (run, budget) in enumerate(runs_with_budget(runs)):
        ending = f"-{place + 1}" if place else ""
        named = run.name if len(runs_with_budget(runs)) > 1 else ""
        found |= {f"{name}{ending}": picture for name, picture in _of_budget(budget, named)}
    return found


def _core(runs: Sequence[Run], results: Sequence[Result]) -> Iterator[tuple[str, Picture]]:
    comparisons = [comparison for comparison in compare(runs) if comparison.leading]
    labels = dict(zip(map(id, results), series_labels(results), strict=True))
    words = {
        "accuracy_over_time": (
            captions.over_time_caption(runs),
            captions.over_time_alternative(results),
            state_data(results),
        ),
        "gaussian_equivalent": (
            captions.gaussian_caption(runs),
            captions.gaussian_alternative(results),
            sweep_data(results),
        ),
        "difference_over_time": (
            captions.differences_caption(comparisons),
            captions.differences_alternative(comparisons, labels),
            step_data(comparisons),
        ),
    }
    for name, drawing in figures(runs).items():
        caption, alternative, data = words[name]
        yield name, Picture(drawing=drawing, caption=caption, alternative=alternative, data=data)


def _of_study(seen: Study) -> Iterator[tuple[str, Picture]]:
    words: Mapping[str, tuple[str, str, Data]] = {
        "differences": (
            study_captions.differences_caption(seen),
            study_captions.differences_alternative(seen),
            differences_grid(seen).data or _NOTHING,
        ),
        "frontier": (
            study_captions.frontier_caption(seen),
            study_captions.frontier_alternative(seen),
            frontier_grid(seen).data or _NOTHING,
        ),
        "heat_map": (
            study_captions.heat_map_caption(),
            study_captions.heat_map_alternative(seen),
            frontier_grid(seen).data or _NOTHING,
        ),
    }
    for name, drawing in study_figures(seen).items():
        caption, alternative, data = words[name]
        yield name, Picture(drawing=drawing, caption=caption, alternative=alternative, data=data)


def _of_chips(results: Sequence[Result]) -> Iterator[tuple[str, Picture]]:
    """The yield curve; one chip has none."""
    series = [one for one in make_series(results) if one.result.states]
    if any(len(one.result.states[-1].values) > 1 for one in series):
        drawn = [one.result for one in series]
        yield (
            "yield",
            Picture(
                drawing=by_preset(series, draw_yield),
                caption=study_captions.yield_caption(drawn),
                alternative=study_captions.yield_alternative(drawn),
                data=study_captions.yield_data(drawn),
            ),
        )


def _of_budget(budget: ErrorBudget, name: str) -> Iterator[tuple[str, Picture]]:
    grids = {"hurts": effects_grid, "where": layers_grid, "helps": remedies_grid}
    for kind, drawing in error_budget_figures(budget).items():
        if kind in grids:
            grid = grids[kind](budget)
        else:
            assert budget.outcomes is not None
            made = margins_grid if kind == "margins" else confusion_grid
            grid = made(budget, budget.outcomes)
        caption, alternative = error_budget_words(kind, budget)
        if name:
            caption, alternative = f"{name}: {caption}", f"{name}: {alternative}"
        yield kind, Picture(drawing=drawing, caption=caption, alternative=alternative, data=grid.data or _NOTHING)


_NOTHING = Data(columns=(), rows=())
