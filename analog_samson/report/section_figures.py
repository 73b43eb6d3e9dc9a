"""The figures of the sections. Drawing needs matplotlib, which is imported where something is drawn."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from analog_samson.report.contents import Contents
from analog_samson.report.error_budget_tables import RunBudget

if TYPE_CHECKING:
    from analog_samson.report.drawing import Drawing


def draw_over_time(report: Contents) -> "Drawing | None":
    """The metric over time."""
    from analog_samson.report.figures import over_time

    return over_time(report.results)


def draw_gaussian(report: Contents) -> "Drawing | None":
    """The metric over the strength of generic noise."""
    from analog_samson.report.figures import gaussian

    return gaussian(report.results)


def draw_difference_over_time(report: Contents) -> "Drawing | None":
    """Paired differences over time."""
    from analog_samson.report.figures import difference_over_time

    return difference_over_time(report.leading, report.results)


def study_drawing(kind: str) -> "Callable[[Contents], Drawing | None]":
    """A figure of several networks on several presets, by its name there."""

    def draw(report: Contents) -> "Drawing | None":
        from analog_samson.report.study_figures import study_figures

        return study_figures(report.study).get(kind)

    return draw


def draw_yield(report: Contents) -> "Drawing | None":
    """The share of chips over the metric."""
    from analog_samson.report.figures import chip_yield

    return chip_yield(report.results)


def budget_drawing(kind: str) -> "Callable[[Contents, RunBudget], Drawing | None]":
    """A figure of an error budget, by its name there."""

    def draw(report: Contents, budget: RunBudget) -> "Drawing | None":
        from analog_samson.report.explanation_figures import error_budget_figures

        return error_budget_figures(budget[1]).get(kind)

    return draw
