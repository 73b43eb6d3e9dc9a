"""Conductance and drift exponent of each device, from its own readings alone."""

from dataclasses import dataclass

import numpy as np

from analog_samson.analysis.device_fit.measurements import Array, Measurements

_STEPS = 30
_LONGEST_STEP = 0.5  # in ln g: keeps a first step from a poor start bounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What the power law and the noise of a preset make of the times of readings.

    Attributes:
        t0_seconds: The t0 of the power law; 0 without drift.
        seconds: Times of the readings as the preset counts them [s], shape (T,).
        t_read_seconds: Width of the read pulse.
    """

    t0_seconds: float
    seconds: Array
    t_read_seconds: float

    @property
    def elapsed(self) -> Array:
        """ln((t + t0) / t0), shape (T,): what the exponent is multiplied by; 0 without drift."""
        return np.log1p(self.seconds / self.t0_seconds) if self.t0_seconds else np.zeros(len(self.seconds))

    @property
    def growth(self) -> Array:
        """sqrt(ln((t + t0 + t_read) / (2 t_read))), shape (T,): how 1/f noise has grown; 0 within one pulse."""
        ratio = (self.seconds + self.t0_seconds + self.t_read_seconds) / (2 * self.t_read_seconds)
        return np.sqrt(np.log(np.maximum(ratio, 1.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaws:
    """g(t) = g ((t + t0) / t0)^-nu of N devices, with q the standard deviation of g(t) over g(t) and the growth.

    Attributes:
        conductance: g [uS], shape (N,); 0 for a device of which every reading is 0.
        exponent: nu, shape (N,).
        covariance: Of the errors of (ln g, nu) over q^2, shape (N, 2, 2).
        noise: An estimate of q^2 from the readings of each device, shape (N,); 0 without degrees of freedom.
        freedom: Its degrees of freedom, shape (N,).
        leverage: Variance of ln of the fitted g(t) over q^2, averaged over the readings, shape (N,).
        scatter: Sum of squares of what cell means deviate from the law, in units of q^2, shape (N,).
        scatter_freedom: Its degrees of freedom, shape (N,).
    """

    conductance: Array
    exponent: Array
    covariance: Array
    noise: Array
    freedom: Array
    leverage: Array
    scatter: Array
    scatter_freedom: Array


def fit_power_laws(data: Measurements, clock: Clock) -> PowerLaws:
    """The power law of each device, by weighted least squares on conductances.

    The noise of a reading is proportional to the conductance, so weights need no estimate of q. Without drift the law
    is a constant.

    Args:
        data: Each device has readings at two times at least, or at one without drift.
        clock: How the preset counts the times of the readings.
    """
    drifts = clock.t0_seconds > 0
    design = np.stack([np.ones_like(clock.elapsed), -clock.elapsed], 1)[:, : 1 + drifts]
    growth = np.where(clock.growth > 0, clock.growth, 1.0)
    weights = data.counts / growth**2
    means = np.where(data.counts > 0, data.means, 0.0)
    information = np.einsum("nt,ti,tj->nij", weights, design, design)
    covariance = np.linalg.inv(information)
    alive = means.max(1) > 0
    law = np.where(alive[:, None], _solved(np.where(alive[:, None], means, 1.0), weights, design, covariance), 0.0)
    fitted = np.exp(law @ design.T)
    residual = np.where(data.counts > 0, means / fitted - 1.0, 0.0)
    scatter = (weights * residual**2).sum(1)
    scatter_freedom = np.maximum((data.counts > 0).sum(1) - design.shape[1], 0)
    if data.has_repeated_reads:
        noise, freedom = (data.squares / (fitted * growth) ** 2).sum(1), np.maximum(data.counts - 1, 0).sum(1)
    else:
        noise, freedom = scatter, scatter_freedom
    noise = np.where(alive, noise / np.maximum(freedom, 1), 0.0)
    variance = np.einsum("ti,nij,tj->nt", design, covariance, design)  # of ln of the fitted g(t), over q^2
    # To second order in q the curvature of the exponential moves the fit by this (Cordeiro and McCullagh 1991).
    bias = -0.5 * noise[:, None] * np.einsum("nij,nj->ni", covariance, (weights * variance) @ design)
    full = np.zeros((len(law), 2, 2))
    full[:, : design.shape[1], : design.shape[1]] = covariance
    return PowerLaws(
        conductance=np.where(alive, np.exp(law[:, 0]), 0.0),
        exponent=law[:, 1] - bias[:, 1] if drifts else np.zeros(len(law)),
        covariance=full,
        noise=noise,
        freedom=np.where(alive, freedom, 0),
        leverage=(weights * variance).sum(1) / weights.sum(1),
        scatter=np.where(alive, scatter, 0.0),
        scatter_freedom=np.where(alive, scatter_freedom, 0),
    )


def _solved(means: Array, weights: Array, design: Array, covariance: Array) -> Array:
    """(ln g, nu) that solve sum w (mean / fitted - 1) (1, -elapsed) = 0, by damped Newton steps from a regression."""
    floor = np.maximum(means.max(1, keepdims=True) * 1e-3, np.finfo(float).tiny)
    logs = np.log(np.maximum(means, floor))
    law = np.einsum("nij,nj->ni", covariance, (weights * logs) @ design)
    for _ in range(_STEPS):
        residual = np.where(weights > 0, means / np.exp(law @ design.T) - 1.0, 0.0)
        step = np.einsum("nij,nj->ni", covariance, (weights * residual) @ design)
        reach = np.abs(step @ design.T).max(1, keepdims=True)
        law = law + step * np.minimum(1.0, _LONGEST_STEP / np.maximum(reach, _LONGEST_STEP))
        if reach.max() < 1e-9:
            break
    return law
