"""How numbers, durations and coverages are written: the formats of table columns and the filters of sentences."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

from analog_samson.analysis.equivalent_sigma import EquivalentSigma, Verdict
from analog_samson.analysis.labels import and_list, few_names
from analog_samson.analysis.lifetime import Crossing, Fate
from analog_samson.analysis.statistics import Difference, Summary, difference_interval, value_interval
from analog_samson.presets.validity import EXTRAPOLATED, INTERPOLATED, UNSTATED
from analog_samson.results.metric import Metric
from analog_samson.units import SECONDS

ABSENT = "-"
DAGGERS = {EXTRAPOLATED: "†", INTERPOLATED: "‡", UNSTATED: "§"}
COVERAGE_NOTES = {
    "†": "extrapolated beyond what the source of the preset covers",
    "‡": "interpolated between the times that the source of the preset gives",
    "§": "at a time for which the source of the preset does not state whether it covers it",
}
_FEW = {float(count) for count in range(1, 61)}
_UNIT_WORDS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "y": "year"}


def text(value: Any) -> str:
    """A value as it is; yes or no for truth, a dash for nothing.

    >>> text("net"), text(True), text(None)
    ('net', 'yes', '-')
    """
    if value is None:
        return ABSENT
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def fixed(value: float | None, digits: int = 1) -> str:
    """A number with so many digits after the point; zero has no sign.

    >>> fixed(-0.01), fixed(7.36, 2), fixed(None)
    ('0.0', '7.36', '-')
    """
    if value is None:
        return ABSENT
    shown = f"{value:.{digits}f}"
    return shown.lstrip("-") if isfinite(value) and float(shown) == 0 else shown


def short(value: float | None, digits: int = 1) -> str:
    """A number with at most so many digits after the point.

    >>> short(1.0), short(2.25, 2), short(-0.001)
    ('1', '2.25', '0')
    """
    return ABSENT if value is None else f"{round(value, digits) + 0.0:g}"


def signed(value: float | None, digits: int = 1) -> str:
    """A number with its sign; zero has none.

    >>> signed(-0.01), signed(7.36)
    ('0.0', '+7.4')
    """
    shown = fixed(value, digits)
    return shown if value is None or shown.startswith("-") or float(shown) == 0 else f"+{shown}"


def interval(ends: Sequence[float | None], digits: int = 1) -> str:
    """An interval in brackets, or a dash where there is none.

    >>> interval((1.0, 2.25)), interval((None, None))
    ('[1.0, 2.2]', '-')
    """
    low, high = ends
    return ABSENT if low is None or high is None else f"[{fixed(low, digits)}, {fixed(high, digits)}]"


def mean_and_std(summary: Summary | None, digits: int = 1) -> str:
    """The mean with the standard deviation, or alone where n = 1.

    >>> mean_and_std(Summary(mean=80.21, std=3.42, n=5, low=76.0, high=84.4))
    '80.2 ± 3.4'
    """
    if summary is None:
        return ABSENT
    mean = fixed(summary.mean, digits)
    return mean if summary.std is None else f"{mean} ± {summary.std:.{digits}f}"


def titled(metric: Metric) -> str:
    """The title of a metric with its unit, for heads of columns and axes."""
    return f"{metric.title} {metric.unit}".rstrip()


def difference_unit(metric: Metric) -> str:
    """The unit of a difference of two values."""
    return metric.difference_unit or metric.unit


def in_unit(shown: str, metric: Metric) -> str:
    """A value that is text already, with the metric's unit."""
    return f"{shown} {metric.unit}".rstrip()


def value(number: float, metric: Metric) -> str:
    """A value of a metric with its unit."""
    return in_unit(fixed(number, metric.decimals), metric)


def amount(number: float, metric: Metric) -> str:
    """The size of a difference of two values with its unit, whatever its sign; "point" alone is singular.

    >>> from analog_samson.results.metric import ACCURACY
    >>> amount(1.0, ACCURACY), amount(-2.5, ACCURACY)
    ('1 point', '2.5 points')
    """
    shown, unit = short(abs(number), metric.decimals + 1), difference_unit(metric)
    return f"{shown} {unit.removesuffix('s') if shown == '1' and unit == 'points' else unit}".rstrip()


def change(difference: Difference, metric: Metric) -> str:
    """A paired difference with its sign, unit and interval."""
    return f"{signed(difference.mean, metric.decimals)} {_difference_words(difference, metric)}"


def size(difference: Difference, metric: Metric) -> str:
    """The same without a plus sign, where the words around it say the direction."""
    return f"{fixed(difference.mean, metric.decimals)} {_difference_words(difference, metric)}"


def _difference_words(difference: Difference, metric: Metric) -> str:
    ends = between(difference, difference_interval(difference, metric), metric.decimals)
    return f"{difference_unit(metric)} ({ends})".lstrip()


def between(difference: Difference, ends: Sequence[float | None], digits: int = 1) -> str:
    """The interval of a difference in words."""
    if difference.n == 1:
        return "one chip: no interval"
    return "all chips alike: no interval" if ends[0] is None else f"95 % interval {interval(ends, digits)}"


def shown_interval(summary: Summary, metric: Metric) -> str:
    """The interval of a value, within the metric's bounds."""
    return interval(value_interval(summary, metric), metric.decimals)


def shown_difference_interval(difference: Difference | None, metric: Metric) -> str:
    """The interval of a difference, within what the metric's bounds allow."""
    return ABSENT if difference is None else interval(difference_interval(difference, metric), metric.decimals)


def verdict(difference: Difference | None, above: str, below: str) -> str:
    """What the interval of a difference says: `above` or `below` zero, or why neither.

    >>> verdict(Difference(mean=1.0, low=0.5, high=1.5, n=3, significant=True), "helps", "harms")
    'helps'
    """
    if difference is None:
        return ABSENT
    if difference.significant is None:
        return "n = 1: no interval"
    if not isfinite(difference.mean):
        return "not finite"
    if difference.low is None:
        return "all chips alike: no interval"
    if not difference.significant:
        return "not significant"
    return above if difference.mean > 0 else below


def costs(difference: Difference | None) -> bool:
    """Whether a difference is significantly above zero."""
    return difference is not None and bool(difference.significant) and difference.mean > 0


def sigma_value(equivalent: EquivalentSigma | None) -> str:
    """The equivalent sigma_c, with words where it is not on the curve."""
    if equivalent is None:
        return ABSENT
    if equivalent.verdict is Verdict.BEYOND:
        return f">{equivalent.largest:g}"
    if equivalent.verdict is Verdict.ABOVE:
        return f"{equivalent.value:g} (above the curve)"
    return fixed(equivalent.value, 3)


def sigma_interval(equivalent: EquivalentSigma | None) -> str:
    """Its interval; an end outside the sweep is written as ">largest"."""
    if equivalent is None or equivalent.low is None or equivalent.high is None:
        return ABSENT
    ends = (equivalent.low, equivalent.high)
    low, high = (f"{end:.3f}" if isfinite(end) else f">{equivalent.largest:g}" for end in ends)
    return low if low == high and low.startswith(">") else f"[{low}, {high}]"


def duration(seconds: float) -> str:
    """A duration in words, to the letter.

    >>> duration(31536000.0), duration(7200.0), duration(0.0)
    ('1 year', '2 hours', '0 seconds')
    """
    whole = [u for u, length in SECONDS.items() if seconds >= length and (seconds / length).is_integer()]
    unit = whole[-1] if whole else "s"
    count = seconds / SECONDS[unit]
    return f"{count:.15g} {_UNIT_WORDS[unit]}{'' if count == 1 else 's'}"


def about(seconds: float) -> str:
    """A calculated duration in words, to two digits; a simple one as `duration` writes it.

    >>> about(11520.0), about(0.25), about(31536000.0), about(5e9)
    ('3.2 hours', '0.25 seconds', '1 year', '160 years')
    """
    if seconds == 0 or any(seconds / length in _FEW for length in SECONDS.values()):
        return duration(seconds)
    unit = next((u for u, length in reversed(SECONDS.items()) if seconds >= length), "s")
    count = float(f"{seconds / SECONDS[unit]:.2g}")
    return f"{count:g} {_UNIT_WORDS[unit]}{'' if count == 1 else 's'}"


def moment(time_seconds: float | None) -> str:
    """When, in a sentence: "after 1 year" or "right after programming"."""
    return "right after programming" if time_seconds is None else f"after {duration(time_seconds)}"


def crossing_time(crossing: Crossing) -> str:
    """When a threshold is crossed: a simulated time to the letter, a calculated one to two digits.

    >>> [crossing_time(Crossing(fate=fate, seconds=7776000.0)) for fate in (Fate.NEVER, Fate.WITHIN)]
    ['90 days', '13 weeks']
    """
    return duration(crossing.seconds) if crossing.fate in (Fate.BEFORE, Fate.NEVER) else about(crossing.seconds)


def crossing(found: Crossing | None) -> str:
    """The same in a cell: "<" of the first time where it is earlier, ">" of the last one where it is later.

    >>> crossing(Crossing(fate=Fate.NEVER, seconds=31536000.0, coverage="extrapolated"))
    '>1 year†'
    """
    if found is None:
        return ABSENT
    side = {Fate.BEFORE: "<", Fate.NEVER: ">"}.get(found.fate, "")
    return daggered(f"{side}{crossing_time(found)}", found.coverage)


def crossing_interval(low: Crossing | None, high: Crossing | None) -> str:
    """An interval of lifetimes; open where the better end never crosses.

    >>> first, last = Crossing(fate=Fate.BEFORE, seconds=1.0), Crossing(fate=Fate.NEVER, seconds=3600.0)
    >>> crossing_interval(first, last)
    'anything from <1 second on'
    """
    if low is None or high is None:
        return ABSENT
    ends = crossing(low), crossing(high)
    if ends[0] == ends[1]:
        return ends[0]
    if high.fate is not Fate.NEVER:
        return f"{ends[0]} to {ends[1]}"
    return f"anything from {ends[0]} on" if low.fate is Fate.BEFORE else f"{ends[0]} or more"


def daggered(shown: str, coverage: str) -> str:
    """Text of a cell with the dagger of its coverage; `COVERAGE_NOTES` says below the table what it means.

    >>> daggered("80.4", "extrapolated"), daggered("80.4", "")
    ('80.4†', '80.4')
    """
    return f"{shown}{DAGGERS.get(coverage, '')}"


def tagged(shown: str, coverage: str) -> str:
    """Text of a sentence with its coverage in words."""
    return f"{shown} ({coverage})" if coverage else shown


def upper_first(shown: str) -> str:
    """The text with a capital at its beginning and no other change."""
    return f"{shown[:1].upper()}{shown[1:]}"


FILTERS = {
    function.__name__: function
    for function in (
        *(fixed, signed, interval, mean_and_std, value, amount, change, size, between, in_unit, titled),
        *(difference_unit, verdict, sigma_value, sigma_interval, duration, about, moment, crossing_time),
        *(daggered, tagged, and_list, few_names, upper_first, shown_interval, short),
    )
}
