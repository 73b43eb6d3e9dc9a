"""What a weight's tiles hold now."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analog_samson.chip.tile import CrossbarTile

_NUMBERS = 2**20  # of a weight that are compared at a time


def tile_grid(module: Any) -> list[list[Any]]:
    """The aihwkit tiles of a layer's ``analog_module``: over slices of its inputs, each over slices of its outputs."""
    return [list(row) for row in module.array] if hasattr(module, "array") else [[module]]


@dataclass(frozen=True)
class TileState:
    """What a product needs of a tile, or of a range of its columns.

    weight: (columns, rows). scale: (1,) or (columns,), the digital factor on the outputs. input_range: what the
    converter's last code stands for; None where inputs are not scaled. exact_inputs: they are not converted at all.
    """

    weight: Tensor
    scale: Tensor
    input_range: Tensor | None
    exact_inputs: bool = False

    @classmethod
    def of(cls, tile: Any) -> "TileState":
        """The state of one of aihwkit's tiles."""
        return cls(
            tile.tile.weight, output_scale(tile), tile.input_range, isinstance(tile, CrossbarTile) and tile.exact_inputs
        )

    def narrow(self, begin: int, end: int) -> "TileState":
        """The same for some of the columns."""
        scale = self.scale if len(self.scale) == 1 else self.scale[begin:end]
        return TileState(self.weight[begin:end], scale, self.input_range, self.exact_inputs)


def tile_states(module: Any, columns: tuple[int, int] | None) -> list[list[TileState]]:
    """The state of a weight's tiles as `tile_grid` orders them; of those with columns in this range (None for all)."""
    grid = []
    for row in tile_grid(module):
        states, first = [], 0
        for tile in row:
            begin, end = (0, tile.out_size) if columns is None else (columns[0] - first, columns[1] - first)
            begin, end = max(0, begin), min(end, tile.out_size)
            if begin < end:
                state = TileState.of(tile)
                states.append(state if (begin, end) == (0, tile.out_size) else state.narrow(begin, end))
            first += tile.out_size
        grid.append(states)
    return grid


def stored_weight(module: Any) -> Tensor:
    """The (out, in) matrix that a layer with perfect converters multiplies by: weights, scales and compensation."""
    slices = [torch.cat([tile.tile.weight * output_scale(tile)[:, None] for tile in row]) for row in tile_grid(module)]
    return slices[0] if len(slices) == 1 else torch.cat(slices, dim=1)


def target_weight(module: Any) -> Tensor:
    """The (out, in) matrix that the tiles were to hold: what programming started from, with the mapping's scales."""
    slices = [torch.cat([_target(tile) for tile in row]) for row in tile_grid(module)]
    return slices[0] if len(slices) == 1 else torch.cat(slices, dim=1)


def _target(tile: Any) -> Tensor:
    reference = tile.reference_combined_weights
    weight = tile.tile.weight if reference is None else reference.to(tile.device)
    scale = tile.get_scales()
    return weight if scale is None else weight * scale.reshape(-1, 1)


def programming_error(grid: list[list[Any]], target: Tensor) -> Tensor:
    """||a stored - target|| / ||target|| of a weight's tiles with the best scalar a; without drift compensation."""
    products = torch.zeros(2, dtype=torch.float64)  # target with stored, stored with itself
    for wanted, stored in _compared(grid, target):
        products += torch.stack([(wanted * stored).sum(), stored.square().sum()])
    fit = products[0] / products[1].clamp(min=torch.finfo(torch.float32).tiny)
    squares = torch.zeros(2, dtype=torch.float64)
    for wanted, stored in _compared(grid, target):
        squares += torch.stack([(fit * stored - wanted).square().sum(), wanted.square().sum()])
    return squares[0].sqrt() / squares[1].sqrt().clamp(min=1e-30)


def _compared(grid: list[list[Any]], target: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Parts of the target (columns, rows) and of what is stored, in double precision."""
    row = 0
    for tiles in grid:
        column = 0
        for tile in tiles:
            stored, scale = torch.as_tensor(tile.tile.get_weights()), tile.get_scales().detach().cpu().reshape(-1, 1)
            count, rows = stored.shape
            step = max(1, _NUMBERS // rows)
            for begin in range(0, count, step):
                part = slice(begin, min(begin + step, count))
                wanted = target[column + part.start : column + part.stop, row : row + rows].cpu()
                yield wanted.double(), (stored[part] * (scale if len(scale) == 1 else scale[part])).double()
            column += count
        row += rows


def output_scale(tile: Any) -> Tensor:
    """The digital factor on a tile's outputs, (1,) or (out,): mapping, learned scale, drift compensation."""
    scale = tile.get_scales()
    if scale is None:
        scale = torch.ones(1, device=tile.device)
    if tile.rpu_config.drift_compensation is not None:
        scale = scale * tile.alpha.to(scale.device)
    return scale.reshape(-1)
