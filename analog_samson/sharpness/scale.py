"""How far a weight may move: the scale T of SAM, ASAM and SAMSON, and the ascent step inside ||eps / T||_2 <= rho.

    T = 1                          SAM     (eq. 1-2)
    T = |w| + eta                  ASAM    (eq. 3-4)
    T = (|w| + eta) / ||w||_p      SAMSON  (eq. 5-6), the p-norm of one tensor
    eps = rho T^2 g / ||T g||_2    the worst step to first order; the 2-norm runs over all tensors together

The printed eq. 6 has lost a w in its denominator: the maximiser of g.eps under the constraint of eq. 5 is the line
above. With p = inf and weights clipped to c in every layer, SAMSON with rho is ASAM with rho / c, eta included.
Everything here is a function of tensors; which tensors take part is decided in `selection.py`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from analog_samson.errors import OptionError, did_you_mean, list_faults
from analog_samson.sharpness.blocks import Block, blocks

# The radius that the paper takes as each method's default (its section 5, CIFAR-10).
DEFAULT_RHO = {"sam": 0.05, "asam": 0.5, "samson": 0.5}
# A tensor whose p-norm is no larger counts as zeros: it has no range to scale by, and 1 / norm would leave float32.
NO_RANGE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """The region in which the worst weights are sought: ||eps / T||_2 <= rho.

    method: "sam", "asam" or "samson", the rule for T. rho: the radius, dimensionless for samson and asam, in units of
    the weights for sam. p: the norm of SAMSON, a number >= 1 or infinity (the outlier weight). eta: added to |w|
    before any division, in units of the weights, so that a zero weight can move; sam has no use for p and eta.

    >>> Neighbourhood(method="samson", rho=0.5).p
    inf
    """

    method: str
    rho: float
    p: float = math.inf
    eta: float = 0.0

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise OptionError(list_faults("sharpness options", faults))


def _faults(hood: Neighbourhood) -> Iterator[str]:
    if hood.method not in DEFAULT_RHO:
        hint = did_you_mean(str(hood.method), DEFAULT_RHO)
        yield f"method: expected one of {', '.join(DEFAULT_RHO)}, got {hood.method!r}{hint}"
    if not (_is_number(hood.rho) and 0 <= hood.rho < math.inf):
        yield f"rho: expected a finite number >= 0, got {hood.rho!r}"
    if not (_is_number(hood.p) and hood.p >= 1):
        yield f"p: expected a number >= 1 or infinity, got {hood.p!r}"
    if not (_is_number(hood.eta) and 0 <= hood.eta < math.inf):
        yield f"eta: expected a finite number >= 0, got {hood.eta!r}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@torch.no_grad()
def scales(weights: Sequence[Tensor], hood: Neighbourhood) -> list[Tensor]:
    """T of every tensor, shaped as the tensors, float32 or wider; nothing is changed or drawn.

    A tensor of zeros only has no range to scale by: its T is zero under SAMSON, so it does not move.

    >>> scales([torch.tensor([0.2, -0.4])], Neighbourhood(method="samson", rho=0.5))
    [tensor([0.5000, 1.0000])]
    """
    wide = _widened(weights)
    sizes = _sizes(wide, hood)
    if sizes is None:
        return [torch.ones_like(weight) for weight in wide]
    if hood.method == "asam":
        return sizes
    divisors = [
        torch.where(norm > NO_RANGE, norm, math.inf) for norm in _p_norms(list(torch._foreach_abs(wide)), hood.p)
    ]
    return list(torch._foreach_div(sizes, divisors))


class Piece(NamedTuple):
    """Tensors that share a neighbourhood, with their gradients (equal shapes, dense)."""

    weights: Sequence[Tensor]
    grads: Sequence[Tensor]
    hood: Neighbourhood


class Slope(NamedTuple):
    """What the host has to know to climb: the global norm ||T g||_2, and 1 / ||w||_p of each tensor, piece by piece.

    The inverses are 1 where T has no norm in it, and 0 for a tensor without range, which then does not move.
    """

    norm: float
    inverses: list[list[float]]

    @property
    def rises(self) -> bool:
        """Whether a direction is steepest: not if the norm is zero, or not finite."""
        return 0 < self.norm < math.inf


class Steps(NamedTuple):
    """eps of every tensor, piece by piece (float32 or wider; empty where no direction is steepest), and ||T g||_2."""

    eps: list[list[Tensor]]
    norm: float


def ascent_step(weights: Sequence[Tensor], grads: Sequence[Tensor], hood: Neighbourhood) -> list[Tensor]:
    """eps of tensors that share one neighbourhood; zeros where the gradient is zero or not finite.

    >>> w, g = torch.tensor([1.0, -2.0]), torch.tensor([4.0, 0.0])
    >>> ascent_step([w], [g], Neighbourhood(method="samson", rho=0.5))
    [tensor([0.2500, 0.0000])]
    """
    steps = ascent_steps([Piece(weights, grads, hood)])
    return steps.eps[0] if steps.eps else [torch.zeros_like(weight) for weight in _widened(weights)]


@torch.no_grad()
def ascent_steps(pieces: Sequence[Piece]) -> Steps:
    """eps = rho T^2 g / ||T g||_2 with one norm over all pieces, each piece with its own T and rho."""
    slope = slope_of(pieces)
    if not slope.rises:
        return Steps([], slope.norm)
    eps = [[torch.zeros_like(weight) for weight in _widened(piece.weights)] for piece in pieces]
    for piece, inverses, zeros in zip(pieces, slope.inverses, eps, strict=True):
        _add_steps(zeros, _squares(piece.weights, piece.hood, inverses), piece.grads, piece.hood.rho / slope.norm)
    return Steps(eps, slope.norm)


@torch.no_grad()
def slope_of(pieces: Sequence[Piece]) -> Slope:
    """The norms of a climb, read by the host in a single synchronisation; nothing is changed.

    With A = |w| + eta and n = ||w||_p the norm of T g is that of A g / n, and n is one number a tensor. That both are
    known to the host tells it whether the gradient is finite. float16 and bfloat16 are computed in float32.
    """
    found = [[_measured(block, piece.hood) for block in blocks(piece.weights, piece.grads)] for piece in pieces]
    numbers = iter(_to_host([number for parts in found for part in parts for number in (*part.norms, *part.divisors)]))
    read = [_host_piece(piece, parts, numbers) for piece, parts in zip(pieces, found, strict=True)]
    norm = math.hypot(*(n * inverse for norms, inverses in read for n, inverse in zip(norms, inverses, strict=True)))
    return Slope(norm, [inverses for _, inverses in read])


@torch.no_grad()
def climb(piece: Piece, inverses: Sequence[float], norm: float) -> None:
    """w + eps into w; `inverses` and `norm` as in Slope, of these tensors or of parts of them."""
    _add_steps(piece.weights, _squares(piece.weights, piece.hood, inverses), piece.grads, piece.hood.rho / norm)


def _squares(weights: Sequence[Tensor], hood: Neighbourhood, inverses: Sequence[float]) -> list[Tensor] | None:
    """T^2, float32 or wider; None for SAM, whose T is one everywhere.

    T is divided by the norm before it is squared: 1 / n^2 alone may leave float32.
    """
    sizes = _sizes(_widened(weights), hood)
    if sizes is None:
        return None
    if hood.method == "samson":
        torch._foreach_mul_(sizes, list(inverses))
    torch._foreach_mul_(sizes, sizes)
    return sizes


def _add_steps(to: Sequence[Tensor], squares: list[Tensor] | None, grads: Sequence[Tensor], factor: float) -> None:
    """Add factor T^2 g in place, with as few passes over memory as there can be; `squares` is used up."""
    wide = _widened(grads)
    if squares is None:
        torch._foreach_add_(list(to), wide, alpha=factor)
    elif all(one.dtype == square.dtype == grad.dtype for one, square, grad in zip(to, squares, wide, strict=True)):
        torch._foreach_addcmul_(list(to), squares, wide, value=factor)
    else:
        torch._foreach_mul_(squares, wide)
        torch._foreach_add_(list(to), squares, alpha=factor)


class _Part(NamedTuple):
    """Of a block: which tensor each part belongs to, and its ||A g||_2 and ||w||_p, still on the device."""

    owners: list[int]
    norms: list[Tensor]
    divisors: list[Tensor]


def _measured(block: Block, hood: Neighbourhood) -> _Part:
    weights, grads = (_widened(parts) for parts in block.parts)
    if hood.method == "sam":
        return _Part(block.owners, list(torch._foreach_norm(grads, 2)), [])
    sizes = list(torch._foreach_abs(weights))
    divisors = _p_norms(sizes, hood.p) if hood.method == "samson" else []
    _add_eta(sizes, hood)
    torch._foreach_mul_(sizes, grads)
    return _Part(block.owners, list(torch._foreach_norm(sizes, 2)), divisors)


def _host_piece(piece: Piece, parts: list[_Part], numbers: Iterator[float]) -> tuple[list[float], list[float]]:
    """||A g||_2 and 1 / ||w||_p of each tensor, from those of its parts; 0 for a tensor without range."""
    norms: list[list[float]] = [[] for _ in piece.weights]
    divisors: list[list[float]] = [[] for _ in piece.weights]
    for part in parts:
        for member, number in zip(part.owners, islice(numbers, len(part.norms)), strict=True):
            norms[member].append(number)
        for member, number in zip(part.owners, islice(numbers, len(part.divisors)), strict=False):
            divisors[member].append(number)
    joined = [_joined(found, piece.hood.p) if found else 1.0 for found in divisors]
    return [math.hypot(*found) for found in norms], [0.0 if n <= NO_RANGE else 1 / n for n in joined]


def _joined(norms: list[float], p: float) -> float:
    """The p-norm of a tensor from those of its parts."""
    largest = max(norms)
    if len(norms) == 1 or p == math.inf or not 0 < largest < math.inf:
        return largest
    return largest * math.fsum((norm / largest) ** p for norm in norms) ** (1 / p)


def _sizes(weights: list[Tensor], hood: Neighbourhood) -> list[Tensor] | None:
    """|w| + eta, or None for SAM, whose T is one everywhere."""
    if hood.method == "sam":
        return None
    sizes = list(torch._foreach_abs(weights))
    _add_eta(sizes, hood)
    return sizes


def _add_eta(sizes: list[Tensor], hood: Neighbourhood) -> None:
    if hood.eta:
        torch._foreach_add_(sizes, hood.eta)


def _p_norms(sizes: list[Tensor], p: float) -> list[Tensor]:
    """||w||_p of each tensor of sizes |w|, 0-d, on its device.

    Beyond p = 2 it is taken of w / max|w|: the powers of small weights would underflow to a norm of zero.
    """
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


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The 2-norm of all tensors taken as one vector, 0-d, on the device of the first.

    >>> global_norm([torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])])
    tensor(5.)
    """
    norms = torch._foreach_norm(list(tensors), 2)
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))


def _widened(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor for tensor in tensors]


def _to_host(numbers: list[Tensor]) -> list[float]:
    """One read for all numbers, whatever devices they lie on."""
    if not numbers:
        return []
    return torch.stack([number.to(numbers[0].device) for number in numbers]).tolist()
