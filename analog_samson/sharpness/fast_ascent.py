"""The worst-case step of `perturbations.ascent_step`, with as few passes over memory and launches as there can be.

A method whose T is 1, |w| + eta, or that over one norm a tensor (`ScaleForm`) is computed chunk by chunk by operations
on lists of tensors, and the host reads all norms in one synchronisation. For any other method `scale` computes T, one
tensor at a time. float16 and bfloat16 are computed in float32.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from analog_samson.errors import OptionError
from analog_samson.sharpness.chunks import Chunk, iter_chunks
from analog_samson.sharpness.perturbations import NO_RANGE, ScaleForm, WorstCase, widened


class TensorGroup(NamedTuple):
    """Tensors that share a method, with their gradients (equal shapes, dense)."""

    weights: Sequence[Tensor]
    grads: Sequence[Tensor]
    perturbation: WorstCase

    def chunks(self, *more: Sequence[Tensor]) -> Iterator[Chunk]:
        """Weights, gradients and `more` in chunks; whole tensors where T has to be computed from all of a tensor."""
        lists = (self.weights, self.grads, *more)
        if self.perturbation.scale_form is not None:
            return iter_chunks(*lists)
        return iter([Chunk([owner], [[tensors[owner]] for tensors in lists]) for owner in range(len(self.weights))])


class GradientNorms(NamedTuple):
    """What the host has to know of an ascent step: the global norm ||T g||_2, and 1 / ||w||_p of each tensor by group.

    The inverses are 1 where T has no norm in it, and 0 for a tensor without range, which then does not move.
    """

    norm: float
    inverses: list[list[float]]

    @property
    def has_direction(self) -> bool:
        """Whether a direction is steepest: not if the norm is zero, or not finite."""
        return 0 < self.norm < math.inf


class AscentSteps(NamedTuple):
    """eps of every tensor by group (float32 or wider; empty where no direction is steepest), and ||T g||_2."""

    eps: list[list[Tensor]]
    norm: float


@torch.no_grad()
def ascent_steps(groups: Sequence[TensorGroup]) -> AscentSteps:
    """eps = rho T^2 g / ||T g||_2 with one norm over all groups, each group with its own T and rho."""
    norms = gradient_norms(groups)
    if not norms.has_direction:
        return AscentSteps([], norms.norm)
    eps = [[torch.zeros_like(weight) for weight in widened(group.weights)] for group in groups]
    for group, inverses, zeros in zip(groups, norms.inverses, eps, strict=True):
        squares = _squares(group.weights, group.perturbation, inverses)
        _add_steps(zeros, squares, group.grads, group.perturbation.rho / norms.norm)
    return AscentSteps(eps, norms.norm)


@torch.no_grad()
def gradient_norms(groups: Sequence[TensorGroup]) -> GradientNorms:
    """The norms of an ascent step, read by the host in a single synchronisation; nothing is changed.

    With A = |w| + eta and n = ||w||_p the norm of T g is that of A g / n, and n is one number a tensor. That both are
    known to the host tells it whether the gradient is finite.
    """
    found = [[_measured(chunk, group.perturbation) for chunk in group.chunks()] for group in groups]
    on_device = [number for parts in found for part in parts for number in (*part.norms, *part.divisors)]
    numbers = iter(_to_host(on_device))
    read = [_joined_norms(group, parts, numbers) for group, parts in zip(groups, found, strict=True)]
    norm = math.hypot(*(n * inverse for norms, inverses in read for n, inverse in zip(norms, inverses, strict=True)))
    return GradientNorms(norm, [inverses for _, inverses in read])


@torch.no_grad()
def perturb_(group: TensorGroup, inverses: Sequence[float], norm: float) -> None:
    """w + eps into w; `inverses` and `norm` as in GradientNorms, of these tensors or of the views of a chunk."""
    squares = _squares(group.weights, group.perturbation, inverses)
    _add_steps(group.weights, squares, group.grads, group.perturbation.rho / norm)


def _squares(weights: Sequence[Tensor], perturbation: WorstCase, inverses: Sequence[float]) -> list[Tensor] | None:
    """T^2, float32 or wider; None where T is one everywhere.

    T is divided by the norm before it is squared: 1 / n^2 alone may leave float32.
    """
    form = perturbation.scale_form
    if form is None:
        return [scale.square() for scale in _scales(weights, perturbation)]
    if not form.by_size:
        return None
    sizes = _sizes(widened(weights), form)
    if form.order is not None:
        torch._foreach_mul_(sizes, list(inverses))
    torch._foreach_mul_(sizes, sizes)
    return sizes


def _add_steps(to: Sequence[Tensor], squares: list[Tensor] | None, grads: Sequence[Tensor], factor: float) -> None:
    """Add factor T^2 g in place; `squares` is used up."""
    wide = widened(grads)
    if squares is None:
        torch._foreach_add_(list(to), wide, alpha=factor)
    elif all(one.dtype == square.dtype == grad.dtype for one, square, grad in zip(to, squares, wide, strict=True)):
        torch._foreach_addcmul_(list(to), squares, wide, value=factor)
    else:
        torch._foreach_mul_(squares, wide)
        torch._foreach_add_(list(to), squares, alpha=factor)


class _ChunkNorms(NamedTuple):
    """||A g||_2 and ||w||_p of each view of a chunk, still on the device."""

    owners: list[int]
    norms: list[Tensor]
    divisors: list[Tensor]


def _measured(chunk: Chunk, perturbation: WorstCase) -> _ChunkNorms:
    weights, grads = (widened(views) for views in chunk.views)
    form = perturbation.scale_form
    if form is None:
        scaled = torch._foreach_mul(_scales(weights, perturbation), grads)
        return _ChunkNorms(chunk.owners, list(torch._foreach_norm(scaled, 2)), [])
    if not form.by_size:
        return _ChunkNorms(chunk.owners, list(torch._foreach_norm(grads, 2)), [])
    sizes = _sizes(weights, ScaleForm(by_size=True))
    divisors = [] if form.order is None else _p_norms(sizes, form.order)
    if form.eta:
        torch._foreach_add_(sizes, form.eta)
    torch._foreach_mul_(sizes, grads)
    return _ChunkNorms(chunk.owners, list(torch._foreach_norm(sizes, 2)), divisors)


def _joined_norms(
    group: TensorGroup, parts: list[_ChunkNorms], numbers: Iterator[float]
) -> tuple[list[float], list[float]]:
    """||A g||_2 and 1 / ||w||_p of each tensor, from those of its views; 0 for a tensor without range."""
    norms: list[list[float]] = [[] for _ in group.weights]
    divisors: list[list[float]] = [[] for _ in group.weights]
    for part in parts:
        for owner, number in zip(part.owners, islice(numbers, len(part.norms)), strict=True):
            norms[owner].append(number)
        for owner, number in zip(part.owners, islice(numbers, len(part.divisors)), strict=False):
            divisors[owner].append(number)
    form = group.perturbation.scale_form
    order = None if form is None else form.order
    joined = [1.0 if order is None else _joined(found, order) for found in divisors]
    return [math.hypot(*found) for found in norms], [0.0 if n <= NO_RANGE else 1 / n for n in joined]


def _joined(norms: list[float], p: float) -> float:
    """The p-norm of a tensor from those of its views."""
    largest = max(norms)
    if len(norms) == 1 or p == math.inf or not 0 < largest < math.inf:
        return largest
    return largest * math.fsum((norm / largest) ** p for norm in norms) ** (1 / p)


def _scales(weights: Sequence[Tensor], perturbation: WorstCase) -> list[Tensor]:
    """T of whole tensors by the method's own formula."""
    scales = [perturbation.scale(weight) for weight in widened(weights)]
    for weight, scale in zip(weights, scales, strict=True):
        if scale.shape != weight.shape:
            raise OptionError(
                f"method {perturbation.name}: its scale has the shape {tuple(scale.shape)} for a weight of shape "
                f"{tuple(weight.shape)}; expected the same shape"
            )
    return scales


def _sizes(weights: list[Tensor], form: ScaleForm) -> list[Tensor]:
    """|w| + eta."""
    sizes = list(torch._foreach_abs(weights))
    if form.eta:
        torch._foreach_add_(sizes, form.eta)
    return sizes


def _p_norms(sizes: list[Tensor], p: float) -> list[Tensor]:
    """||w||_p of each tensor of sizes |w|, 0-d, on its device; of w / max|w| beyond p = 2, as in `p_norm`."""
    if p <= 2:
        return list(torch._foreach_norm(sizes, p))
    if p == math.inf:
        return _largest(sizes)
    largest = [torch.where(top > 0, top, 1) for top in _largest(sizes)]
    return list(torch._foreach_mul(torch._foreach_norm(torch._foreach_div(sizes, largest), p), largest))


def _largest(sizes: list[Tensor]) -> list[Tensor]:
    """The largest number of each tensor, none below 0. On a CPU the infinity norm takes 15 times as long as amax."""
    if all(size.device.type == "cpu" for size in sizes):
        return [size.amax() for size in sizes]
    return list(torch._foreach_norm(sizes, math.inf))


def _to_host(numbers: list[Tensor]) -> list[float]:
    """One read for all numbers, whatever devices they lie on."""
    if not numbers:
        return []
    return torch.stack([number.to(numbers[0].device) for number in numbers]).tolist()
