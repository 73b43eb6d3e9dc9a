"""The device noise of a preset as an aihwkit noise model: programming, drift and read noise, each optional.

aihwkit keeps most of these numbers as literals in method bodies; here every one comes from the preset. With the
numbers of `PCMLikeNoiseModel` the results equal aihwkit's bit for bit under the same seed (the tests check it),
which is why the order of the operations below matters. Everything is torch on the device of the weights.

In formulas: g [uS] conductance, x = g / g_max in 0..1, t [s] since the end of programming, nu, q without unit.
"""

import math

import numpy
import torch
from aihwkit.inference.converter.conductance import SinglePairConductanceConverter
from aihwkit.inference.noise.base import BaseNoiseModel
from torch import Tensor

from analog_samson.presets.schema import (
    Device,
    Drift,
    FlickerReadNoise,
    LogLinearDrift,
    PolynomialProgramming,
    Preset,
    Programming,
    Read,
    RelativeGaussianProgramming,
)


class DeviceNoise(BaseNoiseModel):
    """Programming, drift and read noise of one pair of devices per weight; draws from torch's global stream.

    A stage whose model is "none" changes no bit and draws nothing. Note that aihwkit converts the programmed
    weights to conductances anew before drift: a pair whose two devices both conduct drifts as one device that
    carries their difference.
    """

    def __init__(self, device: Device, programming: Programming, drift: Drift, read: Read) -> None:
        super().__init__(SinglePairConductanceConverter(device.g_max_microsiemens, device.g_min_microsiemens))
        self.device, self.programming, self.drift, self.read = device, programming, drift, read

    @torch.no_grad()
    def apply_programming_noise(self, weights: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        """The weights as programmed, and drift exponents for both devices of the pair; `weights` stays as is."""
        if self.programming.model != "none":
            return super().apply_programming_noise(weights)
        targets, _ = self.g_converter.convert_to_conductances(weights)
        return weights.clone(), [self.generate_drift_coefficients(target) for target in targets]

    @torch.no_grad()
    def apply_drift_noise(
        self, weights: Tensor, drift_noise_parameters: list[Tensor | None], t_inference: float
    ) -> Tensor:
        """Programmed weights after `t_inference` seconds; equal where nothing drifts and reading is exact."""
        if t_inference < 0:
            raise ValueError(f"t_inference: expected seconds since the end of programming, got {t_inference}")
        if self.drift.model == self.read.model == "none":
            return weights.clone()
        return super().apply_drift_noise(weights, drift_noise_parameters, t_inference)

    @torch.no_grad()
    def apply_programming_noise_to_conductance(self, g_target: Tensor) -> Tensor:
        """g after programming [uS], same shape."""
        match self.programming:
            case PolynomialProgramming():
                return polynomial_programming(g_target, self.programming, self.device)
            case RelativeGaussianProgramming():
                return relative_gaussian_programming(g_target, self.programming)
        return g_target

    @torch.no_grad()
    def generate_drift_coefficients(self, g_target: Tensor) -> Tensor | None:
        """nu of each device, same shape, >= 0; None where nothing drifts."""
        if isinstance(self.drift, LogLinearDrift):
            return drift_exponents(g_target, self.drift, self.device)
        return None

    @torch.no_grad()
    def apply_drift_noise_to_conductance(
        self, g_prog: Tensor, drift_noise_param: Tensor | None, t_inference: float
    ) -> Tensor:
        """g at `t_inference` [uS], same shape; each call draws a read noise of its own."""
        drifted, t_start = g_prog, 0.0
        if isinstance(self.drift, LogLinearDrift):
            assert drift_noise_param is not None
            t_start = self.drift.t0_seconds
            drifted = g_prog * ((t_inference + t_start) / t_start) ** (-drift_noise_param)
        if isinstance(self.read, FlickerReadNoise):
            deviation = read_deviation(g_prog, self.read, self.device, t_inference + t_start)
            drifted = drifted + drifted.abs() * deviation * torch.randn_like(drifted)
        return drifted.clamp(min=0.0)


def noise_model(preset: Preset) -> DeviceNoise:
    """The noise model of a preset's devices.

    >>> from analog_samson.presets import load_preset
    >>> noise_model(load_preset("pcm_nandakumar_2019")).drift.t0_seconds
    20.0
    """
    return DeviceNoise(preset.device, preset.programming, preset.drift, preset.read)


def polynomial_programming(g_target: Tensor, section: PolynomialProgramming, device: Device) -> Tensor:
    """g_target + s * N(0, 1), not below 0; s [uS] = c0 + c1 x + c2 x^2 + ... for devices of the reference g_max."""
    relative = g_target / device.g_max_microsiemens
    deviation, power = torch.zeros_like(g_target), torch.ones_like(g_target)
    for coefficient in section.coefficients_microsiemens:
        deviation = deviation + power * coefficient
        power = power * relative
    deviation = deviation * (device.g_max_microsiemens / section.reference_g_max_microsiemens)
    return (g_target + deviation * torch.randn_like(g_target)).clamp(min=0.0)


def relative_gaussian_programming(g_target: Tensor, section: RelativeGaussianProgramming) -> Tensor:
    """g_target * delta, delta ~ N(1, sigma_c^2) (SAMSON paper, eq. 8).

    Not clamped at 0, because eq. 8 is not: a negative delta turns the sign of the weight.
    """
    return g_target * (1.0 + section.sigma_c * torch.randn_like(g_target))


def drift_exponents(g_target: Tensor, section: LogLinearDrift, device: Device) -> Tensor:
    """nu = |mean + std * N(0, 1)|, both linear in ln(x) and held within their bounds."""
    smallest = torch.finfo(g_target.dtype).tiny  # ln(0) times a slope of 0 would be NaN
    log_relative = (g_target / device.g_max_microsiemens).abs().clamp(min=smallest).log()
    mean = section.nu_mean_slope * log_relative + section.nu_mean_intercept
    deviation = section.nu_std_slope * log_relative + section.nu_std_intercept
    mean = mean.clamp(min=section.nu_mean_min, max=section.nu_mean_max)
    deviation = deviation.clamp(min=section.nu_std_min, max=section.nu_std_max)
    return (mean + deviation * torch.randn_like(mean)).abs()


def read_deviation(g: Tensor, section: FlickerReadNoise, device: Device, t_seconds: float) -> Tensor:
    """Relative std of the 1/f noise gathered in `t_seconds`; 0 within one read pulse."""
    relative = g.abs() / device.g_max_microsiemens
    denominator = (relative**section.q_exponent).clamp(min=section.q_denominator_min)
    q = (section.q_coefficient / denominator).clamp(max=section.q_max)
    t_read = section.t_read_seconds
    # numpy as in aihwkit: the last bit of its logarithm can differ from that of math.log
    growth = float(numpy.log((t_seconds + t_read) / (2 * t_read)))
    return q * math.sqrt(max(growth, 0.0))
