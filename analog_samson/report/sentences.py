"""The answers as sentences, made from the same values as the tables below them."""

from collections.abc import Sequence

from analog_samson.report.answer_tables import loss_words
from analog_samson.report.comparison import family_size
from analog_samson.report.digest import Result
from analog_samson.report.explanation import Explanation, Outcomes, Remedy
from analog_samson.report.lifetime import Crossing, Fate, lifetimes, thresholds
from analog_samson.report.statistics import Difference
from analog_samson.report.study import Entry, Study
from analog_samson.report.wording import about, interval, marked, optional, signed, state_label
from analog_samson.report.yields import yield_at

_NO_INTERVAL = "one chip: no interval"


def lifetime_sentence(result: Result, threshold: float | None) -> str | None:
    """When the result falls below its first threshold."""
    found = lifetimes(result, threshold)
    if not found:
        return None
    one = found[0]
    digital = "" if one.loss is None else f" ({loss_words(one.loss)} points below digital)"
    digital = digital.replace("(1 points", "(1 point")
    text = f"Threshold {one.threshold:.1f} %{digital}: the mean {_falls(one.mean)}"
    if one.weakest is None:
        return f"{text}; {_NO_INTERVAL} and no percentile."
    return f"{text}; the 5th percentile of the {one.instances} chips {_falls(one.weakest)}."


def yield_sentence(result: Result, threshold: float | None) -> str | None:
    """How many chips are at or above the first threshold at the last moment."""
    wanted = thresholds(result, threshold)
    if not wanted or not result.states:
        return None
    last = result.states[-1]
    when = "right after programming" if last.time_seconds is None else f"after {state_label(last)}"
    one = yield_at(last.accuracies.values(), wanted[0])
    if one.low is None or one.high is None:
        return f"The one chip is {'at or above' if one.passed else 'below'} {wanted[0]:.1f} % {when}."
    between = interval(100 * one.low, 100 * one.high, 0)
    share = f"{one.passed} of {one.n} chips ({100 * one.share:.0f} %, 95 % interval {between})"
    return f"{share} are at or above {wanted[0]:.1f} % {when}."


def hurts_sentence(explanation: Explanation) -> str:
    """The effects whose absence is seen to help, or that there is none."""
    measured = [(effect, effect.gain_without) for effect in explanation.effects if effect.gain_without is not None]
    if not measured:
        return "Nothing was taken away from this device."
    seen = [(effect, gain) for effect, gain in measured if gain.seen and gain.mean > 0]
    if seen:
        parts = [f"{effect.name} away gains {_size(gain)}" for effect, gain in seen]
        return f"Taking {', taking '.join(parts)}{_when(explanation)}."
    effect, gain = measured[0]
    if gain.seen is None:
        return f"Taking {effect.name} away changes most, {_points(gain)}{_when(explanation)}."
    return f"No single effect is seen to cost accuracy{_when(explanation)}; taking {effect.name} away: {_points(gain)}."


def where_sentence(explanation: Explanation) -> str | None:
    """The layer that loses most alone, or that none is seen to lose."""
    if not explanation.layers:
        return None
    worst = explanation.layers[0]
    lost, decides = _size(worst.lost), worst.nats or worst.lost
    if worst.nats is not None:
        lost = f"{worst.nats.mean:.3f} nats of loss ({_between(worst.nats, 3)}) and {lost}"
    if decides.seen is False or decides.mean <= 0:
        return f"No layer alone is seen to lose{_when(explanation)}; the most is lost by {worst.path}, {lost}."
    shares = "" if worst.macs_percent is None else f", with {worst.macs_percent:.1f} % of the MACs"
    devices = "" if worst.devices_percent is None else f" and {worst.devices_percent:.1f} % of the devices"
    verb = f"alone on the device it costs {lost}"
    return f"The most sensitive layer is {worst.path}: {verb}{shares}{devices}{_when(explanation)}."


def helps_sentence(explanation: Explanation) -> str | None:
    """The remedy that gains most, or that none is seen to help."""
    gains = [(remedy, remedy.gain) for remedy in explanation.remedies if remedy.gain is not None]
    changed = [(remedy, gain) for remedy, gain in gains if not remedy.name.endswith("(as it is)")]
    if not changed:
        return None
    remedy, gain = max(changed, key=lambda pair: pair[1].mean)
    seen = [(r, g) for r, g in changed if g.seen and g.mean > 0]
    if not seen and gain.seen is not None:
        largest = f"the largest gain is that of {_remedy(remedy)}, {_points(gain)}"
        return f"Nothing tried is seen to help{_when(explanation)}; {largest}."
    remedy, gain = max(seen, key=lambda pair: pair[1].mean) if seen else (remedy, gain)
    return f"What helps most{_when(explanation)}: {_remedy(remedy)}, {_points(gain)}."


def decisions_sentence(explanation: Explanation, outcomes: Outcomes) -> str:
    """How the margin shrinks and how many decisions change."""
    spread = "" if outcomes.changed.std is None else f" ± {100 * outcomes.changed.std:.1f}"
    return (
        f"The median margin goes from {outcomes.digital_median:.2f} to {outcomes.aged_median:.2f}{_when(explanation)}, "
        f"and {100 * outcomes.changed.mean:.1f}{spread} % of the decisions change."
    )


def ahead_sentence(study: Study, preset: str) -> str:
    """Who is ahead on a preset at its last shared moment, or between whom no difference is seen."""
    entries = study.on(preset)
    if not entries:
        return f"On {preset}, the networks share no moment."
    best = entries[0]
    when = "right after programming" if best.state.time_seconds is None else f"after {state_label(best.state)}"
    score = f"{best.method} has {best.state.accuracy.mean:.1f} % {when}"
    if len(entries) == 1:
        return f"On {preset}, {score}."
    if best.state.accuracy.n == 1:
        return f"On {preset}, {score}, the highest ({_NO_INTERVAL})."
    if study.ahead(preset) is not None:
        return f"On {preset}, {score}, ahead of {_all_others(entries)}."
    return f"On {preset}, {score}; no difference to {and_list(not_beaten(study, best))} is seen."


def simultaneous_sentence(study: Study) -> str:
    """For how many intervals 95 % hold at once."""
    count = family_size([comparison for comparison, _ in study.differences])
    if count == 1:
        return "The interval of the difference is Student's t, 95 %."
    return f"The intervals of all {count} differences hold at once with 95 % (Student's t, Bonferroni)."


def not_beaten(study: Study, best: Entry) -> list[str]:
    """Networks on the preset to which the best one is not seen to differ."""
    return [
        other.method
        for comparison, step in study.differences
        if comparison.first.preset == best.preset and not step.difference.seen
        for own, other in _both_ways(study, comparison.first, comparison.second)
        if own is best
    ]


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
    when = marked(about(crossing.seconds), "extrapolated" if crossing.extrapolated else "")
    words = {
        Fate.BEFORE: f"is below it at {when} already",
        Fate.NEVER: f"does not fall below it within {when}",
    }
    return words.get(crossing.fate, f"falls below it after {when}")


def _points(difference: Difference) -> str:
    return f"{signed(difference.mean)} points ({_between(difference)})"


def _size(difference: Difference) -> str:
    """Where the words around it say the direction."""
    return f"{optional(difference.mean)} points ({_between(difference)})"


def _between(difference: Difference, digits: int = 1) -> str:
    if difference.low is None:
        return _NO_INTERVAL
    return f"interval {interval(difference.low, difference.high, digits)}"


def _remedy(remedy: Remedy) -> str:
    cost = "" if not remedy.layers else f" (digital: {remedy.digital_macs_percent or 0:.1f} % of the MACs)"
    return f"{remedy.name}{cost}"


def _when(explanation: Explanation) -> str:
    return f" after {marked(explanation.label, explanation.mark)}"
