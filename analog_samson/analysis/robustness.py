"""How robust a checkpoint is, read from the run folders of its simulations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analog_samson.analysis.labels import calibration_title, plain_first
from analog_samson.errors import RunError, list_faults
from analog_samson.results.condition import UNCALIBRATED
from analog_samson.results.metric import ACCURACY, Metric, stored_metrics
from analog_samson.results.records import Record
from analog_samson.results.store import RunFolder, open_run
from analog_samson.units import SECONDS

SIGMA_C = 0.4  # robustness is how much worse the metric gets from sigma_c = 0 to here
_YEAR = float(SECONDS["y"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A checkpoint as a study names it: its label in tables, the label that `simulate` gives it, and its sha256."""

    label: str
    run_label: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """What runs say of each checkpoint.

    Attributes:
        values: By checkpoint label, then by measure, such as "accuracy lost at sigma_c 0.4 [points]" and "accuracy
            after 1y on PRESET [%]", followed by the calibration, if there is one; means over instances.
        notes: What a reader has to know.
    """

    values: dict[str, dict[str, float]]
    notes: tuple[str, ...]

    @property
    def measures(self) -> list[str]:
        """Every measure that some checkpoint has."""
        return sorted({measure for found in self.values.values() for measure in found})


def read_robustness(paths: Sequence[Path | str], subjects: Sequence[Subject]) -> Robustness:
    """Give every run to the checkpoint with the sha256 that it stored, else to the one of its label.

    Raises RunError for runs that belong to none of the checkpoints, hold nothing of use, or repeat a measure.
    """
    values: dict[str, dict[str, float]] = {subject.label: {} for subject in subjects}
    faults: list[str] = []
    notes: list[str] = []
    made: list[dict[str, str]] = []
    for path in paths:
        with open_run(path) as run:
            owner, note = _owner(run, subjects)
            found = robustness_of(run.records(), stored_metrics(run.meta("task"))[0])
            made.append(_circumstances(run))
        notes += [note] if note else []
        faults += _faults(path, owner, found, values, subjects)
        if owner is not None:
            values[owner] |= found
    if faults:
        raise RunError(list_faults("robustness", faults))
    return Robustness(values=values, notes=(*notes, *_unequal(made), *_missing(values)))


def _faults(
    path: Path | str,
    owner: str | None,
    found: Mapping[str, float],
    values: Mapping[str, Mapping[str, float]],
    subjects: Sequence[Subject],
) -> list[str]:
    if owner is None:
        return [f"{path}: is of none of the checkpoints ({', '.join(subject.label for subject in subjects)})"]
    if not found:
        return [f"{path}: holds neither sigma_c = 0 and {SIGMA_C:g} nor one year; simulate with those"]
    return [f"{path}: {owner} has {measure!r} from another run" for measure in found if measure in values[owner]]


def robustness_of(records: Sequence[Record], metric: Metric = ACCURACY) -> dict[str, float]:
    """The measures of one run: means over instances; what was not simulated is left out.

    >>> cell = {"checkpoint": "net", "preset": "ideal", "stage": "gaussian", "calibration": "none"}
    >>> found = [(0.0, 0, 90.0), (0.4, 0, 70.0), (0.4, 1, 76.0)]
    >>> cell |= {"time_seconds": None, "metric": "accuracy_percent"}
    >>> robustness_of([Record(**cell, sigma_c=sigma, instance=i, value=value) for sigma, i, value in found])
    {'accuracy lost at sigma_c 0.4 [points]': 17.0}
    """
    measured = [record for record in records if record.metric == metric.name]
    lost = f"{metric.title} {'lost' if metric.higher_is_better else 'gained'} at sigma_c {SIGMA_C:g}"
    lost += _unit(metric.difference_unit or metric.unit)
    measures: dict[str, float] = {}
    for calibration in sorted({record.calibration for record in measured}, key=plain_first):
        same = [record for record in measured if record.calibration == calibration]
        ending = "" if calibration == UNCALIBRATED else f", {calibration_title(calibration)}"
        clean, noisy = (_mean([r for r in same if r.stage == "gaussian" and r.sigma_c == s]) for s in (0.0, SIGMA_C))
        if clean is not None and noisy is not None:
            measures[f"{lost}{ending}"] = metric.worse_by(noisy, clean)
        for preset in sorted({record.preset for record in same if record.stage == "drift"}):
            late = _mean([r for r in same if r.stage == "drift" and r.preset == preset and r.time_seconds == _YEAR])
            if late is not None:
                measures[f"{metric.title} after 1y on {preset}{_unit(metric.unit)}{ending}"] = late
    return measures


def _unit(unit: str) -> str:
    return f" [{unit}]" if unit else ""


def _mean(records: Sequence[Record]) -> float | None:
    return float(np.mean([record.value for record in records])) if records else None


def _owner(run: RunFolder, subjects: Sequence[Subject]) -> tuple[str | None, str]:
    """The label of the checkpoint that a run is of, and a note where the file is not the same."""
    stored = (run.meta("checkpoint") or {}).get("sha256")
    for subject in subjects:
        if subject.sha256 == stored:
            return subject.label, ""
    labels = {record.checkpoint for record in run.records()}
    matching = [subject for subject in subjects if {subject.label, subject.run_label} & labels]
    if len(matching) != 1:
        return None, ""
    label = matching[0].label
    return label, f"{run.path}: matched to {label} by its label; it was made with another file (sha256 {stored})"


def _circumstances(run: RunFolder) -> dict[str, str]:
    """What has to be equal for values of two runs to compare networks."""
    preset, data = run.meta("preset") or {}, run.meta("data") or {}
    chips = len({record.instance for record in run.records() if record.stage == "drift"})
    return {
        "samples": str(data.get("fingerprint"))[:12],
        "seed": str(run.meta("seed")),
        "chips": str(chips),
        f"preset {preset.get('name')}": str(run.meta("preset_sha256"))[:12],
    }


def _unequal(made: Sequence[Mapping[str, str]]) -> list[str]:
    """A note for everything in which runs differ, which moves their values too."""
    found: dict[str, set[str]] = {}
    for one in made:
        for name, value in one.items():
            found.setdefault(name, set()).add(value)
    return [
        f"the runs differ in {name} ({', '.join(sorted(values))}), and that moves their values too"
        for name, values in found.items()
        if len(values) > 1
    ]


def _missing(values: dict[str, dict[str, float]]) -> list[str]:
    without = [label for label, found in values.items() if not found]
    return [f"no run for {', '.join(without)}: left out of the correlations"] if without else []
