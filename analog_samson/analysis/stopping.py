"""How many instances make an interval narrow enough, decided so that the interval stays valid.

Stein's two-stage rule (Ann. Math. Statist. 16, 1945): the first n0 instances, the pilot, give a standard deviation s0;
the total N is the smallest with ``t s0 / sqrt(N) <= h``, t the 97.5 % quantile of Student's t with n0 - 1 degrees of
freedom. Since N depends on s0 alone, mean +- t s0 / sqrt(N) covers the true mean in at least 95 % of all studies for
normally distributed instances. Counted on few images a pilot can have no spread at all; s0 counts as no less than
`rounding_std`, which only widens the interval. Looking at the interval after each instance and stopping when it is
narrow would not cover as promised.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.stats import t as student

from analog_samson.analysis.statistics import least_std


def stein_total(pilot: Sequence[float], halfwidth: float, images: int | None = None) -> int:
    """Instances in all, pilot included, for an interval of +- `halfwidth` [same unit]; at least the pilot's number.

    images: for accuracies [%], on how many images they were counted.

    >>> stein_total([90.0, 91.0, 92.0, 91.0, 91.0], 0.5, images=100)
    16
    >>> stein_total([100.0] * 5, 0.2, images=100)
    17
    """
    return max(len(pilot), math.ceil((stein_halfwidth(pilot, 1, images) / halfwidth) ** 2))


def stein_halfwidth(pilot: Sequence[float], total: int, images: int | None = None) -> float:
    """Half-width of the valid 95 % interval about the mean of `total` instances that begin with the pilot."""
    return _quantile(pilot) * max(float(np.std(pilot, ddof=1)), least_std(images)) / math.sqrt(total)


def _quantile(pilot: Sequence[float]) -> float:
    if len(pilot) < 2:
        raise ValueError("a pilot needs at least 2 instances")
    return _student(len(pilot) - 1)


@cache
def _student(degrees: int) -> float:
    return float(student.ppf(0.975, degrees))
