"""Readings of simulated devices, as an experiment makes them: programmed once, read again and again."""

from collections.abc import Sequence

import numpy as np
import torch

from analog_samson import rng
from analog_samson.chip.device.drift import aged_conductance, drift_parameters
from analog_samson.chip.device.programming import programmed_conductance
from analog_samson.presets.search import Hardware, as_preset
from analog_samson.units import as_seconds


@torch.no_grad()
def simulated_readings(
    preset: Hardware,
    targets: Sequence[float] | np.ndarray,
    times: str | Sequence[float | str],
    *,
    seed: int,
    reads: int = 1,
) -> np.ndarray:
    """Conductances that readings of single devices find [uS], shape (devices, times, reads).

    Args:
        preset: What the devices are like.
        targets: Target conductance of each device [uS].
        times: Since the end of programming [s].
        seed: Names the devices and their noise.
        reads: Readings of each device at each time; each has a read noise of its own.

    >>> from analog_samson.presets import load_preset
    >>> simulated_readings(load_preset("ideal"), [5.0, 20.0], [1.0, 3600.0], seed=0)[:, :, 0].tolist()
    [[5.0, 5.0], [20.0, 20.0]]
    """
    preset, times = as_preset(preset), as_seconds(times)
    generator = rng.generator(seed, "readings", preset.name)
    device = preset.device
    goal = torch.tensor(np.asarray(targets), dtype=torch.float32)
    programmed = programmed_conductance(goal, preset.programming, device, generator=generator)
    kept = drift_parameters(goal, preset.drift, device, generator=generator)
    found = [
        [
            aged_conductance(programmed, kept, preset.drift, preset.read, device, t, generator=generator)
            for _ in range(reads)
        ]
        for t in times
    ]
    return torch.stack([torch.stack(one, 1) for one in found], 1).double().numpy()
