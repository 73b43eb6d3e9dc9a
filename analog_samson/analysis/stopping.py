"""How many instances make an interval narrow enough, decided so that the interval stays valid.

Stein's two-stage rule (Ann. Math. Statist. 16, 1945): the first n0 instances, the pilot, give a standard deviation s0;
the total N is the smallest with ``t s0 / sqrt(N) <= h``, t the 97.5 % quantile of Student's t with n0 - 1 degrees of
freedom. Since N depends on s0 alone, mean +- t s0 / sqrt(N) covers the true mean in at least 95 % of all studies for
normally distributed instances. Counted on few samples a pilot can have no spread at all; s0 counts as no less than
`rounding_std`, which only widens the interval. Looking at the interval after each instance and stopping when it is
narrow would not cover as promised.
"""

import math
from collections.abc import Sequence

import numpy as np

from analog_samson.analysis.statistics import rounding_std, t_quantile


def stein_total(pilot: Sequence[float], halfwidth: float, step: float | None = None) -> int:
    """Instances in all, pilot included, for an interval of +- `halfwidth` [same unit]; at least the pilot's number.

    step: resolution of a value, see `Metric.step`. A pilot with a value that is not finite asks for no more instances.

    >>> stein_total([90.0, 91.0, 92.0, 91.0, 91.0], 0.5, step=1.0)
    16
    >>> stein_total([100.0] * 5, 0.2, step=1.0)
    17
    """
    if not np.isfinite(pilot).all():
        return len(pilot)
    return max(len(pilot), math.ceil((stein_halfwidth(pilot, 1, step) / halfwidth) ** 2))


def stein_halfwidth(pilot: Sequence[float], total: int, step: float | None = None) -> float:
    """Half-width of the valid 95 % interval about the mean of `total` instances that begin with the pilot."""
    if len(pilot) < 2:
        raise ValueError("a pilot needs at least 2 instances")
    return t_quantile(len(pilot)) * max(float(np.std(pilot, ddof=1)), rounding_std(step)) / math.sqrt(total)
