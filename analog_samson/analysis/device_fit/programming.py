"""How far devices end from their targets: the standard deviation as a polynomial in g_target / g_max."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special

from analog_samson.analysis.device_fit.likelihood import Maximum, hazard, maximize
from analog_samson.analysis.device_fit.measurements import Array

HIGHEST_DEGREE = 3
_GRID = np.linspace(0.0, 1.0, 1001)
_LEAST = 1e-9  # uS; a standard deviation of 0 has no likelihood
_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammingData:
    """Where N devices ended.

    Attributes:
        targets: Their targets [uS], shape (N,).
        conductance: Where they ended [uS], shape (N,); 0 is the end of the scale, not a value.
        g_max: Largest target [uS].
    """

    targets: Array
    conductance: Array
    g_max: float

    def likelihood(self, coefficients: Array, error: Array) -> tuple[Array, Array]:
        """Log-likelihood of each device, shape (N,), and its derivatives, shape (N, p).

        Args:
            coefficients: c0, c1, ... of the standard deviation [uS], shape (p,).
            error: Variance of the estimate of `conductance` [uS^2], shape (N,).
        """
        x = self.targets / self.g_max
        deviation = polynomial(coefficients, x)
        positive = deviation > _LEAST
        deviation = np.maximum(deviation, _LEAST)
        variance, squared = deviation**2 + error, (self.conductance - self.targets) ** 2
        density = -0.5 * (_LOG_2PI + np.log(variance) + squared / variance)
        slope = deviation * (squared / variance - 1) / variance
        ratio = -self.targets / deviation  # a device ends at 0 where its error exceeds its target
        at_zero, slope_at_zero = special.log_ndtr(ratio), -ratio / deviation * hazard(ratio)
        ends_above = self.conductance > 0
        slope = np.where(positive, np.where(ends_above, slope, slope_at_zero), 0.0)
        powers = x[:, None] ** np.arange(len(coefficients))
        return np.where(ends_above, density, at_zero), slope[:, None] * powers


def polynomial(coefficients: Array, x: Array) -> Array:
    """c0 + c1 x + c2 x^2 + ..., 0 without coefficients."""
    return np.polynomial.polynomial.polyval(x, coefficients) if coefficients.size else np.zeros_like(x)


def fit_programming(data: ProgrammingData, error: Array) -> Maximum:
    """The polynomial that Schwarz's criterion prefers; without coefficients where no error is discernible.

    Args:
        data: Targets, and where devices ended.
        error: Variance of the estimates of where they ended [uS^2], shape (N,).
    """
    levels, x = len(np.unique(data.targets)), data.targets / data.g_max
    size = np.sqrt(np.maximum((data.conductance - data.targets) ** 2, 0.0).mean())
    # |N(0, s)| has the mean sqrt(2 / pi) s
    deviations = np.abs(data.conductance - data.targets) * np.sqrt(np.pi / 2)
    candidates = []
    for degree in range(-1, min(HIGHEST_DEGREE, levels - 1) + 1):
        start = np.zeros(0) if degree < 0 else np.polynomial.polynomial.polyfit(x, deviations, degree)
        flat = np.zeros(degree + 1)
        flat[:1] = size
        scale = np.full(degree + 1, max(size, 10 * _LEAST))
        found = maximize(partial(data.likelihood, error=error), [start, flat], scale)
        if polynomial(found.values, _GRID).min() >= 0:
            candidates.append(found)
    return min(candidates, key=lambda one: one.information_criterion)
