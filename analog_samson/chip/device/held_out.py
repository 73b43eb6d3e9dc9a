"""The check of a fit on devices that were left out of it, against devices that the fitted preset simulates."""

import numpy as np

from analog_samson import rng
from analog_samson.analysis.device_fit.choices import DriftModel
from analog_samson.analysis.device_fit.held_out import FEWEST_DEVICES, HeldOut, compare_held_out, held_out_devices
from analog_samson.analysis.device_fit.measurements import Measurements
from analog_samson.analysis.device_fit.model import fit_devices
from analog_samson.analysis.device_fit.power_law import Clock
from analog_samson.analysis.device_fit.sections import preset_values
from analog_samson.chip.device.readings import simulated_readings
from analog_samson.presets.schema import parse_preset


def check_held_out(
    data: Measurements, clock: Clock, drift_model: DriftModel = "auto", *, seed: int, draws: int = 200
) -> list[HeldOut]:
    """Fit four fifths of the devices, and see how the rest ranks among devices of that fit.

    Args:
        data: The measurements.
        clock: How the preset counts their times.
        drift_model: As for `fit_devices`.
        seed: Decides which devices are left out, and the simulated ones.
        draws: Simulated devices for each one that was left out.

    Returns:
        One entry a time; none where there are too few devices.
    """
    if len(data.targets) < FEWEST_DEVICES:
        return []
    generator = np.random.default_rng(rng.derive_seed(seed, "held out"))
    chosen = held_out_devices(data.targets, generator)
    known, unseen = data.part(~chosen), data.part(chosen)
    fitted = fit_devices(known, clock, drift_model)
    preset = parse_preset(preset_values(fitted, known, name="held_out"), "the fit without the devices left out")
    targets = np.repeat(unseen.targets, draws)
    simulated = simulated_readings(preset, targets, [float(t) for t in clock.seconds], seed=seed)[:, :, 0]
    shaped = simulated.reshape(len(unseen.targets), draws, len(data.times))
    return compare_held_out(unseen.first, shaped, [float(t) for t in data.times], generator)
