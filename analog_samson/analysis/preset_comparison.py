"""Is one preset better than another for the same network?

Where two presets have the same models of programming, drift and reading, chip i of both is made from the same random
numbers, and differences are taken chip by chip: the luck of a chip cancels. The chips of other presets count as drawn
apart, with Welch's interval.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analog_samson.analysis.comparison import Comparison, Step, last_shared, obstacles, same_moment, tiles
from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import Difference, goodness, paired_difference, turned, unpaired_difference
from analog_samson.analysis.summary import Result, State
from analog_samson.presets.validity import least_covered

_DRAWN = ("programming", "drift", "read")  # sections of a preset whose models decide what is drawn for a device
_Found = tuple[Run, Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetVerdict:
    """Which preset is best for one network at the last moment that it has on all of them.

    Attributes:
        best: The network on the preset with the best mean.
        state: It, at that moment.
        others: The network on the other presets, the best of them first, and how much higher its values on the best
            preset are.
        coverage: That of the moment on the preset that covers it least.
    """

    best: Result
    state: State
    others: tuple[tuple[Result, Difference], ...]
    coverage: str

    @property
    def ahead(self) -> bool:
        """Whether the best preset is significantly better than every other one."""
        return all(difference.significant for _, difference in self.others)

    @property
    def level(self) -> tuple[Result, ...]:
        """The network on the presets that are not significantly worse."""
        return tuple(result for result, difference in self.others if not difference.significant)


def compare_presets(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Every network on its first preset against the others, and on its best one.

    The first preset is compared with the others at every moment; the one with the best mean at the last moment that all
    of them share is compared with the others at that moment.
    """
    return tuple(pair for group in _groups(runs) for pair in _compared(group))


def preset_verdicts(comparisons: Sequence[Comparison]) -> tuple[PresetVerdict, ...]:
    """For each network the preset that is best at its last shared moment, from what `compare_presets` gave."""
    networks: dict[tuple[str, str], list[Comparison]] = {}
    for pair in comparisons:
        networks.setdefault((pair.first.checkpoint, pair.first.calibration), []).append(pair)
    return tuple(found for pairs in networks.values() if (found := _verdict(pairs)) is not None)


def _groups(runs: Sequence[Run]) -> list[list[_Found]]:
    """The results of each network that was simulated on several presets."""
    found: dict[tuple[str, str], list[_Found]] = {}
    for run in runs:
        for result in run.results:
            if result.states:
                found.setdefault((result.checkpoint, result.calibration), []).append((run, result))
    return [group for group in found.values() if len({result.preset for _, result in group}) > 1]


def _compared(group: Sequence[_Found]) -> Iterator[Comparison]:
    shared = last_shared([result for _, result in group])
    metric = group[0][1].metric
    best = max(range(len(shared)), key=lambda place: goodness(shared[place].value.mean, metric), default=0)
    for place, other in enumerate(group[1:], 1):
        yield _pair(group[0], other, None, leading=True)
        if best not in (0, place):
            yield _pair(group[best], other, shared[0], leading=False)


def _pair(first: _Found, second: _Found, moment: State | None, *, leading: bool) -> Comparison:
    (one_run, one), (other_run, other) = first, second
    found = obstacles(one_run, other_run, of_one_preset=False)
    moments = [(a, b) for a in one.states for b in other.states if same_moment(a, b)]
    same = _same_draws(one_run, other_run) and all(a.values.keys() == b.values.keys() for a, b in moments)
    if moment is not None:
        moments = [pair for pair in moments if same_moment(pair[0], moment)]
    return Comparison(
        first=one,
        second=other,
        steps=() if found else tuple(_step(*pair, one.step, paired=same) for pair in moments),
        obstacles=found,
        leading=leading,
        same_chips=same,
    )


def _step(first: State, second: State, resolution: float | None, *, paired: bool) -> Step:
    difference = paired_difference(first.values, second.values, resolution) if paired else None
    return Step(
        label=first.label,
        stage=first.stage,
        time_seconds=first.time_seconds,
        coverage=least_covered((first.coverage, second.coverage)),
        difference=difference or unpaired_difference(first.values.values(), second.values.values(), resolution),
        states=(first, second),
    )


def _same_draws(one: Run, other: Run) -> bool:
    """Whether chips of equal numbers are made from the same random numbers, in the same places."""
    drawn_by = [run.options.get("noise_device", "cpu") for run in (one, other)]
    seeds = one.seeds == other.seeds and bool(one.seeds) and drawn_by[0] == drawn_by[1]
    alone = not one.layers and not other.layers
    return seeds and alone and tiles(one) == tiles(other) and _models(one) == _models(other) is not None


def _models(run: Run) -> list[Any] | None:
    preset: Mapping[str, Any] = run.meta["preset"] or {}
    models = [(preset.get(section) or {}).get("model") for section in _DRAWN]
    return None if None in models else [*models, (preset.get("device") or {}).get("pairs")]


def _verdict(pairs: Sequence[Comparison]) -> PresetVerdict | None:
    """The verdict on one network; None where its presets share no moment or are not compared."""
    results = [pairs[0].first, *(pair.second for pair in pairs if pair.leading)]
    shared, metric = last_shared(results), results[0].metric
    if not shared or any(pair.obstacles for pair in pairs):
        return None
    place = max(range(len(shared)), key=lambda place: goodness(shared[place].value.mean, metric))
    best, state = results[place], shared[place]
    others = []
    for pair in pairs:
        if best in (pair.first, pair.second):
            step = next(step for step in pair.steps if same_moment(step, state))
            away = pair.first if pair.second is best else pair.second
            others.append((away, step.difference if pair.second is best else turned(step.difference)))
    means = {id(result): goodness(one.value.mean, metric) for result, one in zip(results, shared, strict=True)}
    others.sort(key=lambda each: -means[id(each[0])])
    coverage = least_covered(one.coverage for one in shared)
    return PresetVerdict(best=best, state=state, others=tuple(others), coverage=coverage)
