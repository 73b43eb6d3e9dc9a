"""Everything that a report says, in order: sentences and tables. Single tables by name."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from analog_samson.analysis.comparison import compare
from analog_samson.analysis.error_budget import ErrorBudget
from analog_samson.analysis.ranking import Study, study
from analog_samson.analysis.runs import Run
from analog_samson.analysis.summary import Result
from analog_samson.errors import OptionError, did_you_mean
from analog_samson.report.answer_tables import FEW_RESULTS, lifetime_grid, yield_grid
from analog_samson.report.explanation_tables import (
    confusion_grid,
    effects_grid,
    layers_grid,
    margins_grid,
    remedies_grid,
)
from analog_samson.report.grid import Block, Grid
from analog_samson.report.headline import headline, inaccurate, mostly_digital, unfinished, wasted_range
from analog_samson.report.sentences import (
    ahead_sentence,
    decisions_sentence,
    helps_sentence,
    hurts_sentence,
    intervals_sentence,
    lifetime_sentence,
    where_sentence,
    yield_sentence,
)
from analog_samson.report.study_tables import differences_grid, frontier_grid, ranks_grid
from analog_samson.report.tables import comparison_block, detail_grid, notes, overview_grid, sweep_grid
from analog_samson.report.wording import answer, marked, series_labels

TABLES = (
    *("accuracy", "details", "gaussian", "comparison", "differences", "ranks", "frontier", "lifetime", "yield"),
    *("hurts", "where", "helps", "margins", "confusion"),
)


def report_blocks(runs: Sequence[Run], threshold: float | None = None) -> list[Block]:
    """Everything that the text, Markdown and LaTeX reports say, in order; `threshold` [%] as in `lifetimes`."""
    results = [result for run in runs for result in run.results]
    seen = study(runs)
    said = headline(runs)
    blocks: list[Block] = [*unfinished(runs), *mostly_digital(runs), *wasted_range(runs)]
    blocks += [marked(said.plain, said.mark)] if said.plain else []
    if shows_study(seen):
        blocks += [*(ahead_sentence(seen, preset) for preset in seen.presets), intervals_sentence(seen)]
    else:
        blocks += [answer(result) for result in results]
    blocks += inaccurate(runs)
    if len(results) > 1:
        blocks.append(overview_grid(results))
    blocks += study_grids(seen) if shows_study(seen) else []
    blocks += [detail_grid(result) for result in results]
    blocks += [sweep_grid(results)] if any(result.sweep for result in results) else []
    blocks += [comparison_block(comparison, results) for comparison in compare(runs) if comparison.leading]
    blocks += answer_blocks(results, threshold)
    for run, budget in runs_with_budget(runs):
        blocks += error_budget_blocks(budget, run.name if len(runs_with_budget(runs)) > 1 else "")
    return [*blocks, *notes(runs)]


def pick_tables(runs: Sequence[Run], name: str, threshold: float | None = None) -> list[Grid]:
    """The tables of one kind; OptionError where it is unknown, or where these runs have no such table."""
    if name not in TABLES:
        raise OptionError(f"--table {name!r}: expected one of {', '.join(TABLES)}{did_you_mean(name, TABLES)}")
    found = [grid for grid in all_grids(runs, threshold) if grid.name == name]
    if not found:
        remedy = "; run `analog-samson simulate ... --error-budget`" if name in TABLES[-5:] else ""
        raise OptionError(f"--table {name}: these runs have no such table{remedy}")
    return found


def all_grids(runs: Sequence[Run], threshold: float | None = None) -> Iterator[Grid]:
    """Every table that these runs have, also those that a report of them leaves out for being plain."""
    results = [result for run in runs for result in run.results]
    yield overview_grid(results)
    yield from (detail_grid(result) for result in results)
    if any(result.sweep for result in results):
        yield sweep_grid(results)
    blocks = [comparison_block(comparison, results) for comparison in compare(runs)]
    yield from (block for block in blocks if isinstance(block, Grid))
    seen = study(runs)
    if len(seen.methods) > 1:
        yield from study_grids(seen)
    yield from (block for block in answer_blocks(results, threshold) if isinstance(block, Grid))
    for _, budget in runs_with_budget(runs):
        yield from (block for block in error_budget_blocks(budget) if isinstance(block, Grid))


def shows_study(seen: Study) -> bool:
    """Whether there are enough networks and presets for ranks and a frontier to say more than one difference does."""
    return len(seen.methods) > 2 or (len(seen.methods) > 1 and len(seen.presets) > 1)


def study_grids(seen: Study) -> list[Grid]:
    """Differences, ranks and frontier."""
    return [differences_grid(seen), ranks_grid(seen), frontier_grid(seen)]


def answer_blocks(results: Sequence[Result], threshold: float | None) -> list[Block]:
    """How long, and how many chips."""
    blocks: list[Block] = []
    for sentence, grid in (
        (lifetime_sentence, lifetime_grid(results, threshold)),
        (yield_sentence, yield_grid(results, threshold)),
    ):
        few = results if len(results) <= FEW_RESULTS else ()  # of more, the table says it better
        said = [(label, sentence(r, threshold)) for label, r in zip(series_labels(few), few, strict=True)]
        blocks += [f"{label}: {text}" if len(results) > 1 else text for label, text in said if text is not None]
        blocks += [grid] if grid is not None else []
    return blocks


def runs_with_budget(runs: Sequence[Run]) -> list[tuple[Run, ErrorBudget]]:
    """The runs with an error budget, those of single seeds one by one."""
    return [(part, part.error_budget) for run in runs for part in run.stored if part.error_budget is not None]


def error_budget_blocks(budget: ErrorBudget, name: str = "") -> list[Block]:
    """What hurts, where, what helps, and single decisions; `name` tells several runs apart."""
    blocks: list[Block] = [error_budget_note(budget), hurts_sentence(budget)]
    blocks += [effects_grid(budget)] if budget.effects else []
    if (said := where_sentence(budget)) is not None:
        blocks += [said, layers_grid(budget)]
    if (said := helps_sentence(budget)) is not None:
        blocks += [said, remedies_grid(budget)]
    if budget.outcomes is not None:
        blocks += [
            decisions_sentence(budget, budget.outcomes),
            margins_grid(budget, budget.outcomes),
            confusion_grid(budget, budget.outcomes),
        ]
    if not name:
        return blocks
    return [replace(b, title=f"{name}: {b.title}") if isinstance(b, Grid) else f"{name}: {b}" for b in blocks]


def error_budget_note(budget: ErrorBudget) -> str:
    """What the budget stands on, what is missing, and how to read its intervals."""
    chips = "one chip: no intervals" if budget.instances == 1 else f"n = {budget.instances} chips"
    text = f"Evaluated at {budget.label} on {budget.samples} images, {chips}, the same for variants with the "
    text += "same layers on tiles."
    if budget.instances > 1:
        text += " Each difference has its own 95 % interval (Student's t over chips): where nothing differs, about one "
        text += "in twenty is significant by chance."
    if budget.unfinished:
        text += f" Not finished: {budget.unfinished} evaluations are missing."
    return " ".join([text, *(f"Left out: {reason}." for reason in budget.skipped)])
