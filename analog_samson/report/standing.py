"""How the best network on a preset compares with the others there: what headline, cards and sentences are made from."""

from collections import Counter
from dataclasses import dataclass

from analog_samson.analysis.comparison import Comparison, Step
from analog_samson.analysis.labels import few_names
from analog_samson.analysis.ranking import RankedNetwork, Ranking
from analog_samson.analysis.statistics import Difference, turned


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The best network on a preset at its last shared moment.

    Attributes:
        others: The other networks, best first.
        paired: Whether any difference to another network could be taken on the same chips.
        ahead: Whether it is significantly better than every other network.
        equal: Names of those it is compared with and not significantly different from.
        level: Names of those with an equal mean.
        lead: Its difference to the next one, where they could be paired.
    """

    best: RankedNetwork
    others: tuple[RankedNetwork, ...]
    paired: bool
    ahead: bool
    equal: tuple[str, ...]
    level: tuple[str, ...]
    lead: Difference | None

    @property
    def verdict(self) -> str:
        """Whether it is better than the others, in words."""
        if self.best.state.value.n == 1:
            return f"{f'level with {few_names(self.level)}' if self.level else 'best'}; one chip: no interval"
        if not self.paired:
            return "best; not compared on the same chips"
        if self.ahead:
            count = len(self.others)
            whom = "both others" if count == 2 else f"all {count} others"
            return f"significantly better than {self.others[0].network if count == 1 else whom}"
        if self.equal:
            return f"not significantly different from {few_names(self.equal)}"
        return "not compared with every other network"


def standing(ranking: Ranking, preset: str) -> Standing | None:
    """How the best network stands on a preset; None where its networks share no moment."""
    entries = ranking.on(preset)
    if not entries:
        return None
    best, *others = entries
    found = [(c, s) for c, s in ranking.differences if c.first.preset == preset]
    own = [(c, s) for c, s in found if best.result in (c.first, c.second)]
    names = {id(entry.result): entry.network for entry in entries}
    return Standing(
        best=best,
        others=tuple(others),
        paired=bool(found),
        ahead=ranking.winner(preset) is best,
        equal=tuple(names[id(_other(c, best))] for c, s in own if not s.difference.significant),
        level=tuple(entry.network for entry in others if entry.rank == best.rank),
        lead=next((_gain(c, s, best) for c, s in own if others and _other(c, best) is others[0].result), None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Winners:
    """On how many of `count` presets each network wins, the most frequent first.

    Attributes:
        single: One chip each, so the best means win; else significantly better networks do.
        undecided: Presets on which no network wins.
    """

    count: int
    single: bool
    wins: tuple[tuple[str, int], ...]
    undecided: int


def winners(ranking: Ranking) -> Winners:
    """Which networks win on how many presets."""
    single = all(entry.state.value.n == 1 for entry in ranking.entries)
    if single:
        firsts = [[entry.network for entry in ranking.on(preset) if entry.rank == 1] for preset in ranking.presets]
        won = Counter(names[0] for names in firsts if len(names) == 1)
    else:
        won = Counter(entry.network for preset in ranking.presets if (entry := ranking.winner(preset)) is not None)
    count = len(ranking.presets)
    return Winners(count=count, single=single, wins=tuple(won.most_common()), undecided=count - sum(won.values()))


def _other(comparison: Comparison, best: RankedNetwork) -> object:
    return comparison.first if comparison.second is best.result else comparison.second


def _gain(comparison: Comparison, step: Step, best: RankedNetwork) -> Difference:
    return step.difference if comparison.second is best.result else turned(step.difference)
