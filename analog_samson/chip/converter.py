"""How a tile's weights become conductances: aihwkit's converters where it has the scheme, ours elsewhere."""

import torch
from aihwkit.inference.converter.base import BaseConductanceConverter
from aihwkit.inference.converter.conductance import NPairConductanceConverter, SinglePairConductanceConverter
from torch import Tensor

from analog_samson.chip.device.unit_cell import Scale, to_conductances, to_weights
from analog_samson.presets.device import Device


class CellConverter(BaseConductanceConverter):
    """Several pairs that share a weight equally, or one device a weight; nothing is drawn.

    aihwkit fills pairs one after another, which keeps small weights on one pair and averages nothing. Its converter
    for one device gives a matrix instead of a list of matrices, so that its noise models go through it row by row.
    """

    def __init__(self, device: Device) -> None:
        self.device, self.g_max, self.g_min = device, device.g_max_microsiemens, device.g_min_microsiemens

    @torch.no_grad()
    def convert_to_conductances(self, weights: Tensor) -> tuple[list[Tensor], dict[str, Scale]]:
        """One matrix a device [uS], and what the way back needs."""
        conductances, scale = to_conductances(weights, self.device)
        return list(conductances.unbind()), {"scale": scale}

    @torch.no_grad()
    def convert_back_to_weights(self, conductances: list[Tensor], params: dict[str, Scale]) -> Tensor:
        """The weights that the devices stand for."""
        return to_weights(torch.stack(conductances), self.device, params["scale"])


def converter(device: Device) -> BaseConductanceConverter:
    """The converter of a preset's devices.

    >>> from analog_samson.presets import load_preset
    >>> type(converter(load_preset("pcm_nandakumar_2019").device)).__name__
    'SinglePairConductanceConverter'
    """
    if device.pairs == 1:
        return SinglePairConductanceConverter(device.g_max_microsiemens, device.g_min_microsiemens)
    if device.sharing == "filled":
        factors = list(device.significance)
        return NPairConductanceConverter(factors, device.g_max_microsiemens, device.g_min_microsiemens)
    return CellConverter(device)
