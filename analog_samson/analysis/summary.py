"""What the runs say, as plain data: the one thing that tables, figures and the page are made from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from analog_samson.analysis.equivalent_sigma import EquivalentSigma, GaussianCurve, equivalent_sigma_c, gaussian_curve
from analog_samson.analysis.error_budget import ErrorBudget, read_error_budget
from analog_samson.analysis.labels import ambiguous_labels, distinct_names, pool_names, relabelled
from analog_samson.analysis.pooling import ChipNumbers, chip_numbers, pooled_options, pooled_records, seed_groups
from analog_samson.analysis.statistics import Summary, summarize
from analog_samson.analysis.stopping import stein_halfwidth
from analog_samson.errors import RunError
from analog_samson.presets.validity import EXTRAPOLATED, UNKNOWN, Validity, validity_of
from analog_samson.results.records import Record
from analog_samson.results.runfile import RUN_FILE, budget_folder
from analog_samson.results.store import RunFolder, open_run
from analog_samson.units import format_duration

META_KEYS = (
    "command",
    "environment",
    "preset",
    "preset_sha256",
    "checkpoint",
    "data",
    "hardware",
    "plan",
    "input_ranges",
    "seed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The network at one moment of its life: digital, just programmed, or after a time.

    accuracies: [%] by instance; drop: digital minus this [points]; weight_error as the run measured it.
    mark: "extrapolated" outside the preset's validity, "interpolated" between the times of its source, else "".
    """

    label: str
    stage: str
    time_seconds: float | None
    accuracies: Mapping[int, float]
    accuracy: Summary
    drop: float | None
    equivalent: EquivalentSigma | None
    weight_error: Summary | None
    mark: str

    @property
    def extrapolated(self) -> bool:
        """Whether the preset does not cover this moment."""
        return self.mark == EXTRAPOLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianPoint:
    """One sigma_c of the Gaussian sweep; accuracies [%] by instance."""

    sigma_c: float
    accuracies: Mapping[int, float]
    accuracy: Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One checkpoint on one preset, with or without AdaBS: one row of the overview, one line of a figure.

    states: programmed (if measured), then every time in order. sweep: the Gaussian points in order. seeds: over how
    many the chips are pooled.
    """

    checkpoint: str
    preset: str
    adabs: bool
    digital: State | None
    states: tuple[State, ...]
    sweep: tuple[GaussianPoint, ...]
    validity: Validity = UNKNOWN
    seeds: int = 1

    @property
    def times(self) -> tuple[State, ...]:
        """The states that have a time."""
        return tuple(state for state in self.states if state.time_seconds is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run folder, read: its results, its raw records, what it stored about itself, and why it lost accuracy.

    parts: the runs of the single seeds where several are pooled; chips are then numbered through.
    """

    name: str
    options: Mapping[str, Any]
    meta: Mapping[str, Any]
    records: tuple[Record, ...]
    results: tuple[Result, ...]
    error_budget: ErrorBudget | None = None
    parts: tuple["Run", ...] = ()

    @property
    def stored(self) -> tuple["Run", ...]:
        """The run as its folders hold it, one for each seed."""
        return self.parts or (self,)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of its chips; none where they are not recorded."""
        return tuple(part.meta["seed"] for part in self.stored if part.meta["seed"] is not None)

    @property
    def max_seconds(self) -> float | None:
        """Time [s] up to which the preset is valid; None where it does not say, 0 where it never is."""
        return validity_of(self.meta["preset"]).max_seconds


def digest(folders: Sequence[RunFolder]) -> tuple[Run, ...]:
    """Read run folders, in the order given.

    Runs that differ in their seed alone become one, whose chips are those of all of them. A checkpoint label that
    several runs share on one preset, or for different weights, gets the name of its run.
    """
    if not folders:
        raise RunError("no run folder given")
    paths = [folder.path.resolve() for folder in folders]
    twice = [path for place, path in enumerate(paths) if path in paths[:place]]
    if twice:
        raise RunError(f"{twice[0]}: given twice; name each run folder once")
    records = [folder.records() for folder in folders]
    for folder, found in zip(folders, records, strict=True):
        if not found:
            raise RunError(f"{folder.path}: holds no result yet; run the same command again to continue it")
    metas = [{key: folder.meta(key) for key in META_KEYS} for folder in folders]
    groups = seed_groups([folder.options for folder in folders], metas, records)
    names, own_names = pool_names([[paths[place] for place in group] for group in groups]), distinct_names(paths)
    contents = [(metas[group[0]]["checkpoint"] or {}).get("sha256") for group in groups]
    labels = ambiguous_labels([[r for place in group for r in records[place]] for group in groups], contents)
    parts = [
        [_read(folders[i], own_names[i], metas[i], relabelled(records[i], tagged, name)) for i in group]
        for group, name, tagged in zip(groups, names, labels, strict=True)
    ]
    if len(groups) == len(folders):
        return tuple(run for (run,) in parts)
    numbers = chip_numbers(metas, records)
    return tuple(_pooled(group, name, numbers) for group, name in zip(parts, names, strict=True))


def _read(folder: RunFolder, name: str, meta: Mapping[str, Any], records: list[Record]) -> Run:
    images = (meta["data"] or {}).get("count")
    validity = validity_of(meta["preset"])
    return Run(
        name=name,
        options=folder.options,
        meta=meta,
        records=tuple(records),
        results=results_of(records, validity, pilot_of(folder.options), images),
        error_budget=_error_budget(budget_folder(folder.path), validity),
    )


def _pooled(parts: Sequence[Run], name: str, numbers: ChipNumbers) -> Run:
    """Runs of several seeds as one, or one run whose chips are to be paired with those of such."""
    first = parts[0]
    if not isinstance(first.meta["seed"], int):
        return first
    records = pooled_records([numbers.of(part.records, part.meta["seed"]) for part in parts])
    found = results_of(records, validity_of(first.meta["preset"]), None, (first.meta["data"] or {}).get("count"))
    return Run(
        name=name,
        options=pooled_options([part.options for part in parts]),
        meta={**first.meta, "seed": [part.meta["seed"] for part in parts]},
        records=tuple(records),
        results=tuple(replace(result, seeds=len(parts)) for result in found),
        parts=tuple(parts),
    )


def _error_budget(path: Path, validity: Validity) -> ErrorBudget | None:
    if not (path / RUN_FILE).is_file():
        return None
    with open_run(path) as folder:
        return read_error_budget(folder, validity)


def pilot_of(options: Mapping[str, Any]) -> int | None:
    """How many instances decided how many there are in all (Stein's rule); None where the number was given."""
    return None if options.get("target_halfwidth") is None else options.get("instances")


def results_of(
    records: Sequence[Record], validity: Validity = UNKNOWN, pilot: int | None = None, images: int | None = None
) -> tuple[Result, ...]:
    """One result per checkpoint, preset and AdaBS setting; `validity` of their preset decides what is marked.

    pilot: see `pilot_of`; with it the intervals of accuracies over time are those of that rule.
    images: on how many test images accuracies were counted, if known; see `summarize`.
    """
    counted = _Counted(pilot, images)
    return tuple(_result(key, records, validity, counted) for key in _result_keys(records))


class _Counted(NamedTuple):
    """How many chips decided on their number, and how many images each accuracy was counted on; None: not known."""

    pilot: int | None
    images: int | None


def _result_keys(records: Sequence[Record]) -> list[tuple[str, str, bool]]:
    """(checkpoint, preset, adabs) of each result; a lone sweep or digital value makes one only if needed."""
    keys = {_key(record) for record in records if record.stage in ("programmed", "drift")}
    simulated = {(checkpoint, adabs) for checkpoint, _, adabs in keys}
    swept = {_key(record) for record in records if record.stage == "gaussian"}
    keys |= {key for key in swept if (key[0], key[2]) not in simulated}
    known = {checkpoint for checkpoint, _, _ in keys}
    keys |= {_key(r) for r in records if r.stage == "digital" and r.checkpoint not in known}
    return sorted(keys)


def _key(record: Record) -> tuple[str, str, bool]:
    return record.checkpoint, record.preset, record.adabs


def _result(key: tuple[str, str, bool], records: Sequence[Record], validity: Validity, counted: _Counted) -> Result:
    checkpoint, preset, adabs = key
    own = [record for record in records if record.checkpoint == checkpoint]
    digital = _digital(own, adabs)
    same = [record for record in own if record.adabs == adabs]
    sweep = _sweep(same, counted.images)
    curve = gaussian_curve({point.sigma_c: point.accuracies for point in sweep}) if len(sweep) > 1 else None
    here = [record for record in same if record.preset == preset and record.stage in ("programmed", "drift")]
    moments = sorted({record.time_seconds for record in here}, key=lambda t: -1.0 if t is None else t)
    found = (_state([r for r in here if r.time_seconds == t], digital, curve, validity, counted) for t in moments)
    states = tuple(state for state in found if state is not None)
    return Result(
        checkpoint=checkpoint,
        preset=preset,
        adabs=adabs,
        digital=digital,
        states=states,
        sweep=sweep,
        validity=validity,
    )


def _digital(records: Sequence[Record], adabs: bool) -> State | None:
    """The digital network as it was trained; with AdaBS only where it was measured in no other way."""
    plain = [record for record in records if record.stage == "digital" and not record.adabs]
    adapted = [record for record in records if record.stage == "digital" and record.adabs and adabs]
    return _state(plain or adapted, None, None, None)


def _state(
    records: Sequence[Record],
    digital: State | None,
    curve: GaussianCurve | None,
    validity: Validity | None,
    counted: _Counted = _Counted(None, None),
) -> State | None:
    accuracies = _by_instance(records, "accuracy_percent")
    if not accuracies:
        return None
    pilot, images = counted
    accuracy = summarize(list(accuracies.values()), images=images)
    if pilot is not None and all(instance in accuracies for instance in range(pilot)):
        reach = stein_halfwidth([accuracies[instance] for instance in range(pilot)], accuracy.n, images)
        accuracy = replace(accuracy, low=accuracy.mean - reach, high=accuracy.mean + reach)
    errors = _by_instance(records, "weight_error")
    time = records[0].time_seconds
    return State(
        label=records[0].stage if time is None else format_duration(time),
        stage=records[0].stage,
        time_seconds=time,
        accuracies=accuracies,
        accuracy=accuracy,
        drop=None if digital is None else digital.accuracy.mean - accuracy.mean,
        equivalent=None if curve is None else equivalent_sigma_c(list(accuracies.values()), curve, images),
        weight_error=summarize(list(errors.values())) if errors else None,
        mark="" if validity is None else validity.mark(time),
    )


def _sweep(records: Sequence[Record], images: int | None) -> tuple[GaussianPoint, ...]:
    swept = [record for record in records if record.stage == "gaussian"]
    points = []
    for sigma in sorted({record.sigma_c for record in swept if record.sigma_c is not None}):
        accuracies = _by_instance([r for r in swept if r.sigma_c == sigma], "accuracy_percent")
        if accuracies:
            summary = summarize(list(accuracies.values()), images=images)
            points.append(GaussianPoint(sigma_c=sigma, accuracies=accuracies, accuracy=summary))
    return tuple(points)


def _by_instance(records: Iterable[Record], metric: str) -> dict[int, float]:
    return {record.instance: record.value for record in records if record.metric == metric}
