"""Accuracy over time: instances of a chip, each programmed once and read at several times."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from analog_samson import rng
from analog_samson.batchnorm import adapt_batchnorm, restored_statistics
from analog_samson.errors import OptionError, list_faults
from analog_samson.evaluation import evaluate
from analog_samson.presets.schema import Preset
from analog_samson.results.memory import MemoryStore
from analog_samson.results.records import COLUMNS, Record, to_row
from analog_samson.tiles.calibrate import calibrate_input_ranges, needs_calibration
from analog_samson.tiles.convert import convert
from analog_samson.tiles.error import weight_error
from analog_samson.units import format_duration

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Labelled = Iterable[tuple[Tensor, Tensor]]
Progress = Callable[[str], None]


class Store(Protocol):
    """Where finished cells go: a run folder or memory."""

    def commit(self, records: Iterable[Record]) -> None: ...
    def has(
        self,
        *,
        stage: str,
        adabs: bool,
        instance: int,
        time_seconds: float | None = None,
        sigma_c: float | None = None,
    ) -> bool: ...
    def records(self) -> list[Record]: ...


@dataclass(frozen=True)
class DriftResult:
    """The raw values of every (instance, time), accuracy in percent, loss in nats, times in seconds."""

    records: tuple[Record, ...]

    def frame(self) -> "pd.DataFrame":
        """One row a value, as a tidy pandas DataFrame."""
        import pandas as pd

        return pd.DataFrame([to_row(record) for record in self.records], columns=list(COLUMNS))

    def plot(self) -> "Figure":
        """Accuracy over logarithmic time with its 95 % band, as a matplotlib Figure."""
        from analog_samson.report.figures import accuracy_over_time

        return accuracy_over_time(self.records)


def simulate_drift(
    model: nn.Module,
    preset: Preset,
    data: Labelled,
    *,
    times: Sequence[float],
    instances: int,
    seed: int,
    adabs: bool = False,
    calibration: Labelled | None = None,
    engine: str = "fast",
    exclude: Sequence[str] = (),
    label: str = "model",
    store: Store | None = None,
    progress: Progress = lambda text: None,
) -> DriftResult:
    """Program `instances` chips with `model` and evaluate each at `times` [s] after programming.

    data: (x, y) batches that can be iterated more than once. A time of 0 means the weights as programmed, unread.
    adabs: also evaluate each cell with batch-norm statistics recomputed on `calibration` (Joshi et al. 2020).
    Every cell draws from a stream of its own, named by (seed, instance, time): order, resumption and other cells
    do not change it, and two models simulated with one seed meet the same noise. Read noise at each time is drawn
    independently (aihwkit): the points of an instance share its programming and drift exponents. `model` is not
    changed. `store` keeps finished cells and is asked which are done. Raises OptionError, PlanError.
    """
    _check(times, instances, adabs, calibration, preset)
    kept: Store = MemoryStore() if store is None else store
    context: dict[str, Any] = {"checkpoint": label, "preset": preset.name}
    if not kept.has(stage="digital", adabs=False, instance=0):
        kept.commit(measure_cell(model, data, context | {"stage": "digital", "instance": 0}))
    analog = convert(model, preset, engine=engine, exclude=exclude)
    if needs_calibration(preset):
        calibrate_input_ranges(model, analog, calibration, preset)
    states = (False, True) if adabs else (False,)
    for instance in range(instances):
        cells: list[dict[str, Any]] = [
            {"stage": "drift", "adabs": adapted, "instance": instance, "time_seconds": float(time)}
            for time in times
            for adapted in states
        ]
        missing = [cell for cell in cells if not kept.has(**cell)]
        for cell, records in _run_instance(analog, data, missing, seed, context, calibration):
            kept.commit(records)
            progress(f"instance {instance + 1} of {instances}, {format_duration(cell['time_seconds'])}")
    return DriftResult(tuple(r for r in kept.records() if r.stage in ("digital", "drift")))


def _run_instance(
    analog: Any,
    data: Labelled,
    cells: Sequence[dict[str, Any]],
    seed: int,
    context: dict[str, Any],
    calibration: Labelled | None,
) -> Iterator[tuple[dict[str, Any], list[Record]]]:
    """Program one chip, then let it drift to the time of each cell, always from the programmed state."""
    if cells:
        with rng.stream(seed, "program", cells[0]["instance"]):
            analog.program_analog_weights()
    for cell in cells:
        time = cell["time_seconds"]
        with rng.stream(seed, "drift", cell["instance"], time):
            if time > 0:
                analog.drift_analog_weights(time)
            records = measure_cell(analog, data, cell | context, calibration if cell["adabs"] else None)
        error = Record(metric="weight_error", value=weight_error(analog), sigma_c=None, **cell, **context)
        yield cell, [*records, error]


def measure_cell(
    model: nn.Module, data: Labelled, cell: dict[str, Any], calibration: Labelled | None = None
) -> list[Record]:
    """Accuracy and loss of one cell; with `calibration`, under AdaBS statistics that are taken back after."""
    borrowed: AbstractContextManager[Any] = restored_statistics(model) if calibration is not None else nullcontext()
    with borrowed:
        if calibration is not None:
            adapt_batchnorm(model, calibration)
        evaluation = evaluate(model, data)
    full = {"adabs": False, "time_seconds": None, "sigma_c": None} | cell
    return [
        Record(metric="accuracy_percent", value=evaluation.accuracy_percent, **full),
        Record(metric="loss", value=evaluation.loss, **full),
    ]


def _check(times: Sequence[float], instances: int, adabs: bool, calibration: Labelled | None, preset: Preset) -> None:
    faults = [f"times: expected finite seconds of 0 or more, got {t}" for t in times if not 0 <= t < math.inf]
    if not times:
        faults.append("times: expected at least one time in seconds, got none")
    if instances < 1:
        faults.append(f"instances: expected 1 or more, got {instances}")
    if calibration is None and adabs:
        faults.append("calibration: AdaBS recomputes statistics on calibration batches, got none")
    if calibration is None and needs_calibration(preset):
        faults.append(f"calibration: preset {preset.name} sets its input ranges on calibration batches, got none")
    if faults:
        raise OptionError(list_faults("simulate_drift", faults))
