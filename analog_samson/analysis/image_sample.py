"""Part of the test samples in place of all: strata, how many of each, and what they tell of all of them.

Samples are divided by a score of the digital network, such as its margin, into strata of equal size. From each stratum
a fixed number is drawn at random for each chip, so that every sample is drawn with a known probability and the weighted
mean is an unbiased estimate of the chip's value on all samples (stratified sampling; Cochran, Sampling Techniques,
1977, chapter 5). How many to draw from each follows from a pilot by Neyman's rule (J. R. Stat. Soc. 97, 1934). Chips
draw independently of each other. The spread of their estimates thus contains the error of the sampling, and an interval
over chips covers it without a term of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analog_samson.analysis.statistics import t_quantile

STRATA = 20
LEAST, MOST, ONE_OF = 100, 1000, 10  # samples on a chip: one of ten, within these bounds
_EVEN = 0.25  # of the samples are divided evenly, whatever the pilot found: it is small, and other moments differ
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImageSample:
    """How samples are drawn for each chip.

    Attributes:
        strata: The stratum of each sample, shape (samples,).
        each: How many samples of each stratum a chip is measured on, 1 or more.

    >>> sample = ImageSample(np.array([0, 0, 1, 1, 1, 1]), (2, 1))
    >>> places = sample.places(np.array([0.9, 0.1, 0.5, 0.3, 0.7, 0.8]))
    >>> places.tolist(), sample.estimate(places, np.array([0.5, 0.0, 1.0]))
    ([0, 1, 3], 0.75)
    """

    strata: NDArray[np.int64]
    each: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many samples there are."""
        return len(self.strata)

    @property
    def size(self) -> int:
        """On how many of them each chip is measured."""
        return sum(self.each)

    @cached_property
    def weights(self) -> Values:
        """How many samples one that was drawn stands for, by stratum."""
        return self.sizes / np.array(self.each)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """How many samples each stratum has."""
        return np.bincount(self.strata, minlength=len(self.each))

    @cached_property
    def _members(self) -> list[NDArray[np.int64]]:
        """The samples of each stratum."""
        return np.split(np.argsort(self.strata, kind="stable"), np.cumsum(self.sizes)[:-1])

    def places(self, keys: Values) -> NDArray[np.int64]:
        """The samples of one chip, ascending: of each stratum those with the smallest keys.

        Args:
            keys: A random number for each sample. Two divisions of the same samples that share the keys of a chip draw
                many samples in common, which makes differences of networks narrow.
        """
        drawn = [one[np.argpartition(keys[one], n - 1)[:n]] for one, n in zip(self._members, self.each, strict=True)]
        return np.sort(np.concatenate(drawn))

    def estimate(self, places: NDArray[np.int64], values: Values) -> float:
        """The mean over all samples, estimated without bias from the values of those at `places`."""
        return float(np.sum(values * self.weights[self.strata[places]]) / self.count)

    def variances(self, places: NDArray[np.int64], values: Values) -> Values:
        """The variance of the values in each stratum; each takes part in the mean one as if it had a sample more."""
        strata, drawn = self.strata[places], np.array(self.each)
        means = np.bincount(strata, values, len(drawn)) / drawn
        squares = np.bincount(strata, (values - means[strata]) ** 2, len(drawn))
        pooled = squares.sum() / max(1, drawn.sum() - len(drawn))
        return (squares + pooled) / drawn

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"count": self.count, "size": self.size, "each": list(self.each), "strata": self.strata.tolist()}

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "ImageSample":
        """What `plain` wrote."""
        return cls(np.array(stored["strata"], dtype=np.int64), tuple(stored["each"]))


def even_sample(scores: Values) -> ImageSample:
    """The pilot's: strata of equal size in the order of the scores, and as many samples of each.

    Args:
        scores: Of the digital network, one a sample; at least 2 * LEAST.
    """
    count = len(scores)
    ranks = np.empty(count, dtype=np.int64)
    ranks[np.argsort(scores, kind="stable")] = np.arange(count)
    strata = ranks * STRATA // count
    return _divided(strata, np.ones(STRATA), min(max(LEAST, count // ONE_OF), MOST))


def neyman_sample(
    pilot: ImageSample, variances: Values, *, halfwidth: float | None = None, instances: int = 2
) -> ImageSample:
    """As many samples as the pilot had, more of them where values vary more.

    Args:
        pilot: Whose strata are kept.
        variances: Of the values in each stratum, found by the pilot, shape (moments, strata).
        halfwidth: Of the 95 % interval that is wanted. Fewer samples are taken, LEAST or more, where so few keep their
            own part of the interval of `instances` chips as narrow at every moment.
        instances: How many chips there are at least.
    """
    spread = np.sqrt(variances.mean(axis=0))
    if not spread.any():
        spread = np.ones_like(spread)
    sizes = [pilot.size]
    if halfwidth is not None:
        sizes = np.geomspace(LEAST, pilot.size, 20).astype(int).tolist()
    for size in sizes:
        found = _divided(pilot.strata, spread, size)
        of_mean = ((found.sizes / found.count) ** 2 * variances * (1 / np.array(found.each) - 1 / found.sizes)).sum(1)
        if halfwidth is None or t_quantile(instances) * np.sqrt(of_mean.max() / instances) <= halfwidth:
            break
    return found


def _divided(strata: NDArray[np.int64], spread: Values, size: int) -> ImageSample:
    """`size` samples in proportion to size times spread of the strata, a part of them evenly; 2 or more of each."""
    sizes = np.bincount(strata)
    wanted = (1 - _EVEN) * sizes * spread / (sizes * spread).sum() + _EVEN * sizes / sizes.sum()
    each = np.minimum(2, sizes)
    for _ in range(size - int(each.sum())):
        each[np.argmax(np.where(each < sizes, wanted / (each + 0.5), -1.0))] += 1
    return ImageSample(strata, tuple(each.tolist()))
