"""Mean, spread and interval over a few simulated chips, and differences between runs on the same chips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95
_TOLERANCE = 1e-9  # points; equal accuracies may differ in the last bit
Ends = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """n values in short: mean, sample standard deviation (n - 1), and Student's t interval of the mean.

    With n = 1 there is neither spread nor interval: std, low and high are None. The interval may reach beyond what an
    accuracy can be; `percent_interval` is what is shown of it. It may be wider than std says: see `summarize`.
    """

    mean: float
    std: float | None
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of paired differences with its interval, over chips: it holds for the test images that were used.

    significant: whether the interval excludes zero; None where n = 1 allows no interval, False where equal differences
    allow none (see `paired_difference`). The interval holds with 95 % by itself, whatever else is compared.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    significant: bool | None


def summarize(values: Sequence[float], images: int | None = None) -> Summary:
    """Summary of one or more values, with the 95 % t interval of their mean.

    images: for accuracies [%], on how many images they were counted. A few chips often have equally many right, and
    that says little about their spread; so for the interval the deviation counts as no less than `rounding_std`.

    >>> s = summarize([79.0, 80.0, 81.0])
    >>> s.mean, s.std, s.n, round(s.low, 2), round(s.high, 2)
    (80.0, 1.0, 3, 77.52, 82.48)
    >>> summarize([80.0]).low is None
    True
    """
    n = len(values)
    if n == 0:
        raise ValueError("no values to summarize")
    mean = float(np.mean(values))
    if n == 1:
        return Summary(mean=mean, std=None, n=1, low=None, high=None)
    std = float(np.std(values, ddof=1))
    reach = t_quantile(n) * max(std, least_std(images)) / np.sqrt(n)
    return Summary(mean=mean, std=std, n=n, low=float(mean - reach), high=float(mean + reach))


def t_quantile(n: int) -> float:
    """Half-width of the 95 % interval of a mean of n values, in standard errors.

    >>> round(t_quantile(10), 2)
    2.26
    """
    return float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def paired_difference(
    first: Mapping[int, float], second: Mapping[int, float], images: int | None = None
) -> Difference | None:
    """Second minus first over the instances that both have; None where they share none.

    Both maps are value by instance. Instance i is the same simulated chip in both, so its own luck cancels.
    images: as for `summarize`. Without it nothing keeps the spread from zero, and differences that are all equal have
    no interval and are not significant. Nor is one with a value that is not finite; its mean is NaN.

    >>> found = paired_difference({0: 80.0, 1: 81.0}, {0: 81.0, 1: 82.0}, images=100)
    >>> found.mean, round(found.low, 2), found.significant
    (1.0, -1.59, False)
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    differences = [second[instance] - first[instance] for instance in shared]
    if not np.isfinite(differences).all():
        return Difference(mean=float("nan"), low=None, high=None, n=len(shared), significant=False)
    summary = summarize(differences)
    spread = max(summary.std or 0.0, least_std(images))
    if summary.n == 1 or spread < _TOLERANCE:
        significant = None if summary.n == 1 else False
        return Difference(mean=summary.mean, low=None, high=None, n=summary.n, significant=significant)
    reach = float(t_quantile(summary.n) * spread / np.sqrt(summary.n))
    low, high = summary.mean - reach, summary.mean + reach
    significant = not low - _TOLERANCE <= 0 <= high + _TOLERANCE
    return Difference(mean=summary.mean, low=low, high=high, n=summary.n, significant=significant)


def rounding_std(images: int) -> float:
    """Standard deviation [points] of rounding to whole images: an accuracy moves in steps of 100 / images points.

    >>> round(rounding_std(100), 3)
    0.289
    """
    return float(100 / images / np.sqrt(12))


def reaches(accuracy: float, threshold: float) -> bool:
    """Whether an accuracy [%] is at or above a threshold that may itself be a difference of accuracies.

    >>> 63.4 >= 64.4 - 1.0, reaches(63.4, 64.4 - 1.0)
    (False, True)
    """
    return accuracy >= threshold - _TOLERANCE


def least_std(images: int | None) -> float:
    """What the deviation of accuracies [%] counts as at least; nothing is known of values that count no images."""
    return 0.0 if images is None else rounding_std(images)


def percent_interval(summary: Summary) -> Ends:
    """The interval of an accuracy [%] as it is shown: without what no accuracy can be.

    >>> [round(end, 1) for end in percent_interval(summarize([87.0, 93.0]))]
    [51.9, 100.0]
    """
    return _within(summary.low, summary.high, 0.0, 100.0)


def points_interval(difference: Difference) -> Ends:
    """The interval of a difference of accuracies [points] as it is shown: without what none can be."""
    return _within(difference.low, difference.high, -100.0, 100.0)


def _within(low: float | None, high: float | None, bottom: float, top: float) -> Ends:
    if low is None or high is None:
        return None, None
    return min(max(low, bottom), top), max(min(high, top), bottom)


def binomial_half_width(accuracy_percent: float, count: int) -> float:
    """How far [points] the accuracy of all images may be from that on `count` independent ones, with 95 %.

    The distance to the farther end of Wilson's score interval (J. Am. Stat. Assoc. 22, 1927), which is not zero where
    all images are right:

    >>> round(binomial_half_width(90.0, 2000), 2), round(binomial_half_width(100.0, 500), 2)
    (1.39, 0.76)
    """
    share, z = accuracy_percent / 100, special.ndtri((1 + CONFIDENCE) / 2)
    deviation = np.sqrt(share * (1 - share) / count + (z / count / 2) ** 2)
    aside = abs(0.5 - share) * z / count  # of the interval's centre
    return float(100 * z * (deviation + aside) / (1 + z**2 / count))
