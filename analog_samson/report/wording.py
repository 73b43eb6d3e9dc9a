"""How numbers are written, and the sentence that answers the question. "±" becomes "+-" in plain text."""

from collections.abc import Sequence
from math import isfinite

from analog_samson.analysis.equivalent_sigma import EquivalentSigma, Verdict
from analog_samson.analysis.labels import calibrated_name
from analog_samson.analysis.statistics import Difference, Summary
from analog_samson.analysis.summary import Result, State
from analog_samson.units import SECONDS

NONE = "-"
_FEW = {float(count) for count in range(1, 61)}
_UNIT_WORDS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "y": "year"}


def mean_and_std(summary: Summary, digits: int = 1) -> str:
    """The mean with the standard deviation, or alone where n = 1.

    >>> mean_and_std(Summary(mean=80.21, std=3.42, n=5, low=76.0, high=84.4))
    '80.2 ± 3.4'
    """
    mean = f"{summary.mean:.{digits}f}"
    return mean if summary.std is None else f"{mean} ± {summary.std:.{digits}f}"


def interval(low: float | None, high: float | None, digits: int = 1) -> str:
    """An interval in brackets, or a dash where n = 1 allows none."""
    return NONE if low is None or high is None else f"[{low:.{digits}f}, {high:.{digits}f}]"


def optional(value: float | None, digits: int = 1) -> str:
    """A number, or a dash."""
    return NONE if value is None else f"{_without_minus_zero(value, digits)}"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign; zero has none.

    >>> signed(-0.01), signed(7.36)
    ('0.0', '+7.4')
    """
    text = _without_minus_zero(value, digits)
    return text if text.startswith("-") or float(text) == 0 else f"+{text}"


def sigma_value(equivalent: EquivalentSigma | None) -> str:
    """The equivalent sigma_c with its verdict in words where it is not on the curve."""
    if equivalent is None:
        return NONE
    if equivalent.verdict is Verdict.BEYOND:
        return f">{equivalent.largest:g}"
    value = f"{equivalent.value:.3f}"
    return f"{equivalent.value:g} (above the curve)" if equivalent.verdict is Verdict.ABOVE else value


def sigma_interval(equivalent: EquivalentSigma | None) -> str:
    """Its bootstrap interval; an end outside the sweep is written as ">largest"."""
    if equivalent is None or equivalent.low is None or equivalent.high is None:
        return NONE
    ends = (equivalent.low, equivalent.high)
    low, high = (f"{end:.3f}" if end < float("inf") else f">{equivalent.largest:g}" for end in ends)
    return low if low == high and low.startswith(">") else f"[{low}, {high}]"


def duration_words(seconds: float) -> str:
    """A duration in words.

    >>> duration_words(31536000.0), duration_words(7200.0), duration_words(0.0)
    ('1 year', '2 hours', '0 seconds')
    """
    whole = [u for u, size in SECONDS.items() if seconds >= size and (seconds / size).is_integer()]
    unit = whole[-1] if whole else "s"
    count = seconds / SECONDS[unit]
    return f"{count:.15g} {_UNIT_WORDS[unit]}{'' if count == 1 else 's'}"


def about(seconds: float) -> str:
    """A duration that need not be whole, in words, to two digits; exact ones as `duration_words` writes them.

    >>> about(11520.0), about(0.25), about(31536000.0), about(5e9)
    ('3.2 hours', '0.25 seconds', '1 year', '160 years')
    """
    if seconds == 0 or any(seconds / size in _FEW for size in SECONDS.values()):
        return duration_words(seconds)
    unit = next((u for u, size in reversed(SECONDS.items()) if seconds >= size), "s")
    count = float(f"{seconds / SECONDS[unit]:.2g}")
    return f"{count:g} {_UNIT_WORDS[unit]}{'' if count == 1 else 's'}"


def state_label(state: State) -> str:
    """The state's name, marked where the preset's source does not give it."""
    return marked(state.label, state.mark)


def marked(text: str, mark: str) -> str:
    """Text with "(extrapolated)" or "(interpolated)" after it where the number is so."""
    return f"{text} ({mark})" if mark else text


def series_labels(results: Sequence[Result]) -> list[str]:
    """The shortest labels that tell the results apart: checkpoint, and preset or calibration where they differ."""
    presets = {result.preset for result in results}
    apart = len({result.calibration for result in results}) > 1
    names = [result.checkpoint + (f" on {result.preset}" if len(presets) > 1 else "") for result in results]
    return [
        calibrated_name(name, result.calibration) if apart else name
        for name, result in zip(names, results, strict=True)
    ]


def answer(result: Result) -> str:
    """One sentence: what the network scores on this hardware at the last time simulated."""
    place = f"On {result.preset}, {calibrated_name(result.checkpoint, result.calibration, ' with ')}"
    if not result.states:
        return f"{place} has not been simulated over time yet{_digital_clause(result)}."
    last = result.states[-1]
    score = f"scores {mean_and_std(last.value)} % {moment_words(last)}"
    return f"{place} {score}{_digital_clause(result, last)}."


def moment_words(state: State) -> str:
    """When the state was, in a sentence."""
    if state.time_seconds is None:
        return "right after programming"
    return f"after {state.label}" + (f", {state.mark}" if state.mark else "")


def verdict(difference: Difference, better: str, other: str, sentence: str = "{} is higher") -> str:
    """Which of two is better, or "not significant": by the interval of this difference alone.

    `better` is the one subtracted from.
    """
    if difference.significant is None:
        return "n = 1: no interval"
    if not isfinite(difference.mean):
        return "not finite"
    if difference.low is None:
        return "all chips alike: no interval"
    if not difference.significant:
        return "not significant"
    return sentence.format(better if difference.mean > 0 else other)


def coverage(count: int, images: str = "these test images") -> str:
    """What the intervals of so many differences cover, and how many are significant by chance.

    >>> coverage(1)
    "The 95 % interval of the difference is Student's t over chips, for these networks and these test images."
    """
    where = f"for these networks and {images}"
    if count == 1:
        return f"The 95 % interval of the difference is Student's t over chips, {where}."
    return (
        f"Each of the {count} differences has its own 95 % interval (Student's t over chips), {where}: "
        "where nothing differs, about one in twenty is significant by chance."
    )


def no_interval(*counts: int) -> str:
    """What is said beside the 5th percentile of a few chips, which lies near the weakest one.

    >>> no_interval(10), no_interval(5, 10)
    ('no interval: n = 10', 'no interval: n = 5 to 10')
    """
    ends = dict.fromkeys((min(counts), max(counts)))
    return f"no interval: n = {' to '.join(map(str, ends))}"


def instance_count(n: int, seeds: int = 1) -> str:
    """n with its unit, and over how many seeds if there are several.

    >>> instance_count(1), instance_count(5), instance_count(20, 2)
    ('one instance: no spread', 'n = 5 instances', 'n = 20 instances over 2 seeds')
    """
    over = f" over {seeds} seeds" if seeds > 1 else ""
    return "one instance: no spread" if n == 1 else f"n = {n} instances{over}"


def _digital_clause(result: Result, last: State | None = None) -> str:
    parts = [] if result.digital is None else [f"digital {result.digital.value.mean:.1f} %"]
    parts += [] if last is None else [instance_count(last.value.n, result.seeds)]
    return f" ({'; '.join(parts)})" if parts else ""


def _without_minus_zero(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text
