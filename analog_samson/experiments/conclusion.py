"""What a study comes to over all its settings, in a few sentences."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analog_samson.experiments.coefficients import Scatter, accuracy_scatters
from analog_samson.experiments.conditions import Condition
from analog_samson.experiments.contrasts import Contrast
from analog_samson.experiments.findings import ORDER, SELECTIONS, answers, judged
from analog_samson.experiments.schema import Setting
from analog_samson.experiments.shown import StudyTable
from analog_samson.experiments.view import View
from analog_samson.report.wording import interval, signed
from analog_samson.sharpness.correlation import FEWEST_FOR_INTERVAL, Correlation


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


def conclusions(view: View, shows: StudyTable) -> list[str]:
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
    return [*_decided(found), *_order(view, shows, found), *_selection(view, shows, found), *sharpness]


def _decided(found: list[_Answer]) -> Iterator[str]:
    """Every difference that its table decides, told once if it stands in two, and how many the pooled spread adds."""
    unique = {
        (one.setting.name, one.contrast.method.name, one.contrast.minus.name, one.contrast.condition.title): one
        for one in sorted(found, key=_certainty)  # of two tables the smaller may decide more
    }
    told = [_told(one) for one in unique.values() if one.verdict != "open"]
    if unique:
        said = "; ".join(told) if told else "none"
        yield f"Of {_count(len(unique), 'difference')} between methods, decided over trainings: {said}."
        pooled = Counter(one.setting.title for one in unique.values() if one.contrast.decided_when_pooled)
        if pooled:
            places = "; ".join(f"{count} of {title}" for title, count in pooled.items())
            yield (
                f"By pooled spread, which is right if the trainings of all methods of a kind spread alike, "
                f"{pooled.total()} more are decided: {places}. The tables say which."
            )


def _certainty(one: _Answer) -> int:
    return 2 if one.verdict != "open" else int(one.contrast.decided_when_pooled)


def _told(one: _Answer) -> str:
    trainings = one.contrast.trainings
    return (
        f"{one.contrast.method.title} minus {one.contrast.minus.title}, {one.setting.title}, "
        f"{one.contrast.condition.title}: {signed(trainings.mean, 2)} points "
        f"{interval(trainings.low, trainings.high, 2)}, {trainings.n} trainings"
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
