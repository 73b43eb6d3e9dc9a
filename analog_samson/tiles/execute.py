"""The evaluation forward of a layer on its tiles.

With perfect converters a layer is one product with the stored matrix. With static converters the DAC acts on the
map, ADC and noise on the result, and IR drop and PCM read noise are products with |w|: a few products for each slice
of rows. Otherwise every vector is made and sent through the tile. In formulas: u the step of the DAC, codes = z / u.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from aihwkit.simulator.parameters.enums import NoiseManagementType, WeightNoiseType
from torch import Tensor

from analog_samson.tiles.product import is_static, step, vector_product, wire_factor, wire_profile
from analog_samson.tiles.state import output_scale, stored_weight, tile_grid


@dataclass(frozen=True)
class Operator:
    """A layer's linear map. multiply: (x, weight (out, rows), bias) -> y with channels in dimension 1.

    windows: (N, C, ...) -> (N, positions..., blocks, rows). positions: kernel positions a channel.
    """

    multiply: Callable[..., Tensor]
    windows: Callable[[Tensor], Tensor]
    blocks: int
    positions: int


def execute(module: Any, x: Tensor, operator: Operator) -> Tensor:
    """The output of a layer's ``analog_module`` for x (N, C, ...); noise is drawn from torch's stream.

    Several tiles along the rows are added after their own converters, several along the columns stand side by side.
    """
    io = module_config(module).forward
    if io.is_perfect:
        return operator.multiply(x, stored_weight(module), module.bias)
    product = _static_product if is_static(io) else _windowed_product
    total, start = None, 0
    for row in tile_grid(module):
        rows = row[0].in_size
        part = torch.cat([product(tile, x, start, operator, io) for tile in row], dim=1)
        total = part if total is None else total.add_(part)
        start += rows
    return total if module.bias is None else total.add_(_by_channel(module.bias, total))


def module_config(module: Any) -> Any:
    """The configuration of a layer's tiles."""
    return tile_grid(module)[0][0].rpu_config


def _static_product(tile: Any, x: Tensor, start: int, operator: Operator, io: Any) -> Tensor:
    """One tile, whose rows begin at `start`, on the whole map at once."""
    x, weight = _slice(x, tile.tile.weight, start, operator)
    divisor = io.nm_thres if io.noise_management == NoiseManagementType.CONSTANT and io.nm_thres > 0 else 1.0
    unit = step(io.inp_res, io.inp_bound) or 1.0
    codes = _codes(x, tile, divisor, unit, io)
    lsb = step(io.out_res, io.out_bound) or 1.0
    output = operator.multiply(codes, weight * (unit / lsb))
    if io.ir_drop > 0:
        output = _drop(output, codes, weight, tile.in_size, unit, lsb, operator, start, io)
    output = _add_noise(output, codes, weight, unit, lsb, operator, io)
    if step(io.out_res, io.out_bound):
        output.round_()
    output.clamp_(-io.out_bound / lsb, io.out_bound / lsb)
    scale = output_scale(tile) * (lsb * divisor)
    if tile.input_range is not None:
        scale = scale * tile.input_range
    return output.mul_(_by_channel(scale, output))


def _codes(x: Tensor, tile: Any, divisor: float, unit: float, io: Any) -> Tensor:
    """Inputs after the DAC, in its steps: cut at the input range and at the DAC's bound, rounded half to even."""
    reach = io.inp_bound if io.inp_bound > 0 else float("inf")
    if tile.input_range is not None:
        x, reach = x / tile.input_range, min(reach, 1 / divisor)
    codes = x / (divisor * unit)
    edge = float(np.float32(reach) / np.float32(unit))  # the tile divides in single precision; an edge can be a tie
    codes.clamp_(-edge, edge)
    return codes.round_() if io.inp_res > 0 else codes


def _drop(
    output: Tensor,
    codes: Tensor,
    weight: Tensor,
    rows: int,
    unit: float,
    lsb: float,
    operator: Operator,
    start: int,
    io: Any,
) -> Tensor:
    """Take off what the wires lose: a cubic of the total current times the product with the wire profile."""
    profile = _place(wire_profile(rows, device=weight.device), start, weight.shape[1], operator)
    current = operator.multiply(codes.abs(), weight.abs() * unit)
    profiled = operator.multiply(codes, weight * profile * (unit / lsb))
    return output.addcmul_(wire_factor(current, rows, io), profiled, value=-1)


def _add_noise(
    output: Tensor, codes: Tensor, weight: Tensor, unit: float, lsb: float, operator: Operator, io: Any
) -> Tensor:
    """Weight noise and output noise, both Gaussian and independent: one draw of their summed variance."""
    if io.w_noise_type == WeightNoiseType.NONE or io.w_noise <= 0:
        return output.add_(torch.randn_like(output), alpha=io.out_noise / lsb) if io.out_noise > 0 else output
    pcm = io.w_noise_type == WeightNoiseType.PCM_READ
    strength = weight.abs() if pcm else (weight != 0).to(weight.dtype)
    variance = operator.multiply(codes.square(), strength * (io.w_noise * unit / lsb) ** 2)
    return output.addcmul_(torch.randn_like(output), variance.add_((io.out_noise / lsb) ** 2).sqrt_())


def _windowed_product(tile: Any, x: Tensor, start: int, operator: Operator, io: Any) -> Tensor:
    """One tile on every vector of the map; each block of vectors meets its own columns."""
    windows = operator.windows(x)[..., start : start + tile.in_size]
    if tile.input_range is not None:
        windows = windows.clamp(-tile.input_range, tile.input_range) / tile.input_range
    blocks = tile.tile.weight.chunk(operator.blocks)
    parts = [
        vector_product(weight, windows[..., i, :].reshape(-1, tile.in_size), io) for i, weight in enumerate(blocks)
    ]
    output = torch.cat(parts, dim=1).view(*windows.shape[:-2], -1).movedim(-1, 1)
    scale = output_scale(tile) * (1.0 if tile.input_range is None else tile.input_range)
    return output * _by_channel(scale, output)


def _slice(x: Tensor, weight: Tensor, start: int, operator: Operator) -> tuple[Tensor, Tensor]:
    """The channels that a tile's rows belong to, and its weights over all their kernel positions."""
    positions, blocks = operator.positions, operator.blocks
    channels = x.shape[1] // blocks
    if weight.shape[1] == channels * positions:
        return x, weight
    first, last = start // positions, -(-(start + weight.shape[1]) // positions)
    grouped = x.view(len(x), blocks, channels, *x.shape[2:])[:, :, first:last]
    padded = weight.new_zeros(len(weight), (last - first) * positions)
    padded[:, start - first * positions :][:, : weight.shape[1]] = weight
    return grouped.flatten(1, 2), padded


def _place(profile: Tensor, start: int, width: int, operator: Operator) -> Tensor:
    """A tile's profile over the columns of its padded weights."""
    offset = start % operator.positions if width != len(profile) else 0
    placed = profile.new_zeros(width)
    placed[offset : offset + len(profile)] = profile
    return placed


def _by_channel(values: Tensor, like: Tensor) -> Tensor:
    """(1,) or (channels,) shaped to scale or shift `like` (N, channels, ...)."""
    return values.view(1, -1, *[1] * (like.ndim - 2))
