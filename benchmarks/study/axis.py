"""Sizes of perturbations on a common axis: by how much they raise the loss."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from arms import ARMS
from scipy.optimize import brentq
from torch import nn

from analog_samson import rng
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.sharpness.measure import Loss, measure_sharpness
from analog_samson.sharpness.perturbations import RandomPerturbation
from analog_samson.training.options import TrainOptions
from analog_samson.training.weight_noise import additive_noise, random_perturbation

DRAWS = 8  # of noise, the same ones for every size
TOLERANCE = 0.02  # of the rise, relative
SEARCHED = 2e-3  # of the size, relative
LONGEST = 14 * math.log(2)  # of the search upwards
FIRST = {"rho": 0.1, "sigma": 0.01, "noise": 0.05}  # where the search begins
Batches = Sequence[tuple[torch.Tensor, torch.Tensor]]


class NoSize(ValueError):
    """No size of a perturbation raises the loss as wanted."""


def loss_rise(
    model: nn.Module, batches: Batches, arm: str, size: float, loss: Loss = nn.functional.cross_entropy
) -> float:
    """The mean loss [nats] after one ascent step, or under noise, of this size, minus the loss before, in eval mode."""
    method = ARMS[arm]
    if method.size == "rho":
        return measure_sharpness(model, batches, rho=size, loss=loss, **method.given).value
    with eval_mode(model), torch.no_grad():
        clean = _mean(model, batches, loss)
        noisy = []
        for draw in range(DRAWS):
            generator = rng.generator(0, "axis", draw)
            if method.size == "noise":
                noise: Any = additive_noise(model, size, generator=generator)
            else:
                perturbation = TrainOptions(seed=0, method="rwp", sigma=size).effective_perturbation()
                assert isinstance(perturbation, RandomPerturbation)
                noise = random_perturbation(model, perturbation, generator=generator, selection="weights_only")
            with noise:
                noisy.append(_mean(model, batches, loss))
    return sum(noisy) / DRAWS - clean


def _mean(model: nn.Module, batches: Batches, loss: Loss) -> float:
    return sum(loss(model(x), y).item() for x, y in batches) / len(batches)


def size_for(rise: Callable[[float], float], wanted: float, first: float) -> float:
    """The size whose rise is `wanted` within TOLERANCE, searched on logarithmic axes.

    >>> round(size_for(lambda size: size**2, 0.25, first=4.0), 2)
    0.5
    """

    rise = cache(rise)

    def above(logarithm: float) -> float:
        return math.log(max(rise(math.exp(logarithm)), 1e-9) / wanted)

    low = high = math.log(first)
    while above(low) > 0:
        low -= math.log(2)
    while above(high) < 0:
        high += math.log(2)
        if high > low + LONGEST:
            raise NoSize(f"no size raises the loss by {wanted}: it rises by {rise(math.exp(high)):g} at most")
    found = first if low == high else math.exp(brentq(above, low, high, xtol=SEARCHED))
    if abs(rise(found) / wanted - 1) > TOLERANCE:
        raise NoSize(f"no size raises the loss by {wanted}: it jumps at {found:g}")
    return found
