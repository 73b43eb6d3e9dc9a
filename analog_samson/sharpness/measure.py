"""How sharp a loss is around trained weights: m-sharpness (eq. 10-12) and the box sharpness of Keskar et al.

    m-sharpness    mean over minibatches S of  rise = max over ||eps / T||_2 <= rho of  l_S(w + eps) - l_S(w)
    box            mean over minibatches S of  100 rise / (1 + l_S(w)), over the box |eps| <= rho (|w| + 1) instead

l_S is the mean loss of the minibatch. The maximum is sought by gradient ascent, so the result is a lower bound of it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from analog_samson.errors import DataError, ModelError, OptionError
from analog_samson.runtime.devices import full_precision
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.sharpness.methods import Keskar, make_perturbation, measuring_methods
from analog_samson.sharpness.perturb import moving_parameters, plan_ascent
from analog_samson.sharpness.perturbations import Perturbation, global_norm

Loss = Callable[[Tensor, Tensor], Tensor]
_Around = Callable[[list[Tensor] | None, bool], tuple[float, list[Tensor]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpness:
    """A measured sharpness.

    Attributes:
        value: In the unit of the loss for m-sharpness (nats for cross-entropy), in percent for the box.
        loss: The mean loss at the weights themselves.
        images: Samples.
        batches: Minibatches.
    """

    value: float
    loss: float
    images: int
    batches: int


def measure_sharpness(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    method: str = "samson",
    rho: float | None = None,
    p: float | None = None,
    eta: float | None = None,
    selection: str = "weights_only",
    steps: int = 1,
    loss: Loss = nn.functional.cross_entropy,
    perturbation: Perturbation | None = None,
) -> Sharpness:
    """Sharpness of a model in eval mode.

    Draws nothing; weights, gradients, modes and statistics are as before. Batches are weighted by their samples, which
    is eq. 10 where all are of size m. Frozen parameters take part.

    Args:
        model: The network.
        batches: Minibatches (x, y) on its device.
        method: The neighbourhood: "sam" (eq. 11), "asam" (eq. 12), "samson" (eq. 10), "keskar", or a registered name.
        rho: Its radius, or the relative half-width of Keskar's box; None is the method's default.
        p, eta, selection: As in SAMSON; the box has only the selection.
        steps: 1 goes once to the border, as training does. More go on from there by half a radius each, projected back,
            and the highest loss counts, so more steps never measure less.
        loss: From outputs and targets to the mean loss of a minibatch.
        perturbation: The method as an object, in the place of `method`, `rho`, `p` and `eta`.

    Raises:
        OptionError: An option has an impossible value, or the selection picks no parameter.
        DataError: There are no samples.
        ModelError: The loss at the weights is not finite.

    >>> model, x = nn.Linear(2, 2), torch.eye(2)
    >>> measure_sharpness(model, [(x, torch.tensor([0, 1]))], method="sam", rho=0.0).value
    0.0
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise OptionError(f"steps: expected a whole number >= 1, got {steps!r}")
    if perturbation is None:
        perturbation = make_perturbation(method, measuring_methods(), rho=rho, p=p, eta=eta)
    weights, region = _region(model, perturbation, selection)
    with eval_mode(model), full_precision():
        measured = [(len(x), *_highest(_loss_around(model, weights, x, y, loss), region, steps)) for x, y in batches]
    images = sum(count for count, _, _ in measured)
    if images == 0:
        raise DataError("sharpness: no images; expected at least one minibatch")
    rise = sum(count * region.rise(base, best) for count, base, best in measured)
    base = sum(count * base for count, base, _ in measured)
    return Sharpness(value=rise / images, loss=base / images, images=images, batches=len(measured))


class _Region(Protocol):
    """A neighbourhood of the weights."""

    def ascend(self, steps: list[Tensor] | None, grads: list[Tensor]) -> list[Tensor]:
        """The next eps from eps so far (None at the centre) and the gradients there."""
        ...

    def rise(self, base: float, best: float) -> float:
        """The sharpness from the loss at the centre and the highest one."""
        ...


@dataclass(frozen=True, slots=True)
class _Ellipsoid:
    """||eps / T||_2 <= rho; a step goes along T^2 g, which is steepest in the coordinates eps / T."""

    scales: list[Tensor]
    rho: float

    def ascend(self, steps: list[Tensor] | None, grads: list[Tensor]) -> list[Tensor]:
        upward = torch._foreach_mul(self.scales, grads)
        length = global_norm(upward)
        reach = self.rho if steps is None else self.rho / 2
        factor = torch.where(length > 0, reach / length, 0)
        moved = torch._foreach_mul(torch._foreach_mul(upward, self.scales), factor)
        if steps is None:
            return list(moved)
        torch._foreach_add_(moved, steps)
        radius = self._radius(moved)
        return list(torch._foreach_mul(moved, torch.where(radius > self.rho, self.rho / radius, 1)))

    def rise(self, base: float, best: float) -> float:
        return best - base

    def _radius(self, steps: tuple[Tensor, ...]) -> Tensor:
        """||eps / T||_2; where T is zero nothing has moved."""
        pairs = zip(steps, self.scales, strict=True)
        return global_norm([torch.where(scale > 0, step / scale, 0) for step, scale in pairs])


@dataclass(frozen=True, slots=True)
class _Box:
    """|eps| <= the half-width of each weight; the first step goes to the corner that the gradient points to."""

    widths: list[Tensor]

    def ascend(self, steps: list[Tensor] | None, grads: list[Tensor]) -> list[Tensor]:
        corner = torch._foreach_mul(torch._foreach_sign(grads), self.widths)
        if steps is None:
            return list(corner)
        moved = torch._foreach_add(steps, corner, alpha=0.5)
        return list(torch._foreach_maximum(torch._foreach_minimum(moved, self.widths), torch._foreach_neg(self.widths)))

    def rise(self, base: float, best: float) -> float:
        return 100 * (best - base) / (1 + base)


def _region(model: nn.Module, perturbation: Perturbation, selection: str) -> tuple[dict[str, Tensor], _Region]:
    """The parameters that move and the neighbourhood they move in, fixed by the weights as they are."""
    plan = plan_ascent(model, perturbation=perturbation, selection=selection)
    moving, scales = moving_parameters(plan.groups[0])
    if not moving:
        raise OptionError(f"sharpness: selection={selection!r} picks no parameter of the model")
    weights = {str(info.name): info.tensor.detach() for info in moving}
    if isinstance(perturbation, Keskar):
        return weights, _Box([perturbation.rho * (weight.abs() + 1) for weight in weights.values()])
    return weights, _Ellipsoid(scales, perturbation.size)


def _loss_around(model: nn.Module, weights: dict[str, Tensor], x: Tensor, y: Tensor, loss: Loss) -> _Around:
    """The minibatch loss and its gradients as a function of eps; the model itself is never changed."""

    def around(steps: list[Tensor] | None, with_grads: bool) -> tuple[float, list[Tensor]]:
        shifts: Sequence[Tensor | float] = [0.0] * len(weights) if steps is None else steps
        shifted = {
            name: (weight + shift).to(weight.dtype).requires_grad_(with_grads)
            for (name, weight), shift in zip(weights.items(), shifts, strict=True)
        }
        with torch.set_grad_enabled(with_grads):
            value = loss(functional_call(model, shifted, (x,)), y)
        if not with_grads:
            return value.item(), []
        inputs = list(shifted.values())
        return value.item(), list(torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True))

    return around


def _highest(around: _Around, region: _Region, steps: int) -> tuple[float, float]:
    """The loss at the weights, and the highest loss met on the way up."""
    base, grads = around(None, True)
    if not math.isfinite(base):
        raise ModelError(f"sharpness: the loss at the weights is {base}; expected a finite one")
    best, eps = base, None
    for remaining in range(steps - 1, -1, -1):
        eps = region.ascend(eps, grads)
        met, grads = around(eps, remaining > 0)
        best = max(best, math.inf if math.isnan(met) else met)
    return base, best
