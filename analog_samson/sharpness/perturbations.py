"""What every training method that moves weights has to say of itself: how far each weight may move, and which way.

    eps = rho T^2 g / ||T g||_2    `WorstCase`: the worst step to first order inside ||eps / T||_2 <= rho
    eps = sigma T z                `RandomPerturbation`: z is standard normal

The 2-norm runs over all tensors together. Files with formulas are written to be read; `fast_ascent.py` computes the
worst-case step with fewer passes over memory, and a test holds the two equal. Which tensors take part is decided in
`selection.py`, and `methods.py` holds the methods themselves.
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from typing_extensions import Self

from analog_samson.errors import OptionError, list_faults

# A tensor whose p-norm is no larger counts as zeros: it has no range to scale by, and 1 / norm would leave float32.
NO_RANGE = 1e-12


class ScaleForm(NamedTuple):
    """A scale T that `fast_ascent` knows.

    Attributes:
        by_size: T is |w| + eta; otherwise it is 1.
        eta: In units of the weights.
        order: Divide by the norm of this order of the tensor; None does not divide.
    """

    by_size: bool = False
    eta: float = 0.0
    order: float | None = None


@dataclass(frozen=True, kw_only=True)
class Perturbation(ABC):
    """A way to move weights before the gradient is computed. Immutable; its options are checked when it is made.

    A new method derives from `WorstCase` or `RandomPerturbation` and is registered with `methods.register_method`.

    Attributes:
        name: What the command line and stored trainings call it; `register_method` sets it.
        formula: T in plain text, for tables.
        source: Where the method was published.
    """

    name: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    source: ClassVar[str] = ""

    def __post_init__(self) -> None:
        problems = list(self.problems())
        if problems:
            raise OptionError(list_faults("sharpness options", problems))

    @abstractmethod
    def scale(self, weight: Tensor) -> Tensor:
        """T of one tensor, in its shape, float32 or float64. Changes nothing and draws nothing."""

    @property
    @abstractmethod
    def size(self) -> float:
        """How far weights move: a radius or a standard deviation; 0 moves nothing."""

    @abstractmethod
    def resized(self, factor: float) -> Self:
        """The same method with its size multiplied by `factor`."""

    @abstractmethod
    def problems(self) -> Iterator[str]:
        """One line for each option that has an impossible value."""

    def filled(self, eta: float) -> Self:
        """The method with its defaults in the place of None.

        Args:
            eta: The default of an option `eta`, which depends on the selection.
        """
        return self

    @classmethod
    def option_names(cls) -> list[str]:
        """The options that the method takes."""
        return [field.name for field in dataclasses.fields(cls)]

    def options(self) -> dict[str, Any]:
        """The method's options by name, as plain values."""
        return {name: getattr(self, name) for name in self.option_names()}


@dataclass(frozen=True, kw_only=True)
class WorstCase(Perturbation):
    """Moves weights to where the loss is highest, to first order, inside ||eps / T||_2 <= rho; takes a first pass.

    Attributes:
        rho: The radius, in units of the weights over those of T.
    """

    rho: float

    @property
    def size(self) -> float:
        return self.rho

    @property
    def scale_form(self) -> ScaleForm | None:
        """T in a form that `fast_ascent` knows; None where `scale` has to compute it, one tensor at a time."""
        return None

    def resized(self, factor: float) -> Self:
        return dataclasses.replace(self, rho=self.rho * factor)

    def problems(self) -> Iterator[str]:
        if not is_size(self.rho):
            yield f"rho: expected a finite number >= 0, got {self.rho!r}"


@dataclass(frozen=True, kw_only=True)
class RandomPerturbation(Perturbation):
    """Moves weights at random, so that one pass, at the moved weights, is enough."""

    @abstractmethod
    def steps(self, noise: Sequence[Tensor], scales: Sequence[Tensor]) -> list[Tensor]:
        """eps of every tensor.

        Args:
            noise: Standard normal numbers in the shapes of the weights, float32.
            scales: T of each.
        """


def ascent_step(weights: Sequence[Tensor], grads: Sequence[Tensor], perturbation: WorstCase) -> list[Tensor]:
    """eps of tensors that share one method, as the formula says it; zeros where the gradient is zero or not finite.

    >>> from analog_samson.sharpness.methods import Samson
    >>> w, g = torch.tensor([1.0, -2.0]), torch.tensor([4.0, 0.0])
    >>> ascent_step([w], [g], Samson(rho=0.5))
    [tensor([0.2500, 0.0000])]
    """
    weights, grads = widened(weights), widened(grads)
    scales = [perturbation.scale(weight) for weight in weights]
    norm = global_norm([scale * grad for scale, grad in zip(scales, grads, strict=True)])
    if not 0 < norm < math.inf:
        return [torch.zeros_like(scale) for scale in scales]
    return [perturbation.rho * scale * (scale * grad / norm) for scale, grad in zip(scales, grads, strict=True)]


def p_norm(weight: Tensor, p: float) -> Tensor:
    """||w||_p, 0-d. Beyond p = 2 it is taken of w / max |w|: powers of small weights would underflow to a norm of 0."""
    if p <= 2:
        return torch.linalg.vector_norm(weight, p)
    largest = weight.abs().amax()
    if p == math.inf:
        return largest
    top = torch.where(largest > 0, largest, 1)
    return torch.linalg.vector_norm(weight / top, p) * top


def global_norm(tensors: Sequence[Tensor]) -> Tensor:
    """The 2-norm of all tensors taken as one vector, 0-d, on the device of the first.

    >>> global_norm([torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])])
    tensor(5.)
    """
    norms = torch._foreach_norm(list(tensors), 2)
    return torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms]))


def widened(tensors: Sequence[Tensor]) -> list[Tensor]:
    """float16 and bfloat16 as float32, in which all of this is computed; other tensors as they are."""
    return [tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor for tensor in tensors]


def is_number(value: object) -> bool:
    """Whether it is an int or float; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_size(value: Any) -> bool:
    """Whether it is a finite number of 0 or more."""
    return is_number(value) and 0 <= value < math.inf
