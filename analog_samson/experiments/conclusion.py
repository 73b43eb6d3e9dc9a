"""What a study comes to over all its settings, in a few sentences."""

from collections.abc import Iterator
from typing import NamedTuple

from analog_samson.experiments.findings import ORDER, SELECTIONS, Contrast, answers
from analog_samson.experiments.schema import Setting
from analog_samson.experiments.shown import StudyTable
from analog_samson.experiments.view import View
from analog_samson.report.wording import interval, signed


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
    """What is decided over trainings, how the paper's order fares, and what that means for the default selection.

    A question without finished trainings has no sentence.
    """
    found = [
        _Answer(setting, question, contrast)
        for setting in view.settings
        for question, contrasts in answers(view, shows, setting)
        for contrast in contrasts
    ]
    return [*_decided(found), *_order(view, shows, found), *_selection(view, shows, found)]


def _decided(found: list[_Answer]) -> Iterator[str]:
    """Every difference that its table decides; one that stands in two tables is told once."""
    unique = {
        (one.setting.name, one.contrast.method.name, one.contrast.minus.name, one.contrast.condition.title): one
        for one in sorted(found, key=lambda one: one.verdict != "open")
    }
    told = [_told(one) for one in unique.values() if one.verdict != "open"]
    if unique:
        said = "; ".join(told) if told else "none"
        yield f"Of {_count(len(unique), 'difference')} between methods, decided over trainings: {said}."


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
    return f"{_count(len(found), noun)}{what}, {seen} seen, {reverse} reversed, {still} not decided"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
