"""Differences of methods with a spread of trainings that all methods of a kind share.

Three trainings tell next to nothing about the spread of their own differences: with two degrees of freedom Student's
quantile of one interval among thirty is 36 standard errors. The methods of a study share seeds, so they are a
randomized block design (Montgomery, Design and Analysis of Experiments, chapter 4): accuracy = method + seed + the rest
of that training, without interaction. If the rest spreads alike in all methods, all of them together tell how much.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from analog_samson.report.statistics import Difference, t_quantile

_TOLERANCE = 1e-9  # points
ByMethod = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True, kw_only=True)
class PooledSpread:
    """Standard deviation [points] of what method and seed leave over, and how many degrees of freedom tell it."""

    std: float
    freedom: int


def pooled_spread(values: ByMethod) -> PooledSpread | None:
    """Spread of the trainings of methods about method + seed, by least squares; some seeds of a method may be missing.

    values: accuracy [%] by method and seed. None where too few methods share seeds to tell.
    """
    rows = [(method, seed, value) for method, found in values.items() for seed, value in found.items()]
    methods, seeds = (np.array(column) for column in zip(*((m, s) for m, s, _ in rows), strict=True))
    accuracies = np.array([value for *_, value in rows])
    design = np.hstack([column[:, None] == np.unique(column) for column in (methods, seeds)]).astype(float)
    fitted, _, rank, _ = np.linalg.lstsq(design, accuracies)
    freedom = len(rows) - int(rank)
    if freedom == 0:
        return None
    rest = accuracies - design @ fitted
    return PooledSpread(std=float(np.sqrt(rest @ rest / freedom)), freedom=freedom)


def pooled_difference(
    first: Mapping[int, float], second: Mapping[int, float], spread: PooledSpread, family: int
) -> Difference:
    """Second minus first over the seeds that both have, at least one, with the interval that the pooled spread gives.

    family: number of comparisons whose intervals are to hold at once (Bonferroni).
    """
    shared = sorted(first.keys() & second.keys())
    mean = fmean(second[seed] - first[seed] for seed in shared)
    reach = t_quantile(spread.freedom + 1, family) * spread.std * float(np.sqrt(2 / len(shared)))
    seen = reach > _TOLERANCE and abs(mean) > reach + _TOLERANCE
    return Difference(mean=mean, low=mean - reach, high=mean + reach, n=len(shared), seen=seen, family=family)
