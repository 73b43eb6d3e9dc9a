"""How many instances make an interval narrow enough, decided so that the interval stays valid.

Stein's two-stage rule (Ann. Math. Statist. 16, 1945): the first n0 instances, the pilot, give a standard deviation s0;
the total N is the smallest with ``t s0 / sqrt(N) <= h``, t the 97.5 % quantile of Student's t with n0 - 1 degrees of
freedom. Since N depends on s0 alone, mean +- t s0 / sqrt(N) covers the true mean in at least 95 % of all studies for
normally distributed instances. Looking at the interval after each instance and stopping when it is narrow would not.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.stats import t as student


def stein_total(pilot: Sequence[float], halfwidth: float) -> int:
    """Instances in all, pilot included, for an interval of +- `halfwidth` [same unit]; at least the pilot's number.

    >>> stein_total([90.0, 91.0, 92.0, 91.0, 91.0], 0.5)
    16
    """
    return max(len(pilot), math.ceil((_quantile(pilot) * float(np.std(pilot, ddof=1)) / halfwidth) ** 2))


def stein_halfwidth(pilot: Sequence[float], total: int) -> float:
    """Half-width of the valid 95 % interval about the mean of `total` instances that begin with the pilot."""
    return _quantile(pilot) * float(np.std(pilot, ddof=1)) / math.sqrt(total)


def _quantile(pilot: Sequence[float]) -> float:
    if len(pilot) < 2:
        raise ValueError("a pilot needs at least 2 instances")
    return _student(len(pilot) - 1)


@cache
def _student(degrees: int) -> float:
    return float(student.ppf(0.975, degrees))
