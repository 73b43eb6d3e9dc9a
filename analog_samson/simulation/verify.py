"""Runs checked against what they say of themselves: versions, contents, and a sample of their conditions recomputed."""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose, isnan
from pathlib import Path
from typing import Any

import numpy as np

from analog_samson.errors import AnalogSamsonError, RunError
from analog_samson.results.condition import Condition
from analog_samson.results.contents import changed_contents
from analog_samson.results.loaded import LoadedRun
from analog_samson.results.metric import Metric, stored_metrics
from analog_samson.results.outcomes import Outcomes, unpack
from analog_samson.results.records import Record
from analog_samson.results.runfile import BUDGET_FOLDER, RUN_FILE
from analog_samson.rng import derive_seed
from analog_samson.runtime.threads import limited_threads
from analog_samson.simulation.adaptive import KEY as IMAGES
from analog_samson.simulation.inputs import Inputs, fits_channels_last, load_inputs
from analog_samson.simulation.ranges import run_plan
from analog_samson.simulation.run import CONTENTS, calibration_batches, simulate_cells, stored_ranges
from analog_samson.simulation.run_facts import PACKAGES, run_facts
from analog_samson.simulation.stored_options import read_config
from analog_samson.simulation.sweep import SHARDS

VERSIONS = ("analog-samson", "python", *PACKAGES)
_SAID = ("preset", "hardware", "seed", "task")  # what reports say of a run beside its contents
_THREADS = 1e-6  # relative, of sums that are divided among threads
_ROUNDING = 2e-3  # relative, and of all samples: what another processor may change
Cell = tuple[int, Condition]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found of one run.

    Attributes:
        path: Its folder.
        conditions: How many were recomputed, each one chip under one condition.
        of: How many it has.
        values: How many values they have.
        equal: How many of the values are equal to the bit.
        differences: A line for everything that differs.
    """

    path: Path
    conditions: int
    of: int
    values: int
    equal: int
    differences: tuple[str, ...]


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Run folders: `paths` themselves, and all below those that are none, such as the folder of a sweep.

    Raises:
        RunError: There is no run folder below one of them.
    """
    found: dict[Path, None] = {}
    for path in paths:
        inside = [] if (path / RUN_FILE).is_file() else sorted(file.parent for file in path.rglob(RUN_FILE))
        runs = [run for run in inside if run.name != BUDGET_FOLDER and SHARDS not in run.relative_to(path).parts]
        if inside and not runs:
            raise RunError(f"{path}: holds shards only; name them, or merge them with `sweep --merge`")
        found |= dict.fromkeys(runs or [path])
    return list(found)


def sample_cells(runs: Sequence[Path], count: int, seed: int) -> dict[Path, list[Cell]]:
    """Conditions to recompute, drawn from all of all runs; a run without any is left out, unless it is the only one."""
    every = [(path, cell) for path in runs for cell in _cells(LoadedRun(path, ()).records())]
    chosen = random.Random(derive_seed(seed, "verify")).sample(every, min(count, len(every)))
    sampled: dict[Path, list[Cell]] = {path: [] for path in runs[:1] if not chosen}
    for path, cell in chosen:
        sampled.setdefault(path, []).append(cell)
    return sampled


def verify_run(
    path: Path, cells: Sequence[Cell], *, trusted: Collection[str] = (), device: str | None = None
) -> Verified:
    """Compare a run with what this machine makes of its options; nothing is written.

    Where the network gives the outputs of the run to the bit, every value must be equal; only a mean weight error may
    differ by 1e-6 of itself, which threads change. Elsewhere values may differ as rounding can change them: by 0.2 % of
    themselves, and counted ones by 0.2 % of the samples and two.

    Args:
        path: The run folder.
        cells: Chips and conditions to recompute.
        trusted: Code (package.module:callable) that the run may name.
        device: Where to compute; None for the device of the run.

    Returns:
        What differs, and how many values are equal.

    Raises:
        RunError: There is no run, or it names code that is not trusted.
    """
    stored = LoadedRun(path, (*CONTENTS, *_SAID, "environment", "input_ranges", "channels_last", IMAGES))
    options = read_config(path, trusted)
    options = options if device is None else options.replace(device=device)
    environment: Mapping[str, Any] = stored.meta("environment") or {}
    with limited_threads(environment.get("threads")):
        try:
            inputs = load_inputs(options)
            channels_last = fits_channels_last(inputs, options)
            plan = run_plan(inputs, options)
            facts = run_facts(inputs, plan, options, "")
            differences = [*_versions(environment, facts["environment"]), *_facts(stored, facts)]
            found = _Sampled(stored, cells)
            if not changed_contents(stored, {key: facts[key] for key in CONTENTS}):
                simulate_cells(
                    inputs,
                    plan,
                    options,
                    found,
                    calibration=calibration_batches(inputs, options, channels_last=channels_last),
                    input_ranges=stored_ranges(stored.meta("input_ranges")),
                    channels_last=channels_last,
                )
        except RunError:
            raise
        except AnalogSamsonError as error:
            return _none(path, stored, [str(error)])
    exact = stored.meta("outputs") == facts["outputs"]
    equal, told = _compared(stored, found, inputs, exact=exact)
    return Verified(
        path=path,
        conditions=len({(record.instance, record.condition) for record in found.committed}),
        of=len(_cells(stored.records())),
        values=len(found.committed),
        equal=equal,
        differences=(*differences, *told),
    )


class _Sampled:
    """A store that has every cell of a run but those to recompute, and keeps what they give."""

    def __init__(self, run: LoadedRun, wanted: Iterable[Cell]) -> None:
        self._run, self._wanted = run, set(wanted)
        self.committed: list[Record] = []
        self.right: dict[Cell, np.ndarray] = {}

    def commit(self, records: Iterable[Record], outcomes: Iterable[Outcomes] = ()) -> None:
        self.committed += records
        self.right |= {(one.instance, one.condition): unpack(one.bits, one.count) for one in outcomes}

    def has(self, instance: int, condition: Condition) -> bool:
        return (instance, condition) not in self._wanted

    def records(self) -> list[Record]:
        return self._run.records()

    def outcomes(self, instance: int, condition: Condition) -> np.ndarray | None:
        return self._run.outcomes(instance, condition)

    def meta(self, key: str) -> Any:
        return self._run.meta(key)

    def set_meta(self, key: str, value: Any) -> None:
        raise RunError(f"{self._run.path}: {key}: not in the run")


def _none(path: Path, stored: LoadedRun, differences: Sequence[str]) -> Verified:
    of = len(_cells(stored.records()))
    return Verified(path=path, conditions=0, of=of, values=0, equal=0, differences=tuple(differences))


def _cells(records: Iterable[Record]) -> list[Cell]:
    return list(dict.fromkeys((record.instance, record.condition) for record in records))


def _versions(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: the run was made with {before.get(name, 'an unknown version')}, here is {now[name]}"
        for name in VERSIONS
        if before.get(name) != now[name]
    ]


def _facts(stored: LoadedRun, facts: Mapping[str, Any]) -> list[str]:
    changed = changed_contents(stored, {key: facts[key] for key in CONTENTS})
    said = [
        f"{key}: the run says something else of itself than its files"
        for key in _SAID
        if stored.meta(key) != facts[key]
    ]
    return changed or said


def _compared(stored: LoadedRun, found: _Sampled, inputs: Inputs, *, exact: bool) -> tuple[int, list[str]]:
    """How many recomputed values are equal to the bit, and a line for each that differs by more than it may."""
    before = {(r.instance, r.condition, r.metric): r.value for r in stored.records()}
    metrics = {metric.name: metric for metric in stored_metrics(stored.meta("task"))}
    equal, told = 0, []
    for record in found.committed:
        value = before.get((record.instance, record.condition, record.metric))
        where = f"{_place(record)}, {record.metric}"
        if value is None:
            told.append(f"{where}: not in the run, here {record.value!r}")
        elif value == record.value or (isnan(value) and isnan(record.value)):
            equal += 1
        elif not _within(value, record, metrics.get(record.metric), len(inputs.images), exact=exact):
            told.append(f"{where}: the run has {value!r}, here {record.value!r}")
    for (instance, condition), right in found.right.items():
        kept = stored.outcomes(instance, condition)
        most = 0 if exact else _most_samples(len(right))
        if kept is not None and (len(kept) != len(right) or (kept != right).sum() > most):
            record = next(r for r in found.committed if (r.instance, r.condition) == (instance, condition))
            told.append(f"{_place(record)}: the run has other samples right than here")
    return equal, told


def _within(value: float, record: Record, metric: Metric | None, samples: int, *, exact: bool) -> bool:
    """Whether two values that are not equal may differ so much."""
    if exact:
        return metric is None and isclose(value, record.value, rel_tol=_THREADS)
    if metric is not None and metric.counted:
        return abs(value - record.value) <= _most_samples(samples) * (metric.step(samples) or 0.0) * (1 + 1e-9)
    return isclose(value, record.value, rel_tol=_ROUNDING)


def _most_samples(samples: int) -> float:
    return 2 + _ROUNDING * samples


def _place(record: Record) -> str:
    at = [f"{name} {value:g}" for name in ("time_seconds", "sigma_c") if (value := getattr(record, name)) is not None]
    calibration = [] if record.calibration == "none" else [record.calibration]
    return " ".join([record.stage, f"instance {record.instance}", *at, *calibration])
