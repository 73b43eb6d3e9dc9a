"""Is one checkpoint better than another on the same simulated chips?

All intervals of one set of comparisons hold at once with 95 % (Bonferroni): whoever reads them all, as a reader who
looks for the best of several networks does, is misled by any of them in at most one study of twenty.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from analog_samson.errors import RunError, list_faults
from analog_samson.report.digest import Result, Run, State
from analog_samson.report.statistics import Difference, paired_difference
from analog_samson.report.validity import EXTRAPOLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The difference [points], second minus first, at one moment that both runs have."""

    label: str
    stage: str
    time_seconds: float | None
    mark: str
    difference: Difference

    @property
    def extrapolated(self) -> bool:
        """Whether a preset does not cover this moment."""
        return self.mark == EXTRAPOLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two results on one preset, and their difference at every shared moment; or why they cannot be paired.

    leading: `first` is the first result on its preset, what others are measured against.
    """

    first: Result
    second: Result
    steps: tuple[Step, ...]
    obstacles: tuple[str, ...]
    leading: bool = True

    @property
    def hardware_steps(self) -> tuple[Step, ...]:
        """The steps on simulated chips, without the digital one."""
        return tuple(step for step in self.steps if step.stage != "digital")


def compare(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Every result minus every earlier one on the same preset, in the order of the runs.

    The first result of a preset is compared with the others at every moment, the others among themselves at the last
    moment that all share: what nobody asks for would only widen the intervals.
    """
    pairs = list(_pairs(runs))
    family = max(1, sum(pair.intervals() for pair in pairs))
    return tuple(pair.compared(family) for pair in pairs)


def family_size(comparisons: Sequence[Comparison]) -> int:
    """How many intervals hold at once in these comparisons."""
    return max((step.difference.family for one in comparisons for step in one.steps), default=1)


def refuse_unequal(runs: Sequence[Run]) -> None:
    """Raise RunError with every difference in data, chips or content of a preset that makes runs incomparable."""
    faults = [
        f"{other.name} and {one.name}: {text}"
        for one, other in combinations(runs, 2)
        for name, text in _differences(one, other)
        if (one is runs[0] if name != "preset" else _preset_name(one) == _preset_name(other))
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
    obstacles: tuple[str, ...]
    moments: tuple[tuple[State, State], ...]

    def intervals(self) -> int:
        """How many of the differences have an interval."""
        return sum(len(a.accuracies.keys() & b.accuracies.keys()) > 1 for a, b in self.moments)

    def compared(self, family: int) -> Comparison:
        digital = (self.first.digital, self.second.digital)
        pairs = [*([digital] if None not in digital and not self.obstacles else []), *self.moments]
        return Comparison(
            first=self.first,
            second=self.second,
            steps=tuple(_steps(pairs, family)),
            obstacles=self.obstacles,
            leading=self.leading,
        )


def _pairs(runs: Sequence[Run]) -> Iterator[_Pair]:
    """Every pair on one preset, the first result of the preset leading."""
    groups: dict[str, list[tuple[Run, Result]]] = {}
    for run in runs:
        for result in run.results:
            if result.states:
                groups.setdefault(result.preset, []).append((run, result))
    for group in groups.values():
        last = last_shared([result for _, result in group])
        for (place, (one_run, one)), (_, (other_run, other)) in combinations(enumerate(group), 2):
            obstacles = tuple(_obstacles(one_run, other_run))
            moments = [(a, b) for a in one.states for b in other.states if same_moment(a, b)]
            if place and last:
                moments = [pair for pair in moments if same_moment(pair[0], last[0])]
            yield _Pair(one, other, place == 0, obstacles, () if obstacles else tuple(moments))


def last_shared(group: Sequence[Result]) -> list[State]:
    """The last moment that all results have, one state for each; none where they share no moment."""
    for state in reversed(group[0].states):
        same = [next((s for s in result.states if same_moment(s, state)), None) for result in group]
        found = [one for one in same if one is not None]
        if len(found) == len(group):
            return found
    return []


def _obstacles(first: Run, second: Run) -> list[str]:
    """Why instance i is not the same chip seen by the same images in both runs."""
    return [] if first is second else [text for _, text in _differences(first, second)]


def _differences(first: Run, second: Run) -> Iterator[tuple[str, str]]:
    """(what, in words) of everything that must be equal and is not, or is not known."""
    for name, shown, key in _FACTS:
        keys = key(first), key(second)
        if keys[0] != keys[1] or None in keys:
            yield name, _obstacle(name, shown(first), shown(second), differ=keys[0] != keys[1])


def _preset_name(run: Run) -> Any:
    return (run.meta["preset"] or {}).get("name", "not recorded")


def _data(run: Run) -> Mapping[str, Any]:
    return run.meta["data"] or {}


def _data_words(run: Run) -> str:
    name, limit = _data(run).get("name", "not recorded"), run.options.get("limit")
    return str(name) if limit is None else f"{name}, the first {limit} images"


# What must be equal: its name, how it is shown, what is compared.
_FACTS: tuple[tuple[str, Any, Any], ...] = (
    ("preset", _preset_name, lambda run: run.meta["preset_sha256"]),
    ("data", _data_words, lambda run: _data(run).get("fingerprint")),
    ("seed", lambda run: run.meta["seed"], lambda run: run.meta["seed"]),
)


def _obstacle(name: str, first: object, second: object, *, differ: bool) -> str:
    if not differ:
        return f"{name} not recorded"
    return f"{name} differs: {first} and {second}" + (" (other content)" if first == second else "")


def _steps(pairs: Sequence[tuple[State | None, State | None]], family: int) -> Iterator[Step]:
    for first, second in pairs:
        assert first is not None
        assert second is not None
        difference = paired_difference(first.accuracies, second.accuracies, family)
        if difference is not None:
            yield _step(first, difference, mark=first.mark or second.mark)


def _step(state: State, difference: Difference, *, mark: str) -> Step:
    return Step(
        label=state.label,
        stage=state.stage,
        time_seconds=state.time_seconds,
        mark=mark,
        difference=difference,
    )


def same_moment(first: State | Step, second: State | Step) -> bool:
    """Whether both are of one stage and one time."""
    return (first.stage, first.time_seconds) == (second.stage, second.time_seconds)
