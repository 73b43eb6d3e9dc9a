"""A copy of a network whose weights lie on tiles; modules, names and calls are those of the original."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from analog_samson.chip.matrix import TileMatrix, remember
from analog_samson.chip.scaling import Affine, fold_bias
from analog_samson.chip.tile import CrossbarConfig
from analog_samson.crossbar.materialize import copied, materialize
from analog_samson.crossbar.plan import Placement
from analog_samson.crossbar.tiled import OnTiles
from analog_samson.crossbar.watch import Slot
from analog_samson.crossbar.weight import CrossbarWeight


class CrossbarNetwork:
    """A network in eval mode with some of its weights on tiles.

    With perfect converters a weight is an ordinary parameter that holds what its tiles hold. With converters it is a
    `CrossbarWeight`, whose products run through the tiles; so is a table whose look-ups stay digital.

    Attributes:
        network: The copy. It answers to `program_analog_weights`, `drift_analog_weights` and `analog_tiles` as
            aihwkit's networks do.
        matrices: The tiles of each weight, by its path in the plan.
    """

    def __init__(
        self, model: nn.Module, placements: Sequence[tuple[Placement, CrossbarConfig]], *, shared: bool = False
    ) -> None:
        """Copy `model` and put these weights on new tiles of their configurations; nothing is drawn.

        A weight that several modules share lies on one set of tiles. Weights that their module computes in every
        forward become plain parameters of the copy. shared: refer to the weights of `model`, which must not change,
        instead of copying them.
        """
        self.network = copied(model, _own_parameters(model, placements) if shared else ())
        self.network.eval()
        self._shared = shared
        self.matrices: dict[str, TileMatrix] = {}
        self._owners: dict[str, list[Slot]] = {}
        for placement, config in placements:
            slots = list(dict.fromkeys(placement.slots(self.network)))
            for module, name in slots:
                materialize(module, name)
            path, weight = placement.path, placement.parameter(self.network)
            self.matrices[path] = TileMatrix(weight, placement.layout, config, placement.input_exponents, shared=shared)
            self._owners[path] = slots
            self._mount(placement, weight)
        _forbid_nested_tensors(self.network)
        for name in ("program_analog_weights", "drift_analog_weights", "analog_tiles"):
            setattr(self.network, name, getattr(self, name))
        remember(self.network, self.matrices)
        setattr(self.network, _ATTRIBUTE, self)

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
        module, name = self._owners[path][0]
        weight, matrix = module.get_parameter(name), self.matrices[path]
        if isinstance(weight, CrossbarWeight):
            if matrix.perfect:
                cast(OnTiles, weight.holder).values = matrix.values()
            return
        values = matrix.values()
        if matrix.after is not None:
            values = values * matrix.after.gain.view(-1, *[1] * (values.ndim - 1))
        if self._is_in_place(path):
            weight.copy_(values)
        else:
            weight.data = values if weight.is_contiguous() else torch.empty_like(weight).copy_(values)

    def _is_in_place(self, path: str) -> bool:
        """Whether the network's weight has memory of its own, not that of shared tiles or of the digital weight.

        Recurrent layers on a GPU keep all their weights in one piece of memory.
        """
        recurrent = any(isinstance(module, nn.RNNBase) for module, _ in self._owners[path])
        return recurrent or not self._shared

    def slots(self, path: str) -> list[Slot]:
        """The modules that hold the weight at `path`, with the names of the parameter."""
        return self._owners[path]

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
        matrix, ((layer, _),) = self.matrices[path], self._owners[path]
        matrix.after = after
        if matrix.perfect:
            folded = fold_bias(bias, after)
            layer.register_parameter("bias", None if folded is None else nn.Parameter(folded, requires_grad=False))
            self.refresh(path)

    def _mount(self, placement: Placement, own: nn.Parameter) -> None:
        """Put the weight on tiles in the place of the network's own."""
        matrix = self.matrices[placement.path]
        mounted: Any
        if matrix.perfect and not placement.table:
            values = own.detach().clone() if self._is_in_place(placement.path) else own.detach()
            mounted = nn.Parameter(values, requires_grad=False)
        else:
            mounted = CrossbarWeight(own, OnTiles(placement.path, matrix, own.detach() if placement.table else None))
        for module, name in self._owners[placement.path]:
            setattr(module, name, mounted)  # not register_parameter: recurrent layers keep a list of their weights
        if not matrix.shared:
            self.refresh(placement.path)
        for module, _ in self._owners[placement.path]:
            if matrix.perfect and isinstance(module, nn.RNNBase):
                module.flatten_parameters()


_ATTRIBUTE = "crossbar_network"


def crossbar_of(network: nn.Module) -> CrossbarNetwork | None:
    """What holds the weights of a network that the fast engine converted; None for any other network."""
    found: CrossbarNetwork | None = getattr(network, _ATTRIBUTE, None)
    return found


def _own_parameters(model: nn.Module, placements: Sequence[tuple[Placement, CrossbarConfig]]) -> list[Tensor]:
    """The weights that are parameters of their modules, not computed in every forward."""
    own = (module._parameters.get(name) for placement, _ in placements for module, name in placement.slots(model))
    return [parameter for parameter in own if parameter is not None]


def _forbid_nested_tensors(network: nn.Module) -> None:
    """Keep TransformerEncoder from packing padded sequences, which only its fused kernels understand.

    It looks at the weights of its first layer alone, which can be digital while others are on tiles.
    """
    if any(isinstance(parameter, CrossbarWeight) for parameter in network.parameters()):
        for module in network.modules():
            if isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False
