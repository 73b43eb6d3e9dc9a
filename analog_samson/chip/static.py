"""One tile with static converters on a whole feature map at once.

The same random variable as sending every vector through the tile (`product`), since all vectors are treated alike. In
formulas: u and v the steps of DAC and ADC, codes = z / u integers, and everything before the ADC in units of v.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from aihwkit.simulator.parameters.enums import NoiseManagementType, WeightNoiseType
from torch import Tensor

from analog_samson.chip.group_span import Share
from analog_samson.chip.product import normal_like, step, wire_profile
from analog_samson.chip.state import TileState

_Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class _StaticTile:
    """What does not depend on the map: numbers, and products with a matrix (out, rows of the channels that are read).

    share: the blocks that the tile's columns belong to. channels: (first, last) of each block that its rows belong to,
    None reads all of them.
    multiply: by w; lost: by -ir_drop * w * wire profile; current: by |w| * rows / ir_drop_g_ratio; spread: by the
    variance of a squared code.
    """

    share: Share
    channels: tuple[int, int] | None
    blocks: int
    gain: Tensor | float
    edge: float
    dac: bool
    multiply: _Product
    lost: _Product | None
    current: _Product | None
    spread: _Product | None
    output_variance: float
    adc: bool
    bound: float


def prepare_static(
    tile: TileState, start: int, share: Share, channels: int, operator: Any, io: Any
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """The function from a map to the tile's converter output in ADC steps, and the digital scale of each channel."""
    static, scale = _prepare(tile, start, share, channels, operator, io)
    return lambda x: _run(static, x), scale


def _prepare(
    tile: TileState, start: int, share: Share, channels: int, operator: Any, io: Any
) -> tuple[_StaticTile, Tensor]:
    constant = io.noise_management == NoiseManagementType.CONSTANT and io.nm_thres > 0
    divisor = io.nm_thres if constant else 1.0
    u, v = step(io.inp_res, io.inp_bound) or 1.0, step(io.out_res, io.out_bound) or 1.0
    reach = io.inp_bound if io.inp_bound > 0 else float("inf")
    gain, scale = torch.full((), 1 / (divisor * u)), tile.scale * (v * divisor)
    if tile.input_range is not None:
        gain, scale, reach = gain / tile.input_range, scale * tile.input_range, min(reach, 1 / divisor)
    weight = tile.weight
    place = _Place(start, weight.shape[1], channels // operator.groups, operator.positions, share)

    def product(weight: Tensor) -> _Product:
        multiply = operator.fixed(place(weight), share.blocks)
        return lambda x: share.own(multiply(x))

    static = _StaticTile(
        share=share,
        channels=place.read,
        blocks=operator.groups,
        gain=gain.to(weight.device),
        # The compiled tile divides in single precision, and the edge can be a tie between two codes.
        edge=float("inf") if tile.exact_inputs else float(np.float32(reach) / np.float32(u)),
        dac=io.inp_res > 0 and not tile.exact_inputs,
        multiply=product(weight * (u / v)),
        adc=io.out_res > 0,
        bound=io.out_bound / v if io.out_bound > 0 else float("inf"),
        output_variance=(io.out_noise / v) ** 2 if io.out_noise > 0 else 0.0,
        spread=_spread(weight, product, u / v, io),
        **_wires(weight, product, u, v, io),
    )
    return static, scale


def _wires(
    weight: Tensor, product: Callable[[Tensor], _Product], u: float, v: float, io: Any
) -> dict[str, _Product | None]:
    """What IR drop needs: each output loses a cubic of its total current times the profiled product."""
    if io.ir_drop <= 0:
        return {"lost": None, "current": None}
    rows = weight.shape[1]
    lost = weight * wire_profile(rows, device=weight.device) * (-io.ir_drop * u / v)
    return {"lost": product(lost), "current": product(weight.abs() * (u * rows / io.ir_drop_g_ratio))}


def _spread(weight: Tensor, product: Callable[[Tensor], _Product], unit: float, io: Any) -> _Product | None:
    """Variance of the weight noise for a squared code of one: |w| for PCM, the same for all weights otherwise."""
    if io.w_noise_type == WeightNoiseType.NONE or io.w_noise <= 0:
        return None
    strength = weight.abs() if io.w_noise_type == WeightNoiseType.PCM_READ else torch.ones_like(weight)
    return product(strength * (io.w_noise * unit) ** 2)


def _run(tile: _StaticTile, x: Tensor) -> Tensor:
    codes = _read_channels(x, tile).mul(tile.gain).clamp_(-tile.edge, tile.edge)
    if tile.dac:
        codes.round_()
    output = tile.multiply(codes)
    if tile.lost is not None and tile.current is not None:
        output.addcmul_(_cubic(tile.current(codes.abs())), tile.lost(codes))
    if tile.spread is not None:
        variance = tile.spread(codes.square_())
        output.addcmul_(normal_like(output), variance.add_(tile.output_variance).sqrt_())
    elif tile.output_variance > 0:
        output.add_(normal_like(output), alpha=tile.output_variance**0.5)
    if tile.adc:
        output.round_()
    return output.clamp_(-tile.bound, tile.bound)


def _cubic(a: Tensor) -> Tensor:
    """a (a (0.05 a - 0.2) + 0.5), the loss factor of aihwkit's IR drop."""
    return (a * 0.05).sub_(0.2).mul_(a).add_(0.5).mul_(a)


def _read_channels(x: Tensor, tile: _StaticTile) -> Tensor:
    x = tile.share.channels(x, tile.blocks)
    if tile.channels is None:
        return x
    first, last = tile.channels
    if tile.share.blocks == 1:
        return x[:, first:last]
    return x.unflatten(1, (tile.share.blocks, -1))[:, :, first:last].flatten(1, 2)


class _Place:
    """Puts a tile's rows, a slice of (channel, kernel position), at their places among the channels it reads.

    Its columns come to stand among those of their blocks.
    """

    def __init__(self, start: int, rows: int, channels: int, positions: int, share: Share) -> None:
        first, last = start // positions, -(-(start + rows) // positions)
        self.read = None if (first, last) == (0, channels) else (first, last)
        self._share = share
        self._offset, self._width = start - first * positions, (last - first) * positions

    def __call__(self, weight: Tensor) -> Tensor:
        weight = self._share.padded(weight)
        if weight.shape[1] == self._width:
            return weight
        placed = weight.new_zeros(len(weight), self._width)
        placed[:, self._offset : self._offset + weight.shape[1]] = weight
        return placed
