"""Equivalent sigma_c: drift told as the strength of the generic Gaussian noise that costs as much accuracy.

The generic model (eq. 7-8 of the SAMSON paper): each conductance is its target times N(1, sigma_c^2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analog_samson.report.statistics import t_quantile

Floats = NDArray[np.float64]
_RESAMPLES = 2000
_SEED = 20190101
_TOLERANCE_PERCENT = 1e-9  # means of equal values may differ in the last bit


class Verdict(StrEnum):
    """Where an accuracy lies on the Gaussian curve."""

    ON_CURVE = "on_curve"
    ABOVE = "above_curve"
    BEYOND = "beyond_grid"


@dataclass(frozen=True, slots=True, kw_only=True)
class EquivalentSigma:
    """sigma_c with the same mean accuracy, and its 95 % bootstrap interval.

    above_curve: more accurate than at the smallest sigma_c of the sweep; `value` is that sigma_c.
    beyond_grid: less accurate than at the largest sigma_c; `value` is that sigma_c, a lower bound.
    `high` is infinite where the interval leaves the sweep; both ends are None where n = 1 allows none.
    """

    value: float
    low: float | None
    high: float | None
    verdict: Verdict
    largest: float


@dataclass(frozen=True, slots=True)
class GaussianCurve:
    """Mean accuracy over sigma_c made monotone, for the sweep (`fit`) and for each bootstrap resample of it.

    sigma: (k,) increasing. fit: (k,) [%], not increasing. resampled: (resamples, k), or None where one of the
    points has a single instance (sigma_c = 0 excepted: there is nothing random in it). instances: the least n.
    """

    sigma: Floats
    fit: Floats
    resampled: Floats | None
    instances: int


def gaussian_curve(sweep: Mapping[float, Mapping[int, float]]) -> GaussianCurve:
    """The curve of a sweep: accuracy [%] by instance, by sigma_c. Draws from its own fixed stream.

    Points with the same instances are resampled together: an instance is one draw of the noise, scaled by sigma_c,
    so its luck goes with it along the curve.
    """
    sigma = np.array(sorted(sweep), dtype=np.float64)
    instances = [tuple(sorted(sweep[at])) for at in sorted(sweep)]
    points = [np.array([sweep[at][i] for i in ids]) for at, ids in zip(sorted(sweep), instances, strict=True)]
    fit = decreasing_fit(np.array([[values.mean() for values in points]]))[0]
    least = min((len(ids) for at, ids in zip(sigma, instances, strict=True) if at > 0), default=1)
    if least < 2:
        return GaussianCurve(sigma, fit, None, least)
    generator = np.random.default_rng(_SEED)
    choices = {ids: _choices(len(ids), generator) for ids in dict.fromkeys(instances)}
    means = [values[choices[ids]].mean(axis=1) for values, ids in zip(points, instances, strict=True)]
    return GaussianCurve(sigma, fit, decreasing_fit(np.stack(means, axis=1)), least)


def equivalent_sigma_c(accuracies: Sequence[float], curve: GaussianCurve) -> EquivalentSigma:
    """The sigma_c at which the curve has the mean of `accuracies` [%] (the instances of one drift result).

    Between the points of the sweep the curve is linear; where it is flat the smallest sigma_c is taken. The
    interval comes from resampling the instances of both, with percentiles widened for their small number
    (Hesterberg 2015, doi 10.1080/00031305.2015.1089789), and is the same at each call.
    """
    mean = float(np.mean(accuracies))
    found = float(inverse(curve.sigma, curve.fit[None, :], np.array([mean]))[0])
    low, high = _interval(np.asarray(accuracies, dtype=np.float64), curve)
    verdict, largest = _verdict(mean, found, curve), float(curve.sigma[-1])
    return EquivalentSigma(value=min(found, largest), low=low, high=high, verdict=verdict, largest=largest)


def decreasing_fit(means: Floats) -> Floats:
    """Least-squares non-increasing fit of each row (isotonic regression, equal weights). (r, k) -> (r, k).

    The min-max form: the fit at j is the smallest, over starts i <= j, of the largest, over ends >= j, of the
    mean of the points from start to end. Quadratic in k, but one numpy expression for all resamples.
    """
    k = means.shape[1]
    total = np.concatenate([np.zeros((len(means), 1)), np.cumsum(means, axis=1)], axis=1)
    start, end = np.arange(k)[:, None], np.arange(k)[None, :]
    block = (total[:, None, 1:] - total[:, :k, None]) / np.maximum(end - start + 1, 1)  # (r, start, end)
    block = np.where(end >= start, block, -np.inf)
    best_end = np.maximum.accumulate(block[:, :, ::-1], axis=2)[:, :, ::-1]
    best_end = np.where(end >= start, best_end, np.inf)
    return best_end.min(axis=1)


def inverse(sigma: Floats, fits: Floats, accuracies: Floats) -> Floats:
    """The smallest sigma at which each fit is as low as its accuracy; infinity where it never is.

    sigma: (k,); fits: (r, k) not increasing along k; accuracies: (r,). Returns (r,).
    """
    reached = fits <= accuracies[:, None] + _TOLERANCE_PERCENT
    index = reached.argmax(axis=1)
    rows, before = np.arange(len(fits)), np.maximum(index - 1, 0)
    drop = fits[rows, before] - fits[rows, index]
    share = np.where(drop > 0, (fits[rows, before] - accuracies) / np.where(drop > 0, drop, 1.0), 0.0)
    between = sigma[before] + np.clip(share, 0.0, 1.0) * (sigma[index] - sigma[before])
    return np.where(reached.any(axis=1), between, np.inf)


def _verdict(mean: float, found: float, curve: GaussianCurve) -> Verdict:
    if mean > curve.fit[0] + _TOLERANCE_PERCENT:
        return Verdict.ABOVE
    return Verdict.BEYOND if np.isinf(found) else Verdict.ON_CURVE


def _choices(n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Which of n instances each resample takes. (resamples, n)."""
    return generator.integers(n, size=(_RESAMPLES, n))


def _interval(accuracies: Floats, curve: GaussianCurve) -> tuple[float | None, float | None]:
    if curve.resampled is None or len(accuracies) < 2:
        return None, None
    means = accuracies[_choices(len(accuracies), np.random.default_rng(_SEED + 1))].mean(axis=1)
    found = inverse(curve.sigma, curve.resampled, means)
    tail = _widened_tail(min(len(accuracies), curve.instances))
    # "lower" and "higher" take a value that occurred, so an infinite one needs no arithmetic.
    low = float(np.quantile(found, tail, method="lower"))
    return low, float(np.quantile(found, 1 - tail, method="higher"))


def _widened_tail(n: int) -> float:
    """Share of resamples cut off at each end: 2.5 % for large n, less for few instances."""
    return float(special.ndtr(-t_quantile(n) * np.sqrt(n / (n - 1))))
