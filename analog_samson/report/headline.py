"""The answer in one sentence, and what has to be said right after it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analog_samson.analysis.comparison import Comparison, Step, compare, same_moment
from analog_samson.analysis.input_ranges import run_sentences
from analog_samson.analysis.labels import calibrated_name
from analog_samson.analysis.ranking import Study, study
from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import difference_interval, goodness
from analog_samson.analysis.summary import Result, State
from analog_samson.crossbar.coverage import plan_coverage, tiles_warning
from analog_samson.crossbar.outliers import outlier_warning
from analog_samson.presets.validity import EXTRAPOLATED, INTERPOLATED
from analog_samson.report.captions import moment
from analog_samson.report.sentences import ahead_sentence, intervals_sentence
from analog_samson.report.tables import missing_instances
from analog_samson.report.wording import instance_count, interval, mean_and_std, signed

FEW_PRESETS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The answer in parts, so that a page can set names and score apart; `second` is what follows it.

    series: place of the result that is spoken of, for its colour. plain: the answer where it is not about one result;
    the parts are then empty.
    """

    preset: str = ""
    network: str = ""
    score: str = ""
    after: str = ""
    mark: str = ""
    second: str = ""
    series: int = 0
    plain: str = ""

    @property
    def sentence(self) -> str:
        """The whole answer."""
        if self.plain:
            return self.plain
        place = f"On {self.preset}, " if self.preset else ""
        return f"{place}{self.network} scores {self.score} {self.after}"


def headline(runs: Sequence[Run]) -> Headline:
    """What the best network scores at its last time; with several presets, which is best on how many of them.

    Of runs that are not finished, and of networks whose matrices are mostly digital, it says so. It names layers that
    the tiles get wrong.
    """
    said = _headline(runs)
    before = [*unfinished(runs), *mostly_digital(runs), *wasted_range(runs)]
    return replace(said, second=" ".join([*before, said.second, *inaccurate(runs)]).strip())


def inaccurate(runs: Sequence[Run]) -> list[str]:
    """A sentence about layers that the tiles get wrong with every input range, where there are any."""
    return run_sentences({run.name: run.meta["input_ranges"] for run in runs})


def unfinished(runs: Sequence[Run]) -> list[str]:
    """The sentence to begin with where not all that was asked for is simulated."""
    missing = any(missing_instances(run) for run in runs)
    return ["Not finished: some of what was asked for is not simulated yet."] if missing else []


def mostly_digital(runs: Sequence[Run]) -> list[str]:
    """A sentence for each network of which less than 90 % of the matrix weights are on tiles."""
    warnings = [(run.results[0].checkpoint, tiles_warning(plan_coverage(run.meta["plan"] or ()))) for run in runs]
    return list(dict.fromkeys(f"Of {checkpoint}, {warning}" for checkpoint, warning in warnings if warning))


def wasted_range(runs: Sequence[Run]) -> list[str]:
    """A sentence for each network whose outliers waste the conductance range under one scale a layer."""
    found = []
    for run in runs:
        if text := outlier_warning(run.meta["plan"] or ()):
            found.append(f"Of {run.results[0].checkpoint}, {text}")
    return list(dict.fromkeys(found))


def _headline(runs: Sequence[Run]) -> Headline:
    results = [result for run in runs for result in run.results]
    simulated = [result for result in results if result.states]
    if not simulated:
        digital = results[0].digital
        score = "" if digital is None else f"{digital.value.mean:.1f} %"
        after = "digital; it has not been simulated over time yet."
        return Headline(network=results[0].checkpoint, score=score, after=after)
    comparisons = compare(runs)
    seen = study(runs, comparisons)
    if len(seen.presets) > 1:
        return _over_presets(seen, simulated)
    shared = [(entry.result, entry.state) for preset in seen.presets for entry in seen.on(preset)[:1]]
    alone = [(result, result.states[-1]) for result in simulated]
    best, last = max(shared or alone, key=lambda pair: goodness(pair[1].value.mean, pair[0].metric))
    return Headline(
        preset=best.preset,
        network=calibrated_name(best.checkpoint, best.calibration, " with "),
        score=f"{mean_and_std(last.value)} %",
        after=f"{moment(last)}.",
        mark=last.mark,
        second=_second_sentence(best, last, comparisons, seen),
        series=results.index(best),
    )


def _over_presets(seen: Study, results: Sequence[Result]) -> Headline:
    """One network on several devices, or which network is best on how many of them."""
    moments = {moment(entry.state) for entry in seen.entries}
    when = f"{moments.pop()}" if len(moments) == 1 else "at the last time simulated"
    if len(seen.methods) == 1:
        ordered = sorted(results, key=lambda result: -goodness(result.states[-1].value.mean, result.metric))
        ends = [f"{r.states[-1].value.mean:.1f} % on {r.preset}" for r in (ordered[-1], ordered[0])]
        plain = f"{seen.methods[0]} scores from {ends[0]} to {ends[1]} {when}."
        mark = _mark([result.states[-1] for result in ordered])
        return Headline(plain=plain, second=_devices(ordered), mark=mark)
    if not seen.entries:
        return Headline(plain="The networks of no preset were simulated at one time: nothing is compared.")
    plain = f"{when[0].upper()}{when[1:]}, {_winners(seen)}."
    few = seen.presets if len(seen.presets) <= FEW_PRESETS else ()  # of more, each has a card
    second = [ahead_sentence(seen, preset) for preset in few]
    mark = _mark([entry.state for entry in seen.entries])
    return Headline(plain=plain, second=" ".join([*second, intervals_sentence(seen)]), mark=mark)


def _winners(seen: Study) -> str:
    """Which network is significantly better than every other one, and on how many presets."""
    count = len(seen.presets)
    if all(entry.state.value.n == 1 for entry in seen.entries):
        firsts = [[entry.method for entry in seen.on(preset) if entry.rank == 1] for preset in seen.presets]
        best = Counter(names[0] for names in firsts if len(names) == 1)
        words = [f"{name} scores highest on {times} of {count} presets" for name, times in best.most_common()]
        level = sum(len(names) > 1 for names in firsts)
        words += [f"the best networks are level on {_of(level, count)} presets"] if level else []
        return f"{', '.join(words)} (one chip each: no interval)"
    ahead = Counter(entry.method for preset in seen.presets if (entry := seen.ahead(preset)) is not None)
    open_places = count - sum(ahead.values())
    if not ahead:
        return f"no network is significantly better than every other on any of the {count} presets"
    (first, times), *others = ahead.most_common()
    words = [f"{first} is significantly better than every other network on {_of(times, count)} presets"]
    words += [f"{name} on {_of(times, count)}" for name, times in others]
    rest = f"; on {'the other' if open_places == 1 else f'{open_places} others'} no network is" if open_places else ""
    return f"{', '.join(words)}{rest}"


def _of(times: int, count: int) -> str:
    return f"all {count}" if times == count else f"{times} of {count}"


def _mark(states: Sequence[State]) -> str:
    """What the numbers of all presets have to be called together."""
    marks = {state.mark for state in states}
    if len(marks) == 1:
        return marks.pop()
    return f"partly {EXTRAPOLATED if EXTRAPOLATED in marks else INTERPOLATED}"


def _devices(ordered: Sequence[Result]) -> str:
    """The scores of one network on all devices, the best first."""
    words = []
    for result in ordered:
        last = result.states[-1]
        words.append(f"{result.preset} {mean_and_std(last.value)} %" + (f" ({last.mark})" if last.mark else ""))
    return f"{', '.join(words)}."


def _second_sentence(best: Result, last: State, comparisons: Sequence[Comparison], seen: Study) -> str:
    parts = [] if best.digital is None else [f"digital {best.digital.value.mean:.1f} %"]
    parts.append(instance_count(last.value.n, best.seeds))
    facts = "; ".join(parts)
    sentences = [f"{facts[0].upper()}{facts[1:]}."]
    if len(seen.methods) > 2:
        return " ".join([*sentences, ahead_sentence(seen, best.preset), intervals_sentence(seen)])
    for comparison in comparisons:
        other = comparison.first if comparison.second is best else comparison.second
        steps = [step for step in comparison.steps if same_moment(step, last)]
        if best in (comparison.first, comparison.second) and steps:
            sign = 1 if comparison.second is best else -1
            name = calibrated_name(other.checkpoint, other.calibration)
            sentences.append(_against(name, comparison, steps[0], sign))
    return " ".join(sentences)


def _against(other: str, comparison: Comparison, step: Step, sign: int) -> str:
    difference, mark = step.difference, f", {step.mark}" if step.mark else ""
    ends = [None if end is None else sign * end for end in difference_interval(difference, comparison.first.metric)]
    low, high = ends[::sign]
    if difference.significant is False:
        if low is None:
            return f"All chips differ from {other} by {signed(sign * difference.mean)} points: no interval{mark}."
        known = f"{signed(sign * difference.mean)} points, 95 % interval {interval(low, high)}{mark}"
        return f"The difference to {other} is not significant ({known})."
    mean = sign * difference.mean
    change = f"{abs(mean):.1f} points {'above' if mean > 0 else 'below'} {other}" if mean else f"equal to {other}"
    known = "one chip" if low is None else f"95 % interval {interval(low, high)}"
    return f"It is {change}{' on the same chips' if comparison.same_chips else ''} ({known}{mark})."
