"""Error budget of a run: evaluate its variants on the same chips, into a folder inside the run folder, resumably."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from math import ceil
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from analog_samson.analysis.error_budget import AS_IS, LAYER
from analog_samson.chip.calibration import CALIBRATIONS, usable_calibrations
from analog_samson.chip.input_range import InputRange
from analog_samson.crossbar.coverage import CoverageWarning
from analog_samson.crossbar.plan import ConversionPlan
from analog_samson.data.batch_set import BatchSet
from analog_samson.data.feeding import Data
from analog_samson.errors import DataError
from analog_samson.results.condition import ADABS, DIGITAL, DRIFT, UNCALIBRATED, Condition
from analog_samson.results.metric import LOSS, stored_task
from analog_samson.results.protocol import Store
from analog_samson.results.runfile import budget_folder
from analog_samson.results.store import RunFolder
from analog_samson.results.variant_store import Shelf
from analog_samson.runtime.threads import limited_threads
from analog_samson.simulation.cells import Cells
from analog_samson.simulation.decisions import DecisionRecorder, Decisions, bin_edges, summarize_decisions
from analog_samson.simulation.device import SimulatedDevice
from analog_samson.simulation.drift import FEW, Progress, simulate_drift
from analog_samson.simulation.input_variants import input_variants
from analog_samson.simulation.inputs import Inputs, checkpoint_label, fits_channels_last, load_inputs
from analog_samson.simulation.options import VOLATILE, ErrorBudgetOptions, SimulateOptions
from analog_samson.simulation.ranges import plan_of, run_input_ranges, run_plan
from analog_samson.simulation.stored_options import BEFORE, stored_options
from analog_samson.simulation.variants import KEPT_DIGITAL, Variant, analog_layers, digital_variants, run_variants
from analog_samson.tasks.batch import few_inputs
from analog_samson.tasks.scoring import score
from analog_samson.units import format_duration

_REMARK = "Part of the run in the folder above; analog-samson simulate --error-budget with its options resumes it."


@contextmanager
def open_error_budget(options: SimulateOptions, out: Path, settings: ErrorBudgetOptions) -> Iterator["ErrorBudgetRun"]:
    """An error budget of the run `options` in its folder `out`, ready to run or to be continued.

    Args:
        options: Of the run.
        out: The run's folder.
        settings: Time, chips and samples of the error budget.

    Raises:
        AnalogSamsonError: Something is missing or the folder holds another error budget; before anything is written.
    """
    with limited_threads(options.threads):
        inputs, skipped = _load(options)
        images = inputs.images.take(settings.error_budget_limit)
        time = settings.error_budget_time
        settings = ErrorBudgetOptions(
            error_budget_time=max(options.times) if time is None else time,
            error_budget_instances=min(settings.error_budget_instances, options.instances),
            error_budget_limit=len(images),
        )
        stored = _stored(options, settings, inputs)
        folder = budget_folder(out)
        with RunFolder.create(folder, stored, volatile=VOLATILE, before=BEFORE, remark=_REMARK, below=out) as run:
            yield ErrorBudgetRun(options, settings, inputs, images, run, skipped)


class ErrorBudgetRun:
    """A set of variants of one run, and the folder that their results go to."""

    def __init__(
        self,
        options: SimulateOptions,
        settings: ErrorBudgetOptions,
        inputs: Inputs,
        images: Data | BatchSet,
        run: RunFolder,
        skipped: Sequence[str],
    ) -> None:
        assert settings.error_budget_time is not None
        self.options, self.inputs, self.run = options, inputs, run
        self.time, self.instances = settings.error_budget_time, settings.error_budget_instances
        self.plan = run_plan(inputs, options)
        channels_last = fits_channels_last(inputs, options)
        self.images = images
        self.data = inputs.batches(images, options, channels_last=channels_last)
        self.calibration: Any = None
        if inputs.calibration is not None:
            self.calibration = inputs.batches(inputs.calibration, options, channels_last=channels_last)
        self.task = inputs.task
        usable, unusable = usable_calibrations(inputs.model)
        usable = usable if inputs.calibration is not None else []
        self.variants = run_variants(inputs.presets, self.plan, options.keep_digital, usable)
        self.variants += input_variants(self.plan, options)
        single = [] if any(v.kind == LAYER for v in self.variants) else ["where: one layer alone is on the device"]
        self.skipped = [*skipped, *unusable, *single]
        self._condition = Condition(stage=DRIFT, time_seconds=self.time)

    @property
    def evaluations(self) -> int:
        """Evaluations in all, those of layers kept digital included."""
        layers = len(analog_layers(self.plan))
        kept = sum(count < layers for count in KEPT_DIGITAL) if layers > 1 else 0
        return 1 + self.instances * (
            len({(v.label, v.calibration) for v in self.variants} | {(AS_IS, UNCALIBRATED)}) + kept
        )

    @property
    def missing(self) -> int:
        """Evaluations that are not stored yet."""
        headline = self.task.headline.name
        done = [r for r in self.run.records() if r.metric == headline and r.instance < self.instances]
        return self.evaluations - len(done)

    def cost(self) -> str:
        """What it will take, in one sentence; times two small forward passes for it."""
        count, images = self.evaluations, len(self.images)
        known = "" if self.missing == count else f", {count - self.missing} of them stored already"
        chips = "1 chip" if self.instances == 1 else f"{self.instances} chips"
        place = f"error budget: {count} evaluations of {images} images ({chips} at {_when(self.time)}){known}"
        wide = "; fewer than 5 chips give wide intervals" if self.instances < 5 else ""
        return f"{place}; {_roughly(self.missing * self._seconds())}{wide}" if self.missing else place

    def finish(self, progress: Progress = lambda text: None) -> None:
        """Evaluate whatever is missing; every finished cell is stored at once."""
        self._describe(self.variants)
        digital = self._digital(progress)
        self._as_it_is(digital, progress)
        self._evaluate_all(self.variants, progress)
        kept = digital_variants(self.inputs.preset, self.plan, self.options.keep_digital, self._ranking())
        self._describe([*self.variants, *kept])
        self._evaluate_all(kept, progress)

    def _evaluate_all(self, variants: Sequence[Variant], progress: Progress) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)  # variants keep layers digital on purpose
            for variant in variants:
                self._evaluate(variant, progress)

    def _describe(self, variants: Sequence[Variant]) -> None:
        facts = {
            "time_seconds": self.time,
            "instances": self.instances,
            "images": len(self.images),
            "evaluations": self.evaluations,
            "skipped": self.skipped,
        }
        self.run.set_meta("task", stored_task(self.task.name, self.task.metrics))
        self.run.set_meta("error_budget", facts)
        self.run.set_meta("variants", [variant.row() for variant in variants])

    def _digital(self, progress: Progress) -> Decisions | None:
        """The digital network's decisions; they are made again where a run continues, for they are not stored whole."""
        recorder = DecisionRecorder(self.task)
        cells = self._cells(self.run, self.inputs.preset.name)
        cell = cells.measure(self.inputs.model, 0, Condition(stage=DIGITAL), watch=recorder)
        decisions = recorder.decisions()
        if not self.run.has(0, Condition(stage=DIGITAL)):
            if decisions is not None:
                edges = bin_edges(decisions.margins)
                self.run.set_meta("outcomes/digital", summarize_decisions(decisions, edges, decisions))
            cells.keep(cell)
            progress("digital")
        return decisions

    def _as_it_is(self, digital: Decisions | None, progress: Progress) -> None:
        """The chips of the run itself, from the same streams."""
        cells = self._cells(Shelf(self.run, AS_IS), AS_IS)
        missing = [i for i in range(self.instances) if cells.missing(i, [self._condition])]
        device = self._device() if missing else None
        for instance in missing:
            assert device is not None
            recorder = DecisionRecorder(self.task)
            with device.program(self.options.seed, instance).at(self._condition) as network:
                error = device.weight_error()
                cell = cells.measure(network, instance, self._condition, watch=recorder, weight_error=error)
            decisions = recorder.decisions()
            if decisions is not None and digital is not None:
                edges = self.run.meta("outcomes/digital")["edges"]
                self.run.set_meta(f"outcomes/{instance}", summarize_decisions(decisions, edges, digital))
            cells.keep(cell)
            progress(f"{AS_IS}, chip {instance + 1} of {self.instances}")

    def _evaluate(self, variant: Variant, progress: Progress) -> None:
        simulate_drift(
            self.inputs.model,
            variant.preset,
            self.data,
            times=[self.time],
            instances=self.instances,
            seed=self.options.seed,
            task=self.task,
            calibrate=() if variant.calibration == UNCALIBRATED else (variant.calibration,),
            calibration=self.calibration,
            input_range=self._ranges_of(variant),
            read_noise=self.options.read_noise,
            noise_device=self.options.noise_device,
            engine=self.options.engine,
            bf16=self.options.bf16,
            plan=self._plan_of(variant),
            label=self._label,
            store=Shelf(self.run, variant.label),
            progress=lambda text: progress(f"{variant.label}, {text}"),
        )

    def _ranges_of(self, variant: Variant) -> Mapping[str, InputRange]:
        if variant.input_scaling:
            options = self.options.replace(input_scaling=variant.input_scaling)
            return run_input_ranges(self.inputs, self.plan, options, self.calibration)
        return {path: replace(one, exact=variant.exact_inputs) for path, one in self._input_ranges.items()}

    def _plan_of(self, variant: Variant) -> ConversionPlan:
        """The run's plan with other layers kept digital, or for other hardware."""
        kept = variant.keep_digital
        on_chip = [row.path for row in analog_layers(self.plan) if row.path not in kept]
        layers = {pattern: variant.change(preset) for pattern, preset in self.inputs.layer_presets.items()}
        return plan_of(self.inputs, self.options, variant.preset, kept, on_chip, layers)

    def _ranking(self) -> list[str]:
        """Layer paths by what they lose alone on the device, the most first.

        By the loss where the task has one, for it separates layers long before a counted metric moves.
        """
        metric = LOSS if LOSS in self.task.metrics else self.task.headline
        worse: dict[str, list[float]] = {v.subject: [] for v in self.variants if v.kind == LAYER}
        labels = {v.label: v.subject for v in self.variants if v.kind == LAYER}
        for record in self.run.records():
            if record.preset in labels and record.metric == metric.name:
                worse[labels[record.preset]].append(metric.worse_by(record.value, 0.0))
        return sorted(worse, key=lambda path: (-fmean(worse[path]), path))

    def _cells(self, store: Store, preset: str) -> Cells:
        return Cells(
            store=store, data=self.data, task=self.task, checkpoint=self._label, preset=preset, bf16=self.options.bf16
        )

    @property
    def _label(self) -> str:
        return self.options.label or checkpoint_label(self.options)

    def _device(self) -> SimulatedDevice:
        return SimulatedDevice(
            self.inputs.model,
            self.plan,
            input_ranges=self._input_ranges,
            engine=self.options.engine,
            sample=few_inputs(self.data, FEW),
            run=self.task.run,
            read_noise=self.options.read_noise,
            noise_device=self.options.noise_device,
        )

    @cached_property
    def _input_ranges(self) -> dict[str, InputRange]:
        """The ranges of the run itself, for all variants but one with inputs that are rescaled."""
        return run_input_ranges(self.inputs, self.plan, self.options, self.calibration)

    def _seconds(self) -> float:
        """Of one evaluation, from the second of two passes over the first batch."""
        few = replace(self.inputs, images=self.images).first(self.options.batch_size)
        batches = self.inputs.batches(few, self.options, channels_last=False)
        chip = self._device().program(self.options.seed, 0)
        with chip.at(Condition(stage=DRIFT, time_seconds=0.0)) as network:
            for _ in range(2):
                start = perf_counter()
                score(network, batches, self.task, bf16=self.options.bf16)
        return (perf_counter() - start) * len(self.images) / len(few)


def _load(options: SimulateOptions) -> tuple[Inputs, list[str]]:
    """The run's inputs with images for calibration if there are any, and why it is left out where there are none."""
    try:
        return load_inputs(options.replace(calibrate=(ADABS,))), []
    except DataError as error:
        titles = ", ".join(method.title for method in CALIBRATIONS.values())
        return load_inputs(options), [f"{titles}: no calibration images ({error})"]


def _stored(options: SimulateOptions, settings: ErrorBudgetOptions, inputs: Inputs) -> dict[str, Any]:
    """What decides the numbers: the run's options, those of the error budget, and the content of what they name."""
    content = {
        "preset_sha256": inputs.preset.fingerprint,
        "layer_preset_sha256": [preset.fingerprint for preset in inputs.layer_presets.values()] or None,
        "checkpoint_sha256": inputs.checkpoint.sha256,
        "data_fingerprint": inputs.images.fingerprint,
    }
    return {**stored_options(options, inputs.presets), **dict(settings), **content}


def _when(seconds: float) -> str:
    return "programming" if seconds == 0 else format_duration(seconds)


def _roughly(seconds: float) -> str:
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {ceil(seconds / 60)} min"
