"""Is one checkpoint better than another on the same simulated chips?"""

from collections.abc import Sequence
from dataclasses import dataclass

from analog_samson.report.digest import Result, Run, State
from analog_samson.report.statistics import Difference, paired_difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The difference [points], second minus first, at one moment that both runs have."""

    label: str
    stage: str
    time_seconds: float | None
    extrapolated: bool
    difference: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two results, and their difference at every shared moment; or why they cannot be paired."""

    first: Result
    second: Result
    steps: tuple[Step, ...]
    obstacles: tuple[str, ...]


def compare(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Every later result against the first one with the same preset and AdaBS setting."""
    firsts: dict[tuple[str, bool], tuple[Run, Result]] = {}
    comparisons = []
    placed = [(run, result) for run in runs for result in run.results if result.states]
    for run, result in placed:
        first_run, first = firsts.setdefault((result.preset, result.adabs), (run, result))
        if first is not result:
            comparisons.append(_comparison(first_run, first, run, result))
    return tuple(comparisons)


def _comparison(first_run: Run, first: Result, second_run: Run, second: Result) -> Comparison:
    obstacles = tuple(_obstacles(first_run, second_run))
    steps = () if obstacles else tuple(_steps(first, second))
    return Comparison(first=first, second=second, steps=steps, obstacles=obstacles)


def _obstacles(first: Run, second: Run) -> list[str]:
    """Why instance i is not the same chip seen by the same images in both runs."""
    shown = {
        "preset": [(run.meta["preset"] or {}).get("name", "not recorded") for run in (first, second)],
        "data": [(run.meta["data"] or {}).get("name", "not recorded") for run in (first, second)],
        "seed": [run.meta["seed"] for run in (first, second)],
    }
    keys = {
        "preset": [run.meta["preset_sha256"] for run in (first, second)],
        "data": [(run.meta["data"] or {}).get("fingerprint") for run in (first, second)],
        "seed": [run.meta["seed"] for run in (first, second)],
    }
    return [
        _obstacle(name, *shown[name], differ=keys[name][0] != keys[name][1])
        for name in keys
        if keys[name][0] != keys[name][1] or None in keys[name]
    ]


def _obstacle(name: str, first: object, second: object, *, differ: bool) -> str:
    if not differ:
        return f"{name} not recorded"
    return f"{name} differs: {first} and {second}" + (" (other content)" if first == second else "")


def _steps(first: Result, second: Result) -> list[Step]:
    pairs = [(a, b) for a in _moments(first) for b in _moments(second) if _same_moment(a, b)]
    steps = []
    for a, b in pairs:
        difference = paired_difference(a.accuracies, b.accuracies)
        if difference is not None:
            steps.append(
                Step(
                    label=a.label,
                    stage=a.stage,
                    time_seconds=a.time_seconds,
                    extrapolated=a.extrapolated or b.extrapolated,
                    difference=difference,
                )
            )
    return steps


def _moments(result: Result) -> tuple[State, ...]:
    return ((result.digital,) if result.digital else ()) + result.states


def _same_moment(first: State, second: State) -> bool:
    return (first.stage, first.time_seconds) == (second.stage, second.time_seconds)
