"""The devices of a large weight a piece at a time: the same numbers as for the whole, in less memory.

On a CPU torch draws normal numbers in blocks of 16. So pieces of a multiple of 16 draw what the whole weight would,
one after the other; only the last one may end elsewhere.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from aihwkit.inference.noise.base import BaseNoiseModel
from torch import Tensor

PIECE = 2**20  # devices at a time; a multiple of 16


class Pieces:
    """A weight as the converter of a noise model puts it on devices; the conductances are computed when needed."""

    def __init__(self, noise: BaseNoiseModel, weights: Tensor) -> None:
        self._noise, self._shape, self._flat = noise, weights.shape, weights.reshape(-1)
        self._extremes = torch.stack(self._flat.aminmax())  # with them, a piece is scaled as the whole weight
        conductances, self._scale = noise.g_converter.convert_to_conductances(self._extremes)
        self._devices = range(len(conductances))
        count = len(self._flat)
        edges = [*range(0, max(count - 15, 1), PIECE), count]  # no last piece of less than 16, which draws otherwise
        self._spans = [slice(*edge) for edge in pairwise(edges)]

    def program(self) -> tuple[Tensor, list[Tensor | None]]:
        """As ``BaseNoiseModel.apply_programming_noise``."""
        programmed, kept = [], []
        for device in self._devices:
            programmed.append(self._filled(device, self._noise.apply_programming_noise_to_conductance))
            kept.append(self._filled(device, self._noise.generate_drift_coefficients))
        return self._weights(programmed), [None if one is None else one.view(self._shape) for one in kept]

    def age(self, kept: list[Tensor | None], t_seconds: float) -> Tensor:
        """As ``BaseNoiseModel.apply_drift_noise``."""
        aged = []
        for device, parameters in zip(self._devices, kept, strict=True):
            pieces = iter(self._spans)

            def age(g: Tensor, flat: Any = None if parameters is None else parameters.reshape(-1)) -> Tensor:
                span = next(pieces)  # noqa: B023  (used before the next device)
                return self._noise.apply_drift_noise_to_conductance(g, None if flat is None else flat[span], t_seconds)

            aged.append(self._filled(device, age))
        return self._weights(aged)

    def _filled(self, device: int, compute: Callable[[Tensor], Tensor | None]) -> Any:
        """What `compute` gives for the conductances of a device, flat; None where it gives nothing."""
        filled = None
        for span in self._spans:
            piece = torch.cat([self._flat[span], self._extremes])
            found = compute(self._noise.g_converter.convert_to_conductances(piece)[0][device][:-2])
            if found is None:
                return None
            filled = torch.empty_like(self._flat) if filled is None else filled
            filled[span] = found
        return filled

    def _weights(self, conductances: list[Tensor]) -> Tensor:
        """The weights that the devices stand for, in the memory of the first of them."""
        for span in self._spans:
            parts = [one[span] for one in conductances]
            conductances[0][span] = self._noise.g_converter.convert_back_to_weights(parts, self._scale)
        return conductances[0].view(self._shape)
