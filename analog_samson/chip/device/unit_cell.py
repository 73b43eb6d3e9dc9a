"""How weights sit on devices: pairs, several pairs that share a weight, or one device from g_min to g_max.

In formulas: w the weight over the largest of its tile, f_i the significance of pair i, span = g_max - g_min. One pair
and pairs that are filled one after another equal aihwkit's converters; for one device they equal its converter too,
except that it gives a matrix and not a list, which its noise models then take row by row.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from analog_samson.presets.device import Device

_ZERO_CLIP = 1e-7  # the largest weight of a tile of zeros, as in aihwkit


@dataclass(frozen=True, slots=True)
class Scale:
    """From weights to conductances: `ratio` [uS] a unit of weight, at the weight `offset` of g_min (0 for pairs)."""

    ratio: Tensor
    offset: Tensor | float = 0.0


def to_conductances(weights: Tensor, device: Device) -> tuple[Tensor, Scale]:
    """Target conductances (devices a weight, *weights.shape) [uS], and what `to_weights` needs to go back.

    Devices of pairs come as plus, minus of the first pair, plus, minus of the second, and so on.
    """
    if device.pairs == 0:
        return _to_single_device(weights, device)
    full = sum(device.factors) * device.span_microsiemens
    scale = Scale(full / weights.abs().max().clamp(min=_ZERO_CLIP))
    current = weights * scale.ratio
    plus, minus = shares(current.clamp(min=0.0), device), shares((-current).clamp(min=0.0), device)
    return torch.stack([plus, minus], dim=1).flatten(0, 1).add_(device.g_min_microsiemens), scale


def to_weights(conductances: Tensor, device: Device, scale: Scale) -> Tensor:
    """The weights that devices stand for; the inverse of `to_conductances`."""
    if device.pairs == 0:
        return scale.offset + (conductances[0] - device.g_min_microsiemens) / scale.ratio
    difference = torch.zeros_like(conductances[0])
    for factor, plus, minus in zip(device.factors, conductances[::2], conductances[1::2], strict=True):
        difference = difference + factor * (plus - minus)
    return difference / scale.ratio


def _to_single_device(weights: Tensor, device: Device) -> tuple[Tensor, Scale]:
    """The smallest weight at g_min, the largest at g_max; weights that are all equal are put in the middle."""
    low, high = weights.min(), weights.max()
    centre, reach = (low + high) / 2, ((high - low) / 2).clamp(min=_ZERO_CLIP)
    scale = Scale(device.span_microsiemens / torch.where(high > low, high - low, 2 * reach))
    offset = torch.where(high > low, low, centre - reach)
    conductances = (weights - offset) * scale.ratio + device.g_min_microsiemens
    return conductances[None], Scale(scale.ratio, offset)


def shares(current: Tensor, device: Device) -> Tensor:
    """(pairs, *current.shape) what each pair carries of a current 0..span * sum(f), above g_min [uS]."""
    if device.sharing != "filled":
        one = (current / sum(device.factors)).clamp(max=device.span_microsiemens)
        return one.expand(device.pairs, *one.shape)
    levels, lower = [], 0.0
    for factor in device.factors:
        levels.append(((current - lower) / factor).clamp(min=0.0, max=device.span_microsiemens))
        lower += factor * device.span_microsiemens
    return torch.stack(levels)
