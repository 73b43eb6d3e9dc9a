"""Quality over time: instances of a chip, each programmed once and read at several times."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from analog_samson.analysis.input_ranges import inaccurate_layers, input_range_sentence
from analog_samson.analysis.stopping import stein_total
from analog_samson.chip.calibration import CALIBRATIONS, calibration_fault
from analog_samson.chip.choices import NO_SCALING, OUTPUT_ERROR, NoiseDevice, ReadNoise
from analog_samson.chip.input_range import InputRange
from analog_samson.chip.input_ranges import choose_input_ranges, input_range_faults, needs_calibration
from analog_samson.crossbar.observe import Example
from analog_samson.crossbar.plan import ConversionPlan, plan_conversion
from analog_samson.crossbar.survey import needs_example
from analog_samson.errors import InputRangeWarning, OptionError, list_faults
from analog_samson.presets.schema import Preset
from analog_samson.presets.search import Hardware, as_preset
from analog_samson.results.condition import ADABS, DIGITAL, DRIFT, Condition
from analog_samson.results.memory import kept_in
from analog_samson.results.metric import Metric
from analog_samson.results.protocol import Store
from analog_samson.results.records import Record
from analog_samson.runtime.renamed import renamed_keyword
from analog_samson.simulation.adaptive import Images, sample_scores
from analog_samson.simulation.cells import Cell, Cells, calibrations
from analog_samson.simulation.device import SimulatedDevice
from analog_samson.simulation.options import pilot_problems
from analog_samson.simulation.readings import age_faults, measured_conditions, read_noise_faults
from analog_samson.simulation.result import SimulationResult
from analog_samson.tasks.batch import few_inputs
from analog_samson.tasks.evaluation import classification_of, data_faults
from analog_samson.tasks.task import Task
from analog_samson.tasks.whole import WholeModelTask
from analog_samson.units import as_seconds, format_duration

Progress = Callable[[str], None]
DriftResult = SimulationResult  # the name in 0.1

FEW = 2  # samples on which folding batch norm is tried
_STAGES = (DIGITAL, DRIFT)


@renamed_keyword("exclude", "keep_digital")
def simulate_drift(
    model: nn.Module,
    preset: Hardware,
    data: Iterable[Any],
    *,
    times: Sequence[float | str] | float | str,
    instances: int,
    seed: int,
    task: Task | None = None,
    target_halfwidth: float | None = None,
    max_instances: int = 100,
    calibrate: Sequence[str] = (),
    adabs: bool = False,
    calibration: Iterable[Any] | None = None,
    calibrate_at: float | str | None = None,
    input_range: str | Mapping[str, float | InputRange] = OUTPUT_ERROR,
    input_scaling: str = NO_SCALING,
    read_noise: ReadNoise = "per_condition",
    noise_device: NoiseDevice = "cpu",
    images: Images = "all",
    engine: str = "fast",
    bf16: bool = False,
    keep_digital: Sequence[str] = (),
    plan: ConversionPlan | None = None,
    label: str = "model",
    store: Store | None = None,
    progress: Progress = lambda text: None,
) -> SimulationResult:
    """Program chips with `model` and evaluate each at several times after programming.

    Each weight draws from streams of its own, named by seed, instance, path and time. So order, resumption and other
    layers change no number, and two models with the same layers, simulated with one seed, meet the same devices. Read
    noise at each time is drawn independently (aihwkit): the points of an instance share its programming, faults and
    drift exponents.

    Args:
        model: The digital network; it is not changed.
        preset: The hardware: a preset, its name or its file.
        data: Batches of the task, such as (x, y), that can be iterated more than once.
        times: Seconds after programming, or text such as "1s,1d,1y". 0 means the weights as programmed, unread.
        instances: How many chips.
        seed: Names all draws.
        task: How a batch is fed and scored; each of its metrics is recorded. None: classification.
        target_halfwidth: After the first `instances`, add as many as the 95 % interval of the task's first metric needs
            to be that narrow at every time, in the unit of that metric (Stein's two-stage rule, `analysis.stopping`).
        max_instances: At most so many with `target_halfwidth`.
        calibrate: Methods of `chip.calibration.CALIBRATIONS`, such as "adabs". Each cell is also measured with the
            network adapted by each of them on the batches `calibration`.
        adabs: The same as ``calibrate=("adabs",)``; use that.
        calibration: Batches for `calibrate` and for input ranges.
        calibrate_at: Time at which networks are calibrated as well, [s] or "1d"; they are tested at each later one.
        input_range: How converters get their ranges from `calibration`, such as "output_error" or "max" (see
            `chip.input_ranges.choose_input_ranges`), or the ranges by layer path.
        input_scaling: "smooth:ALPHA" rescales the inputs of converters against the weights (see `chip.input_scaling`).
        read_noise: "per_condition": compensation, calibration and test of a cell see one reading of the devices.
            "per_read": compensation and each pass through the network read them anew.
        noise_device: As in `SimulatedDevice`.
        images: "all", or "adaptive": each chip is measured on a stratified random part of the samples, from which its
            values on all are estimated without bias (`analysis.image_sample`).
        engine: "fast", or "aihwkit" for its own layers on the compiled tile.
        bf16: Evaluate under bfloat16 autocast; converters and noise stay in float32.
        keep_digital: Paths or patterns of layers that stay digital, see `crossbar.plan.plan_conversion`.
        plan: A plan made before for this model and preset, in place of `keep_digital`.
        label: The network's name in the records.
        store: Keeps finished cells and is asked which are done; for one label and preset. None: memory.
        progress: Called with a short text after each cell.

    Returns:
        The records of the digital network and of every chip.

    Raises:
        OptionError: With every option that is wrong.
        PlanError: Layers cannot be put on tiles.
        DataError: The data does not fit the network or the task.

    Warns:
        CoverageWarning: Less than 90 % of the matrix weights are on tiles.
        InputRangeWarning: The output of a layer is off by more than 20 % with every input range.

    >>> import torch
    >>> model, data = nn.Linear(2, 2, bias=False), [(torch.eye(2), torch.tensor([0, 1]))]
    >>> _ = nn.init.eye_(model.weight)
    >>> result = simulate_drift(model, "pcm_nandakumar_2019", data, times="1s,1h", instances=2, seed=0)
    >>> [record.value for record in result.records if record.metric == "accuracy_percent"]
    [100.0, 100.0, 100.0, 100.0, 100.0]
    """
    preset, times = as_preset(preset), as_seconds(times)
    calibrate_at = None if calibrate_at is None else as_seconds(calibrate_at)[0]
    calibrate = calibrations((*((ADABS,) if adabs else ()), *calibrate))
    faults = extent_faults(times, instances, target_halfwidth, max_instances) + read_noise_faults(read_noise)
    faults += data_faults(data=data, calibration=calibration) + calibration_faults(calibrate, calibration)
    faults += input_range_faults(plan or preset, calibration, input_range, input_scaling)
    faults += age_faults(calibrate_at, times, calibrate) + _plan_faults(preset, plan, keep_digital)
    if faults:
        raise OptionError(list_faults("simulate_drift", faults))
    check_calibrations(model, calibrate)
    task = classification_of(data) if task is None else task
    scores, kept = sample_scores(images, task), kept_in(store, label, preset.name, _STAGES)
    if plan is None:
        plan = plan_conversion(model, preset, keep_digital=keep_digital, example=first_example(model, data, task))
    plan.check()
    cells = Cells(store=kept, data=data, task=task, checkpoint=label, preset=preset.name, bf16=bf16)
    # Stored with the first chip: a simulation that cannot run at all leaves nothing behind.
    first = [cells.measure(model, 0, one, watch=scores) for one in cells.missing(0, [Condition(stage=DIGITAL)])]
    for category, text in plan.warnings():
        warnings.warn(f"{label}: {text}", category, stacklevel=3)
    chosen = {}
    if isinstance(input_range, str):
        chosen = _choose_ranges(model, plan, calibration, seed, input_range, input_scaling, task)
    device = SimulatedDevice(
        model,
        plan,
        calibration=calibration,
        input_ranges=chosen if isinstance(input_range, str) else input_range,
        engine=engine,
        sample=few_inputs(data, FEW),
        run=task.run,
        read_noise=read_noise,
        noise_device=noise_device,
    )
    moments = sorted({float(time) for time in times})
    conditions = [Condition(stage=DRIFT, **each) for each in measured_conditions(moments, calibrate, calibrate_at)]
    cells.choose_images(model, scores, device.moments(seed, 0, conditions), seed, instances, target_halfwidth)
    stop, instance = instances, 0
    while instance < stop:
        for condition, cell in _aged(device, cells, seed, instance, conditions):
            cells.keep(*first, cell)
            first = []
            progress(f"instance {instance + 1} of {stop}, {format_duration(condition.time_seconds or 0.0)}")
        instance += 1
        if instance == instances and target_halfwidth is not None:
            asked = [record for record in kept.records() if record.time_seconds in moments]
            needed = needed_instances(asked, task.headline, instances, target_halfwidth, cells.measured)
            stop = min(max_instances, needed)
    cells.keep(*first)
    return SimulationResult(
        records=tuple(record for record in kept.records() if record.stage in _STAGES),
        preset=preset.model_dump(mode="json"),
        seed=seed,
        samples=cells.samples,
        images=cells.sample,
        pilot=None if target_halfwidth is None else instances,
        input_ranges=chosen,
        metrics=task.metrics,
        packed=cells.kept(_STAGES),
    )


def _choose_ranges(
    model: nn.Module,
    plan: ConversionPlan,
    calibration: Iterable[Any] | None,
    seed: int,
    method: str,
    scaling: str,
    task: Task,
) -> dict[str, InputRange]:
    """The input ranges of the planned weights, none without converters; warns where none serves a layer well."""
    if not needs_calibration(plan):
        return {}
    found = choose_input_ranges(
        model, plan.preset, calibration, seed=seed, method=method, scaling=scaling, plan=plan, run=task.run
    )
    if layers := inaccurate_layers({path: one.relative_error for path, one in found.items()}):
        sentence = input_range_sentence(layers, next((row.path for row in plan.rows if row.first), ""))
        warnings.warn(sentence, InputRangeWarning, stacklevel=4)
    return found


def _aged(
    device: SimulatedDevice, cells: Cells, seed: int, instance: int, conditions: Sequence[Condition]
) -> Iterator[tuple[Condition, Cell]]:
    """Program one chip and measure it under each condition that is missing, one after the other."""
    missing = cells.missing(instance, conditions)
    chip = device.program(seed, instance) if missing else None
    for condition in missing:
        assert chip is not None
        with chip.at(condition) as network:
            yield condition, cells.measure(network, instance, condition, weight_error=device.weight_error())


def needed_instances(
    records: Iterable[Record], metric: Metric, pilot: int, halfwidth: float, samples: int | None
) -> int:
    """Instances in all that the widest condition needs after the first `pilot`, by Stein's rule.

    Args:
        records: Those of other metrics and stages are left out.
        metric: Whose mean is to be known.
        pilot: Chips that were measured.
        halfwidth: Of the 95 % interval, in the metric's unit.
        samples: On how many samples each value was measured; None: not known.
    """
    found: dict[Condition, list[float]] = {}
    for record in records:
        if record.stage == DRIFT and record.metric == metric.name and record.instance < pilot:
            found.setdefault(record.condition, []).append(record.value)
    step = metric.step(samples) if samples else None
    return max(stein_total(values, halfwidth, step) for values in found.values())


def first_example(model: nn.Module, data: Iterable[Any], task: Task) -> Example | None:
    """The first batch, where the plan needs it to see how the model uses its weights."""
    if not needs_example(model):
        return None
    if isinstance(task, WholeModelTask):
        return Example(batch=None, run=lambda network, _: task.measure(network), count=False)
    return Example(batch=next(iter(data)), run=task.run, count=False)


def extent_faults(
    times: Sequence[float], instances: int, target_halfwidth: float | None, max_instances: int
) -> list[str]:
    """What is wrong with the times and the number of chips that are asked for."""
    faults = [f"times: expected finite seconds of 0 or more, got {t}" for t in times if not 0 <= t < math.inf]
    if not times:
        faults.append("times: expected at least one time in seconds, got none")
    if instances < 1:
        faults.append(f"instances: expected 1 or more, got {instances}")
    if target_halfwidth is not None:
        if not 0 < target_halfwidth < math.inf:
            faults.append(f"target_halfwidth: expected a finite number above 0, got {target_halfwidth}")
        faults += pilot_problems(instances, max_instances)
    return faults


def calibration_faults(calibrate: Sequence[str], calibration: Iterable[Any] | None) -> list[str]:
    """What is wrong with the methods of calibration and their batches; the first of `calibrate` is "none"."""
    faults = [problem for name in calibrate[1:] if (problem := calibration_fault(name))]
    if calibration is None and len(calibrate) > 1 and not faults:
        titles = ", ".join(CALIBRATIONS[name].title for name in calibrate[1:])
        faults.append(f"calibration: {titles} needs calibration batches, got none")
    return faults


def check_calibrations(model: nn.Module, calibrate: Sequence[str]) -> None:
    """Raise OptionError where a method has nothing to adapt in the network."""
    for name in calibrate:
        if name in CALIBRATIONS:
            CALIBRATIONS[name].check(model)


def _plan_faults(preset: Preset, plan: ConversionPlan | None, keep_digital: Sequence[str]) -> list[str]:
    if plan is None:
        return []
    faults = ["keep_digital: has no effect on a plan that is made already"] if keep_digital else []
    if plan.preset != preset:
        faults.append(f"plan: made for preset {plan.preset.name}, got {preset.name}")
    return faults
