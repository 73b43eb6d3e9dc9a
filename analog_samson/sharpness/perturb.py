"""Climb to the worst nearby weights and give the old ones back exactly.

The old weights are copied before the climb: subtracting the step again returns only about 93 % of float32 weights bit
for bit, and far fewer in bfloat16.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from analog_samson.chip.batchnorm import frozen_statistics
from analog_samson.errors import OptionError
from analog_samson.sharpness.blocks import Buffers, blocks
from analog_samson.sharpness.scale import (
    DEFAULT_RHO,
    Neighbourhood,
    Piece,
    Slope,
    ascent_steps,
    climb,
    scales,
    slope_of,
)
from analog_samson.sharpness.selection import Member, find_selection, members

_logger = logging.getLogger(__name__)
Watch = Callable[[Sequence[Member], Sequence[Tensor]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Parameters that share a neighbourhood and a selection mode."""

    members: Sequence[Member]
    hood: Neighbourhood
    selection: str


@dataclass(frozen=True, slots=True, eq=False)
class Ascent:
    """A climb as data: who takes part and how far, and whose batch-norm statistics stand still meanwhile.

    A part with rho = 0 takes no part: its tensors stay, and its gradient does not enter the global norm. Between climbs
    `buffers` keeps the memory for the copy of the weights.
    """

    parts: Sequence[Part]
    model: nn.Module | None = None
    buffers: Buffers = field(default_factory=Buffers)


class Climb(NamedTuple):
    """What a climb did: the norm ||T g||_2 (nan or inf if the gradient was not finite), and whether weights moved."""

    norm: float
    moved: bool

    @property
    def finite(self) -> bool:
        return math.isfinite(self.norm)


@runtime_checkable
class Ascending(Protocol):
    """Anything that carries its own ascent: the optimizers of this package."""

    @property
    def ascent(self) -> Ascent: ...


def plan_ascent(
    model: nn.Module,
    *,
    method: str = "samson",
    rho: float | None = None,
    p: float = math.inf,
    eta: float | None = None,
    selection: str = "weights_only",
) -> Ascent:
    """The ascent of a whole model; rho None is the method's default radius, eta None that of the selection mode.

    >>> plan_ascent(nn.Linear(2, 3)).parts[0].hood
    Neighbourhood(method='samson', rho=0.5, p=inf, eta=0.01)
    """
    radius = DEFAULT_RHO.get(method, 0.0) if rho is None else rho  # an unknown method is refused in the next line
    hood = Neighbourhood(method=method, rho=radius, p=p, eta=find_selection(selection).eta if eta is None else eta)
    return Ascent([Part(members(model), hood, selection)], model)


@contextmanager
def perturbed(
    source: nn.Module | Ascent | Ascending,
    *,
    method: str | None = None,
    rho: float | None = None,
    p: float | None = None,
    eta: float | None = None,
    selection: str | None = None,
) -> Iterator[Climb]:
    """Hold a model at the worst nearby weights for a block; then put the old weights back, also on an exception.

    Climbs along the gradients that the parameters hold on entry, with any optimizer:

    >>> model = nn.Linear(2, 1)
    >>> model(torch.ones(1, 2)).sum().backward()
    >>> before = model.weight.detach().clone()
    >>> with perturbed(model, rho=0.1) as climb:
    ...     moved = not torch.equal(model.weight, before)
    >>> climb.moved, moved, torch.equal(model.weight, before)
    (True, True, True)

    source: a model, with the options of `plan_ascent` (samson, p = inf, weights_only unless given), or an optimizer
    of this package, which brings its own. Batch-norm running statistics of the model stand still inside the block.
    The backward pass has to be inside the block as well. A gradient that is zero or not finite moves nothing; the
    latter is logged. Nothing is drawn.
    """
    options = {"method": method, "rho": rho, "p": p, "eta": eta, "selection": selection}
    given = {name: value for name, value in options.items() if value is not None}
    with ExitStack() as stack:
        climb = climb_on(stack, _ascent_of(source, given))
        if not climb.finite:
            _logger.warning("the gradient is not finite: the weights are not perturbed")
        yield climb


def _ascent_of(source: nn.Module | Ascent | Ascending, options: dict) -> Ascent:
    if isinstance(source, nn.Module):
        ascent = plan_ascent(source, **options)
        expect_moving(ascent)
        return ascent
    if options:
        raise OptionError(f"perturbed: {', '.join(options)} given, but the options come from {type(source).__name__}")
    if isinstance(source, Ascent):
        return source
    if isinstance(source, Ascending):
        return source.ascent
    raise OptionError(
        f"perturbed: expected a model or one of SAM, ASAM, SAMSON, got {type(source).__name__}; "
        "with another optimizer pass the model"
    )


def climb_on(stack: ExitStack, ascent: Ascent, *, watch: Watch | None = None) -> Climb:
    """Climb now; closing `stack` puts everything back. `watch` sees the parameters and their steps before they move.

    Changes the weights in place. One copy of the weights is kept.
    """
    chosen = list(pieces_of(ascent))
    pieces = [piece for _, piece in chosen]
    slope = slope_of(pieces)
    if slope.rises:
        if watch is not None:
            steps = ascent_steps(pieces).eps
            watch([member for part, _ in chosen for member in part], [eps for piece in steps for eps in piece])
        _move(stack, pieces, slope, ascent.buffers)
    if ascent.model is not None:
        stack.enter_context(frozen_statistics(ascent.model))
    return Climb(slope.norm, slope.rises)


def pieces_of(ascent: Ascent) -> Iterator[tuple[list[Member], Piece]]:
    """The parameters that can move now, with their gradients: those without one, empty or frozen are left out."""
    for part in ascent.parts:
        if part.hood.rho:
            for chosen, hood in by_role(part, [member for member in part.members if _can_move(member)]):
                yield chosen, Piece([m.tensor for m in chosen], [_gradient(m) for m in chosen], hood)


def by_role(part: Part, candidates: Sequence[Member]) -> Iterator[tuple[list[Member], Neighbourhood]]:
    """The candidates that the selection lets move, split by rule: those with the method's T, then those with T = 1."""
    role = find_selection(part.selection).role
    roles = [(member, role(member)) for member in candidates]
    for wanted, hood in (("scaled", part.hood), ("unscaled", replace(part.hood, method="sam"))):
        chosen = [member for member, found in roles if found == wanted]
        if chosen:
            yield chosen, hood


def moving_members(part: Part) -> tuple[list[Member], list[Tensor]]:
    """All parameters that the selection lets move, with a gradient or without, frozen or not, and T of each."""
    moving: list[Member] = []
    factors: list[Tensor] = []
    for chosen, hood in by_role(part, [m for m in part.members if m.tensor.numel() and m.tensor.is_floating_point()]):
        moving += chosen
        factors += scales([member.tensor for member in chosen], hood)
    return moving, factors


def expect_moving(ascent: Ascent) -> None:
    """Refuse an ascent with a radius that would leave every weight of a network in training where it is."""
    parts = [part for part in ascent.parts if part.hood.rho > 0]
    moving = [member for part in parts for member in moving_members(part)[0]]
    if parts and not any(member.tensor.requires_grad for member in moving):
        raise OptionError(
            f"method {parts[0].hood.method}: selection {parts[0].selection!r} picks {len(moving)} parameters of the "
            "network, none of which is trained: nothing would ever be perturbed; choose another selection, or rho 0"
        )


def _can_move(member: Member) -> bool:
    return member.tensor.requires_grad and member.tensor.grad is not None and member.tensor.numel() > 0


def expect_dense(member: Member) -> None:
    """Refuse a gradient that has no dense real numbers to climb along."""
    gradient = member.tensor.grad
    if gradient is not None and (gradient.layout != torch.strided or gradient.is_complex()):
        kind = "complex" if gradient.is_complex() else "sparse"
        raise OptionError(
            f"parameter {member.name or tuple(member.tensor.shape)}: its gradient is {kind}; expected a dense real one "
            "(for nn.Embedding: sparse=False)"
        )


def _gradient(member: Member) -> Tensor:
    expect_dense(member)
    assert member.tensor.grad is not None
    return member.tensor.grad


@torch.no_grad()
def _move(stack: ExitStack, pieces: Sequence[Piece], slope: Slope, buffers: Buffers) -> None:
    weights = [weight for piece in pieces for weight in piece.weights]
    if len({weight.data_ptr() for weight in weights}) < len(weights):
        raise OptionError("two parameters hold the same memory and would move twice; tie them as one nn.Parameter")
    saved = buffers.take(weights)
    copies = iter(saved)
    with ExitStack() as undo:
        for piece, inverses in zip(pieces, slope.inverses, strict=True):
            _move_piece(undo, piece, inverses, slope.norm, list(islice(copies, len(piece.weights))))
        undo.pop_all()
    stack.callback(_put_back, weights, saved, buffers)
    torch.clear_autocast_cache()  # else a second pass in the same autocast block would meet the old weights


def _move_piece(undo: ExitStack, piece: Piece, inverses: list[float], norm: float, saved: list[Tensor]) -> None:
    """w + eps into w, and w into `saved`; closing `undo` takes back what is done, should it fail half-way."""
    for owners, (weights, grads, copies) in blocks(piece.weights, piece.grads, saved):
        torch._foreach_copy_(copies, weights)
        undo.callback(torch._foreach_copy_, weights, copies)
        climb(Piece(weights, grads, piece.hood), [inverses[owner] for owner in owners], norm)


@torch.no_grad()
def _put_back(weights: list[Tensor], saved: list[Tensor], buffers: Buffers) -> None:
    torch._foreach_copy_(weights, saved)
    buffers.give(saved)
    torch.clear_autocast_cache()
