"""Analog layers that run at the speed of digital ones.

aihwkit's layers cut a feature map into one vector per position (im2col) and send each through the tile. With perfect
converters a tile multiplies every vector by the same drifted matrix, so the whole layer is one convolution.
"""

from collections.abc import Callable
from typing import Any

import torch
from aihwkit.nn import AnalogConv1d, AnalogConv2d, AnalogConv3d, AnalogLinear
from torch import Tensor, nn
from torch.nn import functional


class _CrossbarLayer:
    """`fast` picks our evaluation forward; training, and every other engine, runs the tile's own forward."""

    fast = True


class CrossbarLinear(_CrossbarLayer, AnalogLinear):
    """A linear layer on aihwkit tiles; x (..., in) -> (..., out)."""

    def forward(self, x_input: Tensor) -> Tensor:
        if self.training or not self.fast:
            return super().forward(x_input)
        return functional.linear(x_input, stored_weight(self), stored_bias(self))


class _CrossbarConv(_CrossbarLayer):
    """Shared by the convolutions; `blocks` is the number of groups, each on rows and columns of its own."""

    blocks = 1
    convolve: Callable[..., Tensor]

    def forward(self, x_input: Tensor) -> Tensor:
        if self.training or not self.fast:
            return self._tile_forward(x_input)
        weight = stored_weight(self).view(self.out_channels, self.in_channels, *self.kernel_size)
        return self.convolve(x_input, weight, stored_bias(self), self.stride, self.padding, self.dilation, self.blocks)

    def _tile_forward(self, x_input: Tensor) -> Tensor:
        """aihwkit's forward; it knows one group, so each block sees its own inputs and keeps its own outputs."""
        if self.blocks == 1:
            return super().forward(x_input)
        width = self.out_channels // self.blocks
        inputs = x_input.split(self.in_channels, dim=1)
        outputs = [super(_CrossbarConv, self).forward(x)[:, i * width :][:, :width] for i, x in enumerate(inputs)]
        return torch.cat(outputs, dim=1)


class CrossbarConv1d(_CrossbarConv, AnalogConv1d):
    """A 1-d convolution on aihwkit tiles."""

    convolve = staticmethod(functional.conv1d)


class CrossbarConv2d(_CrossbarConv, AnalogConv2d):
    """A 2-d convolution on aihwkit tiles."""

    convolve = staticmethod(functional.conv2d)


class CrossbarConv3d(_CrossbarConv, AnalogConv3d):
    """A 3-d convolution on aihwkit tiles."""

    convolve = staticmethod(functional.conv3d)


LAYERS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: CrossbarLinear,
    nn.Conv1d: CrossbarConv1d,
    nn.Conv2d: CrossbarConv2d,
    nn.Conv3d: CrossbarConv3d,
}


def tile_grid(layer: Any) -> list[list[Any]]:
    """The aihwkit tiles of a layer: a list over slices of its inputs of lists over slices of its outputs."""
    module = layer.analog_module
    return [list(row) for row in module.array] if hasattr(module, "array") else [[module]]


def stored_weight(layer: Any) -> Tensor:
    """The (out, in) matrix a layer multiplies by now: tile weights, mapping scales and drift compensation."""
    slices = [torch.cat([_scaled(tile) for tile in row]) for row in tile_grid(layer)]
    return slices[0] if len(slices) == 1 else torch.cat(slices, dim=1)


def stored_bias(layer: Any) -> Tensor | None:
    """The digital bias, added after the tiles."""
    return layer.analog_module.bias


def output_scale(tile: Any) -> Tensor:
    """The digital factor on a tile's outputs, (1,) or (out,): mapping, learned scale, drift compensation."""
    scale = tile.get_scales()
    if scale is None:
        scale = torch.ones(1, device=tile.device)
    if tile.rpu_config.drift_compensation is not None:
        scale = scale * tile.alpha.to(scale.device)
    return scale.reshape(-1)


def _scaled(tile: Any) -> Tensor:
    return tile.tile.weight * output_scale(tile)[:, None]
