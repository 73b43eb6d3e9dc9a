"""Move to the worst nearby weights, and restore the old ones exactly.

The old weights are copied before: subtracting the step again returns only about 93 % of float32 weights bit
for bit, and far fewer in bfloat16.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from analog_samson.chip.batchnorm import frozen_statistics
from analog_samson.errors import OptionError
from analog_samson.sharpness.chunks import BufferPool
from analog_samson.sharpness.fast_ascent import GradientNorms, TensorGroup, ascent_steps, gradient_norms, perturb_
from analog_samson.sharpness.methods import Sam, make_perturbation, worst_case_methods
from analog_samson.sharpness.perturbations import Perturbation, WorstCase, widened
from analog_samson.sharpness.selection import ParamInfo, describe_parameters, find_selection

_logger = logging.getLogger(__name__)
Watch = Callable[[Sequence[ParamInfo], Sequence[Tensor]], None]


@dataclass(frozen=True, slots=True, eq=False)
class ParamGroup:
    """Parameters that share a method and a selection mode."""

    parameters: Sequence[ParamInfo]
    perturbation: Perturbation
    selection: str


@dataclass(frozen=True, slots=True, eq=False)
class Ascent:
    """Which parameters are perturbed, and how: a plan that moves nothing yet.

    A group of size 0 takes no part: its tensors stay, and its gradient does not enter the global norm.

    Attributes:
        groups: Each with its own method.
        model: The network whose batch-norm statistics do not change while weights are perturbed, if it is known.
        buffers: The memory for the copy of the weights, between perturbations.
    """

    groups: Sequence[ParamGroup]
    model: nn.Module | None = None
    buffers: BufferPool = field(default_factory=BufferPool)


class AscentResult(NamedTuple):
    """The norm ||T g||_2 (nan or inf if the gradient was not finite), and whether weights moved."""

    norm: float
    moved: bool

    @property
    def finite(self) -> bool:
        """Whether the gradient was finite."""
        return math.isfinite(self.norm)


@runtime_checkable
class HasAscent(Protocol):
    """Anything that carries its own ascent: the optimizers of this package."""

    @property
    def ascent(self) -> Ascent: ...


def plan_ascent(
    model: nn.Module,
    *,
    method: str = "samson",
    rho: float | None = None,
    p: float | None = None,
    eta: float | None = None,
    selection: str = "weights_only",
    perturbation: Perturbation | None = None,
) -> Ascent:
    """The ascent of a whole model.

    Args:
        model: The network.
        method: A registered name, see `methods.register_method`.
        rho, p, eta: The method's options; None is its default. A method ignores those that it does not have.
        selection: Which parameters are perturbed, see `selection.SELECTIONS`.
        perturbation: The method as an object, in the place of `method` and its options.

    Raises:
        OptionError: An option has an impossible value, or both forms are given.

    >>> plan_ascent(nn.Linear(2, 3)).groups[0].perturbation
    Samson(rho=0.5, eta=0.01, p=inf)
    """
    eta_of_selection = find_selection(selection).eta
    if perturbation is None:
        perturbation = make_perturbation(method, worst_case_methods(), rho=rho, p=p, eta=eta)
    elif any(option is not None for option in (rho, p, eta)):
        raise OptionError("perturbation: has rho, p and eta of its own; leave out the options of that name")
    return Ascent([ParamGroup(describe_parameters(model), perturbation.filled(eta_of_selection), selection)], model)


@contextmanager
def perturbed(
    source: nn.Module | Ascent | HasAscent,
    *,
    method: str | None = None,
    rho: float | None = None,
    p: float | None = None,
    eta: float | None = None,
    selection: str | None = None,
    perturbation: Perturbation | None = None,
) -> Iterator[AscentResult]:
    """Hold a model at the worst nearby weights for a block; then restore the weights exactly, also on an exception.

    The step goes along the gradients that the parameters hold on entry. The backward pass belongs inside the block.
    Batch-norm running statistics do not change inside. A gradient that is zero or not finite moves nothing; the latter
    is logged. Nothing is drawn.

    Args:
        source: A model, with the options of `plan_ascent`, or an optimizer of this package, which has its own.
        method, rho, p, eta, selection, perturbation: As in `plan_ascent`.

    Yields:
        What the step did.

    Raises:
        OptionError: The options cannot be, or nothing would ever be perturbed.

    >>> model = nn.Linear(2, 1)
    >>> model(torch.ones(1, 2)).sum().backward()
    >>> before = model.weight.detach().clone()
    >>> with perturbed(model, rho=0.1) as result:
    ...     moved = not torch.equal(model.weight, before)
    >>> result.moved, moved, torch.equal(model.weight, before)
    (True, True, True)
    """
    options = {"method": method, "rho": rho, "p": p, "eta": eta, "selection": selection, "perturbation": perturbation}
    given = {name: value for name, value in options.items() if value is not None}
    with ExitStack() as stack:
        result = perturb_on(stack, _ascent_of(source, given))
        if not result.finite:
            _logger.warning("the gradient is not finite: the weights are not perturbed")
        yield result


def _ascent_of(source: nn.Module | Ascent | HasAscent, options: dict[str, Any]) -> Ascent:
    if isinstance(source, nn.Module):
        ascent = plan_ascent(source, **options)
        expect_moving(ascent)
        return ascent
    if options:
        raise OptionError(f"perturbed: {', '.join(options)} given, but the options come from {type(source).__name__}")
    if isinstance(source, Ascent):
        return source
    if isinstance(source, HasAscent):
        return source.ascent
    raise OptionError(
        f"perturbed: expected a model or one of SAM, ASAM, SAMSON, got {type(source).__name__}; "
        "with another optimizer pass the model"
    )


def perturb_on(stack: ExitStack, ascent: Ascent, *, watch: Watch | None = None) -> AscentResult:
    """Move the weights in place along the present gradients; closing `stack` restores everything.

    Args:
        stack: Takes the callback that restores.
        ascent: What moves.
        watch: Called with the parameters and their steps before they move.
    """
    chosen = list(tensor_groups(ascent))
    groups = [group for _, group in chosen]
    norms = gradient_norms(groups)
    if norms.has_direction:
        if watch is not None:
            steps = ascent_steps(groups).eps
            watch([info for infos, _ in chosen for info in infos], [eps for group in steps for eps in group])
        _move(stack, groups, norms, ascent.buffers)
    if ascent.model is not None:
        stack.enter_context(frozen_statistics(ascent.model))
    return AscentResult(norms.norm, norms.has_direction)


def tensor_groups(ascent: Ascent) -> Iterator[tuple[list[ParamInfo], TensorGroup]]:
    """The parameters that can move now, with their gradients: those without one, empty or frozen are left out."""
    for group in ascent.groups:
        if group.perturbation.size:
            for chosen, perturbation in by_role(group, [info for info in group.parameters if _can_move(info)]):
                if not isinstance(perturbation, WorstCase):
                    raise OptionError(f"method {perturbation.name}: has no ascent step; choose another method")
                tensors = [info.tensor for info in chosen]
                yield chosen, TensorGroup(tensors, [_gradient(info) for info in chosen], perturbation)


def by_role(group: ParamGroup, candidates: Sequence[ParamInfo]) -> Iterator[tuple[list[ParamInfo], Perturbation]]:
    """The candidates that the selection lets move: first those with the method's T, then those with T = 1."""
    role = find_selection(group.selection).role
    roles = [(info, role(info)) for info in candidates]
    for wanted in ("scaled", "unscaled"):
        chosen = [info for info, found in roles if found == wanted]
        if chosen:
            yield chosen, group.perturbation if wanted == "scaled" else Sam(rho=group.perturbation.size)


def moving_parameters(group: ParamGroup) -> tuple[list[ParamInfo], list[Tensor]]:
    """All parameters that the selection lets move, with a gradient or without, frozen or not, and T of each."""
    moving: list[ParamInfo] = []
    scales: list[Tensor] = []
    with torch.no_grad():
        for chosen, perturbation in by_role(group, _movable(group)):
            moving += chosen
            scales += [perturbation.scale(weight) for weight in widened([info.tensor for info in chosen])]
    return moving, scales


def expect_moving(ascent: Ascent) -> None:
    """Refuse an ascent with a radius that would leave every weight of a network in training where it is."""
    groups = [group for group in ascent.groups if group.perturbation.size > 0]
    moving = [info for group in groups for chosen, _ in by_role(group, _movable(group)) for info in chosen]
    if groups and not any(info.tensor.requires_grad for info in moving):
        raise OptionError(
            f"method {groups[0].perturbation.name}: selection {groups[0].selection!r} picks {len(moving)} parameters "
            "of the network, none of which is trained: nothing would ever be perturbed; choose another selection, or "
            "rho 0"
        )


def _movable(group: ParamGroup) -> list[ParamInfo]:
    return [info for info in group.parameters if info.tensor.numel() and info.tensor.is_floating_point()]


def _can_move(info: ParamInfo) -> bool:
    return info.tensor.requires_grad and info.tensor.grad is not None and info.tensor.numel() > 0


def expect_dense(info: ParamInfo) -> None:
    """Refuse a gradient that has no dense real numbers to step along."""
    gradient = info.tensor.grad
    if gradient is not None and (gradient.layout != torch.strided or gradient.is_complex()):
        kind = "complex" if gradient.is_complex() else "sparse"
        raise OptionError(
            f"parameter {info.name or tuple(info.tensor.shape)}: its gradient is {kind}; expected a dense real one "
            "(for nn.Embedding: sparse=False)"
        )


def _gradient(info: ParamInfo) -> Tensor:
    expect_dense(info)
    assert info.tensor.grad is not None
    return info.tensor.grad


@torch.no_grad()
def _move(stack: ExitStack, groups: Sequence[TensorGroup], norms: GradientNorms, buffers: BufferPool) -> None:
    weights = [weight for group in groups for weight in group.weights]
    if len({weight.data_ptr() for weight in weights}) < len(weights):
        raise OptionError("two parameters hold the same memory and would move twice; tie them as one nn.Parameter")
    saved = buffers.take(weights)
    copies = iter(saved)
    with ExitStack() as undo:
        for group, inverses in zip(groups, norms.inverses, strict=True):
            _move_group(undo, group, inverses, norms.norm, list(islice(copies, len(group.weights))))
        undo.pop_all()
    stack.callback(_restore, weights, saved, buffers)
    torch.clear_autocast_cache()  # else a second pass in the same autocast block would meet the old weights


def _move_group(undo: ExitStack, group: TensorGroup, inverses: list[float], norm: float, saved: list[Tensor]) -> None:
    """w + eps into w, and w into `saved`; closing `undo` restores what has moved, should it fail half-way."""
    for owners, (weights, grads, copies) in group.chunks(saved):
        torch._foreach_copy_(copies, weights)
        undo.callback(torch._foreach_copy_, weights, copies)
        chunk = TensorGroup(weights, grads, group.perturbation)
        perturb_(chunk, [inverses[owner] for owner in owners], norm)


@torch.no_grad()
def _restore(weights: list[Tensor], saved: list[Tensor], buffers: BufferPool) -> None:
    torch._foreach_copy_(weights, saved)
    buffers.give(saved)
    torch.clear_autocast_cache()
