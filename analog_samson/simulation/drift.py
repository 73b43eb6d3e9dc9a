"""Accuracy over time: instances of a chip, each programmed once and read at several times."""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from analog_samson.analysis.frames import cell_columns, cell_rows
from analog_samson.analysis.input_ranges import inaccurate_layers, input_range_sentence
from analog_samson.analysis.stopping import stein_total
from analog_samson.chip import input_ranges as calibrate
from analog_samson.chip.input_ranges import InputRange, needs_calibration
from analog_samson.crossbar.observe import Example
from analog_samson.crossbar.plan import plan_conversion
from analog_samson.crossbar.survey import needs_example
from analog_samson.errors import InputRangeWarning, OptionError, list_faults
from analog_samson.presets.schema import Preset, check_preset
from analog_samson.presets.validity import validity_of
from analog_samson.renamed import renamed_keyword
from analog_samson.results.condition import ADABS, DIGITAL, DRIFT, UNCALIBRATED, Condition
from analog_samson.results.memory import MemoryStore
from analog_samson.results.metric import ACCURACY
from analog_samson.results.protocol import Store
from analog_samson.results.records import Record
from analog_samson.simulation.device import SimulatedDevice
from analog_samson.simulation.options import LEAST_HALFWIDTH, pilot_problems
from analog_samson.tasks.batch import few_inputs
from analog_samson.tasks.evaluation import classification_of, data_faults
from analog_samson.tasks.scoring import score
from analog_samson.tasks.task import Task
from analog_samson.units import format_duration

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analog_samson.analysis.summary import Result

Labelled = Iterable[tuple[Tensor, Tensor]]
Progress = Callable[[str], None]

_FEW = 2  # samples on which folding batch norm is tried


@dataclass(frozen=True)
class DriftResult:
    """The raw values of every (instance, time), accuracy in percent, loss in nats, times in seconds.

    preset: as a run folder stores it, for what lies outside its validity; seed: that of the simulation. images: on how
    many accuracies were counted. pilot: how many instances decided on their number, None where it was given.
    input_ranges: of each layer, as they were chosen; empty where the preset has no converters or they were given.
    """

    records: tuple[Record, ...]
    preset: Mapping[str, Any] | None = field(default=None, repr=False)
    seed: int | None = None
    images: int | None = None
    pilot: int | None = None
    input_ranges: Mapping[str, InputRange] = field(default_factory=dict, repr=False)

    def frame(self) -> "pd.DataFrame":
        """One row a cell (stage, AdaBS, instance, moment), its metrics in columns of their own, as a pandas DataFrame.

        mark: "extrapolated" or "interpolated" where the preset's source does not give the moment, else empty.
        """
        import pandas as pd

        return pd.DataFrame(cell_rows(self.records, validity_of(self.preset)), columns=cell_columns(self.records))

    def plot(self) -> "Figure":
        """Accuracy over logarithmic time with its 95 % band, as a matplotlib Figure."""
        from analog_samson.report.figures import accuracy_over_time

        results = self.results()
        if not any(result.states for result in results):
            raise OptionError("plot: nothing was simulated over time")
        return accuracy_over_time(results)

    def _repr_html_(self) -> str:
        """The answer, the table and the figure, for a notebook; of other metrics than accuracy the raw table."""
        if not self._has_accuracy:
            return str(self.frame().to_html(index=False))
        from analog_samson.report.notebook import result_html

        return result_html(self.results())

    @property
    def _has_accuracy(self) -> bool:
        return any(record.metric == ACCURACY.name for record in self.records)

    def results(self) -> "tuple[Result, ...]":
        """What reports are made from: means with their intervals, one for each AdaBS setting."""
        from analog_samson.analysis.summary import results_of

        if not self._has_accuracy:
            raise OptionError("results, plot and reports are of accuracies so far; frame() has the raw values")
        return results_of(self.records, ACCURACY, validity_of(self.preset), pilot=self.pilot, samples=self.images)


@renamed_keyword("exclude", "keep_digital")
def simulate_drift(
    model: nn.Module,
    preset: Preset,
    data: Labelled,
    *,
    times: Sequence[float],
    instances: int,
    seed: int,
    task: Task | None = None,
    target_halfwidth: float | None = None,
    max_instances: int = 100,
    adabs: bool = False,
    calibration: Labelled | None = None,
    input_range: str | Mapping[str, float] = "output_error",
    engine: str = "fast",
    bf16: bool = False,
    keep_digital: Sequence[str] = (),
    label: str = "model",
    store: Store | None = None,
    progress: Progress = lambda text: None,
) -> DriftResult:
    """Program `instances` chips with `model` and evaluate each at `times` [s] after programming.

    data: batches that can be iterated more than once, (x, y) with class labels y where no `task` is given. task: how a
    batch is fed and scored, such as `tasks.regression.Regression()`; each of its metrics is recorded. A time of 0 means
    the weights as programmed, unread.
    target_halfwidth [% points]: after the first `instances`, add as many, up to `max_instances` in all, as the 95 %
    interval of every time point needs to be that narrow (Stein's two-stage rule, see `analysis.stopping`).
    adabs: also evaluate each cell with batch-norm statistics recomputed on `calibration` (Joshi et al. 2020).
    input_range: how converters get their ranges from `calibration`, "output_error" or "std" (see
    `chip.input_ranges.choose_input_ranges`), or the ranges by layer path. An InputRangeWarning names layers whose
    output is off by more than 20 % with every range.
    bf16: evaluate under bfloat16 autocast; converters and noise stay in float32.
    Every cell draws from a stream of its own, named by (seed, instance, time): order, resumption and other cells
    do not change it, and two models with the same layers on tiles, simulated with one seed, meet the same noise. Read
    noise at each time is drawn independently (aihwkit): the points of an instance share its programming and drift
    exponents. `model` is not changed. `store` keeps finished cells and is asked which are done; it is for one label and
    preset. Warns with a CoverageWarning where less than 90 % of the matrix weights are on tiles. Raises OptionError,
    PlanError.

    >>> import torch
    >>> from analog_samson import load_preset
    >>> model, data = nn.Linear(2, 2, bias=False), [(torch.eye(2), torch.tensor([0, 1]))]
    >>> _ = nn.init.eye_(model.weight)
    >>> pcm = load_preset("pcm_nandakumar_2019")
    >>> result = simulate_drift(model, pcm, data, times=[1.0, 3600.0], instances=2, seed=0)
    >>> [record.value for record in result.records if record.metric == "accuracy_percent"]
    [100.0, 100.0, 100.0, 100.0, 100.0]
    """
    check_preset(preset)
    _check(times, instances, adabs, data, calibration, preset, target_halfwidth, max_instances, input_range)
    task = classification_of(data) if task is None else task
    if target_halfwidth is not None and task.headline is not ACCURACY:
        raise OptionError(f"target_halfwidth: given in points of accuracy, which task {task.name} does not measure")
    kept: Store = MemoryStore() if store is None else store
    if isinstance(kept, MemoryStore):
        kept.expect(label, preset.name, ("digital", "drift"))
    context: dict[str, Any] = {"checkpoint": label, "preset": preset.name}
    as_trained = Condition(stage=DIGITAL)
    plan = plan_conversion(model, preset, keep_digital=keep_digital, example=first_example(model, data, task))
    plan.check()
    first: list[Record] = []  # stored with the first chip: a simulation that cannot run at all leaves nothing behind
    if not kept.has(0, as_trained):
        first = measure_cell(model, data, context | {"instance": 0}, as_trained, task, bf16=bf16)
    for category, text in plan.warnings():
        warnings.warn(f"{label}: {text}", category, stacklevel=2)
    ranges: dict[str, InputRange] = {}
    if needs_calibration(preset) and isinstance(input_range, str):
        chosen: dict[str, Any] = {"seed": seed, "method": input_range, "plan": plan, "run": task.run}
        ranges = calibrate.choose_input_ranges(model, preset, calibration, **chosen)
        if layers := inaccurate_layers({path: one.relative_error for path, one in ranges.items()}):
            warnings.warn(input_range_sentence(layers), InputRangeWarning, stacklevel=2)
        input_range = {path: one.value for path, one in ranges.items()}
    device = SimulatedDevice(
        model,
        plan,
        calibration=calibration,
        input_ranges=None if isinstance(input_range, str) else input_range,
        engine=engine,
        sample=few_inputs(data, _FEW),
        run=task.run,
    )
    moments = sorted({float(time) for time in times})
    methods = (UNCALIBRATED, ADABS) if adabs else (UNCALIBRATED,)
    conditions = [
        Condition(stage=DRIFT, time_seconds=time, calibration=method) for time in moments for method in methods
    ]
    images = sum(task.count(task.prepare(batch)) for batch in data)
    stop, instance = instances, 0
    while instance < stop:
        missing = [condition for condition in conditions if not kept.has(instance, condition)]
        chip = device.program(seed, instance) if missing else None
        for condition in missing:
            assert chip is not None
            cell = context | {"instance": instance}
            with chip.at(condition) as network:
                records = measure_cell(network, data, cell, condition, task, bf16=bf16)
            error = Record(metric="weight_error", value=device.weight_error(), **cell, **asdict(condition))
            kept.commit([*first, *records, error])
            first = []
            progress(f"instance {instance + 1} of {stop}, {format_duration(condition.time_seconds or 0.0)}")
        instance += 1
        if instance == instances and target_halfwidth is not None:
            asked = [r for r in kept.records() if r.time_seconds in moments]
            stop = min(max_instances, needed_instances(asked, instances, target_halfwidth, images))
    kept.commit(first)
    found = tuple(r for r in kept.records() if r.stage in ("digital", "drift"))
    pilot = None if target_halfwidth is None else instances
    return DriftResult(found, preset.model_dump(mode="json"), seed, images, pilot, ranges)


def needed_instances(records: Iterable[Record], pilot: int, halfwidth: float, images: int) -> int:
    """Instances in all that the widest cell needs after the first `pilot`, by Stein's rule; counted on `images`."""
    cells: dict[Condition, list[float]] = {}
    for record in records:
        if record.stage == DRIFT and record.metric == "accuracy_percent" and record.instance < pilot:
            cells.setdefault(record.condition, []).append(record.value)
    return max(stein_total(values, halfwidth, ACCURACY.step(images)) for values in cells.values())


def first_example(model: nn.Module, data: Labelled, task: Task) -> Example | None:
    """The first batch, where the plan needs it to see how the model uses its weights."""
    return Example(batch=next(iter(data)), run=task.run, count=False) if needs_example(model) else None


def measure_cell(
    model: nn.Module, data: Iterable[Any], cell: dict[str, Any], condition: Condition, task: Task, *, bf16: bool = False
) -> list[Record]:
    """Every metric of the task in one cell: its labels and instance, and the condition that `model` is in."""
    values = score(model, data, task, bf16=bf16).values
    return [Record(metric=name, value=value, **cell, **asdict(condition)) for name, value in values.items()]


def extent_faults(
    times: Sequence[float], instances: int, target_halfwidth: float | None, max_instances: int
) -> list[str]:
    """What is wrong with the times and the number of chips that are asked for."""
    if any(isinstance(time, str) for time in times):
        faults = [f"times: expected seconds as numbers, which parse_times('1s,1d') makes of text, got {times!r}"]
    else:
        faults = [f"times: expected finite seconds of 0 or more, got {t}" for t in times if not 0 <= t < math.inf]
    if not times:
        faults.append("times: expected at least one time in seconds, got none")
    if instances < 1:
        faults.append(f"instances: expected 1 or more, got {instances}")
    if target_halfwidth is not None:
        if not LEAST_HALFWIDTH <= target_halfwidth < math.inf:
            least = f"{LEAST_HALFWIDTH:g} percentage points or more"
            faults.append(f"target_halfwidth: expected {least}, got {target_halfwidth}")
        faults += pilot_problems(instances, max_instances)
    return faults


def _check(
    times: Sequence[float],
    instances: int,
    adabs: bool,
    data: Labelled,
    calibration: Labelled | None,
    preset: Preset,
    target_halfwidth: float | None,
    max_instances: int,
    input_range: str | Mapping[str, float],
) -> None:
    faults = extent_faults(times, instances, target_halfwidth, max_instances)
    faults += data_faults(data=data, calibration=calibration)
    if calibration is None and adabs:
        faults.append("calibration: AdaBS recomputes statistics on calibration batches, got none")
    if isinstance(input_range, str) and (problem := calibrate.check_method(input_range)):
        faults.append(problem)
    if calibration is None and isinstance(input_range, str) and needs_calibration(preset):
        faults.append(f"calibration: preset {preset.name} sets its input ranges on calibration batches, got none")
    if faults:
        raise OptionError(list_faults("simulate_drift", faults))
