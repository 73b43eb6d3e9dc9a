"""Equivalent sigma_c: drift told as the strength of the generic Gaussian noise that costs as much accuracy.

The generic model (eq. 7-8 of the SAMSON paper): each conductance is its target times N(1, sigma_c^2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from analog_samson.analysis.statistics import least_std, t_quantile

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
    """sigma_c with the same mean accuracy, and its 95 % interval.

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
    """Mean accuracy over sigma_c made monotone, for the sweep (`fit`) and for each resample of its instances.

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


def equivalent_sigma_c(accuracies: Sequence[float], curve: GaussianCurve, images: int | None = None) -> EquivalentSigma:
    """The sigma_c at which the curve has the mean of `accuracies` [%] (the instances of one drift result).

    Between the points of the sweep the curve is linear; where it is flat the smallest sigma_c is taken. The interval
    holds every sigma_c at which a t test cannot tell the curve from the mean of `accuracies`, with the degrees of
    freedom of the fewer instances. On a straight noisy curve it holds the true sigma_c in 99, 98, 97 and 96 of 100
    cases for 2, 3, 5 and 10 instances (measured; 95 are promised). It is the same at each call. images: on how many
    accuracies were counted, if known; no spread counts as less than their rounding, as in `summarize`.
    """
    mean = float(np.mean(accuracies))
    found = float(inverse(curve.sigma, curve.fit[None, :], np.array([mean]))[0])
    low, high = _interval(np.asarray(accuracies, dtype=np.float64), curve, least_std(images))
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


def _interval(accuracies: Floats, curve: GaussianCurve, least: float) -> tuple[float | None, float | None]:
    """From the first sigma_c at which the curve may be as low as the mean to the last at which it may be as high.

    least: what the deviation of accuracies [%] counts as at least, where there is anything random in them.
    """
    n = len(accuracies)
    if curve.resampled is None or n < 2:
        return None, None
    mean, error = accuracies.mean(), max(accuracies.std(ddof=1), least) / np.sqrt(n)
    # Between points this error is convex in sigma_c, so the straight line that is taken there is never too small.
    margin = t_quantile(min(n, curve.instances)) * np.hypot(error, _curve_error(curve, least))
    low = float(inverse(curve.sigma, (curve.fit - margin)[None, :], np.array([mean]))[0])
    return low, _last_as_high(curve.sigma, curve.fit + margin, float(mean))


def _curve_error(curve: GaussianCurve, least: float) -> Floats:
    """Standard error of the curve at each of its points [%]. (k,)."""
    assert curve.resampled is not None
    # Resamples of n values spread as if each were drawn from a population whose variance lacks the factor n / (n - 1).
    error = curve.resampled.std(axis=0) * np.sqrt(curve.instances / (curve.instances - 1))
    floor = np.where(curve.sigma > 0, least / np.sqrt(curve.instances), 0.0)
    return np.asarray(np.maximum(error, floor))


def _last_as_high(sigma: Floats, bound: Floats, accuracy: float) -> float:
    """The largest sigma at which `bound`, linear between its points, is as high as `accuracy`.

    Infinity where it still is at the last point; the smallest sigma where it never is.
    """
    reached = np.flatnonzero(bound >= accuracy - _TOLERANCE_PERCENT)
    if len(reached) == 0:
        return float(sigma[0])
    last = int(reached[-1])
    if last == len(sigma) - 1:
        return float("inf")
    share = (bound[last] - accuracy) / (bound[last] - bound[last + 1])
    return float(sigma[last] + max(share, 0.0) * (sigma[last + 1] - sigma[last]))
