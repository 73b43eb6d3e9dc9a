"""The table of a sweep: one row for each condition, over the chips of all seeds."""

from collections.abc import Iterator, Sequence
from typing import Any

from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import Summary, value_interval
from analog_samson.analysis.summary import Result
from analog_samson.results.condition import UNCALIBRATED

SUMMARY_COLUMNS = (
    *("checkpoint", "preset", "stage", "calibration", "time_seconds", "sigma_c", "chips", "seeds"),
    *("metric", "mean", "std", "low", "high", "coverage", "failed_seeds"),
)


def summary_rows(runs: Sequence[Run], place: tuple[str, str], failed: Sequence[int] = ()) -> Iterator[tuple[Any, ...]]:
    """The metric of one network on one preset at every condition: mean, deviation and 95 % interval over chips.

    Args:
        runs: As `read_runs` gives them, seeds pooled.
        place: Names of the network and the preset.
        failed: Seeds whose simulation did not finish. Every row names them; where no seed finished, one row of stage
            "failed" does.

    Yields:
        The values of SUMMARY_COLUMNS.
    """
    seeds = " ".join(map(str, failed))
    for run in runs:
        for result in run.results:
            yield from ((*row, seeds) for row in _rows(result))
    if failed and not runs:
        yield (*place, "failed", *[None] * (len(SUMMARY_COLUMNS) - 4), seeds)


def _rows(result: Result) -> Iterator[tuple[Any, ...]]:
    place = result.checkpoint, result.preset
    digital = () if result.digital is None else (result.digital,)
    for state in (*digital, *result.states):
        calibration = UNCALIBRATED if state.stage == "digital" else result.calibration
        yield (
            *place,
            state.stage,
            calibration,
            state.time_seconds,
            None,
            *_summary(state.value, result),
            state.coverage,
        )
    for point in result.sweep:
        yield (*place, "gaussian", result.calibration, None, point.sigma_c, *_summary(point.value, result), "")


def _summary(value: Summary, result: Result) -> tuple[Any, ...]:
    low, high = value_interval(value, result.metric)
    return value.n, min(result.seeds, value.n), result.metric.name, value.mean, value.std, low, high
