"""The evaluation forward of a layer on its tiles.

With perfect converters a layer is one product with the stored matrix. With static converters the DAC acts on the map,
ADC and noise on the result, and IR drop and PCM read noise are products with |w|: a few products for each slice of
rows (`static`). Otherwise every vector is made and sent through the tile.
"""

from collections.abc import Callable, Iterator
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


def execute(
    module: Any,
    x: Tensor,
    operator: Operator,
    bias: Tensor | None = None,
    after: Affine | None = None,
    columns: tuple[int, int] | None = None,
) -> Tensor:
    """The output of a weight's tiles for x (N, C, ...); noise is drawn from torch's stream.

    module: aihwkit's tile, or array of tiles. after: applied to the output with the digital scale and bias, at no cost.
    columns: only outputs in this range, where the operator has one group; None for all. after and bias are theirs.
    Several tiles along the rows are added after their own converters, several along the columns stand side by side.
    Under autocast, products of perfect converters run in the lower precision; everything else stays in float32.
    """
    io = tile_grid(module)[0][0].rpu_config.forward
    if io.is_perfect:
        weight = stored_weight(module)
        weight = weight if columns is None else weight[columns[0] : columns[1]]
        scaled = weight if after is None else weight * after.gain[:, None]
        return operator.multiply(x, scaled, fold_bias(bias, after), operator.groups)
    with full_precision(), torch.autocast(x.device.type, enabled=False):  # codes of converters need all digits
        return _execute_converters(tile_states(module, columns), x.float(), operator, io, bias, after)


def _execute_converters(
    grid: list[list[TileState]], x: Tensor, operator: Operator, io: Any, bias: Tensor | None, after: Affine | None
) -> Tensor:
    products = _prepare(grid, x.shape[1], operator, io)
    gain, bias = None if after is None else after.gain, fold_bias(bias, after)
    output: Tensor | None = None
    for begin, part in _chunks(x):
        result = _add_up(products, part, gain, bias)
        if len(part) == len(x):
            return result
        if output is None:
            output = _empty_like(result, len(x))
        output[begin : begin + len(part)] = result
    assert output is not None
    return output


Product = Callable[[Tensor], tuple[Tensor, Tensor]]  # a map to (converter output, digital scale by channel)


def _prepare(grid: list[list[TileState]], channels: int, operator: Operator, io: Any) -> list[list[Product]]:
    """The products of a layer's tiles: over slices of its inputs, each over slices of its outputs."""
    prepare = prepare_static if is_static(io) else _prepare_windowed
    products, start = [], 0
    for row in grid:
        shared = zip(row, shares([len(tile.weight) for tile in row], operator.groups), strict=True)
        products.append([prepare(tile, start, share, channels, operator, io) for tile, share in shared])
        start += row[0].weight.shape[1]
    return products


def _add_up(products: list[list[Product]], x: Tensor, gain: Tensor | None, bias: Tensor | None) -> Tensor:
    total: Tensor | None = None
    for row in products:
        values, scale = _side_by_side([product(x) for product in row])
        scale = scale if gain is None else scale * by_channel(gain, values)
        if total is not None:
            total.addcmul_(values, scale)
        elif bias is not None:
            total = torch.addcmul(by_channel(bias, values), values, scale)
        else:
            total = values.mul_(scale)
    assert total is not None
    return total


def _side_by_side(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The outputs of tiles with the same inputs, and their scales shaped to multiply them."""
    values = parts[0][0] if len(parts) == 1 else torch.cat([value for value, _ in parts], dim=1)
    scale = torch.cat([scale.expand(value.shape[1]) for value, scale in parts])
    return values, by_channel(scale, values)


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


def _prepare_windowed(tile: TileState, start: int, share: Share, channels: int, operator: Operator, io: Any) -> Product:
    """One tile on every vector of the map; each block of vectors meets its own columns."""
    blocks = dict(zip(range(share.first, share.last), tile.weight.split(share.widths()), strict=True))
    scale = tile.scale * (1.0 if tile.input_range is None else tile.input_range)
    rows = tile.weight.shape[1]

    def product(x: Tensor) -> tuple[Tensor, Tensor]:
        windows = operator.windows(x)[..., start : start + rows]
        if tile.input_range is not None:
            windows = windows.clamp(-tile.input_range, tile.input_range) / tile.input_range
        parts = [vector_product(w, windows[..., i, :].reshape(-1, rows), io) for i, w in blocks.items()]
        return torch.cat(parts, dim=1).view(*windows.shape[:-2], -1).movedim(-1, 1).contiguous(), scale

    return product


def by_channel(values: Tensor, like: Tensor) -> Tensor:
    """(channels,) shaped to scale or shift `like` (N, channels, ...)."""
    return values.view(1, -1, *[1] * (like.ndim - 2))
