"""Analog layers that run at the speed of digital ones.

aihwkit's layers cut a feature map into one vector per position (im2col) and send each through the tile. Ours do so
only where the vectors differ in more than their values; everywhere else a tile is a few convolutions.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from aihwkit.nn import AnalogConv1d, AnalogConv2d, AnalogConv3d, AnalogLinear
from aihwkit.nn.modules.conv import _AnalogConvNd
from torch import Tensor, nn
from torch.nn import functional

from analog_samson.chip.execute import Operator, execute
from analog_samson.chip.im2col import split_windows
from analog_samson.chip.scaling import Affine
from analog_samson.crossbar.reads import TileWeight


def _stand_in(name: str) -> Any:
    """The attribute `name` of a layer that `convert` made: a `TileWeight` for other modules to read.

    While aihwkit builds the layer, the attribute is what aihwkit sets.
    """

    def read(layer: Any) -> Any:
        if layer.path:
            return layer.tile_weight(name)
        if name in layer._parameters or name not in layer.__dict__:
            raise AttributeError(name)  # torch then finds the parameter, or that there is none
        return layer.__dict__[name]

    def write(layer: Any, value: Any) -> None:
        layer.__dict__[name] = value

    return property(read, write)


class _CrossbarLayer:
    """`fast` picks our evaluation forward; training, and the engine of aihwkit, run the tile's own forward.

    path: of the layer in its model, once it is built. weight, bias: shape, dtype and device, without values.
    """

    fast = True
    path = ""
    weight = _stand_in("weight")
    bias = _stand_in("bias")

    def tile_weight(self, name: str) -> TileWeight | None:
        """What other modules may know of weight or bias; None for a layer without bias."""
        layer: Any = self
        if name == "bias" and not layer.__dict__["bias"]:
            return None
        tile, shape = next(layer.analog_tiles()), self._weight_shape()
        kind = next(base.__name__ for base, analog_type in LAYERS.items() if isinstance(layer, analog_type))
        return TileWeight.of(
            f"{self.path}.{name}", kind, shape if name == "weight" else shape[:1], tile.get_dtype(), tile.device
        )

    def _weight_shape(self) -> tuple[int, ...]:
        raise NotImplementedError


class CrossbarLinear(_CrossbarLayer, AnalogLinear):
    """A linear layer on aihwkit tiles; x (..., in) -> (..., out)."""

    def forward(self, x_input: Tensor) -> Tensor:
        if self.training or not self.fast:
            return super().forward(x_input)
        places = x_input.shape[:-1]
        flat = x_input.reshape(prod(places), x_input.shape[-1])
        return execute(self.analog_module, flat, _LINEAR).view(*places, self.out_features)

    def _weight_shape(self) -> tuple[int, ...]:
        return self.out_features, self.in_features


class CrossbarConv(_CrossbarLayer, _AnalogConvNd):
    """Shared by the convolutions.

    blocks: the number of groups, each on rows and columns of its own. after: what the fast forward does to its output.
    """

    blocks = 1
    after: Affine | None = None
    convolve: Callable[..., Tensor]

    def forward(self, x_input: Tensor) -> Tensor:
        if self.training or not self.fast:
            return self._tile_forward(x_input)
        if x_input.ndim == len(self.kernel_size) + 1:  # one sample
            return self.forward(x_input[None])[0]
        return execute(self.analog_module, x_input, self._operator(), self.after)

    def _weight_shape(self) -> tuple[int, ...]:
        return self.out_channels, self.in_channels, *self.kernel_size

    def _operator(self) -> Operator:
        """This convolution on weights (out, channels * kernel) for the channels that `x` has."""
        kernel = self.kernel_size

        def multiply(x: Tensor, weight: Tensor, bias: Tensor | None, blocks: int) -> Tensor:
            shaped = weight.view(len(weight), -1, *kernel)
            return self.convolve(x, shaped, bias, self.stride, self.padding, self.dilation, blocks)

        def windows(x: Tensor) -> Tensor:
            return split_windows(x, kernel, self.stride, self.padding, self.dilation, self.blocks)

        return Operator(multiply, windows, blocks=self.blocks, positions=prod(kernel))

    def _tile_forward(self, x_input: Tensor) -> Tensor:
        """aihwkit's forward; it knows one group, so each block sees its own inputs and keeps its own outputs."""
        if self.blocks == 1:
            return super().forward(x_input)
        width = self.out_channels // self.blocks
        inputs = x_input.split(self.in_channels, dim=1)
        outputs = [super(CrossbarConv, self).forward(x)[:, i * width :][:, :width] for i, x in enumerate(inputs)]
        return torch.cat(outputs, dim=1)


class CrossbarConv1d(CrossbarConv, AnalogConv1d):
    """A 1-d convolution on aihwkit tiles."""

    convolve = staticmethod(functional.conv1d)


class CrossbarConv2d(CrossbarConv, AnalogConv2d):
    """A 2-d convolution on aihwkit tiles."""

    convolve = staticmethod(functional.conv2d)


class CrossbarConv3d(CrossbarConv, AnalogConv3d):
    """A 3-d convolution on aihwkit tiles."""

    convolve = staticmethod(functional.conv3d)


LAYERS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: CrossbarLinear,
    nn.Conv1d: CrossbarConv1d,
    nn.Conv2d: CrossbarConv2d,
    nn.Conv3d: CrossbarConv3d,
}

_LINEAR = Operator(
    lambda x, weight, bias, _: functional.linear(x, weight, bias), lambda x: x[:, None], blocks=1, positions=1
)
