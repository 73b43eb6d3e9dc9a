"""Run folders read for a report: the one thing that tables, figures and the page are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from analog_samson.analysis.error_budget import ErrorBudget, read_error_budget
from analog_samson.analysis.labels import ambiguous_labels, distinct_names, pool_names, relabelled
from analog_samson.analysis.pooling import ChipNumbers, chip_numbers, pooled_options, pooled_records, seed_groups
from analog_samson.analysis.summary import Outcomes, Result, results_of
from analog_samson.errors import RunError
from analog_samson.presets.validity import Validity, validity_of
from analog_samson.results.loaded import LoadedRun
from analog_samson.results.metric import Metric, stored_metrics
from analog_samson.results.records import Record
from analog_samson.results.runfile import RUN_FILE, budget_folder
from analog_samson.results.store import RunFolder, open_run

META_KEYS = (
    "command",
    "environment",
    "preset",
    "preset_sha256",
    "layer_presets",
    "checkpoint",
    "data",
    "hardware",
    "plan",
    "input_ranges",
    "seed",
    "task",
    "images",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run folder, read: its results, its raw records, what it stored about itself, and why it lost accuracy.

    parts: the runs of the single seeds where several are pooled; chips are then numbered through. outcomes: whether
    each sample was right, by chip and condition, as far as the run stored it.
    """

    name: str
    options: Mapping[str, Any]
    meta: Mapping[str, Any]
    records: tuple[Record, ...]
    results: tuple[Result, ...]
    error_budget: ErrorBudget | None = None
    parts: tuple["Run", ...] = ()
    outcomes: Outcomes = field(default_factory=dict, repr=False)

    @property
    def layers(self) -> Mapping[str, Mapping[str, Any]]:
        """What the run stored of presets of single layers, `preset` and `preset_sha256` by pattern; empty for none."""
        return (self.meta["layer_presets"] or {}).get("layers", {})

    @property
    def stored(self) -> tuple["Run", ...]:
        """The run as its folders hold it, one for each seed."""
        return self.parts or (self,)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of its chips; none where they are not recorded."""
        return tuple(part.meta["seed"] for part in self.stored if part.meta["seed"] is not None)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics that it measured, the headline first."""
        return stored_metrics(self.meta["task"])

    @property
    def samples(self) -> int | None:
        """How many test samples there are, if known."""
        return _samples(self.meta)

    @property
    def estimated(self) -> tuple[int, int] | None:
        """On how many samples each chip was measured, and how many there are, where its values are estimates."""
        return _estimated(self.meta)

    @property
    def max_seconds(self) -> float | None:
        """Time [s] up to which the preset is valid; None where it does not say, 0 where it never is."""
        return validity_of(self.meta["preset"]).max_seconds


def read_runs(folders: Sequence[RunFolder | LoadedRun], metric: str | None = None) -> tuple[Run, ...]:
    """Read run folders, in the order given.

    Runs that differ in their seed alone become one, whose chips are those of all of them. A checkpoint label that
    several runs share on one preset, or for different weights, gets the name of its run.

    Args:
        folders: Opened for reading, or in memory.
        metric: Name of the metric to summarize; None for the headline of the task that the runs measured.

    Raises:
        RunError: No folder, one given twice or without results, or runs that do not share the metric.
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
    measured = shared_metric(metas, paths, metric)
    groups = seed_groups([folder.options for folder in folders], metas, records)
    names, own_names = pool_names([[paths[place] for place in group] for group in groups]), distinct_names(paths)
    contents = [(metas[group[0]]["checkpoint"] or {}).get("sha256") for group in groups]
    labels = ambiguous_labels([[r for place in group for r in records[place]] for group in groups], contents)
    parts = [
        [_read(folders[i], own_names[i], metas[i], relabelled(records[i], tagged, name), measured) for i in group]
        for group, name, tagged in zip(groups, names, labels, strict=True)
    ]
    if len(groups) == len(folders):
        return tuple(run for (run,) in parts)
    numbers = chip_numbers(metas, records)
    return tuple(_pooled(group, name, numbers, measured) for group, name in zip(parts, names, strict=True))


def shared_metric(metas: Sequence[Mapping[str, Any]], paths: Sequence[Path], name: str | None) -> Metric:
    """The metric called `name`, or the headline of all runs; RunError where runs lack it or differ in it."""
    measured = [stored_metrics(meta["task"]) for meta in metas]
    found = [next((m for m in metrics if name in (None, m.name)), None) for metrics in measured]
    if None in found:
        place = found.index(None)
        names = ", ".join(metric.name for metric in measured[place])
        raise RunError(f"{paths[place]}: metric {name!r}: expected one that the run measured: {names}")
    kinds = {(m.name, m.unit, m.higher_is_better): path for m, path in zip(found, paths, strict=True) if m is not None}
    if len(kinds) > 1:
        listed = "; ".join(f"{path}: {kind[0]} {kind[1]}".rstrip() for kind, path in kinds.items())
        raise RunError(f"these runs measure different metrics ({listed}); report them one by one")
    assert found[0] is not None
    return found[0]


def _read(
    folder: RunFolder | LoadedRun, name: str, meta: Mapping[str, Any], records: list[Record], metric: Metric
) -> Run:
    validity, outcomes = validity_of(meta["preset"]), _outcomes(folder, records)
    pilot, samples = pilot_of(folder.options), _samples(meta)
    return Run(
        name=name,
        options=folder.options,
        meta=meta,
        records=tuple(records),
        results=results_of(
            records, metric, validity, pilot=pilot, samples=samples, estimated=_estimated(meta), outcomes=outcomes
        ),
        error_budget=_error_budget(budget_folder(folder.path), validity),
        outcomes=outcomes,
    )


def _outcomes(folder: RunFolder | LoadedRun, records: Sequence[Record]) -> Outcomes:
    cells = {(record.instance, record.condition) for record in records}
    return {cell: right for cell in cells if (right := folder.outcomes(*cell)) is not None}


def _samples(meta: Mapping[str, Any]) -> int | None:
    return (meta["data"] or {}).get("count")


def _estimated(meta: Mapping[str, Any]) -> tuple[int, int] | None:
    drawn = meta["images"]
    return None if drawn is None else (drawn["size"], drawn["count"])


def _pooled(parts: Sequence[Run], name: str, numbers: ChipNumbers, metric: Metric) -> Run:
    """Runs of several seeds as one, or one run whose chips are to be paired with those of such."""
    first = parts[0]
    if not isinstance(first.meta["seed"], int):
        return first
    records = pooled_records([numbers.of(part.records, part.meta["seed"]) for part in parts])
    outcomes = {
        (numbers.number(chip, part.meta["seed"]), condition): right
        for part in parts
        for (chip, condition), right in part.outcomes.items()
    }
    validity = validity_of(first.meta["preset"])
    estimated = min((part.estimated for part in parts if part.estimated), default=None)
    found = results_of(records, metric, validity, samples=first.samples, estimated=estimated, outcomes=outcomes)
    return Run(
        name=name,
        options=pooled_options([part.options for part in parts]),
        meta={**first.meta, "seed": [part.meta["seed"] for part in parts]},
        records=tuple(records),
        results=tuple(replace(result, seeds=len(parts)) for result in found),
        parts=tuple(parts),
        outcomes=outcomes,
    )


def _error_budget(path: Path, validity: Validity) -> ErrorBudget | None:
    if not (path / RUN_FILE).is_file():
        return None
    with open_run(path) as folder:
        return read_error_budget(folder, validity)


def pilot_of(options: Mapping[str, Any]) -> int | None:
    """How many instances decided how many there are in all (Stein's rule); None where the number was given."""
    if "pilot" in options:  # of a result that was saved
        return options["pilot"]
    return None if options.get("target_halfwidth") is None else options.get("instances")
