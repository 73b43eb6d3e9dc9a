"""Curves over conductance that several models share, and their normal numbers."""

import torch
from torch import Tensor

from analog_samson.presets.fields import Piecewise


def rising_polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """c0 + c1 x + c2 x^2 + ..., added up from c0 as aihwkit does for programming noise."""
    total, power = torch.zeros_like(x), torch.ones_like(x)
    for coefficient in coefficients:
        total = total + power * coefficient
        power = power * x
    return total


def piecewise(x: Tensor, curve: Piecewise) -> Tensor:
    """The curve at x >= 0, same shape; added up from the highest power as aihwkit does."""
    smallest = torch.finfo(x.dtype).tiny  # ln(0) times a slope of 0 would be NaN
    below = curve.slope * x.clamp(min=smallest).log() + curve.intercept
    above = torch.zeros_like(x)
    for power, coefficient in reversed(list(enumerate(curve.coefficients))):
        above = above + coefficient * x**power
    return torch.where(x < curve.knee, below.clamp(min=curve.minimum, max=curve.maximum), above)


def interpolated(x: Tensor, at: tuple[float, ...], values: tuple[float, ...]) -> Tensor:
    """Linear between the points (at, values), held beyond the ends; same shape and type as x.

    In double precision from single-precision points, like numpy's `interp` in aihwkit.
    """
    places = torch.tensor(at, dtype=x.dtype, device=x.device).double()
    heights = torch.tensor(values, dtype=x.dtype, device=x.device).double()
    slopes = heights.diff() / places.diff()
    inside = x.double().clamp(min=places[0], max=places[-1])
    left = (torch.searchsorted(places, inside, right=True) - 1).clamp(max=len(slopes) - 1)
    return (slopes[left] * (inside - places[left]) + heights[left]).to(x.dtype)


def normal_like(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal numbers on the device of `like`, drawn on that of the generator.

    Without a generator they are those of `torch.randn_like` on a CPU, bit for bit, wherever `like` is: a GPU
    simulates the same chips.
    """
    drawn = torch.empty_like(like, device="cpu" if generator is None else generator.device)
    return drawn.normal_(generator=generator).to(like.device)
