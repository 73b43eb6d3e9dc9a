"""The table of a sweep: one row for each condition, over the chips of all seeds."""

from collections.abc import Iterator, Sequence
from typing import Any

from analog_samson.analysis.statistics import Summary, percent_interval
from analog_samson.analysis.summary import Result, Run
from analog_samson.results.csv_text import csv_text

SUMMARY_COLUMNS = (
    *("checkpoint", "preset", "stage", "adabs", "time_seconds", "sigma_c", "chips", "seeds"),
    *("mean_percent", "std_points", "low_percent", "high_percent", "mark", "failed_seeds"),
)
Failed = tuple[tuple[str, str], int]


def summary_csv(runs: Sequence[Run], failed: Sequence[Failed] = ()) -> str:
    """Accuracy of every condition as CSV: mean, standard deviation and 95 % interval over chips.

    Args:
        runs: As `digest` gives them, seeds pooled.
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
        moment = (state.stage, result.adabs and state.stage != "digital", state.time_seconds, None)
        yield (*place, *moment, *_counted(state.accuracy, result.seeds), state.mark)
    for point in result.sweep:
        yield (*place, "gaussian", result.adabs, None, point.sigma_c, *_counted(point.accuracy, result.seeds), "")


def _counted(accuracy: Summary, seeds: int) -> tuple[Any, ...]:
    low, high = percent_interval(accuracy)
    return accuracy.n, min(seeds, accuracy.n), accuracy.mean, accuracy.std, low, high
