"""A call that multiplies by a weight, and the two tables of how torch's functions use one.

`READINGS` has the functions that are one product. `BODIES` has those that are several: they are computed by a function
that calls the former, and that returns NotImplemented for arguments that are one product. `crossbar.uses` fills both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from analog_samson.crossbar.operator import Operator


@dataclass(frozen=True)
class Use:
    """One product with a weight.

    Attributes:
        input: (N, C, ...), what is multiplied.
        weight: The weight, or a view of it, with axes for groups, columns and rows; see `Layout.of`.
        bias: (out,) or None.
        operator: The linear map.
        restore: The operator's output, with channels in dimension 1, as the call returns it.
        columns: How many axes of `weight` are outputs; the first axis is the groups.
    """

    input: Tensor
    weight: Tensor
    bias: Tensor | None
    operator: Operator
    restore: Callable[[Tensor], Tensor]
    columns: int = 1


Function = Callable[..., Any]
READINGS: dict[Function, Callable[..., Use | None]] = {}
BODIES: dict[Function, Function] = {}


def register_use(*functions: Function) -> Callable[[Callable[..., Use | None]], Callable[..., Use | None]]:
    """Decorator for the reading of torch functions: from their arguments to a `Use`, or None for a use it cannot read.

    Raises ValueError for a function that is registered already.
    """

    def register(reading: Callable[..., Use | None]) -> Callable[..., Use | None]:
        for function in functions:
            _check_new(function)
            READINGS[function] = reading
        return reading

    return register


def register_body(*functions: Function) -> Callable[[Function], Function]:
    """Decorator for a function that computes what torch functions do by calls that have a reading."""

    def register(body: Function) -> Function:
        for function in functions:
            if function in BODIES:
                raise ValueError(f"{name_of(function)} is registered already")
            BODIES[function] = body
        return body

    return register


def name_of(function: Function) -> str:
    """A torch function as messages name it.

    >>> import torch
    >>> name_of(torch.nn.functional.linear)
    'torch.linear'
    """
    name = getattr(function, "__name__", str(function))
    if name in ("__get__", "__set__"):
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    return f"torch.{name}"


def product_names() -> set[str]:
    """The names of all functions in both tables."""
    return {name_of(function) for function in (*READINGS, *BODIES)}


def known_uses() -> str:
    """The names of all functions in both tables, for messages."""
    return ", ".join(sorted(product_names()))


def _check_new(function: Function) -> None:
    if function in READINGS or function in BODIES:
        raise ValueError(f"{name_of(function)} is registered already")
