"""Several networks on one or several presets: which is best, which are on the frontier, and their ranks.

Everything is compared at one moment of each preset: the last one that all networks on it were simulated at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from analog_samson.analysis.comparison import Comparison, Step, compare, last_shared, same_moment
from analog_samson.analysis.labels import calibrated_name
from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import at_least_as_good
from analog_samson.analysis.summary import Result, State
from analog_samson.results.metric import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedNetwork:
    """One network on one preset at the preset's last shared moment.

    Attributes:
        network: The network's name with its calibration.
        rank: Place by mean value, 1 the best, over the chips that all networks on the preset have where they were
            compared on such.
        best_rank, worst_rank: The ranks that the networks which differ significantly leave open.
        on_frontier: No other network on the preset is at least as good both digitally and, on those chips, here, and
            better in one.
    """

    network: str
    preset: str
    result: Result
    state: State
    rank: int
    best_rank: int
    worst_rank: int
    on_frontier: bool


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """All networks and presets in the order given, an entry for each pair that was simulated.

    differences: every pair of networks on a preset at that moment, second minus first.
    """

    networks: tuple[str, ...]
    presets: tuple[str, ...]
    entries: tuple[RankedNetwork, ...]
    differences: tuple[tuple[Comparison, Step], ...]

    def on(self, preset: str) -> tuple[RankedNetwork, ...]:
        """The entries of a preset, best first."""
        return tuple(sorted((e for e in self.entries if e.preset == preset), key=lambda entry: entry.rank))

    def entry(self, network: str, preset: str) -> RankedNetwork | None:
        """The entry of a network on a preset, if it was simulated."""
        return next((e for e in self.entries if (e.network, e.preset) == (network, preset)), None)

    @cached_property
    def mean_ranks(self) -> Mapping[str, float]:
        """The mean of each network's ranks over the presets that it is on, the best first."""
        ranks: dict[str, list[int]] = {}
        for entry in self.entries:
            ranks.setdefault(entry.network, []).append(entry.rank)
        means = {network: sum(found) / len(found) for network, found in ranks.items()}
        return dict(sorted(means.items(), key=lambda each: each[1]))

    def winner(self, preset: str) -> RankedNetwork | None:
        """The network that is significantly better than every other one on the preset, if there is one."""
        entries = self.on(preset)
        return entries[0] if len(entries) > 1 and entries[0].worst_rank == 1 else None


def rank_networks(runs: Sequence[Run], comparisons: Sequence[Comparison] | None = None) -> Ranking:
    """Rank the networks of these runs; `comparisons` as `compare` gives them, if they are made already."""
    known = compare(runs) if comparisons is None else comparisons
    results = [result for run in runs for result in run.results if result.states]
    presets = tuple(dict.fromkeys(result.preset for result in results))
    entries: list[RankedNetwork] = []
    differences: list[tuple[Comparison, Step]] = []
    for preset in presets:
        group = [result for result in results if result.preset == preset]
        states = last_shared(group)
        if states:
            steps = [(c, s) for c in known for s in c.steps if c.first.preset == preset and same_moment(s, states[0])]
            entries += _entries(group, states, steps)
            differences += steps
    networks = tuple(dict.fromkeys(network_name(result) for result in results))
    return Ranking(networks=networks, presets=presets, entries=tuple(entries), differences=tuple(differences))


def network_name(result: Result) -> str:
    """What a network is called whatever preset it is on."""
    return calibrated_name(result.checkpoint, result.calibration)


def has_networks_and_presets(results: Sequence[Result]) -> bool:
    """Whether several networks were simulated on several presets."""
    simulated = [result for result in results if result.states]
    return len({r.preset for r in simulated}) > 1 and len({network_name(r) for r in simulated}) > 1


def series_places(results: Sequence[Result]) -> list[int]:
    """The place of each result among the looks: that of its network where presets are compared, else its own."""
    if not has_networks_and_presets(results):
        return list(range(len(results)))
    networks = list(dict.fromkeys(network_name(result) for result in results))
    return [networks.index(network_name(result)) for result in results]


def _entries(
    group: Sequence[Result], states: Sequence[State], steps: Sequence[tuple[Comparison, Step]]
) -> list[RankedNetwork]:
    metric = group[0].metric
    means = _means(states, paired=len(steps) == len(group) * (len(group) - 1) // 2)
    clean = [means[i] if (d := result.digital) is None else d.value.mean for i, result in enumerate(group)]
    entries = []
    for place, (result, state) in enumerate(zip(group, states, strict=True)):
        winners = [c.winner(step) for c, step in steps if c.first is result or c.second is result]
        entries.append(
            RankedNetwork(
                network=network_name(result),
                preset=result.preset,
                result=result,
                state=state,
                rank=1 + sum(not at_least_as_good(means[place], mean, metric) for mean in means),
                best_rank=1 + sum(winner is not None and winner is not result for winner in winners),
                worst_rank=len(group) - sum(winner is result for winner in winners),
                on_frontier=not _dominated(place, clean, means, metric),
            )
        )
    return entries


def _means(states: Sequence[State], *, paired: bool) -> list[float]:
    """The mean values over the chips that all have; over its own each, where they were not paired."""
    shared = sorted(set.intersection(*({*state.values} for state in states)))
    if not paired or not shared:
        return [state.value.mean for state in states]
    return [sum(state.values[chip] for chip in shared) / len(shared) for state in states]


def _dominated(place: int, clean: Sequence[float], noisy: Sequence[float], metric: Metric) -> bool:
    """Whether another network is at least as good both digitally and here, and better in one."""

    def as_good(one: int, other: int) -> bool:
        return all(at_least_as_good(values[one], values[other], metric) for values in (clean, noisy))

    return any(as_good(other, place) and not as_good(place, other) for other in range(len(clean)))
