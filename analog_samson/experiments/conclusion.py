"""What a study comes to over all its settings: a few sentences, and what is decided as a table."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analog_samson.experiments.coefficients import OVER_ALL, Scatter, accuracy_scatters
from analog_samson.experiments.conditions import Condition, at_sigma, digital
from analog_samson.experiments.contrasts import Contrast, word
from analog_samson.experiments.findings import ORDER, SELECTIONS, answers, fair_seeds, judged
from analog_samson.experiments.results import CellResult, pool
from analog_samson.experiments.schema import Setting
from analog_samson.experiments.shown import StudyTable
from analog_samson.experiments.view import View, spread
from analog_samson.report.grid import Block, Grid
from analog_samson.report.statistics import points_interval
from analog_samson.report.wording import interval, signed
from analog_samson.sharpness.correlation import FEWEST_FOR_INTERVAL, Correlation

_DIGITS = 2
_DECIDED = ("setting", "comparison", "points", "interval", "is", "trainings", "intervals at once")


class _Answer(NamedTuple):
    setting: Setting
    question: str
    contrast: Contrast

    @property
    def verdict(self) -> str:
        trainings = self.contrast.trainings
        if not trainings.seen:
            return "open"
        return "better" if trainings.mean > 0 else "worse"


def conclusions(view: View, shows: StudyTable) -> list[Block]:
    """The main methods, the paper's order, the default selection, what sharpness tells, and all that is decided.

    A question without finished trainings has no sentence.
    """
    found = [
        _Answer(setting, question, contrast)
        for setting in view.settings
        for question, contrasts in answers(view, shows, setting)
        for contrast in contrasts
    ]
    sharpness = _sharpness(view, shows)
    sentences = [*_order(view, shows, found), *_selection(view, shows, found), *sharpness]
    return [*_headline(view, shows), *sentences, *_decided(found)]


def _headline(view: View, shows: StudyTable) -> Iterator[Grid]:
    """A few methods of every setting on the seeds that all of them have; nothing where no methods are named."""
    sigmas = view.scale.evaluation.sigmas if view.scale.evaluation else ()
    conditions = [digital(), at_sigma(min(sigmas), adabs=False), *judged(shows)]
    rows = [
        (setting.title, view.methods[name].title, *_scores(conditions, results))
        for setting in view.settings
        for name, results in _beside(view, shows, setting).items()
    ]
    if rows:
        titles = (f"{one.title} (extrapolated)" if one.name in view.extrapolated else one.title for one in conditions)
        headers = ("setting", "method", *titles, "n")
        seen = "with the seeds that all of them have; digital on all test images, all else on those that the chips see"
        title = f"accuracy [%] of the main methods, {seen}"
        yield Grid(title=title, headers=headers, rows=tuple(rows), align="ll" + "r" * len(conditions) + "l")


def _beside(view: View, shows: StudyTable, setting: Setting) -> dict[str, list[CellResult]]:
    """The methods of the headline that a setting has; none if it is a single one."""
    found = {method.name: results for method, results in view.rows(setting) if method.name in (shows.headline or ())}
    return fair_seeds(found) if len(found) > 1 else {}


def _scores(conditions: Sequence[Condition], results: Sequence[CellResult]) -> Iterator[str]:
    """Accuracy under each condition; last what the spread is over."""
    chips = [[one.pick(result) for result in results] for one in conditions]
    yield from (spread(pool(values), _DIGITS) for values in chips)
    if len(results) > 1:
        yield f"{len(results)} trainings"
    else:
        alone = "one training" if results[0].cell.training else "untrained"
        yield f"{alone}, {len(chips[-1][0])} chips of seed {results[0].cell.seed}"


def _decided(found: list[_Answer]) -> Iterator[Block]:
    """Every difference that its table decides, told once if it stands in two."""
    unique = {
        (one.setting.name, one.contrast.method.name, one.contrast.minus.name, one.contrast.condition.title): one
        for one in sorted(found, key=_certainty)
    }
    over = [one for one in unique.values() if one.verdict != "open"]
    if unique:
        yield (
            f"Of {_count(len(unique), 'difference')} between methods, {len(over)} decided over trainings. The "
            "intervals of one table hold at once, not those of all."
        )
    places = [one.setting.name for one in found]
    told = sorted(over, key=lambda one: places.index(one.setting.name))
    if told:
        yield Grid(
            title="decided over trainings", headers=_DECIDED, rows=tuple(map(_decided_row, told)), align="llrrrrr"
        )


def _decided_row(one: _Answer) -> tuple[str, ...]:
    contrast, how = one.contrast, one.contrast.trainings
    return (
        one.setting.title,
        f"{contrast.method.title} minus {contrast.minus.title}, {contrast.condition.title}",
        signed(how.mean, _DIGITS),
        interval(*points_interval(how), _DIGITS),
        word(how),
        str(how.n),
        str(how.family),
    )


def _certainty(one: _Answer) -> tuple[int, int]:
    """The more certain and, of equally certain ones, that of fewer intervals at once counts more."""
    return int(one.verdict != "open"), -one.contrast.trainings.family


def _told(one: _Answer) -> str:
    trainings = one.contrast.trainings
    return (
        f"{one.contrast.method.title} minus {one.contrast.minus.title}, {one.setting.title}, "
        f"{one.contrast.condition.title}: {signed(trainings.mean, _DIGITS)} points "
        f"{interval(*points_interval(trainings), _DIGITS)}, {trainings.n} trainings"
    )


def _order(view: View, shows: StudyTable, found: list[_Answer]) -> Iterator[str]:
    steps = [one for one in found if one.question == ORDER]
    if steps:
        titles = " >= ".join(view.methods[name].title for name in reversed(shows.order))
        yield f"The paper's order, {titles}: of {_tally(steps, 'step')}."


def _selection(view: View, shows: StudyTable, found: list[_Answer]) -> Iterator[str]:
    """The first of the selections is the default; a difference is the default minus another."""
    asked = [one for one in found if one.question == SELECTIONS]
    if not asked:
        return
    first = view.methods[shows.selections[0]].title
    lost = [_told(one) for one in asked if one.verdict == "worse"]
    reason = (
        f"although another scored better ({'; '.join(lost)})"
        if lost
        else "for no other is decided to score better, and it alone climbs on nothing but weights that sit on a chip"
    )
    yield (
        f"What is perturbed: {first} stands for `{asked[0].setting.selection}`, the default, which it stays, {reason}. "
        f"Of {_tally(asked, 'difference', ' between it and the others')}."
    )


def _tally(found: list[_Answer], noun: str, what: str = "") -> str:
    """How many are certain, either way."""
    verdicts = [one.verdict for one in found]
    seen, reverse, still = (verdicts.count(word) for word in ("better", "worse", "open"))
    return f"{_count(len(found), noun)}{what}, {seen} seen, {reverse} reversed, {still} not decided"


def _sharpness(view: View, shows: StudyTable) -> Iterator[str]:
    """For every condition, which rank correlations of sharpness with accuracy are certain, all settings together."""
    for condition in judged(shows):
        scatters = [
            (setting, scatter)
            for setting in view.settings
            for scatter in accuracy_scatters(view, shows, setting, condition)
        ]
        known = [pair for pair in scatters if len(pair[1].first) >= FEWEST_FOR_INTERVAL]
        if known:
            yield _predicts(condition, known)


def _predicts(condition: Condition, scatters: Sequence[tuple[Setting, Scatter]]) -> str:
    """Spearman's, for what is asked is whether the sharper network is the worse one."""
    found = [(setting, one, one.rank(family=len(scatters))) for setting, one in scatters]
    overall = {(setting.name, one.measure): rank for setting, one, rank in found if one.group == OVER_ALL}
    told: dict[str, list[str]] = {"worse": [], "better": []}
    for setting, one, rank in found:
        if rank.low is not None and rank.high is not None and rank.low * rank.high > 0:
            told["worse" if rank.high < 0 else "better"].append(
                _rank_words(setting, one, rank, overall[setting.name, one.measure])
            )
    said = ", ".join(f"{len(ones)} certain that sharper is {what}{_listed(ones)}" for what, ones in told.items())
    still = len(found) - len(told["worse"]) - len(told["better"])
    return (
        f"Does sharpness tell the accuracy, {condition.title}? Of {_count(len(found), 'rank correlation')} (a measure "
        f"over the methods of a kind, or over all, of a setting; intervals that hold at once if the methods were drawn "
        f"independently), {said}, {still} not decided."
    )


def _rank_words(setting: Setting, scatter: Scatter, rank: Correlation, overall: Correlation) -> str:
    """A coefficient that is certain, and beside that of one kind of methods the one over all of them."""
    ends = interval(rank.low, rank.high, _DIGITS)
    words = f"{scatter.measure.title} over {scatter.group}, {setting.title}: {rank.value:.2f} {ends}, {rank.n} methods"
    return words if scatter.group == OVER_ALL else f"{words}, over all {overall.n} {overall.value:.2f}"


def _listed(items: Sequence[str]) -> str:
    return f" ({'; '.join(items)})" if items else ""


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
