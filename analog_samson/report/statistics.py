"""Mean, spread and interval over a few simulated chips, and differences between runs on the same chips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

CONFIDENCE = 0.95
_TOLERANCE = 1e-9  # points; equal accuracies may differ in the last bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """n values in short: mean, sample standard deviation (n - 1), and Student's t interval of the mean.

    With n = 1 there is neither spread nor interval: std, low and high are None.
    """

    mean: float
    std: float | None
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of paired differences with its interval; `seen` is None where n = 1 allows no interval.

    family: for how many comparisons together the intervals hold with 95 %.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    seen: bool | None
    family: int = 1


def summarize(values: Sequence[float], family: int = 1) -> Summary:
    """Summary of one or more values, with the 95 % t interval of their mean.

    family: number of intervals that are to hold all at once; each is widened after Bonferroni (see `t_quantile`).

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
    reach = t_quantile(n, family) * std / np.sqrt(n)
    return Summary(mean=mean, std=std, n=n, low=float(mean - reach), high=float(mean + reach))


def t_quantile(n: int, family: int = 1) -> float:
    """Half-width of the 95 % interval of a mean of n values, in standard errors.

    family: with so many intervals, each made with confidence 1 - 0.05 / family, all of them hold at once with at least
    95 %, whatever their dependence (Bonferroni's inequality).

    >>> round(t_quantile(10), 2), round(t_quantile(10, 10), 2)
    (2.26, 3.69)
    """
    each = 1 - (1 - CONFIDENCE) / family
    return float(special.stdtrit(n - 1, (1 + each) / 2))


def paired_difference(first: Mapping[int, float], second: Mapping[int, float], family: int = 1) -> Difference | None:
    """Second minus first over the instances that both have; None where they share none.

    Both maps are value by instance. Instance i is the same simulated chip in both, so its own luck cancels.
    family: number of comparisons whose intervals are to hold at once.
    """
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    summary = summarize([second[instance] - first[instance] for instance in shared], family)
    seen = None
    if summary.low is not None and summary.high is not None:
        seen = not summary.low - _TOLERANCE <= 0 <= summary.high + _TOLERANCE
    return Difference(mean=summary.mean, low=summary.low, high=summary.high, n=summary.n, seen=seen, family=family)


def binomial_half_width(accuracy_percent: float, count: int) -> float:
    """95 % half-width [points] of an accuracy measured on `count` independent images (normal approximation).

    >>> round(binomial_half_width(90.0, 2000), 2)
    1.31
    """
    share = accuracy_percent / 100
    return float(100 * special.ndtri((1 + CONFIDENCE) / 2) * np.sqrt(share * (1 - share) / count))
