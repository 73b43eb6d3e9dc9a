"""Intervals that hold for other chips and other test samples, from the outcome of every sample on every chip.

The share of right samples varies with the chips and with the samples that were drawn. Both parts are estimated from the
(chips, samples) table of outcomes: the spread of the chips' means and the spread of the samples' means, each of which
contains what chip and sample do together. The half-width is the root of the sum of squares of the two t intervals. It
covers the mean over all chips and samples in 93 to 99 of 100 simulated studies of 2 to 10 chips and 100 or 500 samples,
where an interval over chips alone covers it in 18 to 95 (95 are promised; 90 and 88 where chips differ by much and few
are good). The same holds for the difference of two networks on the same chips and samples.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analog_samson.analysis.statistics import Difference, Summary, share_interval, t_quantile

Table = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ChipOutcomes:
    """Whether each of `samples` test samples was right on every chip, packed to bits, by instance.

    >>> outcomes = ChipOutcomes({4: np.packbits([True, False, True])}, samples=3)
    >>> outcomes.table([4]).tolist()
    [[True, False, True]]
    """

    packed: Mapping[int, NDArray[np.uint8]]
    samples: int

    def table(self, chips: Iterable[int]) -> Table:
        """The outcomes of these chips, shape (chips, samples), bool."""
        rows = np.stack([self.packed[chip] for chip in chips])
        return np.unpackbits(rows, axis=1, count=self.samples).astype(bool)


def sampled_share(right: Table) -> Summary:
    """The share of right samples with its 95 % interval over chips and samples.

    Args:
        right: Whether a sample was right, shape (chips, samples), bool. One chip or sample allows no interval.

    Returns:
        Shares from 0 to 1; `std` is that over chips, `n` their number. Where all outcomes are equal, the interval is
        Clopper and Pearson's for the samples.

    >>> summary = sampled_share(np.tile([True] * 9 + [False], (3, 100)))  # three chips that agree on 1000 samples
    >>> summary.mean, round(summary.low, 3), round(summary.high, 3)
    (0.9, 0.881, 0.919)
    """
    chips, samples = right.shape
    summary = _summary(right)
    low, high = summary.low, summary.high
    if low is not None and low == high:
        low, high = share_interval(int(right[0].sum()), samples)
    return Summary(mean=summary.mean, std=summary.std, n=chips, low=low, high=high)


def sampled_difference(first: Table, second: Table) -> Difference:
    """The difference of two shares of right samples, second minus first, with its interval over chips and samples.

    Args:
        first: Whether a sample was right, shape (chips, samples), bool.
        second: The same of another network, for the same chips and samples in the same order.

    Returns:
        Shares from -1 to 1. Networks that agree on every sample have no interval and do not differ significantly.
    """
    summary = _summary(second.astype(np.int8) - first.astype(np.int8))
    low, high = summary.low, summary.high
    if low is None or high is None or low == high:
        return Difference(
            mean=summary.mean, low=None, high=None, n=summary.n, significant=None if low is None else False
        )
    return Difference(mean=summary.mean, low=low, high=high, n=summary.n, significant=not low <= 0 <= high)


def _summary(table: Table) -> Summary:
    mean = float(table.mean())
    if min(table.shape) < 2:
        return Summary(mean=mean, std=None, n=len(table), low=None, high=None)
    stds = [table.mean(axis=axis).std(ddof=1) for axis in (1, 0)]  # of the chips' and of the samples' means
    reach = np.hypot(*(t_quantile(n) * std / np.sqrt(n) for n, std in zip(table.shape, stds, strict=True)))
    return Summary(mean=mean, std=float(stds[0]), n=len(table), low=float(mean - reach), high=float(mean + reach))
