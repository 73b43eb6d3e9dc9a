"""How far a weight may move: the scale T of SAM, ASAM and SAMSON, and the ascent step inside ||eps / T||_2 <= rho.

    T = 1                          SAM     (eq. 1-2)
    T = |w| + eta                  ASAM    (eq. 3-4)
    T = (|w| + eta) / ||w||_p      SAMSON  (eq. 5-6), the p-norm of one tensor
    eps = rho T^2 g / ||T g||_2    the worst step to first order; the 2-norm runs over all tensors together

The printed eq. 6 has lost a w in its denominator: the maximiser of g.eps under the constraint of eq. 5 is the line
above. Everything here is a function of tensors; which tensors take part is decided in `selection.py`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from analog_samson.errors import OptionError, did_you_mean, list_faults

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
    divisors = [torch.where(norm > NO_RANGE, norm, math.inf) for norm in _p_norms(wide, hood.p)]
    return list(torch._foreach_div(sizes, divisors))


class Piece(NamedTuple):
    """Tensors that share a neighbourhood, with their gradients (equal shapes, dense)."""

    weights: Sequence[Tensor]
    grads: Sequence[Tensor]
    hood: Neighbourhood


class Steps(NamedTuple):
    """eps of every tensor, piece by piece (float32 or wider), and the global norm ||T g||_2.

    `eps` is empty where no direction is steepest: the norm is zero, or it is not finite.
    """

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
    """eps = rho T^2 g / ||T g||_2 with one norm over all pieces, each piece with its own T and rho.

    With A = |w| + eta and n = ||w||_p the step is (A g) (rho / (n norm)) A / n: n and the norm are one number a tensor.
    They are read by the host in a single synchronisation, which also tells whether the gradient is finite, so the
    rest is a handful of fused launches whatever the number of tensors. float16 and bfloat16 are computed in float32.
    The order of the factors matters: |(A g) / (n norm)| <= 1, while A^2 and 1 / n^2 alone may leave float32.
    """
    halves = [_scaled_gradients(piece) for piece in pieces]
    numbers = iter(_to_host([number for half in halves for number in (*half.norms, *(half.divisors or ()))]))
    read = [_host_half(half, numbers) for half in halves]
    norm = math.hypot(*(m * inverse for norms, inverses in read for m, inverse in zip(norms, inverses, strict=True)))
    if not 0 < norm < math.inf:
        return Steps([], norm)
    eps = [
        _finish(half, piece.hood.rho / norm, inverses)
        for piece, half, (_, inverses) in zip(pieces, halves, read, strict=True)
    ]
    return Steps(eps, norm)


class _Half(NamedTuple):
    """A piece half-way: A (None where T = 1), A g, ||A g||_2 and ||w||_p of each tensor, all still on the device."""

    sizes: list[Tensor] | None
    scaled: list[Tensor]
    norms: list[Tensor]
    divisors: list[Tensor] | None


def _scaled_gradients(piece: Piece) -> _Half:
    weights, grads = _widened(piece.weights), _widened(piece.grads)
    sizes = _sizes(weights, piece.hood)
    scaled = grads if sizes is None else list(torch._foreach_mul(sizes, grads))
    divisors = _p_norms(weights, piece.hood.p) if piece.hood.method == "samson" else None
    return _Half(sizes, scaled, list(torch._foreach_norm(scaled, 2)), divisors)


def _host_half(half: _Half, numbers: Iterator[float]) -> tuple[list[float], list[float]]:
    """||A g||_2 and 1 / ||w||_p of each tensor; 0 for a tensor without range, which then does not move."""
    norms = list(islice(numbers, len(half.norms)))
    divisors = [1.0] * len(norms) if half.divisors is None else islice(numbers, len(half.divisors))
    return norms, [0.0 if divisor <= NO_RANGE else 1 / divisor for divisor in divisors]


def _finish(half: _Half, factor: float, inverses: list[float]) -> list[Tensor]:
    steps = list(torch._foreach_mul(half.scaled, [factor * inverse for inverse in inverses]))
    if half.sizes is not None:
        torch._foreach_mul_(steps, half.sizes)
        torch._foreach_mul_(steps, inverses)
    return steps


def _sizes(weights: list[Tensor], hood: Neighbourhood) -> list[Tensor] | None:
    """|w| + eta, or None for SAM, whose T is one everywhere."""
    if hood.method == "sam":
        return None
    sizes = list(torch._foreach_abs(weights))
    if hood.eta:
        torch._foreach_add_(sizes, hood.eta)
    return sizes


def _p_norms(weights: list[Tensor], p: float) -> list[Tensor]:
    """||w||_p of each tensor, 0-d, on its device.

    Beyond p = 2 it is taken of w / max|w|: the powers of small weights would underflow to a norm of zero.
    """
    if p <= 2 or p == math.inf:
        return list(torch._foreach_norm(weights, p))
    largest = [torch.where(top > 0, top, 1) for top in torch._foreach_norm(weights, math.inf)]
    return list(torch._foreach_mul(torch._foreach_norm(torch._foreach_div(weights, largest), p), largest))


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
