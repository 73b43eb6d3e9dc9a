"""Maximum likelihood over devices: the maximum, the choice between nested models, and robust covariances."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import optimize, special

from analog_samson.analysis.device_fit.measurements import Array

# Parameters, shape (p,) -> log-likelihood of each device, shape (N,), and its derivatives, shape (N, p).
Likelihood = Callable[[Array], tuple[Array, Array]]
_STEP = 1e-4
_STEPS, _PRECISION = 8, 0.02
_HALF_95 = float(special.ndtri(0.975))


@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum:
    """Where a likelihood is largest.

    Attributes:
        values: The parameters, shape (p,).
        scale: How much of each parameter counts as a change, shape (p,).
        likelihood: Of each device.
    """

    values: Array
    scale: Array
    likelihood: Likelihood = field(repr=False)

    @property
    def information_criterion(self) -> float:
        """Schwarz's criterion (BIC), smaller is better: -2 ln L + p ln N."""
        each = self.likelihood(self.values)[0]
        return float(-2 * each.sum() + len(self.values) * np.log(max(len(each), 2)))


def maximize(likelihood: Likelihood, starts: Sequence[Array], scale: Array) -> Maximum:
    """The largest of the maxima that are reached from several starts.

    Args:
        likelihood: Of each device.
        starts: Parameters to start from, each of shape (p,); p may be 0.
        scale: As in `Maximum`.
    """
    if not scale.size:
        return Maximum(values=scale, scale=scale, likelihood=likelihood)

    def loss(scaled: Array) -> tuple[float, Array]:
        value, scores = likelihood(scaled * scale)
        return -float(value.mean()), -scores.mean(0) * scale

    found = [
        optimize.minimize(loss, start / scale, jac=True, method="BFGS", options={"gtol": 1e-6}) for start in starts
    ]
    best = min(found, key=lambda one: one.fun)
    return Maximum(values=best.x * scale, scale=scale, likelihood=likelihood)


def normal_interval(value: float, deviation: float) -> tuple[float, float]:
    """The 95 % interval of an estimate with this standard error."""
    return float(value - _HALF_95 * deviation), float(value + _HALF_95 * deviation)


def profile_interval(found: Maximum, place: int, deviation: float) -> tuple[float, float]:
    """The 95 % interval of one parameter from the likelihood that the others can still reach.

    For likelihoods with kinks, where a curvature at the maximum tells little.

    Args:
        found: The maximum.
        place: Of the parameter.
        deviation: A rough standard error, to search by.
    """
    top = found.likelihood(found.values)[0].sum()
    others = np.arange(len(found.values)) != place

    def loss(shift: float) -> float:
        """Twice what the likelihood loses with the parameter that far from its estimate."""

        def likelihood(rest: Array) -> tuple[Array, Array]:
            at = found.values.copy()
            at[place], at[others] = at[place] + shift, rest
            value, scores = found.likelihood(at)
            return value, scores[:, others]

        best = maximize(likelihood, [found.values[others]], found.scale[others])
        return float(2 * (top - best.likelihood(best.values)[0].sum()))

    ends = []
    for direction in (-1.0, 1.0):
        reach = direction * _HALF_95 * deviation
        for _ in range(_STEPS):  # where the likelihood is a parabola the first step is right
            ratio = np.sqrt(max(loss(reach), 0.0)) / _HALF_95
            reach /= np.clip(ratio, 0.5, 2.0)
            if abs(ratio - 1) < _PRECISION:
                break
        ends.append(float(found.values[place] + reach))
    return ends[0], ends[1]


def hazard(place: Array) -> Array:
    """Density of a standard normal number over the probability of a smaller one, without underflow."""
    return np.sqrt(2 / np.pi) / special.erfcx(-place / np.sqrt(2))


def sandwich(scores: Callable[[Array], Array], values: Array, scale: Array) -> Array:
    """Covariance of an M-estimator from the scores of each device (Huber 1967), shape (p, p).

    It holds where devices are independent, whether or not they follow the assumed distributions. Stacking the scores
    of several stages accounts for what later estimates owe to earlier ones. Scores are enlarged by the leverage of
    their device, as HC3 does for regressions (MacKinnon and White 1985).

    Args:
        scores: Estimating functions of each device at given parameters, shape (N, p), whose sum is 0 at `values`.
        values: The estimates, shape (p,).
        scale: How much of each parameter counts as a change, shape (p,).
    """
    each, columns = scores(values), []
    for place, size in enumerate(scale * _STEP):
        shift = np.zeros(len(values))
        shift[place] = size
        columns.append((scores(values + shift) - scores(values - shift)).sum(0) / (2 * size))
    bread = np.linalg.pinv(np.stack(columns, 1))
    leverage = np.abs(np.einsum("ni,ij,nj->n", each, bread, each))
    each = each / (1 - np.minimum(leverage, 0.5))[:, None]
    return bread @ (each.T @ each) @ bread.T


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number of the preset with its 95 % interval.

    Attributes:
        key: Where the number is in the preset, such as drift.nu_mean_slope.
        value: Its estimate.
        low: Lower end of the interval.
        high: Upper end.
    """

    key: str
    value: float
    low: float
    high: float

    def changed(self, function: Callable[[float], float]) -> "Estimate":
        """A rising function of the number."""
        return Estimate(key=self.key, value=function(self.value), low=function(self.low), high=function(self.high))
