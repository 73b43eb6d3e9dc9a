"""What a layer's tiles hold now, and putting weights there."""

from typing import Any

import torch
from torch import Tensor


def tile_grid(module: Any) -> list[list[Any]]:
    """The aihwkit tiles of a layer's ``analog_module``: over slices of its inputs, each over slices of its outputs."""
    return [list(row) for row in module.array] if hasattr(module, "array") else [[module]]


def stored_weight(module: Any) -> Tensor:
    """The (out, in) matrix that a layer with perfect converters multiplies by: weights, scales and compensation."""
    slices = [torch.cat([tile.tile.weight * output_scale(tile)[:, None] for tile in row]) for row in tile_grid(module)]
    return slices[0] if len(slices) == 1 else torch.cat(slices, dim=1)


def output_scale(tile: Any) -> Tensor:
    """The digital factor on a tile's outputs, (1,) or (out,): mapping, learned scale, drift compensation."""
    scale = tile.get_scales()
    if scale is None:
        scale = torch.ones(1, device=tile.device)
    if tile.rpu_config.drift_compensation is not None:
        scale = scale * tile.alpha.to(scale.device)
    return scale.reshape(-1)
