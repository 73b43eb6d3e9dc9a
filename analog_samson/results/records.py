"""One measured number and what it belongs to: the only thing that simulations hand to results and reports."""

from dataclasses import astuple, dataclass, fields
from math import isfinite
from types import NoneType
from typing import Any

from analog_samson.results.condition import ADABS, DIGITAL, DRIFT, GAUSSIAN, UNCALIBRATED, Condition

PROGRAMMED = "programmed"
STAGES = (DIGITAL, PROGRAMMED, DRIFT, GAUSSIAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One value of one metric of one simulated cell.

    Attributes:
        checkpoint, preset: Labels of the network and the hardware.
        stage: One of STAGES: the digital network, the network right after programming, the programmed network at
            `time_seconds` [s], or the generic Gaussian model at `sigma_c` [relative].
        calibration: The method that adapted the network to the noisy weights; "none" without one.
        instance: Counts simulated chips from 0.
        metric: The name of a `Metric` of the task, or "weight_error".

    >>> Record(checkpoint="net", preset="ideal", stage="drift", calibration="none", instance=0, time_seconds=3600.0,
    ...        sigma_c=None, metric="accuracy_percent", value=91.5).condition
    Condition(stage='drift', time_seconds=3600.0, sigma_c=None, calibration='none')
    """

    checkpoint: str
    preset: str
    stage: str
    calibration: str
    instance: int
    time_seconds: float | None
    sigma_c: float | None
    metric: str
    value: float

    def __post_init__(self) -> None:
        faults = [fault for fault in (*_stage_faults(self), *_number_faults(self)) if fault]
        if faults:
            raise ValueError(f"record: {'; '.join(faults)}")

    @property
    def condition(self) -> Condition:
        """What decided the measurement besides network, hardware and chip."""
        stage, time = (DRIFT, 0.0) if self.stage == PROGRAMMED else (self.stage, self.time_seconds)
        return Condition(stage=stage, time_seconds=time, sigma_c=self.sigma_c, calibration=self.calibration)

    @property
    def adabs(self) -> bool:
        """Whether batch-norm statistics were adapted."""
        return self.calibration == ADABS


COLUMNS = tuple(field.name for field in fields(Record))


def _stage_faults(record: Record) -> list[str]:
    if record.stage not in STAGES:
        return [f"stage {record.stage!r}: expected one of {', '.join(STAGES)}"]
    faults = []
    if (record.time_seconds is not None) != (record.stage == DRIFT):
        faults.append(f"time_seconds {record.time_seconds!r} does not go with stage {record.stage!r}")
    if (record.sigma_c is not None) != (record.stage == GAUSSIAN):
        faults.append(f"sigma_c {record.sigma_c!r} does not go with stage {record.stage!r}")
    return faults


def _number_faults(record: Record) -> list[str]:
    faults = [] if record.instance >= 0 else [f"instance {record.instance}: expected 0 or more"]
    for name, number in (("time_seconds", record.time_seconds), ("sigma_c", record.sigma_c)):
        if number is not None and not (isfinite(number) and number >= 0):
            faults.append(f"{name} {number!r}: expected a finite number, 0 or more")
    return faults


def to_row(record: Record) -> tuple[Any, ...]:
    """The values of COLUMNS as plain Python numbers (numpy and torch scalars become int and float)."""
    checkpoint, preset, stage, calibration, instance, time, sigma, metric, value = astuple(record)
    numbers = (None if time is None else float(time), None if sigma is None else float(sigma))
    return (checkpoint, preset, stage, calibration, int(instance), *numbers, metric, float(value))


_NUMBER = (float, NoneType)
# Of COLUMNS; SQLite lets any kind of value into any column.
_KINDS: tuple[Any, ...] = (str, str, str, str, int, _NUMBER, _NUMBER, str, _NUMBER)


def from_row(row: tuple[Any, ...]) -> Record:
    """The record of one row of COLUMNS; an absent value is not-a-number (SQLite stores NaN as NULL).

    Raises:
        ValueError: A value is of another kind or size than `to_row` gives.
    """
    named = dict(zip(COLUMNS, row, strict=True))
    strange = [name for (name, value), kind in zip(named.items(), _KINDS, strict=True) if not isinstance(value, kind)]
    if strange:
        told = ", ".join(f"{name} {named[name]!r:.40}" for name in strange)
        raise ValueError(f"record: {told}: of another kind than a simulation stores")
    value = float("nan") if named["value"] is None else named["value"]
    return Record(**(named | {"value": value}))


def sort_key(record: Record) -> tuple[Any, ...]:
    """Order of records everywhere: by what they belong to, never by when they were made."""
    time = -1.0 if record.time_seconds is None else record.time_seconds
    sigma = -1.0 if record.sigma_c is None else record.sigma_c
    place = (record.checkpoint, record.preset, STAGES.index(record.stage))
    calibration = (record.calibration != UNCALIBRATED, record.calibration)
    return (*place, *calibration, time, sigma, record.instance, record.metric)
