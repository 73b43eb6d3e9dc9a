"""How the noise of a reading depends on conductance: q = coefficient / (g / g_max)^exponent."""

from dataclasses import dataclass

import numpy as np

from analog_samson.analysis.device_fit.likelihood import Maximum
from analog_samson.analysis.device_fit.measurements import Array
from analog_samson.analysis.device_fit.power_law import PowerLaws

_PASSES, _STEPS = 3, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNoise:
    """The parameters are ln(coefficient) and, unless q is the same for all conductances, the exponent."""

    maximum: Maximum
    g_max: float

    @property
    def is_proportional(self) -> bool:
        """Whether q does not depend on conductance."""
        return len(self.maximum.values) == 1

    def q(self, conductance: Array, values: Array | None = None) -> Array:
        """q of devices at these conductances [uS], for other parameters than the estimates where they are given."""
        return q_at(self.maximum.values if values is None else values, conductance / self.g_max)


def q_at(values: Array, relative: Array) -> Array:
    """q at conductances relative to g_max; for 0 that of a very small one."""
    exponent = values[1] if len(values) > 1 else 0.0
    return np.exp(values[0] - exponent * np.log(np.maximum(relative, 1e-3)))


def fit_read_noise(laws: PowerLaws, g_max: float, *, corrected: bool) -> ReadNoise:
    """The read noise that is most likely, given its estimates from single devices.

    Such an estimate of q^2 follows a gamma distribution. q is proportional to a power of the conductance, or the same
    everywhere, whichever Schwarz's criterion prefers.

    Args:
        laws: Devices that can be read; some have degrees of freedom.
        g_max: Largest target conductance [uS].
        corrected: Whether the noise was compared with fitted conductances that are independent of it, which makes its
            estimates too large by a known share.
    """
    log_relative = np.log(laws.conductance / g_max)
    fits = []
    for design in (np.ones((len(log_relative), 1)), np.stack([np.ones_like(log_relative), -log_relative], 1)):
        noise, values = laws.noise, np.zeros(0)
        for _ in range(_PASSES if corrected else 1):
            values = _solved(noise, laws.freedom, design)
            if corrected:
                # E[1 / fitted^2] and that of its power in q, to second order in the error of the fitted conductance
                power = 2.0 - 2.0 * (values[1] if len(values) > 1 else 0.0)
                share = power * (power + 1) / 2 * laws.leverage * np.exp(2 * design @ values)
                noise = laws.noise / (1 + share)
        fits.append(ReadNoise(maximum=_maximum(noise, laws.freedom, design, values), g_max=g_max))
    plain, power_law = fits
    better = power_law.maximum.information_criterion < plain.maximum.information_criterion
    return power_law if better and power_law.maximum.values[1] > 0 else plain


def _solved(noise: Array, freedom: Array, design: Array) -> Array:
    """Maximum of the gamma likelihood with a logarithmic link, by Fisher's scoring."""
    values = np.zeros(design.shape[1])
    values[0] = 0.5 * np.log((noise * freedom).sum() / freedom.sum())
    information = np.einsum("n,ni,nj->ij", 2.0 * freedom, design, design)
    for _ in range(_STEPS):
        score = (freedom * (noise / np.exp(2 * design @ values) - 1)) @ design
        step = np.linalg.solve(information, score)
        values = values + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-10:
            break
    return values


def _maximum(noise: Array, freedom: Array, design: Array, values: Array) -> Maximum:
    def likelihood(at: Array) -> tuple[Array, Array]:
        log_variance = 2 * design @ at
        ratio = noise * np.exp(-log_variance)
        return -0.5 * freedom * (log_variance + ratio), (freedom * (ratio - 1))[:, None] * design

    return Maximum(values=values, scale=np.ones(len(values)), likelihood=likelihood)
