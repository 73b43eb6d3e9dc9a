"""Is one checkpoint better than another on the same simulated chips?

Every difference has a 95 % interval of its own, so what is said of two networks does not depend on which others stand
beside them. How many differences would be significant by chance alone is said once below the tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from analog_samson.analysis.labels import listed_seeds
from analog_samson.analysis.runs import Run
from analog_samson.analysis.sampling import sampled_difference
from analog_samson.analysis.statistics import Difference, paired_difference
from analog_samson.analysis.summary import Result, State
from analog_samson.errors import RunError, list_faults
from analog_samson.presets.validity import EXTRAPOLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The difference of the metric, second minus first, at one moment that both runs have.

    Attributes:
        states: The two states.
    """

    label: str
    stage: str
    time_seconds: float | None
    coverage: str
    difference: Difference
    states: tuple[State, State]

    @property
    def extrapolated(self) -> bool:
        """Whether a preset does not cover this moment."""
        return self.coverage == EXTRAPOLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two results on one preset, and their difference at every shared moment; or why they cannot be paired.

    Attributes:
        leading: `first` is the first network on the preset, in the order of all runs: what others are measured against.
        same_chips: Whether both have the same layers on tiles, so that instance i is the same chip for both; the chips
            of others are drawn apart.
    """

    first: Result
    second: Result
    steps: tuple[Step, ...]
    obstacles: tuple[str, ...]
    leading: bool = True
    same_chips: bool = True

    @property
    def hardware_steps(self) -> tuple[Step, ...]:
        """The steps on simulated chips, without the digital one."""
        return tuple(step for step in self.steps if step.stage != "digital")

    def sampled(self, step: Step) -> Difference | None:
        """The difference with its interval over chips and test samples; None where their outcomes are not known."""
        first, second = (state.outcomes for state in step.states)
        if first is None or second is None or first.samples != second.samples:
            return None
        shared = sorted(first.packed.keys() & second.packed.keys())
        if not shared:
            return None
        metric = self.first.metric
        found, span = sampled_difference(first.table(shared), second.table(shared)), metric.upper - metric.lower
        low, high = (None if end is None else span * end for end in (found.low, found.high))
        return replace(found, mean=span * found.mean, low=low, high=high)

    def better(self, step: Step) -> Result | None:
        """The result with the better mean at a step; None where they are equal or not known."""
        worse = self.first.metric.worse_by(step.difference.mean, 0.0)
        return self.second if worse < 0 else self.first if worse > 0 else None

    def winner(self, step: Step) -> Result | None:
        """The result that is significantly better at a step, if one is."""
        return self.better(step) if step.difference.significant else None


def compare(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Every result minus every earlier one on the same preset, in the order of the runs.

    The first result of a preset is compared with the others at every moment, the others among themselves only at the
    last moment that all share.
    """
    return tuple(pair.compared() for pair in _pairs(runs))


def interval_count(comparisons: Sequence[Comparison]) -> int:
    """How many differences in these comparisons have an interval."""
    return sum(step.difference.low is not None for one in comparisons for step in one.steps)


def refuse_unequal(runs: Sequence[Run]) -> None:
    """Raise RunError with every difference in data, calibration, chips or content of a preset: runs incomparable."""
    faults = [
        f"{other.name} and {one.name}: {text}"
        for one, other in combinations(runs, 2)
        for name, text in _differences(one, other)
        if (_preset_name(one) == _preset_name(other) if name in _OF_A_PRESET else one is runs[0])
    ]
    if faults:
        remedy = "simulate them on equal data with an equal seed, or report them one by one"
        raise RunError(f"{list_faults('these runs cannot be compared', faults)}\n  {remedy}")


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two results on one preset before they are compared, and the moments at which they will be."""

    first: Result
    second: Result
    leading: bool
    same_chips: bool
    obstacles: tuple[str, ...]
    moments: tuple[tuple[State, State], ...]

    def compared(self) -> Comparison:
        digital = (self.first.digital, self.second.digital)
        pairs = [*([digital] if None not in digital and not self.obstacles else []), *self.moments]
        return Comparison(
            first=self.first,
            second=self.second,
            steps=tuple(_steps(pairs, self.first)),
            obstacles=self.obstacles,
            leading=self.leading,
            same_chips=self.same_chips,
        )


def _pairs(runs: Sequence[Run]) -> Iterator[_Pair]:
    """Every pair on one preset, in the order in which networks come first: signs are the same on every preset."""
    groups: dict[str, list[tuple[Run, Result]]] = {}
    order = list(dict.fromkeys((r.checkpoint, r.calibration) for run in runs for r in run.results if r.states))
    layers = {id(run): tiles(run) for run in runs}
    for run in runs:
        for result in run.results:
            if result.states:
                groups.setdefault(result.preset, []).append((run, result))
    for group in groups.values():
        group.sort(key=lambda pair: order.index((pair[1].checkpoint, pair[1].calibration)))
        last = last_shared([result for _, result in group])
        for (place, (one_run, one)), (_, (other_run, other)) in combinations(enumerate(group), 2):
            found = obstacles(one_run, other_run)
            moments = [(a, b) for a in one.states for b in other.states if same_moment(a, b)]
            if place and last:
                moments = [pair for pair in moments if same_moment(pair[0], last[0])]
            same = layers[id(one_run)] == layers[id(other_run)]
            yield _Pair(one, other, place == 0, same, found, () if found else tuple(moments))


def last_shared(group: Sequence[Result]) -> list[State]:
    """The last moment that all results have, one state for each; none where they share no moment."""
    for state in reversed(group[0].states):
        same = [next((s for s in result.states if same_moment(s, state)), None) for result in group]
        found = [one for one in same if one is not None]
        if len(found) == len(group):
            return found
    return []


def obstacles(first: Run, second: Run, *, of_one_preset: bool = True) -> tuple[str, ...]:
    """Why instance i is not the same chip measured on the same samples in both runs.

    Args:
        first: A run.
        second: Another one.
        of_one_preset: Whether the two are to be on one preset, with the same seeds; else samples alone have to agree.
    """
    found = () if first is second else _differences(first, second)
    return tuple(text for name, text in found if of_one_preset or name not in _OF_CHIPS)


def _differences(first: Run, second: Run) -> Iterator[tuple[str, str]]:
    """(what, in words) of everything that must be equal and is not, or is not known."""
    calibrated = _is_calibrated(first) and _is_calibrated(second)
    if not {*first.seeds} & {*second.seeds}:
        known = bool(first.seeds and second.seeds)
        yield "seed", _obstacle("seed", listed_seeds(first.seeds), listed_seeds(second.seeds), differ=known)
    for name, shown, key in (*_FACTS, *(_CALIBRATION if calibrated else ())):
        keys = key(first), key(second)
        if keys[0] != keys[1] or None in keys:
            yield name, _obstacle(name, shown(first), shown(second), differ=keys[0] != keys[1])


def tiles(run: Run) -> list[tuple[Any, Any]]:
    """The layers on tiles, whose order and size decide what is drawn for each."""
    return [(row["layer_type"], row["parameters"]) for row in run.meta["plan"] or () if row["action"] == "analog"]


def _preset_name(run: Run) -> Any:
    return (run.meta["preset"] or {}).get("name", "not recorded")


def _data(run: Run) -> Mapping[str, Any]:
    return run.meta["data"] or {}


def _data_words(run: Run) -> str:
    name, limit = _data(run).get("name", "not recorded"), run.options.get("limit")
    return str(name) if limit is None else f"{name}, the first {limit} samples"


def _is_calibrated(run: Run) -> bool:
    """Whether calibration samples decide the run's numbers: by a calibration, or as converters need input ranges."""
    presets = [run.meta["preset"] or {}, *(layer["preset"] for layer in run.layers.values())]
    models = [(preset.get("periphery") or {}).get("model") for preset in presets]
    return bool(run.options.get("calibrate")) or "converters" in models


def _calibration_words(run: Run) -> str:
    chosen = run.options.get("calibration_data")
    return "training part of the data" if chosen in (None, run.options.get("data")) else str(chosen)


def _noise_device(run: Run) -> str:
    return str(run.options.get("noise_device", "cpu"))  # a GPU's chips are others


# What must be equal: its name, how it is shown, what is compared.
_FACTS: tuple[tuple[str, Any, Any], ...] = (
    ("preset", _preset_name, lambda run: run.meta["preset_sha256"]),
    ("data", _data_words, lambda run: _data(run).get("fingerprint")),
    ("noise_device", _noise_device, _noise_device),
)

# The same for samples that set input ranges or batch-norm statistics, of runs that use such.
_CALIBRATION: tuple[tuple[str, Any, Any], ...] = tuple(
    (name, shown, lambda run, shown=shown: repr(shown(run)))  # None is a value: all samples
    for name, shown in (
        ("calibration data", _calibration_words),
        ("calibration limit", lambda run: run.options.get("calibration_limit")),
        ("augmentation of calibration samples", lambda run: run.options.get("calibration_augment")),
    )
)
_OF_CHIPS = ("preset", "seed", "noise_device")  # what decides whether instance i is the same chip
_OF_A_PRESET = ("preset", *(name for name, _, _ in _CALIBRATION))


def _obstacle(name: str, first: object, second: object, *, differ: bool) -> str:
    if not differ:
        return f"{name} not recorded"
    return f"{name} differs: {first} and {second}" + (" (other content)" if first == second else "")


def _steps(pairs: Sequence[tuple[State | None, State | None]], result: Result) -> Iterator[Step]:
    for first, second in pairs:
        assert first is not None
        assert second is not None
        difference = paired_difference(first.values, second.values, result.step)
        if difference is not None:
            yield Step(
                label=first.label,
                stage=first.stage,
                time_seconds=first.time_seconds,
                coverage=first.coverage or second.coverage,
                difference=difference,
                states=(first, second),
            )


def same_moment(first: State | Step, second: State | Step) -> bool:
    """Whether both are of one stage and one time."""
    return (first.stage, first.time_seconds) == (second.stage, second.time_seconds)
