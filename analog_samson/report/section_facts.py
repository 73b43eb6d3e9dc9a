"""What the templates of the sections use besides the report itself: counts, coverages, and what is largest."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from analog_samson.analysis.comparison import Comparison, interval_count
from analog_samson.analysis.completeness import missing, sampling_widths, stopping
from analog_samson.analysis.error_budget import LAYERS_SHOWN, drawn_remedies
from analog_samson.analysis.labels import few_names, listed_seeds
from analog_samson.analysis.unequal_options import unequal_options
from analog_samson.report import cost_tables, error_budget_tables, lifetime_tables
from analog_samson.report.comparison_tables import pair_names
from analog_samson.report.contents import FEW, MOST_CURVES, Contents
from analog_samson.report.error_budget_tables import RunBudget
from analog_samson.report.templates import paragraphs


def state_facts(report: Contents) -> Mapping[str, Any]:
    """What captions say of the states: their coverages, how many chips they have, until when the preset is valid."""
    limits = {run.max_seconds for run in report.runs}
    states = [state.value.n for result in report.results for state in result.states]
    points = [point.value.n for result in report.results for point in result.sweep]
    return {
        "single": max((*states, *points), default=1) == 1,
        "coverages": {state.coverage for result in report.results for state in result.states},
        "chips": chip_counts(states),
        "limit": limits.pop() if len(limits) == 1 else None,
    }


def chip_counts(counts: Iterable[int]) -> str:
    """How many chips there are, in words.

    >>> chip_counts([5, 5]), chip_counts([1]), chip_counts([3, 5])
    ('n = 5 simulated chips', 'one simulated chip', 'n = 3 to 5 simulated chips')
    """
    ends = sorted({*counts}) or [0]
    if ends == [1]:
        return "one simulated chip"
    return f"n = {' to '.join(str(end) for end in dict.fromkeys((ends[0], ends[-1])))} simulated chips"


def gaussian_facts(report: Contents) -> Mapping[str, Any]:
    """Of the caption of the Gaussian sweep."""
    equivalents = [s.equivalent for result in report.results for s in result.times if s.equivalent]
    counts = [point.value.n for result in report.swept for point in result.sweep if point.sigma_c > 0]
    beyond = any(equivalent.verdict.name == "BEYOND" for equivalent in equivalents)
    return {**state_facts(report), "chips": chip_counts(counts), "equivalents": equivalents, "beyond": beyond}


def difference_facts(report: Contents) -> Mapping[str, Any]:
    """Of the caption of differences over time."""
    steps = [step for pair in report.leading for step in pair.hardware_steps]
    return {"chips": chip_counts(step.difference.n for step in steps), "coverages": {step.coverage for step in steps}}


def ranking_facts(report: Contents) -> Mapping[str, Any]:
    """Of the captions of several networks on several presets."""
    ranking = report.ranking
    named = [pair for pair, _ in ranking.differences if pair.leading]
    return {
        "first": ranking.networks[0] if ranking.networks else "",
        "other_references": any(report.network(pair.first) != ranking.networks[0] for pair in named),
        "same_chips": all(pair.same_chips for pair, _ in ranking.differences),
        "coverages": {entry.state.coverage for entry in ranking.entries},
    }


def cost_facts(report: Contents) -> Mapping[str, Any]:
    """Of the caption of quality against energy."""
    points = report.cost_points
    return {
        "tiles_alone": cost_tables.tiles_alone(points),
        "coverages": {point.entry.state.coverage for point in points},
    }


def pair_facts(report: Contents, pair: Comparison) -> Mapping[str, Any]:
    """Of the sentence of one comparison."""
    first, second = pair_names(report, pair)
    return {"first": first, "second": second}


def yield_facts(report: Contents) -> Mapping[str, Any]:
    """Of the sentences and the caption of the yield."""
    few = report.simulated if len(report.results) <= FEW else ()
    found = [(result, lifetime_tables.yields(report, result)[:1]) for result in few]
    lasts = [result.states[-1] for result in report.simulated]
    return {
        "yields": [(result, one) for result, first in found for one in first],
        "chips": chip_counts(state.value.n for state in lasts).removeprefix("n = "),
        "lasts": lasts,
    }


def budget_facts(report: Contents, budget: RunBudget) -> Mapping[str, Any]:
    """Of the sentence of an error budget."""
    effects = budget[1].effects
    changes = [(e.name, "gain", e.gain_without) for e in effects] + [(e.name, "loss", e.loss_alone) for e in effects]
    measured = [(name, kind, change) for name, kind, change in changes if change is not None]
    single = bool(measured) and measured[0][2].significant is None
    largest = max(measured, key=lambda each: abs(each[2].mean)) if single else next(iter(measured), None)
    return {"largest": largest, "against": error_budget_tables.against(budget[1])}


def layer_facts(report: Contents, budget: RunBudget) -> Mapping[str, Any]:
    """Of the caption of layer sensitivities."""
    return {"shown": lambda: LAYERS_SHOWN}


def mitigation_facts(report: Contents, budget: RunBudget) -> Mapping[str, Any]:
    """Of the sentence and the caption of mitigations."""
    remedies = [r for r in budget[1].remedies if r.gain is not None and not error_budget_tables.is_base(r)]
    helpful = [remedy for remedy in remedies if remedy.gain and remedy.gain.significant and remedy.gain.mean > 0]
    best = max(helpful or remedies, key=lambda remedy: remedy.gain.mean if remedy.gain else 0.0, default=None)
    return {"best": best, "drawn": lambda: drawn_remedies(budget[1])}


def note_facts(report: Contents) -> Mapping[str, Any]:
    """Of the notes."""
    samples = {run.samples for run in report.runs}
    apart = [pair for pair in report.comparisons if pair.steps and not pair.same_chips]
    named = [f"{report.network(p.first)}, {report.network(p.second)} ({p.first.preset})" for p in apart[:MOST_CURVES]]
    return {
        "intervals": interval_count([*report.comparisons, *report.preset_comparisons]),
        "samples": samples.pop() if len(samples) == 1 else None,
        "apart": [*named, *([f"{len(apart) - len(named):,} other pairs"] if len(apart) > len(named) else [])],
        "unequal": unequal_options(report.runs),
        "equivalent": any(state.equivalent for result in report.results for state in result.states),
        "run_notes": run_notes(report),
        "widths": sampling_widths(report.runs),
    }


def run_notes(report: Contents) -> list[str]:
    """What must be known of single runs; runs of which the same has to be said share a note."""
    owners: dict[str, list[str]] = {}
    for run in report.runs:
        facts = {
            "run": run,
            "metric": report.metric,
            "missing": missing,
            "stopping": stopping,
            "listed_seeds": listed_seeds,
            "chips": lambda run: sum(len({record.instance for record in part.records}) for part in run.parts),
            "not_finite": lambda run: sum(r.metric == "loss" and not isfinite(r.value) for r in run.records),
        }
        for text in paragraphs("run_notes.j2", **facts):
            owners.setdefault(text, []).append(run.name)
    if len(report.runs) == 1:
        return list(owners)
    return [f"{few_names(names)}: {text}" for text, names in owners.items()]


def command_facts(report: Contents) -> Mapping[str, Any]:
    """Of the commands that made the runs."""
    stored = [part for run in report.runs for part in run.stored]
    commands = dict.fromkeys(run.meta["command"] for run in stored if run.meta["command"])
    return {"stored": stored, "commands": list(commands), "most": MOST_CURVES}


def budget_name(budget: RunBudget) -> str:
    """What tells an error budget from those of other runs."""
    return budget[0].name
