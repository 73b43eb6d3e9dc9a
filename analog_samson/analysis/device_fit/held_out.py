"""Whether a fitted preset reproduces devices that it was not fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analog_samson.analysis.device_fit.measurements import Array
from analog_samson.analysis.statistics import share_interval

FEWEST_DEVICES = 100  # in all; a fifth of them is held out
CENTRAL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Devices that were left out of a fit, at one time.

    Attributes:
        time_seconds: As the file gives it [s].
        ranks: Share of simulated devices of the same target below each measured one; uniform where the preset is
            right.
        inside: How many are in the central 90 % of their simulated devices.
        low: Lower end of the 95 % interval of that share.
        high: Upper end.
        distance: Kolmogorov and Smirnov's distance of the ranks from a uniform distribution.
        p_value: Probability of at least that distance for a preset that is right.
    """

    time_seconds: float
    ranks: tuple[float, ...]
    inside: int
    low: float
    high: float
    distance: float
    p_value: float


def held_out_devices(targets: Array, generator: np.random.Generator) -> Array:
    """A mask of every fifth device in the order of targets, equal ones shuffled, shape (N,)."""
    order = np.lexsort((generator.random(len(targets)), targets))
    chosen = np.zeros(len(targets), dtype=bool)
    chosen[order[int(generator.integers(5)) :: 5]] = True
    return chosen


def compare_held_out(
    measured: Array, simulated: Array, times: Sequence[float], generator: np.random.Generator
) -> list[HeldOut]:
    """How measured readings rank among simulated ones, at each time.

    Args:
        measured: One reading of each of n devices at each of T times [uS], shape (n, T); NaN where there is none.
        simulated: Readings of M simulated devices of the same targets [uS], shape (n, M, T).
        times: As the file gives them [s].
        generator: Decides the rank among equal readings, such as several of 0.
    """
    found = []
    for place, time in enumerate(times):
        here = ~np.isnan(measured[:, place])
        values, draws = measured[here, place, None], simulated[here, :, place]
        if not len(values):
            continue
        equal = (draws == values).sum(1) + 1
        ranks = ((draws < values).sum(1) + generator.random(len(values)) * equal) / (draws.shape[1] + 1)
        inside = int((np.abs(ranks - 0.5) <= CENTRAL / 2).sum())
        low, high = share_interval(inside, len(ranks))
        test = stats.kstest(ranks, "uniform")
        found.append(
            HeldOut(
                time_seconds=float(time),
                ranks=tuple(ranks.tolist()),
                inside=inside,
                low=low,
                high=high,
                distance=float(test.statistic),
                p_value=float(test.pvalue),
            )
        )
    return found
