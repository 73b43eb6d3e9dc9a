"""One network on one preset: its values at every moment and their summaries, made from records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose

import numpy as np
from numpy.typing import NDArray

from analog_samson.analysis.equivalent_sigma import EquivalentSigma, GaussianCurve, equivalent_sigma_c, gaussian_curve
from analog_samson.analysis.labels import plain_first
from analog_samson.analysis.sampling import ChipOutcomes, sampled_share
from analog_samson.analysis.statistics import Summary, summarize
from analog_samson.analysis.stopping import stein_halfwidth
from analog_samson.presets.validity import EXTRAPOLATED, UNKNOWN, Validity
from analog_samson.results.condition import UNCALIBRATED, Condition
from analog_samson.results.metric import ACCURACY, Metric
from analog_samson.results.records import Record
from analog_samson.units import format_duration

Outcomes = Mapping[tuple[int, Condition], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The network at one moment of its life: digital, just programmed, or after a time.

    Attributes:
        values: Value of the metric by instance.
        value: Their summary.
        drop: How much worse than the digital network, in the unit of differences; positive is worse.
        weight_error: As the run measured it.
        sampled: The ends of the 95 % interval over chips and test samples, see `sampled_share`; None where the outcomes
            of the samples are not known, or the metric is no share of right ones.
        outcomes: Of every sample on every chip, where they are known.
        coverage: "extrapolated" outside the preset's validity, "interpolated" between the times of its source, else "".
    """

    label: str
    stage: str
    time_seconds: float | None
    values: Mapping[int, float]
    value: Summary
    drop: float | None
    equivalent: EquivalentSigma | None
    weight_error: Summary | None
    coverage: str
    sampled: tuple[float, float] | None = None
    outcomes: ChipOutcomes | None = None

    @property
    def extrapolated(self) -> bool:
        """Whether the preset does not cover this moment."""
        return self.coverage == EXTRAPOLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianPoint:
    """One sigma_c of the Gaussian sweep; `values` of the metric by instance."""

    sigma_c: float
    values: Mapping[int, float]
    value: Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One checkpoint on one preset with one calibration: one row of the overview, one line of a figure.

    Attributes:
        calibration: "none", or the name of the method.
        metric: Of all values.
        step: Resolution of a value on the samples that were used; None where there is none or it is not known.
        states: Programmed (if measured), then every time in order.
        sweep: The Gaussian points in order.
        seeds: Over how many the chips are pooled.
        estimated: On how many samples each chip was measured, and how many there are, where its values are estimates
            from part of them; None where they are those of all.
    """

    checkpoint: str
    preset: str
    calibration: str
    metric: Metric
    step: float | None
    digital: State | None
    states: tuple[State, ...]
    sweep: tuple[GaussianPoint, ...]
    validity: Validity = UNKNOWN
    seeds: int = 1
    estimated: tuple[int, int] | None = None

    @property
    def times(self) -> tuple[State, ...]:
        """The states that have a time."""
        return tuple(state for state in self.states if state.time_seconds is not None)


def results_of(
    records: Sequence[Record],
    metric: Metric = ACCURACY,
    validity: Validity = UNKNOWN,
    *,
    pilot: int | None = None,
    samples: int | None = None,
    estimated: tuple[int, int] | None = None,
    outcomes: Outcomes | None = None,
) -> tuple[Result, ...]:
    """One result per checkpoint, preset and calibration.

    Args:
        records: Of any metric; those of `metric` and the weight errors are read.
        metric: What to summarize.
        validity: Of the preset; it decides what is marked.
        pilot: See `pilot_of`; with it the intervals over time are those of Stein's rule.
        samples: How many test samples there are, if known; it gives the resolution of a value.
        estimated: As in `Result`.
        outcomes: Whether each sample was right, bool (samples,), by instance and condition, as far as that is known.
    """
    counted = samples if estimated is None else estimated[0]
    known = {} if estimated or outcomes is None else outcomes  # those of part of the samples are no share of all
    reader = _Reader(metric, metric.step(counted) if counted else None, validity, pilot, known)
    return tuple(replace(reader.result(key, records), estimated=estimated) for key in _result_keys(records))


def _result_keys(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """(checkpoint, preset, calibration) of each result; a lone sweep or digital value makes one only if needed."""
    keys = {_key(record) for record in records if record.stage in ("programmed", "drift")}
    simulated = {(checkpoint, calibration) for checkpoint, _, calibration in keys}
    swept = {_key(record) for record in records if record.stage == "gaussian"}
    keys |= {key for key in swept if (key[0], key[2]) not in simulated}
    known = {checkpoint for checkpoint, _, _ in keys}
    keys |= {_key(r) for r in records if r.stage == "digital" and r.checkpoint not in known}
    return sorted(keys, key=lambda key: (*key[:2], plain_first(key[2])))


def _key(record: Record) -> tuple[str, str, str]:
    return record.checkpoint, record.preset, record.calibration


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns records into results of one metric; pilot: how many chips decided on their number, None: given."""

    metric: Metric
    step: float | None
    validity: Validity
    pilot: int | None
    outcomes: Outcomes

    def result(self, key: tuple[str, str, str], records: Sequence[Record]) -> Result:
        checkpoint, preset, calibration = key
        own = [record for record in records if record.checkpoint == checkpoint]
        digital = self._digital(own, calibration)
        same = [record for record in own if record.calibration == calibration]
        sweep = self._sweep(same)
        curve = (
            gaussian_curve({point.sigma_c: point.values for point in sweep}, self.metric) if len(sweep) > 1 else None
        )
        here = [record for record in same if record.preset == preset and record.stage in ("programmed", "drift")]
        moments = sorted({record.time_seconds for record in here}, key=lambda t: -1.0 if t is None else t)
        found = (self._state([r for r in here if r.time_seconds == t], digital, curve) for t in moments)
        return Result(
            checkpoint=checkpoint,
            preset=preset,
            calibration=calibration,
            metric=self.metric,
            step=self.step,
            digital=digital,
            states=tuple(state for state in found if state is not None),
            sweep=sweep,
            validity=self.validity,
        )

    def _digital(self, records: Sequence[Record], calibration: str) -> State | None:
        """The digital network as it was trained; calibrated only where it was measured in no other way."""
        digital = [record for record in records if record.stage == "digital"]
        plain = [record for record in digital if record.calibration == UNCALIBRATED]
        return self._state(plain or [record for record in digital if record.calibration == calibration], None, None)

    def _state(self, records: Sequence[Record], digital: State | None, curve: GaussianCurve | None) -> State | None:
        values = _by_instance(records, self.metric.name)
        if not values:
            return None
        stage, time = records[0].stage, records[0].time_seconds
        summary = self._summary(values) if stage == "digital" else self._stopped(values)
        errors, outcomes = _by_instance(records, "weight_error"), self._outcomes(records, values)
        return State(
            label=stage if time is None else format_duration(time),
            stage=stage,
            time_seconds=time,
            values=values,
            value=summary,
            drop=None if digital is None else self.metric.worse_by(summary.mean, digital.value.mean),
            equivalent=None if curve is None else equivalent_sigma_c(list(values.values()), curve, self.step),
            weight_error=summarize(list(errors.values())) if errors else None,
            coverage="" if stage == "digital" else self.validity.coverage(time),
            sampled=self._sampled(outcomes),
            outcomes=outcomes,
        )

    def _outcomes(self, records: Sequence[Record], values: Mapping[int, float]) -> ChipOutcomes | None:
        """The outcomes whose shares the values are; None where some are not known, or the metric counts another."""
        condition, metric = records[0].condition, self.metric
        found = {chip: right for chip in values if (right := self.outcomes.get((chip, condition))) is not None}
        span = metric.upper - metric.lower
        if not metric.counted or len(found) < len(values) or len({len(right) for right in found.values()}) > 1:
            return None
        if not all(isclose(values[chip], metric.lower + span * right.mean()) for chip, right in found.items()):
            return None
        samples = len(next(iter(found.values())))
        return ChipOutcomes({chip: np.packbits(right) for chip, right in found.items()}, samples)

    def _sampled(self, outcomes: ChipOutcomes | None) -> tuple[float, float] | None:
        if outcomes is None:
            return None
        share, span = sampled_share(outcomes.table(outcomes.packed)), self.metric.upper - self.metric.lower
        if share.low is None or share.high is None:
            return None
        return self.metric.lower + span * max(share.low, 0.0), self.metric.lower + span * min(share.high, 1.0)

    def _summary(self, values: Mapping[int, float]) -> Summary:
        return summarize(list(values.values()), self.step)

    def _stopped(self, values: Mapping[int, float]) -> Summary:
        """The summary with the interval of Stein's rule, where that decided how many chips there are."""
        summary, pilot = self._summary(values), self.pilot
        if pilot is None or summary.low is None or any(instance not in values for instance in range(pilot)):
            return summary
        reach = stein_halfwidth([values[instance] for instance in range(pilot)], summary.n, self.step)
        return replace(summary, low=summary.mean - reach, high=summary.mean + reach)

    def _sweep(self, records: Sequence[Record]) -> tuple[GaussianPoint, ...]:
        swept: dict[float, dict[int, float]] = {}
        for record in records:
            if record.sigma_c is not None and record.metric == self.metric.name:
                swept.setdefault(record.sigma_c, {})[record.instance] = record.value
        return tuple(
            GaussianPoint(sigma_c=sigma, values=values, value=self._summary(values))
            for sigma, values in sorted(swept.items())
        )


def _by_instance(records: Iterable[Record], metric: str) -> dict[int, float]:
    return {record.instance: record.value for record in records if record.metric == metric}
