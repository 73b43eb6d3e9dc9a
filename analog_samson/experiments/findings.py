"""Who is better than whom in a study, with what certainty, as tables and sentences."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

from analog_samson.experiments.conditions import Condition, after, at_sigma
from analog_samson.experiments.contrasts import Contrast, Pair, contrast, seeds_of, word
from analog_samson.experiments.plan import pairs
from analog_samson.experiments.results import CellResult, pool
from analog_samson.experiments.schema import Setting
from analog_samson.experiments.shown import StudyTable
from analog_samson.experiments.view import View
from analog_samson.report.grid import Block, Data, Grid
from analog_samson.report.statistics import Difference, points_interval
from analog_samson.report.wording import interval, signed

ORDER = "the paper's order, step by step"
SELECTIONS = "what is perturbed"
COLUMNS = (
    *("setting", "method", "minus", "condition", "adabs", "points", "family"),
    *("trainings", "trainings_low", "trainings_high"),
    *("chips", "chips_low", "chips_high", "verdict"),
)


def finding_blocks(view: View, shows: StudyTable, setting: Setting) -> list[Block]:
    """Tables of differences of a setting, each with the sentence that it comes to; nothing for missing methods."""
    grids = [
        _grid(f"{setting.title}: {title}", setting, contrasts) for title, contrasts in answers(view, shows, setting)
    ]
    return [*grids, *_sentences(view, shows, setting, _found(view, setting))]


def answers(view: View, shows: StudyTable, setting: Setting) -> list[tuple[str, list[Contrast]]]:
    """Every question about a setting with the differences that answer it; none of methods that are not finished."""
    found = _found(view, setting)
    questions = _questions(shows, _order(view, shows, setting), list(found))
    asked = ((title, contrast(view, found, wanted, judged(shows))) for title, wanted in questions)
    return [(title, contrasts) for title, contrasts in asked if contrasts]


def judged(shows: StudyTable) -> list[Condition]:
    """The conditions under which methods are compared."""
    return [after(shows.time, shows.adabs), at_sigma(shows.sigma, shows.adabs)]


def _found(view: View, setting: Setting) -> dict[str, list[CellResult]]:
    return {method.name: results for method, results in view.rows(setting)}


def _order(view: View, shows: StudyTable, setting: Setting) -> list[str]:
    """Of the paper's order the methods that the setting trains."""
    trained = [method.name for one, method in pairs(view.networks, view.scale) if one == setting]
    return [name for name in shows.order if name in trained]


def _questions(shows: StudyTable, order: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, list[Pair]]]:
    """Title and pairs of every table."""
    yield ORDER, [(better, worse) for worse, better in pairwise(order)]
    yield "against the baseline", [(name, shows.baseline) for name in names if name != shows.baseline]
    yield "against rivals", [(name, rival) for name, rivals in shows.rivals.items() for rival in rivals]
    yield SELECTIONS, _first_minus_others(shows.selections)
    yield "each ingredient, by leaving it out", _first_minus_others(shows.leave_out or ())


def _first_minus_others(names: Sequence[str]) -> list[Pair]:
    return [(names[0], other) for other in names[1:]]


def _grid(title: str, setting: Setting, contrasts: Sequence[Contrast]) -> Grid:
    family = contrasts[0].trainings.family
    rows = tuple(
        (
            f"{one.method.title} minus {one.minus.title}, {one.condition.title}",
            signed(one.trainings.mean, 2),
            interval(*points_interval(one.trainings), 2),
            str(one.trainings.n),
            interval(*points_interval(one.chips), 2),
            str(one.chips.n),
            one.verdict,
        )
        for one in contrasts
    )
    headers = ("comparison", "points", "over trainings", "trainings", "over chips", "chips", "verdict")
    data = Data(columns=COLUMNS, rows=tuple(_numbers(setting, one) for one in contrasts))
    title = f"{title} (95 %, {family} intervals of a kind at once)"
    return Grid(title=title, headers=headers, rows=rows, align="lrrrrrl", name="differences", data=data)


def _numbers(setting: Setting, one: Contrast) -> tuple[object, ...]:
    trainings, chips = _ends(one.trainings), _ends(one.chips)
    named = (setting.name, one.method.name, one.minus.name, one.condition.name, one.condition.adabs)
    found = (one.trainings.n, *trainings, one.chips.n, *chips)
    return (*named, round(one.trainings.mean, 4), one.trainings.family, *found, one.verdict)


def _ends(difference: Difference) -> tuple[float | None, float | None]:
    low, high = (end if end is None else round(end, 4) for end in (difference.low, difference.high))
    return low, high


def _sentences(view: View, shows: StudyTable, setting: Setting, found: dict[str, list[CellResult]]) -> Iterator[str]:
    fair = fair_seeds(found)
    for condition in judged(shows):
        means = {name: pool([condition.pick(result) for result in results]).mean for name, results in fair.items()}
        place = f"{setting.title}, {condition.title}"
        best = max(means, key=lambda name: means[name])
        seeds = ", ".join(str(seed) for seed in sorted({*chain(*map(seeds_of, fair.values()))}))
        yield f"{place}: highest is {_scored(view, best, means)} of {len(means)} methods, seeds {seeds}."
        order = _order(view, shows, setting)
        if len(order) > 1:
            yield f"{place}: {_order_words(view, shows, order, found, condition, means)}"
        groups = {"of what is perturbed": shows.selections, "with all ingredients or one fewer": shows.leave_out or ()}
        for words, names in groups.items():
            yield from _best_words(view, shows, names, found, condition, means, f"{place}: {words}")


def fair_seeds(found: dict[str, list[CellResult]]) -> dict[str, list[CellResult]]:
    """The seeds that all trained methods have, for means of unequal seeds are of unequal chips; all, if none is."""
    trained = [{*seeds_of(results)} for results in found.values() if results[0].cell.training]
    common = set.intersection(*trained) if trained else set()
    kept = {
        name: [one for one in results if one.cell.seed in common or not one.cell.training]
        for name, results in found.items()
    }
    return kept if all(kept.values()) else found


def _order_words(
    view: View,
    shows: StudyTable,
    order: Sequence[str],
    found: dict[str, list[CellResult]],
    condition: Condition,
    means: dict[str, float],
) -> str:
    """Whether the order of the paper is that of the means, and which steps of it are certain."""
    wanted = list(reversed(order))
    in_words = " >= ".join(view.methods[name].title for name in wanted)
    missing = [view.methods[name].title for name in wanted if name not in found]
    if missing:
        return f"the paper's order {in_words} cannot be judged yet, for {', '.join(missing)} is not finished."
    here = sorted(wanted, key=lambda name: (-means[name], wanted.index(name)))
    agrees = "is that of the means" if here == wanted else "is not that of the means"
    steps = list(pairwise(wanted))
    # the family is that of the table: every step under every condition
    every = contrast(view, found, steps, judged(shows))
    return (
        f"the paper's order {in_words} {agrees}: {', '.join(_scored(view, name, means) for name in here)}. "
        f"{_step_words([one for one in every if one.condition.title == condition.title])}"
    )


def _step_words(steps: Sequence[Contrast]) -> str:
    """How many steps of the order are certain, either way."""
    certain = [one for one in steps if one.trainings.seen]
    kinds = {
        "seen": [one for one in certain if one.trainings.mean > 0],
        "reversed": [one for one in certain if one.trainings.mean < 0],
    }
    open_steps = [one for one in steps if not one.trainings.seen]
    said = [f"{len(ones)} {kind} ({_names(ones)})" for kind, ones in kinds.items() if ones]
    if open_steps:
        fewest = min(one.trainings.n for one in open_steps)
        count = "one training" if fewest == 1 else f"{fewest} trainings"
        told = Counter(word(one.chips) for one in open_steps if one.chips.seen)
        alone = ", ".join(f"{word} in {told[word]}" for word in ("higher", "lower") if told[word])
        chips = f" (the chips of these networks alone: {alone})" if alone else ""
        said.append(f"{len(open_steps)} not decided with {count}{chips}")
    return f"Of its {len(steps)} steps: {', '.join(said)}."


def _names(contrasts: Sequence[Contrast]) -> str:
    return ", ".join(f"{one.method.title} over {one.minus.title}" for one in contrasts)


def _best_words(
    view: View,
    shows: StudyTable,
    names: Sequence[str],
    found: dict[str, list[CellResult]],
    condition: Condition,
    means: dict[str, float],
    place: str,
) -> Iterator[str]:
    """Which of some methods scores best, and the first of them minus each other; nothing until two are finished."""
    here = sorted((name for name in names if name in found), key=lambda name: -means[name])
    if len(here) > 1:
        every = contrast(view, found, _first_minus_others(names), judged(shows))
        verdicts = [
            f"{one.method.title} minus {one.minus.title}: {signed(one.trainings.mean, 2)} points, {one.verdict}"
            for one in every
            if one.condition.title == condition.title
        ]
        best = f"{place}, {_scored(view, here[0], means)} scores best"
        yield f"{'; '.join([best, *verdicts])}."


def _scored(view: View, name: str, means: dict[str, float]) -> str:
    return f"{view.methods[name].title} ({means[name]:.2f} %)"
