"""The table of a sweep: one row for each condition, over the chips of all seeds."""

from collections.abc import Iterator, Sequence
from typing import Any

from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import Summary, value_interval
from analog_samson.analysis.summary import Result
from analog_samson.results.condition import UNCALIBRATED
from analog_samson.results.csv_text import csv_text

SUMMARY_COLUMNS = (
    *("checkpoint", "preset", "stage", "calibration", "time_seconds", "sigma_c", "chips", "seeds"),
    *("metric", "mean", "std", "low", "high", "coverage", "failed_seeds"),
)
Failed = tuple[tuple[str, str], int]


def summary_csv(runs: Sequence[Run], failed: Sequence[Failed] = ()) -> str:
    """The metric at every condition as CSV: mean, standard deviation and 95 % interval over chips.

    Args:
        runs: As `read_runs` gives them, seeds pooled.
        failed: ((checkpoint, preset), seed) of each simulation that did not finish. The rows of that checkpoint and
            preset name the seed; where no seed finished, one row of stage "failed" does.
    """
    missing: dict[tuple[str, str], list[int]] = {}
    for place, seed in failed:
        missing.setdefault(place, []).append(seed)
    found = [result for run in runs for result in run.results]
    rows: list[tuple[Any, ...]] = []
    for result in found:
        seeds = " ".join(map(str, missing.get((result.checkpoint, result.preset), ())))
        rows += [(*row, seeds) for row in _rows(result)]
    known = {(result.checkpoint, result.preset) for result in found}
    empty = [None] * (len(SUMMARY_COLUMNS) - 4)
    rows += [
        (*place, "failed", *empty, " ".join(map(str, seeds))) for place, seeds in missing.items() if place not in known
    ]
    return csv_text(SUMMARY_COLUMNS, rows)


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
