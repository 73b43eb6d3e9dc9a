"""An aihwkit inference tile that keeps its weights in a tensor and computes every option of the compiled tile.

Mapping, programming, drift and compensation are aihwkit's; only the product is ours, so it runs on any device and
draws from torch's streams. aihwkit's own torch tile refuses weight noise and IR drop.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from aihwkit.simulator.tiles.inference import InferenceTile
from aihwkit.simulator.tiles.inference_torch import TorchInferenceTile
from aihwkit.simulator.tiles.torch_tile import TorchSimulatorTile
from torch import Tensor
from torch.autograd import no_grad

from analog_samson import rng
from analog_samson.chip.compensation import reads_of
from analog_samson.chip.product import covers, one_hot_product, vector_product


class _Product:
    """What aihwkit's tile asks of its matrix product."""

    @classmethod
    def check_support(cls, io_pars: Any) -> None:
        if not covers(io_pars):
            raise ValueError(f"options that only the compiled tile knows: {io_pars}")

    @classmethod
    def matmul(cls, weight: Tensor, input_: Tensor, io_pars: Any, *_: Any, **__: Any) -> Tensor:
        vectors = input_.reshape(-1, input_.shape[-1])
        return vector_product(weight, vectors, io_pars).view(*input_.shape[:-1], len(weight))


class _Simulator(TorchSimulatorTile):
    """Tensor-held weights with the product above."""

    def __init__(self, x_size: int, d_size: int, rpu_config: Any, bias: bool = False) -> None:
        super().__init__(x_size, d_size, rpu_config, bias, analog_mvm=_Product)
        self.weight.requires_grad_(False)

    @classmethod
    def check_rpu_config_support(cls, rpu_config: Any) -> None:
        """`_Product.check_support` decides."""


class CrossbarTile(TorchInferenceTile):
    """The inference tile of the fast engine.

    exact_inputs: inputs are neither clipped nor rounded, as no DAC does it; for error budgets.
    """

    exact_inputs = False

    @no_grad()
    def _forward_drift_readout_tensor(self, reset_if: bool = False, exact_reference: bool = False) -> Tensor | None:
        """The response to all one-hot vectors, as aihwkit reads it, without building the identity matrix.

        As on the compiled tile its noise leaves torch's stream alone: the devices that are programmed next are the
        same however often and whatever is read.
        """
        chosen, io, weight = self.rpu_config.drift_compensation, self.rpu_config.forward, self.tile.weight
        if chosen is None:
            return None
        if io.is_perfect:
            return one_hot_product(weight, io)
        with rng.stream(_state(weight), "reading"):
            return mean_reading(lambda: one_hot_product(weight, io), reads_of(chosen))


class AveragedReadoutTile(InferenceTile):
    """aihwkit's compiled tile, whose reading for drift compensation is the mean of several."""

    @no_grad()
    def _forward_drift_readout_tensor(self, reset_if: bool = False, exact_reference: bool = False) -> Tensor | None:
        """The response to all one-hot vectors."""
        read = super()._forward_drift_readout_tensor
        return mean_reading(lambda: read(reset_if, exact_reference), reads_of(self.rpu_config.drift_compensation))


def _state(weight: Tensor) -> int:
    """A seed from where torch's streams stand and from the weights: tiles read differently, cells repeat."""
    states = [torch.get_rng_state()]
    if weight.is_cuda:
        states.append(torch.cuda.get_rng_state(weight.device))
    states.append(weight.detach()[0].cpu())  # one output will do; a sum would depend on the number of threads
    digest = hashlib.sha256(b"".join(state.numpy().tobytes() for state in states))
    return int.from_bytes(digest.digest()[:8], "big")


def mean_reading(read: Callable[[], Tensor], reads: int) -> Tensor:
    """The mean of as many calls of `read`, which draws its noise anew."""
    total = read()
    for _ in range(reads - 1):
        total = total + read()
    return total / reads if reads > 1 else total


@dataclass
class CrossbarConfig(TorchInferenceRPUConfig):
    """aihwkit's configuration with these tiles."""

    simulator_tile_class: type = field(default=_Simulator)
    tile_class: type = field(default=CrossbarTile)


def crossbar_config(config: InferenceRPUConfig) -> CrossbarConfig:
    """The same hardware on `CrossbarTile`s."""
    kept = {f.name for f in fields(InferenceRPUConfig) if f.init} - {"tile_class", "tile_array_class"}
    return CrossbarConfig(**{name: getattr(config, name) for name in kept})
