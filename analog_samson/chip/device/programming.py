"""How far devices end from their targets."""

import math

import torch
from torch import Tensor

from analog_samson.chip.device.curves import normal_like, rising_polynomial
from analog_samson.chip.device.models import PROGRAMMING
from analog_samson.presets.device import (
    AdditiveGaussianProgramming,
    Device,
    LinearProgramming,
    PolynomialProgramming,
    Programming,
    RelativeGaussianProgramming,
)


def programmed_conductance(
    g_target: Tensor, section: Programming, device: Device, *, generator: torch.Generator | None = None
) -> Tensor:
    """g after programming [uS], same shape; the very same tensor where every device reaches its target."""
    program = PROGRAMMING.get(type(section))
    return g_target if program is None else program(g_target, section, device, generator)


def polynomial_programming(
    g_target: Tensor, section: PolynomialProgramming, device: Device, generator: torch.Generator | None
) -> Tensor:
    """g_target + s * N(0, 1), not below 0; s [uS] = c0 + c1 x + c2 x^2 + ... for devices of the reference g_max."""
    deviation = rising_polynomial(g_target / device.g_max_microsiemens, section.coefficients_microsiemens)
    deviation = deviation * (device.g_max_microsiemens / section.reference_g_max_microsiemens)
    return (g_target + deviation * normal_like(g_target, generator)).clamp(min=0.0)


def linear_programming(
    g_target: Tensor, section: LinearProgramming, device: Device, generator: torch.Generator | None
) -> Tensor:
    """g_target + s * N(0, 1), not below 0; s [uS] = intercept + slope * g_target."""
    deviation = section.intercept_microsiemens + g_target * section.slope
    return (g_target + deviation * normal_like(g_target, generator)).clamp(min=0.0)


def relative_gaussian_programming(
    g_target: Tensor, section: RelativeGaussianProgramming, device: Device, generator: torch.Generator | None
) -> Tensor:
    """g_target * delta, delta ~ N(1, sigma_c^2) (SAMSON paper, eq. 8).

    Not clamped at 0, because eq. 8 is not: a negative delta turns the sign of the weight.
    """
    return g_target * (1.0 + section.sigma_c * normal_like(g_target, generator))


def additive_gaussian_programming(
    g_target: Tensor, section: AdditiveGaussianProgramming, device: Device, generator: torch.Generator | None
) -> Tensor:
    """g_target + s / sqrt(2) * N(0, 1), so that the difference of two devices has the std s (SAMSON paper, eq. 9).

    Not clamped at 0, because eq. 9 is not: around a weight of 0 a conductance below 0 stands for its neighbour's.
    """
    deviation = section.sigma_microsiemens * (device.g_max_microsiemens / section.reference_g_max_microsiemens)
    return g_target + deviation / math.sqrt(2) * normal_like(g_target, generator)


PROGRAMMING |= {
    PolynomialProgramming: polynomial_programming,
    LinearProgramming: linear_programming,
    RelativeGaussianProgramming: relative_gaussian_programming,
    AdditiveGaussianProgramming: additive_gaussian_programming,
}
