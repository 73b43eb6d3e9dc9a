"""How far one device of a preset is from its target, drawn from the noise model itself."""

from collections.abc import Sequence

import torch
from torch import Tensor

from analog_samson import rng
from analog_samson.analysis.device_error import ErrorCurve
from analog_samson.chip.device.drift import aged_conductance, drift_parameters
from analog_samson.chip.device.programming import programmed_conductance
from analog_samson.presets.search import Hardware, as_preset
from analog_samson.units import as_seconds


@torch.no_grad()
def conductance_error(
    preset: Hardware, times: str | Sequence[float | str], *, seed: int, points: int = 9, draws: int = 2000
) -> list[ErrorCurve]:
    """Mean and spread of g - g_target over `draws` devices, at `points` targets from g_min to g_max.

    The first curve is right after programming, then comes one for each of `times` [s], where 0 is that again. Before
    compensation, and of one device: several of a weight average. Every time reads the same devices.

    >>> from analog_samson.presets import load_preset
    >>> programmed, year = conductance_error(load_preset("pcm_nandakumar_2019"), [31536000.0], seed=0, points=2)
    >>> programmed.targets, year.means[1] < -10
    ((0.0, 25.0), True)
    """
    preset, times = as_preset(preset), as_seconds(times)
    device = preset.device
    grid = torch.linspace(device.g_min_microsiemens, device.g_max_microsiemens, points)
    targets = grid[:, None].expand(points, draws).contiguous()
    generator = rng.generator(seed, "conductance error", preset.name)
    programmed = programmed_conductance(targets, preset.programming, device, generator=generator)
    kept = drift_parameters(targets, preset.drift, device, generator=generator)
    curves = [_curve(None, programmed, targets)]
    for t in times:
        aged = programmed  # unread at time 0
        if t > 0:
            aged = aged_conductance(programmed, kept, preset.drift, preset.read, device, t, generator=generator)
        curves.append(_curve(t, aged, targets))
    return curves


def _curve(time_seconds: float | None, g: Tensor, targets: Tensor) -> ErrorCurve:
    error = (g - targets).double()
    return ErrorCurve(
        time_seconds=time_seconds,
        targets=tuple(targets[:, 0].tolist()),
        means=tuple(error.mean(dim=1).tolist()),
        deviations=tuple(error.std(dim=1).tolist()),
    )
