"""A copy of a network whose weights lie on tiles; modules, names and calls are those of the original."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.chip.matrix import TileMatrix, remember
from analog_samson.chip.scaling import Affine, fold_bias
from analog_samson.chip.tile import CrossbarConfig
from analog_samson.crossbar.materialize import copied, materialize
from analog_samson.crossbar.plan import find_layer
from analog_samson.crossbar.weight import CrossbarWeight


class CrossbarNetwork:
    """A network in eval mode with some of its weights on tiles.

    With perfect converters a weight is an ordinary parameter that holds what its tiles hold. With converters it is a
    `CrossbarWeight`, whose products run through the tiles.

    Attributes:
        network: The copy. It answers to `program_analog_weights`, `drift_analog_weights` and `analog_tiles` as
            aihwkit's networks do.
        matrices: The tiles of each weight, by the path of the first layer that holds it.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], config: CrossbarConfig) -> None:
        """Copy `model` and put the weights of these layers on new tiles of `config`; nothing is drawn.

        A weight that several of the layers share lies on one set of tiles. Weights that their layer computes in every
        forward become plain parameters of the copy.
        """
        self.network = copied(model)
        self.network.eval()
        self.matrices: dict[str, TileMatrix] = {}
        self._owners: dict[str, list[nn.Module]] = {}
        shared: dict[int, str] = {}
        for path in layers:
            module = find_layer(self.network, path)
            materialize(module)
            weight = module.get_parameter("weight")
            first = shared.setdefault(id(weight), path)
            if first == path:
                self.matrices[path] = TileMatrix(weight, config)
                self._owners[path] = []
            if module not in self._owners[first]:
                self._owners[first].append(module)
        for path, matrix in self.matrices.items():
            self._mount(path, matrix)
        for name in ("program_analog_weights", "drift_analog_weights", "analog_tiles"):
            setattr(self.network, name, getattr(self, name))
        remember(self.network, self.matrices)

    def program_analog_weights(self) -> None:
        """Program a new chip. Draws programming noise and drift exponents from torch's global stream."""
        for path, matrix in self.matrices.items():
            matrix.program()
            self.refresh(path)

    def drift_analog_weights(self, t_inference: float = 0.0) -> None:
        """Let the programmed chip drift to a time [s] and read it. Draws read noise from torch's global stream."""
        for path, matrix in self.matrices.items():
            matrix.drift(t_inference)
            self.refresh(path)

    def analog_tiles(self) -> Iterator[Any]:
        """aihwkit's tiles, weight by weight."""
        for matrix in self.matrices.values():
            yield from matrix.tiles

    @torch.no_grad()
    def refresh(self, path: str) -> None:
        """Let the network's weight at `path` hold what its tiles hold now; nothing to do with converters."""
        matrix = self.matrices[path]
        if not matrix.perfect:
            return
        values = matrix.values()
        if matrix.after is not None:
            values = values * matrix.after.gain.view(-1, *[1] * (values.ndim - 1))
        self._owners[path][0].get_parameter("weight").copy_(values)

    def is_alone(self, path: str) -> bool:
        """Whether the layer at `path` has a weight on tiles that it shares with no other layer."""
        return len(self._owners.get(path, ())) == 1

    def scale_outputs(self, path: str, after: Affine | None, bias: Tensor | None) -> None:
        """Let the layer at `path` scale and shift its outputs as well, at no cost; None ends that.

        Args:
            path: Of a layer that shares its weight with no other.
            after: The scale and shift of each output.
            bias: The bias of the layer, as it is without `after`.
        """
        matrix, (layer,) = self.matrices[path], self._owners[path]
        matrix.after = after
        if matrix.perfect:
            folded = fold_bias(bias, after)
            layer.register_parameter("bias", None if folded is None else nn.Parameter(folded, requires_grad=False))
            self.refresh(path)

    def _mount(self, path: str, matrix: TileMatrix) -> None:
        """Put the weight on tiles in the place of the network's own."""
        owners = self._owners[path]
        own = owners[0].get_parameter("weight")
        mounted: Any
        if matrix.perfect:
            mounted = nn.Parameter(own.detach().clone(), requires_grad=False)
        else:
            mounted = CrossbarWeight(own, matrix, path)
        for owner in owners:
            owner.register_parameter("weight", mounted)
        self.refresh(path)
