"""The answer in one sentence, and the facts that belong right behind it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from analog_samson.analysis.comparison import Comparison, same_moment
from analog_samson.analysis.completeness import missing
from analog_samson.analysis.error_budget import costly_first_layer
from analog_samson.analysis.input_ranges import run_sentences
from analog_samson.analysis.labels import calibrated_name
from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import Difference, goodness, turned
from analog_samson.analysis.summary import Result, State
from analog_samson.crossbar.coverage import plan_coverage, tiles_warning
from analog_samson.crossbar.outliers import outlier_warning
from analog_samson.presets.validity import least_covered
from analog_samson.report.contents import Contents
from analog_samson.report.formats import moment, size
from analog_samson.report.standing import standing, winners
from analog_samson.report.templates import paragraphs

FEW_PRESETS = 3
FEW_WINNERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The answer, what follows it, and the place among all results of the one that it is about, for its colour."""

    sentence: str
    second: str
    series: int | None


def headline(report: Contents, *, name: Callable[[str], str] = str, score: Callable[[str], str] = str) -> Headline:
    """What the best network scores at its last time; with several presets, which is best on how many of them.

    Args:
        report: What it is about.
        name: Applied to names of networks and presets in the sentence, so that a page can set them apart.
        score: Applied to the number that the sentence is about.
    """
    best, state = _best(report)
    kinds = {state.coverage for state in _last_states(report)}
    facts: dict[str, Any] = {
        "report": report,
        "metric": report.metric,
        "name": name,
        "score": score,
        "best": best,
        "network": calibrated_name(best.checkpoint, best.calibration, " with "),
        "state": state,
        "ordered": sorted(report.simulated, key=lambda r: -goodness(r.states[-1].value.mean, r.metric)),
        "coverage": _joint_coverage(kinds),
        "when": _joint_moment(report),
        "overall": _overall(report),
        "verdicts": report.preset_verdicts if len(report.ranking.networks) == 1 else (),
        "most": FEW_WINNERS,
        "winners": winners(report.ranking),
        "standings": [(preset, standing(report.ranking, preset)) for preset in _spoken_of(report)],
        "against": [] if state is None else list(_against(report, best, state)),
    }
    (sentence,), second = paragraphs("headline.j2", **facts), paragraphs("lead.j2", **facts)
    if part := estimated(report.runs):
        sentence = f"{sentence.removesuffix('.')}, {part}."
    warnings = [*unfinished(report.runs), *mostly_digital(report.runs), *wasted_range(report.runs)]
    after = [*second, *costly_first(report), *inaccurate(report.runs)]
    about_one = len(report.ranking.presets) <= 1
    return Headline(
        sentence=sentence,
        second=" ".join([*warnings, *after]),
        series=report.results.index(best) if about_one else None,
    )


def inaccurate(runs: Sequence[Run]) -> list[str]:
    """A sentence about layers that the tiles get wrong with every input range, where there are any."""
    return run_sentences({run.name: run.meta for run in runs})


def estimated(runs: Sequence[Run]) -> str:
    """On how many of the samples chips were measured, where that were not all; empty where it were."""
    parts = [run.estimated for stored in runs for run in stored.stored if run.estimated is not None]
    if not parts:
        return ""
    (least, _), (most, count) = min(parts), max(parts)
    some = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    each = "a chip" if all(run.estimated for run in runs) else "a chip in part of the runs"
    return f"estimated on {some} of {count:,} test samples {each}"


def costly_first(report: Contents) -> list[str]:
    """A sentence for each run whose error budget finds that the first layer costs much of what is lost."""
    found = []
    for run, budget in report.budgets:
        if (effect := costly_first_layer(budget)) and effect.gain_without is not None:
            gain, where = size(effect.gain_without, budget.metric), f"{run.name}: " if len(report.budgets) > 1 else ""
            text = f"Keeping the {effect.name} digital (--keep-digital first) gains {gain} after {budget.label}."
            found.append(where + text)
    return found


def unfinished(runs: Sequence[Run]) -> list[str]:
    """The first sentence of a report of unfinished runs."""
    return ["Not finished: some times or chips are not simulated yet."] if any(map(missing, runs)) else []


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


def _best(report: Contents) -> tuple[Result, State | None]:
    """The best result at the last moment that all on its preset share, else at its own last one."""
    if not report.simulated:
        return report.results[0], None
    ranking = report.ranking
    shared = [(entry.result, entry.state) for preset in ranking.presets for entry in ranking.on(preset)[:1]]
    alone = [(result, result.states[-1]) for result in report.simulated]
    return max(shared or alone, key=lambda pair: goodness(pair[1].value.mean, pair[0].metric))


def _last_states(report: Contents) -> list[State]:
    shared = [entry.state for entry in report.ranking.entries]
    return shared if len(report.ranking.networks) > 1 else [result.states[-1] for result in report.simulated]


def _joint_coverage(coverages: set[str]) -> str:
    """What numbers with these coverages have to be called together."""
    if len(coverages) < 2:
        return next(iter(coverages), "")
    return f"partly {least_covered(coverages)}"


def _joint_moment(report: Contents) -> str:
    moments = {moment(state.time_seconds) for state in _last_states(report)}
    return moments.pop() if len(moments) == 1 else "at the last time simulated"


def _spoken_of(report: Contents) -> Sequence[str]:
    """The presets whose standings are put in words; of more than a few, each has a card."""
    presets, networks = report.ranking.presets, len(report.ranking.networks)
    if networks < 2 or (len(presets) == 1 and networks == 2):
        return ()
    return presets if len(presets) <= FEW_PRESETS else ()


def _overall(report: Contents) -> dict[str, Any] | None:
    """Of many networks on many presets: the best mean rank, and the preset that is best for most networks."""
    verdicts, ranking = report.preset_verdicts, report.ranking
    if not report.crowded or len(ranking.networks) < 2 or len(ranking.presets) < 2 or not verdicts:
        return None
    network, rank = next(iter(ranking.mean_ranks.items()))
    preset, wins = Counter(verdict.best.preset for verdict in verdicts).most_common(1)[0]
    ahead = sum(verdict.ahead for verdict in verdicts if verdict.best.preset == preset)
    return {"network": network, "rank": rank, "preset": preset, "wins": wins, "ahead": ahead}


def _against(report: Contents, best: Result, state: State) -> Iterator[tuple[Comparison, str, Difference]]:
    """For each of few networks: how it was paired with the best one, its name, and how much higher the best one is."""
    if len(report.ranking.networks) > 2 or len(report.ranking.presets) > 1:
        return
    for pair in report.comparisons:
        if best in (pair.first, pair.second):
            other = pair.first if pair.second is best else pair.second
            for step in pair.steps:
                if same_moment(step, state):
                    difference = step.difference if pair.second is best else turned(step.difference)
                    yield pair, calibrated_name(other.checkpoint, other.calibration), difference
