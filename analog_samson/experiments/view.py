"""Everything that a rendering needs to know about an experiment: what was asked for and what has been measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from analog_samson.experiments.catalogue import Networks
from analog_samson.experiments.plan import Overrides
from analog_samson.experiments.results import CellResult
from analog_samson.experiments.schema import (
    BorrowedChoice,
    Experiment,
    GivenChoice,
    Method,
    Printed,
    Scale,
    Setting,
)
from analog_samson.experiments.tune import Choice
from analog_samson.presets.search import load_preset
from analog_samson.report.statistics import Summary
from analog_samson.report.validity import EXTRAPOLATED, validity_of
from analog_samson.units import parse_duration


@dataclass(frozen=True)
class View:
    """An experiment at one scale. planned: how many networks it has at that scale; results: the finished ones.

    choices: what tuning has chosen so far. step_times: by setting and method, the measured time of a training step over
    that of the cheapest; empty where it was not measured.
    """

    experiment: Experiment
    networks: Networks
    scale_name: str
    scale: Scale
    overrides: Overrides
    planned: int
    results: Sequence[CellResult]
    choices: Sequence[Choice] = ()
    step_times: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @cached_property
    def settings(self) -> list[Setting]:
        """The settings that have a result, in the order of the file."""
        found = {result.cell.setting.name for result in self.results}
        return [setting for setting in self.networks.settings if setting.name in found]

    @cached_property
    def methods(self) -> dict[str, Method]:
        return {method.name: method for method in self.networks.methods}

    def rows(self, setting: Setting) -> list[tuple[Method, list[CellResult]]]:
        """The methods that have results in a setting, with one result for each seed."""
        here = [result for result in self.results if result.cell.setting.name == setting.name]
        grouped = [(m, sorted(_of(m, here), key=lambda result: result.cell.seed)) for m in self.networks.methods]
        return [(method, found) for method, found in grouped if found]

    def paper(self, setting: Setting, method: str, metric: str) -> Printed | None:
        """What the paper printed for this setting, or for the one that stands beside it."""
        name = setting.beside or setting.name
        wanted = (name, method, metric)
        found = (n for n in self.experiment.printed if (n.setting, n.method, n.metric) == wanted)
        return next(found, None)

    def paper_title(self, setting: Setting) -> str:
        """Whose numbers stand beside a setting's."""
        names = {one.name: one.title for one in self.networks.own.settings}
        return names[setting.beside or setting.name]

    @property
    def digits(self) -> int:
        """Decimals of an accuracy, as the paper prints it: at least two."""
        printed = [len(f"{number.mean!r}".partition(".")[2]) for number in self.experiment.printed]
        return max([2, *printed])

    def notes(self) -> list[str]:
        """Sentences below the numbers: what they are, and in what they are not the experiment's."""
        source = self.experiment.source
        said = {
            "printed": f"The paper: {source.place}; {source.statistics}.",
            "figure": f"The paper: {source.place}, a figure, which prints no numbers to set beside these; "
            f"its caption: {source.statistics}.",
            "none": f"Not in the paper: {source.place}.",
        }
        notes = [said[source.numbers]]
        if len(self.results) < self.planned:
            notes.append(f"Incomplete: {len(self.results)} of {self.planned} networks are finished.")
        changed = self.overrides.notes()
        if changed:
            notes.append(f"Not the experiment as filed, a trial run: {'; '.join(changed)}.")
        notes += [self._choice(setting) for setting in self.settings]
        notes += self._extrapolated()
        return [*notes, " ".join(source.open_points.split())]

    @cached_property
    def extrapolated(self) -> list[str]:
        """Which of the times lie beyond what the source of the preset covers."""
        evaluation = self.scale.evaluation
        if evaluation is None:
            return []
        validity = validity_of(load_preset(evaluation.preset).model_dump())
        return [time for time in evaluation.times if validity.mark(parse_duration(time)) == EXTRAPOLATED]

    def _extrapolated(self) -> list[str]:
        evaluation, beyond = self.scale.evaluation, ", ".join(self.extrapolated)
        if evaluation is None or not beyond:
            return []
        return [f"Extrapolated, beyond the times that the source of {evaluation.preset} covers: {beyond}."]

    def _choice(self, setting: Setting) -> str:
        """Where the hyper-parameters of a setting come from."""
        match setting.chosen:
            case GivenChoice(source=source):
                return f"{setting.title}: hyper-parameters of {source}."
            case BorrowedChoice(setting=other):
                return f"{setting.title}: hyper-parameters as chosen for {other}, not tuned for this one."
        return f"{setting.title}: hyper-parameters chosen by score on held-out training images."


def options_text(options: Mapping[str, Any]) -> str:
    """Hyper-parameters as text.

    >>> options_text({"rho": 0.5, "clip": 0.2})
    'rho=0.5 clip=0.2'
    """
    return " ".join(f"{name}={value:g}" for name, value in options.items())


def spread(summary: Summary, digits: int) -> str:
    """Mean and standard deviation, or the mean alone where n = 1.

    >>> spread(Summary(mean=80.214, std=3.42, n=5, low=76.0, high=84.4), 2)
    '80.21 ± 3.42'
    """
    mean = f"{summary.mean:.{digits}f}"
    return mean if summary.std is None else f"{mean} ± {summary.std:.{digits}f}"


def _of(method: Method, results: Sequence[CellResult]) -> list[CellResult]:
    return [result for result in results if result.cell.method == method.name]
