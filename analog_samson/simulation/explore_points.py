"""The simulations of an exploration: each a run folder, judged against one threshold."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analog_samson.analysis.exploration import Margin, margin_of
from analog_samson.analysis.threshold import Threshold
from analog_samson.errors import OptionError, RunError, list_faults
from analog_samson.results.condition import DIGITAL, DRIFT, UNCALIBRATED
from analog_samson.results.links import refuse_links
from analog_samson.results.metric import LOSS, Metric, stored_metrics
from analog_samson.results.store import open_run
from analog_samson.runtime.workers import Pool
from analog_samson.simulation.explore_options import ExploreOptions
from analog_samson.simulation.inputs import Inputs, checkpoint_label, load_inputs, warn_of_input
from analog_samson.simulation.jobs import SweepJob
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.paths import absolute_paths
from analog_samson.simulation.sweep import job_outcomes

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointResult:
    """What one simulation gives.

    Attributes:
        margin: Of its chips to the threshold.
        loss: Mean loss of its chips, where the task has one, else how much worse than digital the metric is.
        digital_parameters_percent: Share of all parameters that stay digital.
        digital_macs_percent: Share of all multiply-accumulates that stay digital.
    """

    margin: Margin
    loss: float
    digital_parameters_percent: float
    digital_macs_percent: float


class Points:
    """Simulates points into folders below `out`, by the workers of a pool, and remembers what they gave.

    A folder that is finished is not simulated again. All points have the same seed, so they meet the same chips.

    Attributes:
        inputs: Network, data and preset that the options name.
        metric: What the threshold is a value of.
        digital: Value of the digital network; known after the first point.
        samples: How many samples each value was measured on; likewise.
    """

    def __init__(self, options: ExploreOptions, out: Path, pool: Pool, command: str, say: Say) -> None:
        """Load what the options name; nothing is written.

        Raises:
            AnalogSamsonError: Something that the options name is missing or does not fit, or the metric cannot have
                the threshold.
        """
        self._options, self._out, self._pool, self._command, self._say = options, out, pool, command, say
        self.threshold: Threshold = options.threshold
        self.inputs: Inputs = load_inputs(options.of_point())
        warn_of_input(self.inputs)
        self.metric: Metric = self.inputs.task.headline
        self.threshold.check(self.metric)
        self.calibration = options.calibrate[0] if options.calibrate else UNCALIBRATED
        self.digital: float | None = None
        self.samples: int | None = None
        self._done: dict[str, PointResult] = {}

    def run(self, points: Mapping[str, SimulateOptions]) -> dict[str, PointResult]:
        """The results of points by name; those that are missing are simulated.

        Args:
            points: Options by the name of the folder.

        Raises:
            RunError: With the mistakes of all points that did not finish.
        """
        missing = [name for name in points if name not in self._done]
        jobs = [self._job(name, points[name]) for name in missing]
        refuse_links(self._out, [job.folder for job in jobs])
        faults = []
        for place, failure in job_outcomes(jobs, self._out, self._pool, self._command):
            if failure is None:
                result = self._read(jobs[place].folder)
                self._done[missing[place]] = result
                value, verdict = result.margin.value, result.margin.verdict.word
                self._say(f"{missing[place]}: {value.mean:.{self.metric.decimals}f} {self.metric.unit}, {verdict}")
            else:
                faults.append(f"{missing[place]}: {failure}")
        if faults:
            raise RunError(list_faults("explore", faults))
        return {name: self._done[name] for name in points}

    def held(self) -> dict[str, Any]:
        """The fields of `Held`; known after the first point."""
        return {
            "metric": self.metric,
            "keep": self.threshold.text,
            "threshold": self.threshold_value,
            "digital": self.digital,
            "label": self._options.label or checkpoint_label(self._options),
            "preset": self.inputs.preset.model_dump(mode="json"),
            "time_seconds": self._options.at,
            "calibration": self.calibration,
            "instances": self._options.instances,
            "samples": self.samples,
        }

    @property
    def threshold_value(self) -> float:
        """The threshold in the metric's unit; known after the first point."""
        assert self.digital is not None
        return self.threshold.value(self.digital)

    def _job(self, name: str, options: SimulateOptions) -> SweepJob:
        one = options.replace(threads=None)  # a worker has the threads that its pool gives it
        return SweepJob(options=one.replace(**absolute_paths(dict(one))), folder=self._out / "points" / name)

    def _read(self, folder: Path) -> PointResult:
        with open_run(folder) as run:
            records, metrics, hardware = run.records(), stored_metrics(run.meta("task")), run.meta("hardware")
            samples = run.meta("data")["count"]
        metric = metrics[0]
        digital = next(r.value for r in records if r.stage == DIGITAL and r.metric == metric.name)
        if self.digital is None:
            self.digital, self.samples = digital, samples
            if metric.worse_by(self.threshold_value, digital) < 0 and self.threshold.operator:
                raise OptionError(f"--keep {self.threshold.text!r}: asks for more than digital, {digital:g}")
        aged = [r for r in records if r.stage == DRIFT and r.calibration == self.calibration]
        values = [r.value for r in aged if r.metric == metric.name]
        losses = [r.value for r in aged if r.metric == LOSS.name] or [metric.worse_by(v, digital) for v in values]
        return PointResult(
            margin=margin_of(values, self.threshold_value, metric, metric.step(samples)),
            loss=sum(losses) / len(losses),
            digital_parameters_percent=100 - hardware["analog_parameters_percent"],
            digital_macs_percent=100 - hardware["analog_macs_percent"],
        )
