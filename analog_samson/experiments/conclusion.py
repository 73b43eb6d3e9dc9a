"""What a study comes to over all its settings: a few sentences, and what is decided as a table."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analog_samson.experiments.coefficients import Scatter, accuracy_scatters
from analog_samson.experiments.conditions import Condition, digital
from analog_samson.experiments.contrasts import Contrast
from analog_samson.experiments.findings import ORDER, SELECTIONS, answers, judged
from analog_samson.experiments.results import CellResult, pool
from analog_samson.experiments.schema import Setting
from analog_samson.experiments.shown import StudyTable
from analog_samson.experiments.view import View, spread
from analog_samson.report.grid import Block, Grid
from analog_samson.report.wording import NONE, interval, signed
from analog_samson.sharpness.correlation import FEWEST_FOR_INTERVAL, Correlation

_DIGITS = 2
_DECIDED = ("setting", "comparison", "points", "interval", "trainings", "verdict")


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
    """What is decided over trainings, how the paper's order fares, the default selection, and what sharpness tells.

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
    """A few methods beside each other in every setting that has two of them; nothing where no methods are named."""
    conditions = [digital(), *judged(shows)]
    rows = []
    for setting in view.settings:
        found = {method.name: results for method, results in view.rows(setting)}
        here = [name for name in shows.headline or () if name in found]
        if len(here) > 1:
            rows += [
                (
                    setting.title,
                    one.title,
                    *(_scored(one, found[name]) if name in here else NONE for name in shows.headline or ()),
                )
                for one in conditions
            ]
    if rows:
        headers = ("setting", "condition", *(view.methods[name].title for name in shows.headline or ()))
        title = "accuracy [%], mean and spread over trainings (in brackets how many; of one, over its chips)"
        yield Grid(title=title, headers=headers, rows=tuple(rows), align="ll" + "r" * (len(headers) - 2))


def _scored(condition: Condition, results: Sequence[CellResult]) -> str:
    return f"{spread(pool([condition.pick(result) for result in results]), _DIGITS)} ({len(results)})"


def _decided(found: list[_Answer]) -> Iterator[Block]:
    """Every difference that its table decides, told once if it stands in two, and what the pooled spread adds."""
    unique = {
        (one.setting.name, one.contrast.method.name, one.contrast.minus.name, one.contrast.condition.title): one
        for one in sorted(found, key=_certainty)  # of two tables the smaller may decide more
    }
    over = [one for one in unique.values() if one.verdict != "open"]
    pooled = [one for one in unique.values() if one.contrast.decided_when_pooled]
    if unique:
        yield (
            f"Of {_count(len(unique), 'difference')} between methods, {len(over)} decided over trainings, "
            f"{len(pooled)} more by pooled spread, which is right if all trainings of a kind of method spread alike."
        )
    if over or pooled:
        places = [one.setting.name for one in found]
        told = sorted([*over, *pooled], key=lambda one: places.index(one.setting.name))
        yield Grid(title="what is decided", headers=_DECIDED, rows=tuple(map(_decided_row, told)), align="llrrrl")


def _decided_row(one: _Answer) -> tuple[str, ...]:
    contrast = one.contrast
    how = contrast.pooled if contrast.decided_when_pooled and contrast.pooled else contrast.trainings
    return (
        one.setting.title,
        f"{contrast.method.title} minus {contrast.minus.title}, {contrast.condition.title}",
        signed(how.mean, _DIGITS),
        interval(how.low, how.high, _DIGITS),
        str(how.n),
        contrast.verdict,
    )


def _certainty(one: _Answer) -> int:
    return 2 if one.verdict != "open" else int(one.contrast.decided_when_pooled)


def _told(one: _Answer) -> str:
    trainings = one.contrast.trainings
    return (
        f"{one.contrast.method.title} minus {one.contrast.minus.title}, {one.setting.title}, "
        f"{one.contrast.condition.title}: {signed(trainings.mean, _DIGITS)} points "
        f"{interval(trainings.low, trainings.high, _DIGITS)}, {trainings.n} trainings"
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
    pooled = [one.contrast.trainings.mean > 0 for one in found if one.contrast.decided_when_pooled]
    more = f" (by pooled spread {pooled.count(True)} seen, {pooled.count(False)} reversed)" if pooled else ""
    return f"{_count(len(found), noun)}{what}, {seen} seen, {reverse} reversed, {still} not decided{more}"


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
    lower = [_rank_words(*one) for one in found if one[2].high is not None and one[2].high < 0]
    higher = [_rank_words(*one) for one in found if one[2].low is not None and one[2].low > 0]
    return (
        f"Does sharpness tell the accuracy, {condition.title}? Of {_count(len(found), 'rank correlation')} (a measure "
        f"over the methods of a kind or over all of a setting, intervals that hold at once), {len(lower)} certain that "
        f"sharper is worse{_listed(lower)}, {len(higher)} that it is better{_listed(higher)}, "
        f"{len(found) - len(lower) - len(higher)} not decided."
    )


def _rank_words(setting: Setting, scatter: Scatter, found: Correlation) -> str:
    return (
        f"{scatter.measure.title} over {scatter.group}, {setting.title}: {found.value:.2f} "
        f"{interval(found.low, found.high, 2)}"
    )


def _listed(items: Sequence[str]) -> str:
    return f" ({'; '.join(items)})" if items else ""


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
