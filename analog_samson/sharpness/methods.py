"""The training methods by name: SAM, ASAM, SAMSON, random weight perturbation, and Keskar's box for measuring.

Equations are those of the SAMSON paper. Its printed eq. 6 has lost a w in the denominator: the maximiser of g.eps under
the constraint of eq. 5 is eps = rho T^2 g / ||T g||_2. With p = inf and weights clipped to c in every layer, SAMSON
with rho is ASAM with rho / c, eta included.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from typing_extensions import Self

from analog_samson.errors import OptionError, did_you_mean
from analog_samson.sharpness.perturbations import (
    NO_RANGE,
    Perturbation,
    RandomPerturbation,
    ScaleForm,
    WorstCase,
    global_norm,
    is_number,
    is_size,
    p_norm,
)

SGD = "sgd"  # the method that trains at the weights themselves
DEFAULT_SIGMA = 0.01  # of random weight perturbation, in units of the weights
METHODS: dict[str, type[Perturbation]] = {}  # filled by register_method
_Method = TypeVar("_Method", bound="type[Perturbation]")


def register_method(name: str) -> Callable[[_Method], _Method]:
    """Register a class of perturbation under a name, for training, the optimizers, the measures and `--method`.

    Args:
        name: Trainings and optimizer states are stored under it, so it has to stay.

    Raises:
        ValueError: On decorating, if another class has the name.

    >>> @register_method("root")
    ... @dataclass(frozen=True, kw_only=True)
    ... class Root(WorstCase):
    ...     rho: float = 0.1
    ...     formula = "sqrt |w|"
    ...
    ...     def scale(self, weight):
    ...         return weight.abs().sqrt()
    >>> make_perturbation("root").size
    0.1
    >>> _ = METHODS.pop("root")
    """

    def register(method: _Method) -> _Method:
        known = METHODS.get(name)
        if name == SGD or (known is not None and known.__qualname__ != method.__qualname__):
            raise ValueError(f"there is a method {name!r} already; choose another name")
        method.name = name
        METHODS[name] = method
        return method

    return register


def worst_case_methods() -> list[str]:
    """The names of the methods with an ascent step."""
    return [name for name, method in METHODS.items() if issubclass(method, WorstCase)]


def training_methods() -> list[str]:
    """The names of the methods that `fit` knows."""
    return [SGD, *(name for name, method in METHODS.items() if issubclass(method, WorstCase | RandomPerturbation))]


def measuring_methods() -> list[str]:
    """The names of the neighbourhoods that `measure_sharpness` knows."""
    return [name for name, method in METHODS.items() if issubclass(method, WorstCase | Keskar)]


def find_method(name: str, known: Iterable[str] | None = None) -> type[Perturbation]:
    """The class of a method.

    Args:
        name: A registered name.
        known: The names to choose from; None: all registered ones.

    Raises:
        OptionError: There is no such method; the message lists those there are.
    """
    names = list(METHODS if known is None else known)
    if name not in names or name not in METHODS:
        raise OptionError(f"method: expected one of {', '.join(names)}, got {name!r}{did_you_mean(str(name), names)}")
    return METHODS[name]


def make_perturbation(method: str, known: Iterable[str] | None = None, **options: Any) -> Perturbation:
    """A method of that name with its defaults; options that are None or that it does not take are left out.

    Raises:
        OptionError: The method is unknown, or one of its options has an impossible value.

    >>> make_perturbation("samson", rho=0.2)
    Samson(rho=0.2, eta=None, p=inf)
    """
    kind = find_method(method, known)
    names = kind.option_names()
    return kind(**{name: value for name, value in options.items() if value is not None and name in names})


def import_method(text: str) -> str:
    """The registered name of a method that the user names as ``package.module:Class``; other texts are returned.

    Imports that module, so nothing that a file names may come here.

    Raises:
        OptionError: The module cannot be imported, or names no registered method.
    """
    if ":" not in text:
        return text
    from analog_samson.models.imported import import_callable

    method = import_callable(text, OptionError)
    if not (isinstance(method, type) and issubclass(method, Perturbation) and method.name in METHODS):
        raise OptionError(f"{text}: expected a perturbation class with @register_method(NAME)")
    return method.name


@register_method("sam")
@dataclass(frozen=True, kw_only=True)
class Sam(WorstCase):
    """Sharpness-aware minimization (eq. 1-2): a ball, with rho in units of the weights."""

    rho: float = 0.05
    formula: ClassVar[str] = "1"
    source: ClassVar[str] = "Foret et al., ICLR 2021"

    def scale(self, weight: Tensor) -> Tensor:
        return torch.ones_like(weight)

    @property
    def scale_form(self) -> ScaleForm:
        return ScaleForm()


@dataclass(frozen=True, kw_only=True)
class BySize(WorstCase):
    """Each weight moves in proportion to its size.

    Attributes:
        eta: Added to |w|, in units of the weights, so that a zero weight can move; None is the selection's default.
    """

    eta: float | None = None

    def filled(self, eta: float) -> Self:
        return dataclasses.replace(self, eta=eta) if self.eta is None else self

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.eta is not None and not is_size(self.eta):
            yield f"eta: expected a finite number >= 0, got {self.eta!r}"


@register_method("asam")
@dataclass(frozen=True, kw_only=True)
class Asam(BySize):
    """Adaptive SAM (eq. 3-4)."""

    rho: float = 0.5
    formula: ClassVar[str] = "|w| + eta"
    source: ClassVar[str] = "Kwon et al., ICML 2021"

    def scale(self, weight: Tensor) -> Tensor:
        return weight.abs() + (self.eta or 0.0)

    @property
    def scale_form(self) -> ScaleForm:
        return ScaleForm(by_size=True, eta=self.eta or 0.0)


@register_method("samson")
@dataclass(frozen=True, kw_only=True)
class Samson(BySize):
    """SAM with outlier normalization (eq. 5-6): ASAM over the norm of each tensor.

    A tensor of zeros has no range to scale by: its T is zero, so it does not move.

    Attributes:
        p: The order of the norm, a number >= 1; infinity takes the largest weight of the tensor, the outlier.

    >>> Samson(rho=0.5).scale(torch.tensor([0.2, -0.4]))
    tensor([0.5000, 1.0000])
    """

    rho: float = 0.5
    p: float = math.inf
    formula: ClassVar[str] = "(|w| + eta) / ||w||_p"
    source: ClassVar[str] = "the SAMSON paper"

    def scale(self, weight: Tensor) -> Tensor:
        norm = p_norm(weight, self.p)
        return (weight.abs() + (self.eta or 0.0)) / torch.where(norm > NO_RANGE, norm, math.inf)

    @property
    def scale_form(self) -> ScaleForm:
        return ScaleForm(by_size=True, eta=self.eta or 0.0, order=self.p)

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if not (is_number(self.p) and self.p >= 1):
            yield f"p: expected a number >= 1 or infinity, got {self.p!r}"


@register_method("rwp")
@dataclass(frozen=True, kw_only=True)
class RandomWeight(RandomPerturbation):
    """Random weight perturbation: eps = sigma T z, or rho T z / ||z||_2, a random point at the distance rho.

    Attributes:
        sigma: Standard deviation of each weight's step over T; 0.01 unless rho is given.
        rho: ||eps / T||_2 in the place of sigma.
        like: The method whose T applies; that of SAM, 1, unless given.
    """

    sigma: float | None = None
    rho: float | None = None
    like: Perturbation = Sam()
    formula: ClassVar[str] = "1"
    source: ClassVar[str] = "Bisla et al., AISTATS 2022"

    @property
    def size(self) -> float:
        given = self.sigma if self.rho is None else self.rho
        return DEFAULT_SIGMA if given is None else given

    def resized(self, factor: float) -> Self:
        size = self.size * factor
        return dataclasses.replace(self, sigma=size) if self.rho is None else dataclasses.replace(self, rho=size)

    def filled(self, eta: float) -> Self:
        return dataclasses.replace(self.resized(1.0), like=self.like.filled(eta))

    def scale(self, weight: Tensor) -> Tensor:
        return self.like.scale(weight)

    def steps(self, noise: Sequence[Tensor], scales: Sequence[Tensor]) -> list[Tensor]:
        factor = self.size if self.rho is None else self.size / global_norm(noise)
        return list(torch._foreach_mul(torch._foreach_mul(list(noise), list(scales)), factor))

    @classmethod
    def option_names(cls) -> list[str]:
        return ["sigma", "rho"]

    def problems(self) -> Iterator[str]:
        if self.sigma is not None and self.rho is not None:
            yield "rho and sigma: both say how far weights move; give one of them"
        for name, value in self.options().items():
            if value is not None and not is_size(value):
                yield f"{name}: expected a finite number >= 0, got {value!r}"


@register_method("keskar")
@dataclass(frozen=True, kw_only=True)
class Keskar(Perturbation):
    """The box |eps| <= rho T of Keskar et al., for measuring alone; they report rho of 1e-3 and 5e-4."""

    rho: float = 1e-3
    formula: ClassVar[str] = "|w| + 1"
    source: ClassVar[str] = "Keskar et al., ICLR 2017"

    @property
    def size(self) -> float:
        return self.rho

    def scale(self, weight: Tensor) -> Tensor:
        return weight.abs() + 1

    def resized(self, factor: float) -> Self:
        return dataclasses.replace(self, rho=self.rho * factor)

    def problems(self) -> Iterator[str]:
        if not is_size(self.rho):
            yield f"rho: expected a finite number >= 0, got {self.rho!r}"
