"""The device noise of a preset as an aihwkit noise model: programming, drift and read noise, each optional.

aihwkit keeps most of these numbers as literals in method bodies; here every one comes from the preset. The formulas
are in `analog_samson.chip.device`; this is their connection to aihwkit's tiles. All is torch on the device of the
weights, but for the draws: they come from torch's global stream of the CPU, where aihwkit draws on a GPU from the
GPU's, so that a seed names the same chips everywhere. `stream` lets them come from elsewhere.
"""

from typing import Any

import torch
from aihwkit.inference.noise.base import BaseNoiseModel
from torch import Tensor

from analog_samson.chip.converter import converter
from analog_samson.chip.device import aged_conductance, drift_parameters, programmed_conductance
from analog_samson.chip.device.faulty import draw_faulty_weights
from analog_samson.chip.pieces import Pieces
from analog_samson.presets.device import Device, Programming, Read
from analog_samson.presets.device_faults import NO_FAULTS, Faults, NoFaults
from analog_samson.presets.drift import DeviationAtTimesDrift, Drift, RelaxationDrift
from analog_samson.presets.schema import Preset

MANY_DEVICES = 2**22  # of a weight; above, they are computed in pieces


class DeviceNoise(BaseNoiseModel):
    """Programming, drift, read noise and faults of the devices of each weight; draws from torch's CPU stream.

    Attributes:
        stream: What is drawn from in its place, such as the GPU's stream; None is torch's CPU stream.
        fault_stream: What faults are drawn from when weights are programmed; None is `stream` as well.
        read_stream: The same for read noise when weights are read.

    A stage whose model is "none" changes no bit and draws nothing. Note that aihwkit converts the programmed
    weights to conductances anew before drift: a pair whose two devices both conduct drifts as one device that
    carries their difference, and several pairs share the programmed weight as if it had been the target.
    """

    def __init__(
        self, device: Device, programming: Programming, drift: Drift, read: Read, faults: Faults = NO_FAULTS
    ) -> None:
        super().__init__(converter(device))
        self.device, self.programming, self.drift, self.read = device, programming, drift, read
        self.faults = faults
        self.stream: torch.Generator | None = None
        self.fault_stream: torch.Generator | None = None
        self.read_stream: torch.Generator | None = None

    @torch.no_grad()
    def apply_programming_noise(self, weights: Tensor) -> tuple[Tensor, list[Any]]:
        """The weights as programmed, and what `apply_drift_noise` has to know of them; `weights` stays as is.

        That is one tensor for each device of a weight, or for deviations from the target the target weights. Where
        devices fail, the weights without faults and the faulty ones come after these.
        """
        healthy, kept = self._healthy(weights)
        if isinstance(self.faults, NoFaults):
            return healthy, kept
        sections = (self.faults, self.programming, self.drift, self.device)
        faulty = draw_faulty_weights(weights, *sections, generator=self.fault_stream or self.stream)
        return faulty.programmed(healthy, self.device), [*kept, healthy, faulty]

    def _healthy(self, weights: Tensor) -> tuple[Tensor, list[Any]]:
        if isinstance(self.drift, DeviationAtTimesDrift):
            return self._programmed(weights), [weights.clone()]
        if self.programming.model != "none":
            if weights.numel() > MANY_DEVICES:
                return Pieces(self, weights).program()
            return super().apply_programming_noise(weights)
        targets, _ = self.g_converter.convert_to_conductances(weights)
        return weights.clone(), [self.generate_drift_coefficients(target) for target in targets]

    def _programmed(self, weights: Tensor) -> Tensor:
        targets, scale = self.g_converter.convert_to_conductances(weights)
        programmed = [self.apply_programming_noise_to_conductance(target) for target in targets]
        return self.g_converter.convert_back_to_weights(programmed, scale)

    @torch.no_grad()
    def apply_drift_noise(self, weights: Tensor, drift_noise_parameters: list[Any], t_inference: float) -> Tensor:
        """Programmed weights after `t_inference` seconds; equal where nothing drifts and reading is exact."""
        if t_inference < 0:
            raise ValueError(f"t_inference: expected seconds since the end of programming, got {t_inference}")
        if self.drift.model == self.read.model == "none":
            return weights.clone()
        if isinstance(self.faults, NoFaults):
            return self._aged(weights, drift_noise_parameters, t_inference)
        *kept, healthy, faulty = drift_noise_parameters
        aged = self._aged(healthy, kept, t_inference)
        return faulty.aged(aged, self.drift, self.read, self.device, t_inference, reads=self.read_stream)

    def _aged(self, weights: Tensor, drift_noise_parameters: list[Any], t_inference: float) -> Tensor:
        if isinstance(self.drift, DeviationAtTimesDrift):
            return self._deviating(drift_noise_parameters[0], t_inference)
        twice = isinstance(self.drift, RelaxationDrift)  # draws relaxation and reading, of the whole weight each
        if weights.numel() > MANY_DEVICES and not twice:
            return Pieces(self, weights).age(drift_noise_parameters, t_inference)
        return super().apply_drift_noise(weights, drift_noise_parameters, t_inference)

    def _deviating(self, target: Tensor | None, t_inference: float) -> Tensor:
        """Deviations from the target, in the target's scale; aihwkit takes that of the programmed weights."""
        assert target is not None
        targets, scale = self.g_converter.convert_to_conductances(target)
        aged = [self.apply_drift_noise_to_conductance(g, g, t_inference) for g in targets]
        return self.g_converter.convert_back_to_weights(aged, scale)

    @torch.no_grad()
    def apply_programming_noise_to_conductance(self, g_target: Tensor) -> Tensor:
        """g after programming [uS], same shape."""
        return programmed_conductance(g_target, self.programming, self.device, generator=self.stream)

    @torch.no_grad()
    def generate_drift_coefficients(self, g_target: Tensor) -> Tensor | None:
        """What a device keeps of its programming, same shape: nu >= 0, or its target; None where it keeps nothing."""
        return drift_parameters(g_target, self.drift, self.device, generator=self.stream)

    @torch.no_grad()
    def apply_drift_noise_to_conductance(
        self, g_prog: Tensor, drift_noise_param: Tensor | None, t_inference: float
    ) -> Tensor:
        """g at `t_inference` [uS], same shape; each call draws a read noise of its own."""
        sections = (self.drift, self.read, self.device)
        return aged_conductance(
            g_prog, drift_noise_param, *sections, t_inference, generator=self.stream, reads=self.read_stream
        )


def noise_model(preset: Preset) -> DeviceNoise:
    """The noise model of a preset's devices.

    >>> from analog_samson.presets import load_preset
    >>> noise_model(load_preset("pcm_nandakumar_2019")).drift.t0_seconds
    20.0
    """
    return DeviceNoise(preset.device, preset.programming, preset.drift, preset.read, preset.faults)
