"""What finished cells have measured, read from their folders. No torch, and nothing is measured here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

from analog_samson.experiments.jobs import CLEAN_FILE, RUN_FILE, VALUES_FILE
from analog_samson.experiments.parts import load_part
from analog_samson.experiments.plan import Cell
from analog_samson.experiments.shown import Measure
from analog_samson.experiments.values import read_values
from analog_samson.report.statistics import Summary, summarize
from analog_samson.results.records import Record

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
