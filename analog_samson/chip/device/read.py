"""Noise that a reading finds, gathered since programming."""

import math

import numpy
import torch
from torch import Tensor

from analog_samson.chip.device.curves import normal_like, piecewise
from analog_samson.presets.device import (
    Device,
    FlickerReadNoise,
    LogarithmicFlickerReadNoise,
    NoReadNoise,
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
    if isinstance(section, NoReadNoise):
        return g
    growth = noise_growth(t_seconds, section.t_read_seconds)
    match section:
        case FlickerReadNoise() | PiecewiseFlickerReadNoise():
            return g + g.abs() * (noise_strength(g_programmed, section, device) * growth) * normal_like(g, generator)
        case ProportionalFlickerReadNoise():
            relative = (g / device.g_max_microsiemens).abs() * section.strength_microsiemens
            return g + relative * growth * normal_like(g, generator)
        case LogarithmicFlickerReadNoise():
            decades = g.clamp(min=1.0).log10()
            return g + section.strength_microsiemens * decades * growth * normal_like(g, generator)


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
