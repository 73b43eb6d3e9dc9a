"""Which calls use a weight as a matrix, and how each reads: the one table of what a crossbar computes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from analog_samson.crossbar.operator import LINEAR, Operator, convolution


@dataclass(frozen=True)
class Use:
    """One call that multiplies by a weight.

    Attributes:
        input: (N, C, ...), what is multiplied.
        weight: (out, ...), the argument that stands as the weight.
        bias: (out,) or None.
        operator: The linear map.
        restore: The operator's output, with channels in dimension 1, as the call returns it.
    """

    input: Tensor
    weight: Tensor
    bias: Tensor | None
    operator: Operator
    restore: Callable[[Tensor], Tensor]


USES: dict[Callable[..., Any], Callable[..., Use]] = {}


def register_use(function: Callable[..., Any]) -> Callable[[Callable[..., Use]], Callable[..., Use]]:
    """Decorator for the reading of a torch function: from its arguments to a `Use`; once for each function."""

    def register(reading: Callable[..., Use]) -> Callable[..., Use]:
        if function in USES:
            raise ValueError(f"{function.__name__} is registered already")
        USES[function] = reading
        return reading

    return register


@register_use(functional.linear)
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Use:
    places = input.shape[:-1]
    return Use(input.reshape(-1, input.shape[-1]), weight, bias, LINEAR, lambda y: y.view(*places, y.shape[1]))


def _register_convolution(function: Callable[..., Any], dims: int) -> None:
    @register_use(function)
    def convolve(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> Use:
        sides = padding if isinstance(padding, str) else _each(padding, dims)
        operator = convolution(weight.shape[2:], _each(stride, dims), sides, _each(dilation, dims), groups)
        single = input.ndim == dims + 1  # one sample
        return Use(input[None] if single else input, weight, bias, operator, lambda y: y[0] if single else y)


for _dims, _function in enumerate((torch.conv1d, torch.conv2d, torch.conv3d), start=1):
    _register_convolution(_function, _dims)


def _each(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """One number for each dimension."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * dims if len(numbers) == 1 else numbers


Watch = Callable[[Use], None]


@contextmanager
def watched_uses(watches: Mapping[Tensor, Watch]) -> Iterator[None]:
    """Within, each call that multiplies by one of these weights is shown to its watch, and computed as ever.

    Compiled networks show nothing.
    """
    with _Watching({id(weight): watch for weight, watch in watches.items()}):
        yield


class _Watching(TorchFunctionMode):
    def __init__(self, watches: Mapping[int, Watch]) -> None:
        super().__init__()
        self._watches = watches

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in USES:
            use = USES[func](*args, **kwargs)
            if id(use.weight) in self._watches:
                self._watches[id(use.weight)](use)
        return func(*args, **kwargs)
