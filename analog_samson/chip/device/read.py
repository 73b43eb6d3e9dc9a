"""Noise that a reading finds, gathered since programming."""

import math

import numpy
import torch
from torch import Tensor

from analog_samson.chip.device.curves import normal_like, piecewise
from analog_samson.chip.device.models import READ
from analog_samson.presets.device import (
    Device,
    FlickerReadNoise,
    LogarithmicFlickerReadNoise,
    PiecewiseFlickerReadNoise,
    ProportionalFlickerReadNoise,
    Read,
)


def read_conductance(
    g: Tensor,
    g_programmed: Tensor,
    section: Read,
    device: Device,
    t_seconds: float,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """What a reading of devices at g [uS] finds `t_seconds` after they were programmed to `g_programmed`, same shape.

    May be negative; the very same tensor, and nothing drawn, where reading is exact.
    """
    if type(section) not in READ:
        return g
    return g + read_deviation(g, g_programmed, section, device, t_seconds) * normal_like(g, generator)


def read_deviation(g: Tensor, g_programmed: Tensor, section: Read, device: Device, t_seconds: float) -> Tensor:
    """The standard deviation of a reading [uS], same shape; arguments as for `read_conductance`."""
    deviate = READ.get(type(section))
    return torch.zeros_like(g) if deviate is None else deviate(g, g_programmed, section, device, t_seconds)


def noise_growth(t_seconds: float, t_read_seconds: float) -> float:
    """Root of the bandwidth of 1/f noise gathered in `t_seconds`; 0 within one read pulse."""
    # numpy as in aihwkit: the last bit of its logarithm can differ from that of math.log
    return math.sqrt(max(float(numpy.log((t_seconds + t_read_seconds) / (2 * t_read_seconds))), 0.0))


def noise_strength(g: Tensor, section: FlickerReadNoise | PiecewiseFlickerReadNoise, device: Device) -> Tensor:
    """q of devices at g [uS], dimensionless."""
    relative = g.abs() / device.g_max_microsiemens
    if isinstance(section, PiecewiseFlickerReadNoise):
        return piecewise(relative, section.q)
    denominator = (relative**section.q_exponent).clamp(min=section.q_denominator_min)
    return (section.q_coefficient / denominator).clamp(max=section.q_max)


def flicker_deviation(
    g: Tensor, g_programmed: Tensor, section: FlickerReadNoise | PiecewiseFlickerReadNoise, device: Device, t: float
) -> Tensor:
    """|g| q(g as programmed) times the growth of the noise [uS]."""
    return g.abs() * (noise_strength(g_programmed, section, device) * noise_growth(t, section.t_read_seconds))


def proportional_deviation(
    g: Tensor, g_programmed: Tensor, section: ProportionalFlickerReadNoise, device: Device, t: float
) -> Tensor:
    """strength * |g| / g_max times the growth of the noise [uS]."""
    relative = (g / device.g_max_microsiemens).abs() * section.strength_microsiemens
    return relative * noise_growth(t, section.t_read_seconds)


def logarithmic_deviation(
    g: Tensor, g_programmed: Tensor, section: LogarithmicFlickerReadNoise, device: Device, t: float
) -> Tensor:
    """strength * log10(g / 1 uS) times the growth of the noise [uS], 0 below 1 uS."""
    return section.strength_microsiemens * g.clamp(min=1.0).log10() * noise_growth(t, section.t_read_seconds)


READ |= {
    FlickerReadNoise: flicker_deviation,
    PiecewiseFlickerReadNoise: flicker_deviation,
    ProportionalFlickerReadNoise: proportional_deviation,
    LogarithmicFlickerReadNoise: logarithmic_deviation,
}
