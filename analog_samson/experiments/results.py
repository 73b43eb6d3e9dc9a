"""Measured values of the finished networks of an experiment, read from their folders. No torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from analog_samson.analysis.statistics import Summary, summarize
from analog_samson.experiments.catalogue import Networks
from analog_samson.experiments.jobs import CLEAN_FILE, RUN_FILE, VALUES_FILE
from analog_samson.experiments.plan import Cell, Overrides
from analog_samson.experiments.schema import (
    BorrowedChoice,
    Experiment,
    GivenChoice,
    Method,
    Printed,
    Scale,
    Setting,
)
from analog_samson.experiments.shown import Measure
from analog_samson.experiments.tune import Choice
from analog_samson.experiments.values import read_values
from analog_samson.presets.search import load_preset
from analog_samson.presets.validity import EXTRAPOLATED, validity_of
from analog_samson.results.parts import load_part
from analog_samson.results.records import Record
from analog_samson.units import parse_duration

ACCURACY = "accuracy_percent"
_Place = tuple[str, bool, float | None, float | None]


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """The values of one finished cell. clean: top1_percent and top5_percent; sharpness: by the file of its measure."""

    cell: Cell
    clean: dict[str, float]
    records: tuple[Record, ...]
    sharpness: Mapping[str, float]

    def digital(self) -> list[float]:
        """Top-1 accuracy without noise, one value."""
        return [self.clean["top1_percent"]]

    def at_sigma(self, sigma: float, adabs: bool) -> list[float]:
        """Accuracy of every chip at sigma_c."""
        return self._accuracies.get(("gaussian", adabs, None, sigma), [])

    def at_time(self, seconds: float, adabs: bool) -> list[float]:
        """Accuracy of every chip so long after programming."""
        return self._accuracies.get(("drift", adabs, seconds, None), [])

    @cached_property
    def _accuracies(self) -> dict[_Place, list[float]]:
        """By stage, AdaBS, time and sigma_c; in the order of the chips."""
        found: dict[_Place, list[float]] = {}
        for record in sorted(self.records, key=lambda record: record.instance):
            if record.metric == ACCURACY:
                place = (record.stage, record.adabs, record.time_seconds, record.sigma_c)
                found.setdefault(place, []).append(record.value)
        return found


def read_results(cells: Iterable[Cell], out: Path, measures: Sequence[Measure], with_noise: bool) -> list[CellResult]:
    """The results of those of `cells` that have everything the experiment shows, of the measures at least the first.

    Parts are taken as they are; `is_finished` is who checks them.
    """
    found = (_read(cell, out / cell.folder, measures, with_noise) for cell in cells)
    return [result for result in found if result is not None]


def pool(values: Sequence[Sequence[float]]) -> Summary:
    """Chips by training to one summary: over the chips of a single training, else over the trainings' means.

    Chips of one training share its weights, so with several trainings only these are independent.

    >>> pool([[80.0, 82.0]]).n, pool([[80.0, 82.0], [79.0, 81.0], [80.0, 80.0]]).mean
    (2, 80.33333333333333)
    """
    return summarize(values[0]) if len(values) == 1 else summarize([fmean(chips) for chips in values])


@dataclass(frozen=True, kw_only=True)
class ExperimentResults:
    """Everything that a rendering needs: what was asked for at one scale, and what has been measured.

    Args:
        planned: How many networks the experiment has at that scale.
        results: The finished networks.
        choices: The hyper-parameters chosen by tuning so far.
    """

    experiment: Experiment
    networks: Networks
    scale_name: str
    scale: Scale
    overrides: Overrides
    planned: int
    results: Sequence[CellResult]
    choices: Sequence[Choice] = ()

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
        return [time for time in evaluation.times if validity.coverage(parse_duration(time)) == EXTRAPOLATED]

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


def _read(cell: Cell, folder: Path, measures: Sequence[Measure], with_noise: bool) -> CellResult | None:
    clean = load_part(folder / CLEAN_FILE)
    simulated = load_part(folder / RUN_FILE) is not None and (folder / VALUES_FILE).is_file()
    if clean is None or (with_noise and not simulated):
        return None
    parts = {measure.file: load_part(folder / measure.file) for measure in measures}
    if measures and parts[measures[0].file] is None:
        return None
    return CellResult(
        cell=cell,
        clean=clean["values"],
        records=read_values(folder / VALUES_FILE, cell.folder) if with_noise else (),
        sharpness={file: part["values"]["value"] for file, part in parts.items() if part is not None},
    )
