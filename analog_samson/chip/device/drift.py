"""How conductances move after programming."""

import math
from itertools import pairwise

import numpy
import torch
from torch import Tensor

from analog_samson.chip.device.curves import interpolated, normal_like, piecewise, rising_polynomial
from analog_samson.chip.device.models import EXPONENTS
from analog_samson.chip.device.read import read_conductance
from analog_samson.presets.device import Device, Read
from analog_samson.presets.drift import (
    ConstantExponentDrift,
    DeviationAtTimesDrift,
    Drift,
    LogLinearDrift,
    PiecewiseExponentDrift,
    RelaxationDrift,
    TabulatedExponentDrift,
)


def drift_parameters(
    g_target: Tensor, drift: Drift, device: Device, *, generator: torch.Generator | None = None
) -> Tensor | None:
    """What a device keeps of its programming for `aged_conductance`, same shape: nu, its target, or nothing.

    nu = |mean + std * N(0, 1)|; only a power law draws.
    """
    if isinstance(drift, DeviationAtTimesDrift):
        return g_target
    if not is_power_law(drift):
        return None
    mean, deviation = exponent_moments(g_target, drift, device)
    return (mean + deviation * normal_like(g_target, generator)).abs()


def is_power_law(drift: Drift) -> bool:
    """Whether conductances follow g(t) = g ((t + t0) / t0)^-nu."""
    return type(drift) in EXPONENTS


def exponent_moments(g_target: Tensor, drift: Drift, device: Device) -> tuple[Tensor, Tensor] | tuple[float, float]:
    """Mean and standard deviation of nu before it is folded at 0, dimensionless."""
    return EXPONENTS[type(drift)](g_target, drift, device)


def _log_linear(g_target: Tensor, drift: LogLinearDrift, device: Device) -> tuple[Tensor, Tensor]:
    smallest = torch.finfo(g_target.dtype).tiny  # ln(0) times a slope of 0 would be NaN
    log_relative = (g_target / device.g_max_microsiemens).abs().clamp(min=smallest).log()
    mean = drift.nu_mean_slope * log_relative + drift.nu_mean_intercept
    deviation = drift.nu_std_slope * log_relative + drift.nu_std_intercept
    return (
        mean.clamp(min=drift.nu_mean_min, max=drift.nu_mean_max),
        deviation.clamp(min=drift.nu_std_min, max=drift.nu_std_max),
    )


def _tabulated(g_target: Tensor, drift: TabulatedExponentDrift, device: Device) -> tuple[Tensor, Tensor]:
    means = interpolated(g_target, drift.g_microsiemens, drift.nu_mean)
    return means, interpolated(g_target, drift.g_microsiemens, drift.nu_std)


def _piecewise(g_target: Tensor, drift: PiecewiseExponentDrift, device: Device) -> tuple[Tensor, Tensor]:
    relative = (g_target / device.g_max_microsiemens).abs()
    return piecewise(relative, drift.nu_mean), piecewise(relative, drift.nu_std)


EXPONENTS |= {
    LogLinearDrift: _log_linear,
    ConstantExponentDrift: lambda g_target, drift, device: (drift.nu_mean, drift.nu_std),
    TabulatedExponentDrift: _tabulated,
    PiecewiseExponentDrift: _piecewise,
}


def aged_conductance(
    g_programmed: Tensor,
    parameters: Tensor | None,
    drift: Drift,
    read: Read,
    device: Device,
    t_seconds: float,
    *,
    generator: torch.Generator | None = None,
    reads: torch.Generator | None = None,
) -> Tensor:
    """g at `t_seconds` after programming [uS], same shape, not below 0; each call draws a read noise of its own.

    parameters: what `drift_parameters` gave for these devices.
    reads: what read noise is drawn from; None is `generator`.
    """
    reads = generator if reads is None else reads
    if isinstance(drift, RelaxationDrift):
        if t_seconds == 0:
            return g_programmed
        relaxed = _relaxed(g_programmed, drift, t_seconds, generator)
        aged = read_conductance(relaxed, g_programmed, read, device, t_seconds, generator=reads)
        return aged.clamp(min=device.g_min_microsiemens, max=device.g_max_microsiemens)
    aged, t_start = g_programmed, 0.0
    if isinstance(drift, DeviationAtTimesDrift):
        assert parameters is not None
        aged = _deviating(parameters, drift, device, t_seconds, generator)
    elif is_power_law(drift):
        assert parameters is not None
        t_start = drift.t0_seconds  # type: ignore[union-attr]
        aged = g_programmed * ((t_seconds + t_start) / t_start) ** (-parameters)
    aged = read_conductance(aged, g_programmed, read, device, t_seconds + t_start, generator=reads)
    return aged.clamp(min=0.0)


def _relaxed(g: Tensor, drift: RelaxationDrift, t_seconds: float, generator: torch.Generator | None) -> Tensor:
    periods = max(float(numpy.log(t_seconds / drift.t0_seconds)), 0.0)  # numpy as in aihwkit
    deviation = drift.std_slope_microsiemens * periods + drift.std_intercept_microsiemens
    return g + drift.shift_slope_microsiemens * periods + normal_like(g, generator) * deviation


def _deviating(
    g_target: Tensor, drift: DeviationAtTimesDrift, device: Device, t_seconds: float, generator: torch.Generator | None
) -> Tensor:
    coefficients = coefficients_at(drift, t_seconds)
    deviation = rising_polynomial(g_target / device.g_max_microsiemens, coefficients)
    deviation = deviation * (device.g_max_microsiemens / drift.reference_g_max_microsiemens)
    return (g_target + deviation * normal_like(g_target, generator)).clamp(min=0.0)


def coefficients_at(drift: DeviationAtTimesDrift, t_seconds: float) -> tuple[float, ...]:
    """The polynomial of the standard deviation at any time [uS]: linear in ln t, held at the ends.

    A polynomial is linear in its coefficients, so mixing them mixes the standard deviations.
    """
    points = list(zip(drift.seconds, drift.coefficients_microsiemens, strict=True))
    if t_seconds <= points[0][0]:
        return points[0][1]
    for (start, early), (end, late) in pairwise(points):
        if t_seconds <= end:
            share = math.log(t_seconds / start) / math.log(end / start)
            return _mixed(early, late, share)
    return points[-1][1]


def _mixed(early: tuple[float, ...], late: tuple[float, ...], share: float) -> tuple[float, ...]:
    size = max(len(early), len(late))
    padded = (one + (0.0,) * (size - len(one)) for one in (early, late))
    return tuple((1 - share) * a + share * b for a, b in zip(*padded, strict=True))
