"""An aihwkit inference tile that keeps its weights in a tensor and computes every option of the compiled tile.

Mapping, programming, drift and compensation are aihwkit's; only the product is ours, so it runs on any device and
draws from torch's streams. aihwkit's own torch tile refuses weight noise and IR drop.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from aihwkit.simulator.tiles.inference_torch import TorchInferenceTile
from aihwkit.simulator.tiles.torch_tile import TorchSimulatorTile
from torch import Tensor
from torch.autograd import no_grad

from analog_samson.tiles.product import covers, one_hot_product, vector_product


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
    """The inference tile of the fast engine."""

    @no_grad()
    def _forward_drift_readout_tensor(self, reset_if: bool = False, exact_reference: bool = False) -> Tensor | None:
        """The response to all one-hot vectors, as aihwkit reads it, without building the identity matrix."""
        if self.rpu_config.drift_compensation is None:
            return None
        return one_hot_product(self.tile.weight, self.rpu_config.forward)


@dataclass
class CrossbarConfig(TorchInferenceRPUConfig):
    """aihwkit's configuration with these tiles."""

    simulator_tile_class: type = field(default=_Simulator)
    tile_class: type = field(default=CrossbarTile)


def crossbar_config(config: InferenceRPUConfig) -> CrossbarConfig:
    """The same hardware on `CrossbarTile`s."""
    kept = {f.name for f in fields(InferenceRPUConfig) if f.init} - {"tile_class", "tile_array_class"}
    return CrossbarConfig(**{name: getattr(config, name) for name in kept})
