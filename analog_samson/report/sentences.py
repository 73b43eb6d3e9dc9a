"""The answers as sentences, made from the same values as the tables below them."""

from collections.abc import Sequence
from dataclasses import replace

from analog_samson.analysis.decisions import Outcomes
from analog_samson.analysis.error_budget import ErrorBudget, Layer, Remedy
from analog_samson.analysis.lifetime import Crossing, Fate, lifetimes, thresholds
from analog_samson.analysis.ranking import Entry, Study
from analog_samson.analysis.statistics import Difference, Ends, difference_interval
from analog_samson.analysis.summary import Result
from analog_samson.analysis.yields import yield_at
from analog_samson.report.answer_tables import crossing_time, loss_words
from analog_samson.report.wording import coverage, interval, marked, no_interval, optional, signed, state_label
from analog_samson.results.metric import Metric

_NO_INTERVAL = "one chip: no interval"


def lifetime_sentence(result: Result, threshold: float | None) -> str | None:
    """When the result falls below its first threshold."""
    found = lifetimes(result, threshold)
    if not found:
        return None
    one = found[0]
    digital = "" if one.loss is None else f" ({_below(one.loss)} digital)"
    text = f"Threshold {one.threshold:.1f} %{digital}: the mean {_falls(one.mean)}"
    if one.weakest is None:
        return f"{text}; {_NO_INTERVAL} and no percentile."
    return f"{text}; the 5th percentile of chips ({no_interval(one.instances)}) {_falls(one.weakest)}."


def yield_sentence(result: Result, threshold: float | None) -> str | None:
    """How many chips are at or above the first threshold at the last moment."""
    wanted = thresholds(result, threshold)
    if not wanted or not result.states:
        return None
    last = result.states[-1]
    when = "right after programming" if last.time_seconds is None else f"after {state_label(last)}"
    one = yield_at(last.values.values(), wanted[0], result.metric)
    if one.low is None or one.high is None:
        return f"The one chip is {'at or above' if one.passed else 'below'} {wanted[0]:.1f} % {when}."
    between = interval(100 * one.low, 100 * one.high, 0)
    share = f"{one.passed} of {one.n} chips ({100 * one.share:.0f} %, 95 % interval {between})"
    return f"{share} are at or above {wanted[0]:.1f} % {when}."


def hurts_sentence(budget: ErrorBudget) -> str:
    """The effects that cost accuracy significantly, where removed or in isolation, and what that is measured from."""
    if not budget.effects:
        return "Nothing was taken away from this device."
    away = [(e.name, e.gain_without) for e in budget.effects if _costs(e.gain_without)]
    alone = [(e.name, e.loss_alone) for e in budget.effects if _costs(e.loss_alone) and not _costs(e.gain_without)]
    said = [f"taking {name} away gains {_size(gain, budget.metric)}" for name, gain in away if gain is not None]
    sentences = [f"{_first_upper(', '.join(said))}{_when(budget)}."] if said else []
    said = [f"{name} costs {_size(loss, budget.metric)}" for name, loss in alone if loss is not None]
    if said:
        when = "" if sentences else _when(budget)
        sentences.append(f"Significant only in isolation{when}: {', '.join(said)}.")
    if not sentences:
        sentences.append(_none_significant(budget))
    return " ".join([*sentences, _measured_how(budget)])


def where_sentence(budget: ErrorBudget) -> str | None:
    """The most sensitive layer, if any layer alone loses significantly."""
    if not budget.layers:
        return None
    first = budget.layers[0]
    worst = next((layer for layer in budget.layers if _costs(layer.decides)), None)
    if worst is None and first.decides.significant is None and first.decides.mean > 0:
        worst = first
    when, here, metric = _when(budget), _here(budget), budget.metric
    if worst is None and first.decides.mean <= 0:
        return f"No layer alone loses significantly{when}, and none loses on average{here}."
    if worst is None:
        return f"No layer alone loses significantly{when}; {first.path} loses most, {_layer_size(first, metric)}{here}."
    shares = "" if worst.macs_percent is None else f", with {worst.macs_percent:.1f} % of the MACs"
    devices = "" if worst.devices_percent is None else f" and {worst.devices_percent:.1f} % of the devices"
    name = "The most sensitive layer is" if worst is first else "The layer with the largest significant loss is"
    cost = _layer_size(worst, metric)
    return f"{name} {worst.path}: alone on the device it costs {cost}{shares}{devices}{when}{here}."


def helps_sentence(budget: ErrorBudget) -> str | None:
    """The remedy with the largest gain, if any remedy helps significantly."""
    gains = [(remedy, remedy.gain) for remedy in budget.remedies if remedy.gain is not None]
    changed = [(remedy, gain) for remedy, gain in gains if not remedy.name.endswith("(as it is)")]
    if not changed:
        return None
    remedy, gain = max(changed, key=lambda pair: pair[1].mean)
    seen = [(r, g) for r, g in changed if g.significant and g.mean > 0]
    if not seen and (gain.significant is not None or gain.mean <= 0):
        largest = f"the largest gain is that of {_remedy(remedy)}, {_points(gain, budget.metric)}{_here(budget)}"
        return f"No remedy helps significantly{_when(budget)}; {largest}."
    remedy, gain = max(seen, key=lambda pair: pair[1].mean) if seen else (remedy, gain)
    return f"What helps most{_when(budget)}: {_remedy(remedy)}, {_points(gain, budget.metric)}{_here(budget)}."


def decisions_sentence(budget: ErrorBudget, outcomes: Outcomes) -> str:
    """How the margin shrinks and how many decisions change."""
    spread = "" if outcomes.changed.std is None else f" ± {100 * outcomes.changed.std:.1f}"
    return (
        f"The median margin goes from {outcomes.digital_median:.2f} to {outcomes.aged_median:.2f}{_when(budget)}, "
        f"and {100 * outcomes.changed.mean:.1f}{spread} % of the decisions change."
    )


def ahead_sentence(study: Study, preset: str) -> str:
    """Which network is best on a preset at its last shared moment, and whether significantly so; with n and spread."""
    entries = study.on(preset)
    if not entries:
        return f"On {preset}, the networks share no moment."
    best = entries[0]
    when = "right after programming" if best.state.time_seconds is None else f"after {state_label(best.state)}"
    place = f"On {preset}, {best.method} has {best.state.value.mean:.1f} % {when}{_standing(study, entries)}."
    return " ".join([place, *_spread_and_lead(study, entries)])


def _standing(study: Study, entries: Sequence[Entry]) -> str:
    """How the best network stands to the others on its preset."""
    if len(entries) == 1:
        return ""
    if entries[0].state.value.n == 1:
        level = level_with(study, entries[0])
        return f", {f'level with {and_list(level)}' if level else 'the highest'} ({_NO_INTERVAL})"
    if study.ahead(entries[0].preset) is not None:
        return f", significantly more than {_all_others(entries)}"
    equal = not_beaten(study, entries[0])
    return (
        f", not significantly different from {and_list(equal)}" if equal else ", not compared with every other network"
    )


def _spread_and_lead(study: Study, entries: Sequence[Entry]) -> list[str]:
    """Over the chips of the best network: their spread, and its difference to the next one, where they are known."""
    best, accuracy = entries[0], entries[0].state.value
    spread = [] if accuracy.std is None else [f"Its n = {accuracy.n} chips spread by ± {accuracy.std:.1f}."]
    found = [_difference_to(study, best, other) for other in entries[1:2]]
    metric = best.result.metric
    lead = [f"Against {entries[1].method}: {_points(one, metric)}, on these test images." for one in found if one]
    return [*spread, *lead]


def _difference_to(study: Study, best: Entry, other: Entry) -> Difference | None:
    """The best network minus another one on its preset; None where they could not be paired."""
    for comparison, step in study.differences:
        one, two, difference = comparison.first, comparison.second, step.difference
        if one is other.result and two is best.result:
            return difference
        if one is best.result and two is other.result:
            low, high = (None if end is None else -end for end in (difference.high, difference.low))
            return replace(difference, mean=-difference.mean, low=low, high=high)
    return None


def intervals_sentence(study: Study) -> str:
    """What the intervals of the differences between networks cover, and what they do not."""
    if all(step.difference.n == 1 for _, step in study.differences):
        return "No difference has an interval: that takes two networks on two equal chips or more."
    return coverage(sum(step.difference.low is not None for _, step in study.differences))


def not_beaten(study: Study, best: Entry) -> list[str]:
    """Networks on the preset from which the best one does not differ significantly."""
    return [
        other.method
        for comparison, step in study.differences
        if comparison.first.preset == best.preset and not step.difference.significant
        for own, other in _both_ways(study, comparison.first, comparison.second)
        if own is best
    ]


def level_with(study: Study, best: Entry) -> list[str]:
    """Networks on the preset with the same mean accuracy as the best one."""
    return [entry.method for entry in study.on(best.preset) if entry.rank == best.rank and entry is not best]


def is_paired(study: Study, best: Entry) -> bool:
    """Whether any difference to another network on the preset could be taken on the same chips."""
    return any(c.first.preset == best.preset for c, _ in study.differences)


def _both_ways(study: Study, first: Result, second: Result) -> list[tuple[Entry, Entry]]:
    entries = {id(entry.result): entry for entry in study.entries}
    one, other = entries[id(first)], entries[id(second)]
    return [(one, other), (other, one)]


def _all_others(entries: Sequence[Entry]) -> str:
    return entries[1].method if len(entries) == 2 else f"all {len(entries) - 1} others"


def and_list(names: Sequence[str]) -> str:
    """Names with commas and a last "and"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _falls(crossing: Crossing) -> str:
    when = marked(crossing_time(crossing), crossing.mark)
    words = {
        Fate.BEFORE: f"is below it at {when} already",
        Fate.NEVER: f"does not fall below it within {when}",
    }
    return words.get(crossing.fate, f"falls below it after {when}")


def _below(loss: float) -> str:
    """How a threshold stands to the digital accuracy.

    >>> _below(1.0), _below(-2.5)
    ('1 point below', '2.5 points above')
    """
    points = loss_words(abs(loss))
    return f"{points} point{'' if points == '1' else 's'} {'above' if loss < 0 else 'below'}"


def _costs(difference: Difference | None) -> bool:
    """Whether something costs accuracy significantly."""
    return difference is not None and bool(difference.significant) and difference.mean > 0


def _none_significant(budget: ErrorBudget) -> str:
    """That no effect costs accuracy significantly, with the largest change."""
    changes = [(f"taking {effect.name} away", effect.gain_without) for effect in budget.effects]
    changes += [(f"the loss by {effect.name} alone", effect.loss_alone) for effect in budget.effects]
    measured = [(doing, change) for doing, change in changes if change is not None]
    doing, change = measured[0]
    if change.significant is None:
        doing, change = max(measured, key=lambda pair: abs(pair[1].mean))
        return f"{_first_upper(doing)} changes most, {_points(change, budget.metric)}{_when(budget)}."
    return f"No single effect costs accuracy significantly{_when(budget)}; {doing}: {_points(change, budget.metric)}."


def _measured_how(budget: ErrorBudget) -> str:
    """What the numbers of the effects are relative to."""
    beside = next((effect.against for effect in budget.effects if effect.against), None)
    alone = "the digital network"
    if beside is not None:
        alone = f"{beside}, which is always there and is itself measured from the digital network"
    return f"Gains are measured from the run as it is, losses alone from {alone}{_here(budget)}."


def _layer_size(layer: Layer, metric: Metric) -> str:
    """What a layer loses alone, without its sign."""
    if layer.nats is None:
        return _size(layer.lost, metric)
    between = _between(layer.nats, (layer.nats.low, layer.nats.high), 3)
    return f"{layer.nats.mean:.3f} nats of loss ({between}) and {_size(layer.lost, metric)}"


def _points(difference: Difference, metric: Metric) -> str:
    return f"{signed(difference.mean)} points ({_between(difference, difference_interval(difference, metric))})"


def _size(difference: Difference, metric: Metric) -> str:
    """Where the words around it say the direction."""
    return f"{optional(difference.mean)} points ({_between(difference, difference_interval(difference, metric))})"


def _between(difference: Difference, ends: Ends, digits: int = 1) -> str:
    if difference.n == 1:
        return _NO_INTERVAL
    return "all chips alike: no interval" if ends[0] is None else f"95 % interval {interval(*ends, digits)}"


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _here(budget: ErrorBudget) -> str:
    return f", on these {budget.samples} images"


def _remedy(remedy: Remedy) -> str:
    cost = "" if not remedy.layers else f" (digital: {remedy.digital_macs_percent or 0:.1f} % of the MACs)"
    return f"{remedy.name}{cost}"


def _when(budget: ErrorBudget) -> str:
    return f" after {marked(budget.label, budget.mark)}"
