"""Mean, spread and interval over a few simulated chips, and differences between runs on the same chips.

Values may be of any metric. `step` is the metric's resolution on the samples that were used, see `Metric.step`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import inf, isclose, isfinite

import numpy as np
from scipy import special, stats

from analog_samson.results.metric import Metric

CONFIDENCE = 0.95
_ROUNDING = 1e-11  # of the largest value; equal values may differ in the last bits
Ends = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Mean, sample standard deviation (n - 1) and Student's t interval of the mean of n values.

    With n = 1, or with a value that is not finite, there is neither spread nor interval: std, low and high are None.
    The interval may leave the metric's bounds; `value_interval` is the one to show. It may be wider than std implies:
    see `summarize`.
    """

    mean: float
    std: float | None
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean difference over chips with its interval, for the test samples that were used.

    Attributes:
        n: How many pairs of chips; of chips drawn apart, how many the smaller sample has.
        significant: Whether the interval excludes zero. None where n = 1 allows no interval; False where equal
            differences allow none, see `paired_difference`. The level of 95 % is that of each interval by itself.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    significant: bool | None


def summarize(values: Sequence[float], step: float | None = None) -> Summary:
    """Summary of one or more values, with the 95 % t interval of their mean.

    Args:
        values: One value a chip.
        step: Resolution of a value. A few chips often have equal values, which says little about their spread, so
            the interval assumes at least the standard deviation of rounding to this step.

    >>> s = summarize([79.0, 80.0, 81.0])
    >>> s.mean, s.std, s.n, round(s.low, 2), round(s.high, 2)
    (80.0, 1.0, 3, 77.52, 82.48)
    >>> summarize([80.0]).low is None
    True
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values to summarize")
    if not np.isfinite(values).all():
        return Summary(mean=_infinite_mean(values), std=None, n=n, low=None, high=None)
    mean = float(np.mean(values))
    if n == 1:
        return Summary(mean=mean, std=None, n=1, low=None, high=None)
    std = float(np.std(values, ddof=1))
    reach = t_quantile(n) * max(std, rounding_std(step)) / np.sqrt(n)
    return Summary(mean=mean, std=std, n=n, low=float(mean - reach), high=float(mean + reach))


def _infinite_mean(values: Sequence[float]) -> float:
    """The infinity among the values, or NaN where there is a NaN or both infinities."""
    infinite = {value for value in values if not isfinite(value)}
    return infinite.pop() if len(infinite) == 1 else float("nan")


def t_quantile(n: int) -> float:
    """Half-width of the 95 % interval of a mean of n values, in standard errors.

    >>> round(t_quantile(10), 2)
    2.26
    """
    return float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def paired_difference(
    first: Mapping[int, float], second: Mapping[int, float], step: float | None = None
) -> Difference | None:
    """Second minus first over the instances that both have; None where they share none.

    Args:
        first: Value by instance. Instance i is the same simulated chip in both, so what it has in common cancels.
        second: The same of the other run.
        step: As for `summarize`. Without it differences that are all equal have no interval and are not significant.
            Neither is a difference with a value that is not finite; its mean is NaN.

    >>> difference = paired_difference({0: 80.0, 1: 81.0}, {0: 81.0, 1: 82.0}, step=1.0)
    >>> difference.mean, round(difference.low, 2), difference.significant
    (1.0, -1.59, False)
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    n, pairs = len(shared), np.array([(first[instance], second[instance]) for instance in shared])
    if not np.isfinite(pairs).all():
        return Difference(mean=float("nan"), low=None, high=None, n=n, significant=False)
    summary = summarize(list(pairs[:, 1] - pairs[:, 0]), step)
    tolerance = _ROUNDING * float(np.abs(pairs).max())
    if n == 1 or max(summary.std or 0.0, rounding_std(step)) <= tolerance:
        return Difference(mean=summary.mean, low=None, high=None, n=n, significant=None if n == 1 else False)
    assert summary.low is not None
    assert summary.high is not None
    significant = not summary.low - tolerance <= 0 <= summary.high + tolerance
    return Difference(mean=summary.mean, low=summary.low, high=summary.high, n=n, significant=significant)


def unpaired_difference(first: Collection[float], second: Collection[float], step: float | None = None) -> Difference:
    """Mean of the second minus mean of the first, for chips that were drawn apart.

    Args:
        first: One value a chip.
        second: The same of other chips; their number may differ.
        step: As for `summarize`, with the same meaning as for `paired_difference`.

    Returns:
        The difference with Welch's 95 % interval (Biometrika 34, 1947), which allows unequal spreads. It also holds
        where chips of equal numbers have values that go up and down together; it is then wider than it has to be.

    >>> found = unpaired_difference([80.0, 81.0, 82.0], [84.0, 86.0, 85.0])
    >>> found.mean, round(found.low, 2), round(found.high, 2), found.significant
    (4.0, 1.73, 6.27, True)
    """
    samples, n = [np.array(list(values)) for values in (first, second)], min(len(first), len(second))
    if not all(np.isfinite(values).all() for values in samples):
        return Difference(mean=float("nan"), low=None, high=None, n=n, significant=False)
    mean = float(samples[1].mean() - samples[0].mean())
    if n < 2:
        return Difference(mean=mean, low=None, high=None, n=n, significant=None)
    errors = np.array([max(values.std(ddof=1), rounding_std(step)) ** 2 / len(values) for values in samples])
    tolerance = _ROUNDING * max(float(np.abs(values).max()) for values in samples)
    if np.sqrt(errors.sum()) <= tolerance:
        return Difference(mean=mean, low=None, high=None, n=n, significant=False)
    freedom = errors.sum() ** 2 / sum(error**2 / (len(v) - 1) for error, v in zip(errors, samples, strict=True))
    reach = float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(errors.sum()))
    significant = abs(mean) > reach + tolerance
    return Difference(mean=mean, low=mean - reach, high=mean + reach, n=n, significant=significant)


def improvement(
    before: Mapping[int, float], after: Mapping[int, float], metric: Metric, step: float | None = None
) -> Difference | None:
    """How much better the instances are after than before, by the metric: positive is better."""
    pair = (before, after) if metric.higher_is_better else (after, before)
    return paired_difference(*pair, step=step)


def turned(difference: Difference) -> Difference:
    """The difference with the two sides exchanged."""
    low, high = (None if end is None else -end for end in (difference.high, difference.low))
    return replace(difference, mean=-difference.mean, low=low, high=high)


def rounding_std(step: float | None) -> float:
    """Standard deviation of rounding to multiples of `step`; 0 for None.

    >>> round(rounding_std(1.0), 3)
    0.289
    """
    return 0.0 if step is None else float(step / np.sqrt(12))


def goodness(value: float, metric: Metric) -> float:
    """The value with the sign at which higher is better; NaN counts as worst.

    >>> goodness(3.0, Metric(name="rmse", title="RMSE", higher_is_better=False))
    -3.0
    """
    return -inf if value != value else value if metric.higher_is_better else -value


def at_least_as_good(value: float, threshold: float, metric: Metric) -> bool:
    """Whether a value is as good as a threshold, which may itself be a difference of values.

    >>> accuracy = Metric(name="accuracy", title="accuracy")
    >>> 63.4 >= 64.4 - 1.0, at_least_as_good(63.4, 64.4 - 1.0, accuracy)
    (False, True)
    """
    return goodness(value, metric) >= goodness(threshold, metric) or isclose(value, threshold)


def value_interval(summary: Summary, metric: Metric) -> Ends:
    """The interval of a value, cut at the metric's bounds.

    >>> percent = Metric(name="accuracy", title="accuracy", lower=0.0, upper=100.0)
    >>> [round(end, 1) for end in value_interval(summarize([87.0, 93.0]), percent)]
    [51.9, 100.0]
    """
    return _within(summary.low, summary.high, metric.lower, metric.upper)


def difference_interval(difference: Difference, metric: Metric) -> Ends:
    """The interval of a difference, cut at the largest differences that the metric's bounds allow."""
    span = metric.upper - metric.lower
    return _within(difference.low, difference.high, -span, span)


def _within(low: float | None, high: float | None, bottom: float, top: float) -> Ends:
    if low is None or high is None:
        return None, None
    return min(max(low, bottom), top), max(min(high, top), bottom)


@cache
def share_interval(passed: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share (0 to 1) of which `passed` of `n` were observed."""
    interval = stats.binomtest(passed, n).proportion_ci(CONFIDENCE, "exact")
    return float(interval.low), float(interval.high)


def sampling_half_width(value: float, count: int, metric: Metric) -> float | None:
    """How far the value on all samples may be from that on `count` independent ones, with 95 %.

    The distance to the farther end of Wilson's score interval (J. Am. Stat. Assoc. 22, 1927), which is not zero where
    all samples are right. None for a metric that is no share of counted samples.

    >>> percent = Metric(name="accuracy", title="accuracy", lower=0.0, upper=100.0, counted=True)
    >>> round(sampling_half_width(90.0, 2000, percent), 2), round(sampling_half_width(100.0, 500, percent), 2)
    (1.39, 0.76)
    """
    if not metric.counted or not isfinite(value):
        return None
    span = metric.upper - metric.lower
    share = (value - metric.lower) / span
    interval = stats.binomtest(round(share * count), count).proportion_ci(CONFIDENCE, "wilson")
    return float(span * max(share - interval.low, interval.high - share))
