"""The evaluation forward of a layer on its tiles.

With perfect converters a layer is one product with the stored matrix. With static converters the DAC acts on the map,
ADC and noise on the result, and IR drop and PCM read noise are products with |w|: a few products for each slice of
rows (`static`). Otherwise every vector is made and sent through the tile.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from analog_samson.chip.group_span import Share, shares
from analog_samson.chip.product import is_static, vector_product
from analog_samson.chip.scaling import Affine, fold_bias
from analog_samson.chip.state import TileState, stored_weight, tile_grid, tile_states
from analog_samson.chip.static import prepare_static
from analog_samson.crossbar.operator import Operator
from analog_samson.runtime.devices import full_precision

_CPU_CHUNK = 2**18  # numbers of the input handled at a time, so that what a step writes is in cache for the next


def prepare(
    module: Any,
    channels: int,
    operator: Operator,
    bias: Tensor | None = None,
    after: Affine | None = None,
    columns: tuple[int, int] | None = None,
) -> Callable[[Tensor], Tensor]:
    """The function from x (N, channels, ...) to the output of a weight's tiles as they are now.

    What does not depend on x is computed here, once. The function draws noise from torch's stream.

    module: aihwkit's tile, or array of tiles. after: applied to the output with the digital scale and bias, at no cost.
    columns: only outputs in this range, where the operator has one group; None for all. after and bias are theirs.
    Several tiles along the rows are added after their own converters, several along the columns stand side by side.
    Under autocast, products of perfect converters run in the lower precision; everything else stays in float32.
    """
    io = tile_grid(module)[0][0].rpu_config.forward
    if io.is_perfect:
        return prepare_exact(stored_weight(module), operator, bias, after, columns)
    grid = tile_states(module, columns)
    device = grid[0][0].weight.device
    with _all_digits(device):
        layer = _prepare_layer(grid, channels, operator, io, bias, after)

    def run(x: Tensor) -> Tensor:
        with _all_digits(device):
            return _by_chunks(layer, x.float())

    return run


def prepare_exact(
    weight: Tensor, operator: Operator, bias: Tensor | None, after: Affine | None, columns: tuple[int, int] | None
) -> Callable[[Tensor], Tensor]:
    """The same with perfect converters: one product with the stored matrix (columns, rows)."""
    weight = weight if columns is None else weight[columns[0] : columns[1]]
    scaled = weight if after is None else weight * after.gain[:, None]
    shift = fold_bias(bias, after)
    return lambda x: operator.multiply(x, scaled, shift, operator.groups)


def _all_digits(device: torch.device) -> ExitStack:
    """Within, products are in float32 with all digits, which the codes of converters need."""
    stack = ExitStack()
    stack.enter_context(full_precision())
    if torch.is_autocast_enabled(device.type):
        stack.enter_context(torch.autocast(device.type, enabled=False))
    return stack


def _by_chunks(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    output: Tensor | None = None
    for begin, part in _chunks(x):
        result = layer(part)
        if len(part) == len(x):
            return result
        if output is None:
            output = _empty_like(result, len(x))
        output[begin : begin + len(part)] = result
    assert output is not None
    return output


def _prepare_layer(
    grid: list[list[TileState]], channels: int, operator: Operator, io: Any, bias: Tensor | None, after: Affine | None
) -> Callable[[Tensor], Tensor]:
    """The outputs of slices of a layer's inputs, each of slices of its outputs, added up."""
    prepare_tile = prepare_static if is_static(io) else _prepare_windowed
    bias, slices, start = fold_bias(bias, after), [], 0
    for row in grid:
        shared = list(zip(row, shares([len(tile.weight) for tile in row], operator.groups), strict=True))
        tiles = [prepare_tile(tile, start, share, channels, operator, io) for tile, share in shared]
        scale = torch.cat([scale.expand(len(tile.weight)) for (_, scale), tile in zip(tiles, row, strict=True)])
        slices.append(([product for product, _ in tiles], scale if after is None else scale * after.gain))
        start += row[0].weight.shape[1]

    def run(x: Tensor) -> Tensor:
        total: Tensor | None = None
        for products, scale in slices:
            parts = [product(x) for product in products]
            values = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
            if total is not None:
                total.addcmul_(values, by_channel(scale, values))
            elif bias is not None:
                total = torch.addcmul(by_channel(bias, values), values, by_channel(scale, values))
            else:
                total = values.mul_(by_channel(scale, values))
        assert total is not None
        return total

    return run


def _chunks(x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Parts of the batch that stay in a CPU's cache; elsewhere the whole batch."""
    size = max(1, _CPU_CHUNK * len(x) // max(1, x.numel())) if x.device.type == "cpu" else len(x)
    begin = 0
    for part in x.split(max(1, size)):
        yield begin, part
        begin += len(part)


def _empty_like(part: Tensor, count: int) -> Tensor:
    """Room for `count` samples in the memory layout of `part`."""
    layout = torch.channels_last if part.ndim == 4 and part.stride(1) == 1 else torch.contiguous_format
    return torch.empty((count, *part.shape[1:]), dtype=part.dtype, device=part.device, memory_format=layout)


def _prepare_windowed(
    tile: TileState, start: int, share: Share, channels: int, operator: Operator, io: Any
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """One tile on every vector of the map; each block of vectors meets its own columns."""
    blocks = dict(zip(range(share.first, share.last), tile.weight.split(share.widths()), strict=True))
    scale = tile.scale * (1.0 if tile.input_range is None else tile.input_range)
    rows = tile.weight.shape[1]

    def product(x: Tensor) -> Tensor:
        windows = operator.windows(x)[..., start : start + rows]
        if tile.input_range is not None:
            windows = windows.clamp(-tile.input_range, tile.input_range) / tile.input_range
        parts = [vector_product(w, windows[..., i, :].reshape(-1, rows), io) for i, w in blocks.items()]
        return torch.cat(parts, dim=1).view(*windows.shape[:-2], -1).movedim(-1, 1).contiguous()

    return product, scale


def by_channel(values: Tensor, like: Tensor) -> Tensor:
    """(channels,) shaped to scale or shift `like` (N, channels, ...)."""
    return values.view(1, -1, *[1] * (like.ndim - 2))
