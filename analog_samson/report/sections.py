"""The sections of a page that answer questions: sentences, tables and the names of the pictures between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analog_samson.analysis.comparison import compare
from analog_samson.analysis.error_budget import ErrorBudget
from analog_samson.analysis.ranking import study
from analog_samson.analysis.runs import Run
from analog_samson.analysis.summary import Result
from analog_samson.report.answer_tables import FEW_RESULTS, lifetime_grid, yield_grid
from analog_samson.report.blocks import error_budget_note, runs_with_budget, shows_study
from analog_samson.report.explanation_tables import (
    confusion_grid,
    effects_grid,
    layers_grid,
    margins_grid,
    remedies_grid,
)
from analog_samson.report.grid import Block, Grid
from analog_samson.report.pictures import Picture
from analog_samson.report.sentences import (
    decisions_sentence,
    helps_sentence,
    hurts_sentence,
    intervals_sentence,
    lifetime_sentence,
    where_sentence,
    yield_sentence,
)
from analog_samson.report.study_tables import differences_grid, frontier_grid, ranks_grid
from analog_samson.report.tables import comparison_block
from analog_samson.report.wording import series_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """What the page says of several networks. comparisons: tables over time, or why there is none.

    tables: differences and ranks at the last time, and frontier, the table of its own section; empty where they would
    say no more than the tables over time.
    """

    sentences: tuple[str, ...]
    comparisons: tuple[Block, ...]
    tables: tuple[Grid, ...]
    frontier: Grid | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """How long, and how many chips: sentences and a table each, None where nothing was measured for it."""

    lifetime_sentences: tuple[str, ...]
    lifetime: Grid | None
    chips_sentences: tuple[str, ...]
    chips: Grid | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetAnswers:
    """The answers of one error budget; `pictures` gives for each kind the name of its picture, if there is one."""

    name: str
    note: str
    hurts: str
    effects: Grid | None
    where: str
    layers: Grid | None
    helps: str
    remedies: Grid | None
    decisions: str
    margins: Grid | None
    confusion: Grid | None
    pictures: Mapping[str, str]


def study_view(runs: Sequence[Run]) -> StudyView:
    """The comparison section of these runs."""
    results = [result for run in runs for result in run.results]
    comparisons = compare(runs)
    seen = study(runs, comparisons)
    blocks = tuple(comparison_block(comparison, results) for comparison in comparisons if comparison.leading)
    several = len(seen.methods) > 1 and bool(seen.differences)
    wide = shows_study(seen) and bool(seen.entries)
    return StudyView(
        sentences=(intervals_sentence(seen),) if several else (),
        comparisons=blocks,
        tables=(differences_grid(seen), ranks_grid(seen)) if wide else (),
        frontier=frontier_grid(seen) if len(seen.methods) > 1 and seen.entries else None,
    )


def answers(results: Sequence[Result], threshold: float | None) -> Answers:
    """How long each network lasts and how many of its chips are good enough."""
    few = results if len(results) <= FEW_RESULTS else ()  # of more, the table says it better
    labels = series_labels(few)
    spread = any(len(result.states[-1].values) > 1 for result in results if result.states)
    return Answers(
        lifetime_sentences=_labelled(labels, [lifetime_sentence(result, threshold) for result in few]),
        lifetime=lifetime_grid(results, threshold),
        chips_sentences=_labelled(labels, [yield_sentence(result, threshold) for result in few]),
        chips=yield_grid(results, threshold) if spread else None,
    )


def budgets(runs: Sequence[Run], drawn: Mapping[str, Picture]) -> list[BudgetAnswers]:
    """The error budgets, one after the other."""
    found = runs_with_budget(runs)
    return [
        _answers_of_budget(budget, run.name if len(found) > 1 else "", f"-{place + 1}" if place else "", drawn)
        for place, (run, budget) in enumerate(found)
    ]


def _answers_of_budget(budget: ErrorBudget, name: str, ending: str, drawn: Mapping[str, Picture]) -> BudgetAnswers:
    outcomes = budget.outcomes
    kinds = ("hurts", "where", "helps", "margins", "confusion")
    return BudgetAnswers(
        name=name,
        note=error_budget_note(budget),
        hurts=hurts_sentence(budget),
        effects=effects_grid(budget) if budget.effects else None,
        where=where_sentence(budget) or "",
        layers=layers_grid(budget) if budget.layers else None,
        helps=helps_sentence(budget) or "",
        remedies=remedies_grid(budget) if budget.remedies else None,
        decisions="" if outcomes is None else decisions_sentence(budget, outcomes),
        margins=None if outcomes is None else margins_grid(budget, outcomes),
        confusion=None if outcomes is None else confusion_grid(budget, outcomes),
        pictures={kind: f"{kind}{ending}" for kind in kinds if f"{kind}{ending}" in drawn},
    )


def _labelled(labels: Sequence[str], sentences: Sequence[str | None]) -> tuple[str, ...]:
    said = [(label, text) for label, text in zip(labels, sentences, strict=True) if text is not None]
    return tuple(f"{label}: {text}" if len(labels) > 1 else text for label, text in said)
