"""Robustness during training without sharpness: weight clipping, weight noise, random weight perturbation.

All of it acts on the convolution and linear weights, the tensors that are programmed on a crossbar, unless a function
says otherwise. Clipping belongs after each update (Algorithm 1). Noise lasts for one forward and backward pass and is
removed before the update: the gradient is that of the noisy point, and the step starts from the clean one.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from numbers import Real

import torch
from torch import Tensor, nn

from analog_samson.chip.device import weight_on_chip
from analog_samson.crossbar.registry import crossbar_layouts
from analog_samson.errors import OptionError
from analog_samson.presets.search import Hardware, as_preset
from analog_samson.sharpness.methods import Asam, RandomWeight
from analog_samson.sharpness.perturb import moving_parameters, plan_ascent
from analog_samson.sharpness.perturbations import RandomPerturbation
from analog_samson.sharpness.selection import computed_weights, crossbar_weights
from analog_samson.sharpness.shift import shifted


@torch.no_grad()
def clip_weights(model: nn.Module, c: float, *, frozen: bool = True) -> None:
    """Clip every convolution and linear weight to [-c, c], in place (Algorithm 1, the last line of the loop).

    Args:
        model: The network.
        c: The limit, above 0, in units of the weights.
        frozen: Also clip weights that need no gradient.

    Raises:
        OptionError: c is no finite number above 0, or there is no such weight.

    >>> layer = nn.Linear(2, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[0.1, -3.0]]))
    >>> clip_weights(layer, 0.25)
    >>> layer.weight.data
    tensor([[ 0.1000, -0.2500]])
    """
    _expect_positive("the clipping range c", c)
    weights = _weights(model, frozen=frozen)
    if not weights:
        return
    torch._foreach_clamp_max_(weights, c)
    torch._foreach_clamp_min_(weights, -c)


@torch.no_grad()
def clip_to_std(model: nn.Module, alpha: float, *, frozen: bool = True) -> None:
    """Clip every convolution and linear weight to +-alpha std(W) of its own layer, in place (paper, section 6.1).

    std is the population standard deviation of the layer's present weights. A layer whose weights are all equal (a
    single weight, say) has none and is not changed.

    Args:
        model: The network.
        alpha: The limit in standard deviations, above 0.
        frozen: Also clip weights that need no gradient.

    Raises:
        OptionError: alpha is no finite number above 0, or there is no such weight.

    >>> layer = nn.Linear(4, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, -1.0, 3.0, -3.0]]))
    >>> clip_to_std(layer, 1.0)
    >>> layer.weight.data
    tensor([[ 1.0000, -1.0000,  2.2361, -2.2361]])
    """
    _expect_positive("alpha", alpha)
    for weight in _weights(model, frozen=frozen):
        std = torch.std(weight, correction=0)
        spreads = std > 1e-6 * weight.abs().amax()  # the standard deviation of equal numbers is a rounding error
        bound = torch.where(spreads, alpha * std, math.inf).to(weight.dtype)
        weight.clamp_(-bound, bound)


@contextmanager
def additive_noise(model: nn.Module, sigma_ratio: float, *, generator: torch.Generator) -> Iterator[None]:
    """Gaussian noise on every convolution and linear weight for one forward and backward pass (eq. 9).

    The standard deviation is sigma_ratio W_max in each layer, W_max its largest |w|. Enter again for fresh noise; run
    the backward pass inside. The clean weights are restored exactly, also on an exception.

    Args:
        model: The network, changed in place inside the block.
        sigma_ratio: sigma_G / G_max of the device, dimensionless.
        generator: On the device of the weights; one normal number a weight is drawn from it, in the order of the
            model's parameters.

    Raises:
        OptionError: The ratio is negative or not finite, or the generator is on another device.

    >>> layer = nn.Linear(2, 1)
    >>> clean = layer.weight.detach().clone()
    >>> with additive_noise(layer, 0.05, generator=torch.Generator().manual_seed(0)):
    ...     layer(torch.ones(1, 2)).sum().backward()
    >>> torch.equal(layer.weight, clean)
    True
    """
    _expect_not_negative("the noise ratio sigma_G / G_max", sigma_ratio)
    weights = _weights(model)
    noise = [_normal(weight, generator) for weight in weights]
    for one, top in zip(noise, torch._foreach_norm(weights, math.inf), strict=True):
        one.mul_(top.float() * sigma_ratio)
    with shifted(weights, noise):
        del noise
        yield


@contextmanager
def preset_noise(model: nn.Module, preset: Hardware, t_seconds: float, *, generator: torch.Generator) -> Iterator[None]:
    """Every convolution and linear weight as a chip holds it, for one forward and backward pass.

    Each entry programs another chip. The stored weights are simulated (see `chip.device.weight_on_chip`), not the
    converters. The gradient is that of the noisy point and is used as it is for the clean weights (straight through),
    which are restored exactly, also on an exception.

    Args:
        model: The network, changed in place inside the block.
        preset: The hardware.
        t_seconds: Time since the chip was programmed.
        generator: On the device of the weights; drawn from layer by layer in the order of the model's parameters.

    Raises:
        OptionError: The time is negative or not finite, or the generator is on another device.

    >>> from analog_samson.presets import load_preset
    >>> layer = nn.Linear(2, 1)
    >>> clean = layer.weight.detach().clone()
    >>> with preset_noise(layer, load_preset("pcm_nandakumar_2019"), 86400.0, generator=torch.Generator()):
    ...     moved = not torch.equal(layer.weight, clean)
    >>> moved, torch.equal(layer.weight, clean)
    (True, True)
    """
    preset = as_preset(preset)
    _expect_not_negative("the time after programming [s]", t_seconds)
    weights, known = _weights(model), crossbar_layouts(model)
    layouts = [known.get(id(weight)) for weight in _parameters(model)]
    for weight in weights:
        _expect_same_device(generator, weight)
    steps = [
        weight_on_chip(weight, preset, t_seconds, generator=generator, layout=layout).sub_(weight)
        for weight, layout in zip(weights, layouts, strict=True)
    ]
    with shifted(weights, steps):
        del steps
        yield


@contextmanager
def random_perturbation(
    model: nn.Module,
    perturbation: RandomPerturbation,
    *,
    generator: torch.Generator,
    selection: str = "weights_only",
) -> Iterator[None]:
    """Hold the weights at a random point nearby for one forward and backward pass; restores them exactly.

    Needs no gradient and hence one pass a step. With `RandomWeight(sigma=..., like=Asam(eta=0.0))` it is the
    multiplicative noise of eq. 8; like=Samson(eta=0.0) makes it relative to the largest weight of each tensor, and
    vanish with the weight. Frozen parameters take part.

    Args:
        model: The network, changed in place inside the block.
        perturbation: The method, such as `RandomWeight(rho=0.1)`.
        generator: On the device of the weights; one normal number a weight is drawn from it.
        selection: Which parameters move, see `sharpness.selection`.

    Raises:
        OptionError: The selection picks no parameter, or the generator is on another device.

    >>> from analog_samson.sharpness.methods import RandomWeight
    >>> layer = nn.Linear(2, 1)
    >>> clean = layer.weight.detach().clone()
    >>> with random_perturbation(layer, RandomWeight(rho=0.1), generator=torch.Generator().manual_seed(0)):
    ...     step = layer.weight.detach() - clean
    >>> round(step.norm().item(), 5), torch.equal(layer.weight, clean)
    (0.1, True)
    """
    group = plan_ascent(model, perturbation=perturbation, selection=selection).groups[0]
    moving, scales = moving_parameters(group)
    if not moving:
        raise OptionError(f"random weight perturbation: selection={selection!r} picks no parameter of the model")
    weights = [info.tensor.detach() for info in moving]
    noise = [_normal(weight, generator) for weight in weights]
    assert isinstance(group.perturbation, RandomPerturbation)
    steps = group.perturbation.steps(noise, scales)
    del noise, scales
    with shifted(weights, steps):
        del steps
        yield


def relative_noise(model: nn.Module, sigma_c: float, *, generator: torch.Generator) -> AbstractContextManager[None]:
    """Every convolution and linear weight w times N(1, sigma_c^2) for one forward and backward pass (eq. 8).

    The training counterpart of the generic conductance model. It is the random perturbation with T = |w|, because
    |w| z and w z have the same distribution.

    Args:
        model: The network, changed in place inside the block.
        sigma_c: Relative standard deviation.
        generator: On the device of the weights; one normal number a weight is drawn from it.

    Raises:
        OptionError: sigma_c is negative or not finite, or the generator is on another device.

    >>> layer = nn.Linear(2, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[0.0, 1.0]]))
    >>> with relative_noise(layer, 0.1, generator=torch.Generator().manual_seed(0)):
    ...     (layer.weight == 0).tolist()
    [[True, False]]
    """
    sigma = _expect_not_negative("the relative error sigma_c", sigma_c)
    return random_perturbation(model, RandomWeight(sigma=sigma, like=Asam(eta=0.0)), generator=generator)


def expect_weights(model: nn.Module, *, trained: bool) -> None:
    """Refuse to clip or move weights that are computed anew in each forward; with `trained` where none is trained."""
    computed = computed_weights(model)
    if computed:
        raise OptionError(
            f"{', '.join(computed)}: the weight is computed anew in every forward, so it can be neither clipped nor "
            "moved; undo that (remove_weight_norm, remove_parametrizations, prune.remove)"
        )
    if trained and not any(weight.requires_grad for weight in crossbar_weights(model).values()):
        raise OptionError("clipping acts on convolution and linear weights, and none of the network's is trained")


def _weights(model: nn.Module, *, frozen: bool = True) -> list[Tensor]:
    found = _parameters(model)
    weights = [weight.detach() for weight in found if frozen or weight.requires_grad]
    if not found:
        raise OptionError(f"{type(model).__name__} has no convolution or linear weights to clip or to perturb")
    return weights


def _parameters(model: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in crossbar_weights(model).values() if weight.numel()]


@torch.no_grad()
def _normal(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the shape of a weight, float32."""
    _expect_same_device(generator, weight)
    return torch.empty(weight.shape, dtype=torch.float32, device=weight.device).normal_(generator=generator)


def _expect_same_device(generator: torch.Generator, weight: Tensor) -> None:
    if not isinstance(generator, torch.Generator):
        raise OptionError(f"generator: expected a torch.Generator, got {generator!r}")
    if generator.device.type != weight.device.type:
        raise OptionError(
            f"the random generator is on {generator.device} but the weights are on {weight.device}; "
            f"make it with torch.Generator(device={str(weight.device)!r})"
        )


def _expect_positive(what: str, value: float) -> None:
    if not (isinstance(value, Real) and 0 < value < math.inf):
        raise OptionError(f"{what}: expected a finite number above 0, got {value!r}")


def _expect_not_negative(what: str, value: float | None) -> float:
    if not (isinstance(value, Real) and 0 <= value < math.inf):
        raise OptionError(f"{what}: expected a finite number >= 0, got {value!r}")
    return value
