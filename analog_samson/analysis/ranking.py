"""Several networks on one or several presets: which is best, which are on the frontier, and their ranks.

Everything is compared at one moment of each preset: the last one that all networks on it were simulated at.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analog_samson.analysis.comparison import Comparison, Step, compare, last_shared, same_moment
from analog_samson.analysis.statistics import reaches
from analog_samson.analysis.summary import Result, Run, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One network on one preset at the preset's last shared moment.

    method: the network's name with its AdaBS setting. rank: place by mean accuracy, 1 the best, over the chips that
    all networks on the preset have where they were compared on such. best_rank and worst_rank: the ranks that
    the networks which differ significantly leave open. on_frontier: no other network on the preset is at least
    as accurate both digitally and, on those chips, here, and better in one.
    """

    method: str
    preset: str
    result: Result
    state: State
    rank: int
    best_rank: int
    worst_rank: int
    on_frontier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """All networks (methods) and presets in the order given, an entry for each pair that was simulated.

    differences: every pair of networks on a preset at that moment, second minus first.
    """

    methods: tuple[str, ...]
    presets: tuple[str, ...]
    entries: tuple[Entry, ...]
    differences: tuple[tuple[Comparison, Step], ...]

    def on(self, preset: str) -> tuple[Entry, ...]:
        """The entries of a preset, best first."""
        return tuple(sorted((e for e in self.entries if e.preset == preset), key=lambda entry: entry.rank))

    def entry(self, method: str, preset: str) -> Entry | None:
        """The entry of a network on a preset, if it was simulated."""
        return next((e for e in self.entries if (e.method, e.preset) == (method, preset)), None)

    def ahead(self, preset: str) -> Entry | None:
        """The network that is significantly better than every other one on the preset, if there is one."""
        entries = self.on(preset)
        return entries[0] if len(entries) > 1 and entries[0].worst_rank == 1 else None


def study(runs: Sequence[Run], comparisons: Sequence[Comparison] | None = None) -> Study:
    """See `runs` as a study; `comparisons` as `compare` gives them, if they are made already."""
    known = compare(runs) if comparisons is None else comparisons
    results = [result for run in runs for result in run.results if result.states]
    presets = tuple(dict.fromkeys(result.preset for result in results))
    entries: list[Entry] = []
    differences: list[tuple[Comparison, Step]] = []
    for preset in presets:
        group = [result for result in results if result.preset == preset]
        states = last_shared(group)
        if states:
            steps = [(c, s) for c in known for s in c.steps if c.first.preset == preset and same_moment(s, states[0])]
            entries += _entries(group, states, steps)
            differences += steps
    methods = tuple(dict.fromkeys(method_name(result) for result in results))
    return Study(methods=methods, presets=presets, entries=tuple(entries), differences=tuple(differences))


def method_name(result: Result) -> str:
    """What a network is called whatever preset it is on."""
    return result.checkpoint + (" + AdaBS" if result.adabs else "")


def is_study(results: Sequence[Result]) -> bool:
    """Whether several networks were simulated on several presets."""
    simulated = [result for result in results if result.states]
    return len({r.preset for r in simulated}) > 1 and len({method_name(r) for r in simulated}) > 1


def series_places(results: Sequence[Result]) -> list[int]:
    """The place of each result among the looks: that of its network in a study, else its own."""
    if not is_study(results):
        return list(range(len(results)))
    methods = list(dict.fromkeys(method_name(result) for result in results))
    return [methods.index(method_name(result)) for result in results]


def _entries(group: Sequence[Result], states: Sequence[State], steps: Sequence[tuple[Comparison, Step]]) -> list[Entry]:
    means = _means(states, paired=len(steps) == len(group) * (len(group) - 1) // 2)
    clean = [means[i] if (d := result.digital) is None else d.accuracy.mean for i, result in enumerate(group)]
    entries = []
    for place, (result, state) in enumerate(zip(group, states, strict=True)):
        beaten_by, beats = _seen(result, steps)
        entries.append(
            Entry(
                method=method_name(result),
                preset=result.preset,
                result=result,
                state=state,
                rank=1 + sum(not reaches(means[place], mean) for mean in means),
                best_rank=1 + beaten_by,
                worst_rank=len(group) - beats,
                on_frontier=not _dominated(place, clean, means),
            )
        )
    return entries


def _means(states: Sequence[State], *, paired: bool) -> list[float]:
    """The mean accuracies over the chips that all have; over its own each, where they were not paired."""
    shared = sorted(set.intersection(*({*state.accuracies} for state in states)))
    if not paired or not shared:
        return [state.accuracy.mean for state in states]
    return [sum(state.accuracies[chip] for chip in shared) / len(shared) for state in states]


def _seen(result: Result, steps: Sequence[tuple[Comparison, Step]]) -> tuple[int, int]:
    """How many others are significantly better than a result, and how many significantly worse."""
    gains = [
        step.difference.mean * (1 if comparison.second is result else -1)
        for comparison, step in steps
        if step.difference.significant and (comparison.second is result or comparison.first is result)
    ]
    return sum(gain < 0 for gain in gains), sum(gain > 0 for gain in gains)


def _dominated(place: int, clean: Sequence[float], noisy: Sequence[float]) -> bool:
    own = clean[place], noisy[place]
    others = [pair for other, pair in enumerate(zip(clean, noisy, strict=True)) if other != place]
    return any(_as_good(other, own) and not _as_good(own, other) for other in others)


def _as_good(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether one network is at least as accurate as another, digitally and here."""
    return reaches(one[0], other[0]) and reaches(one[1], other[1])
