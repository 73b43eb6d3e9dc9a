"""A parameter whose values live on crossbar tiles: the network keeps its modules, and only the tensor is exchanged.

With converters a product cannot be computed from the weight's values alone: inputs pass a DAC, outputs noise and an
ADC. So the parameter becomes a `CrossbarWeight`. Every operation on it meets `USES`: linear
operations run through the tiles. Reads of shape, type and device pass. Any other operation is refused by name, so that
nothing is computed with exact weights unnoticed.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from analog_samson.crossbar.operator import Operator
from analog_samson.crossbar.uses import USES
from analog_samson.errors import ConversionError


class TiledMatrix(Protocol):
    """What a `CrossbarWeight` asks of the tiles that hold its values."""

    def multiply(self, x: Tensor, operator: Operator, bias: Tensor | None) -> Tensor:
        """The operator's output for x (N, C, ...), through converters and noise."""


class CrossbarWeight(Tensor):
    """A parameter on crossbar tiles.

    It has the shape, dtype and device of the weight that it replaces, and no values: its storage is one zero. It counts
    as an `nn.Parameter`, so it can stand wherever a module keeps its weight.
    """

    matrix: TiledMatrix
    path: str
    _is_param = True  # isinstance(weight, nn.Parameter)

    @staticmethod
    def __new__(cls, like: Tensor, matrix: TiledMatrix, path: str) -> "CrossbarWeight":
        """A weight of the form of `like` that computes with `matrix`; `path` names it in messages."""
        empty = torch.zeros((), dtype=like.dtype, device=like.device).expand(like.shape)
        weight: CrossbarWeight = Tensor._make_subclass(cls, empty, False)
        weight.matrix, weight.path = matrix, path
        return weight

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Route an operation: reads pass, linear operations go through the tiles, others raise ConversionError."""
        kwargs = kwargs or {}
        if func in _READS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if func in USES:
            use = USES[func](*args, **kwargs)
            if isinstance(use.weight, CrossbarWeight) and not any(_weights_among([use.input, use.bias])):
                return use.restore(use.weight.matrix.multiply(use.input, use.operator, use.bias))
        weight = next(_weights_among([*args, *kwargs.values()]))
        if func in _LIKE and weight is not args[0]:
            return args[0].to(weight.device, weight.dtype)
        if func is Tensor.detach:
            return weight
        if func in _MOVES:
            raise ConversionError(
                f"{weight.path}: a converted network cannot be moved or cast; move the digital network and convert it"
            )
        raise ConversionError(
            f"{weight.path}: the network uses this weight in {_name(func)}, which has no crossbar form with converters "
            f"(as a weight in: {', '.join(sorted(map(_name, USES)))}); give --keep-digital {weight.path!r}, "
            "or choose a preset whose products are exact"
        )

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"CrossbarWeight({self.path!r}, shape={tuple(self.shape)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> "CrossbarWeight":
        """A weight on a copy of the tiles."""
        return CrossbarWeight(self, copy.deepcopy(self.matrix, memo), self.path)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ConversionError(
            f"{self.path}: a converted network cannot be saved; save the digital network and convert it again"
        )


def _weights_among(values: Sequence[Any]) -> Iterator[CrossbarWeight]:
    for value in values:
        if isinstance(value, CrossbarWeight):
            yield value
        elif isinstance(value, list | tuple):
            yield from _weights_among(value)


def _name(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", str(function))
    if name in ("__get__", "__set__"):
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    return f"torch.{name}"


def _getter(name: str) -> Callable[..., Any]:
    getter: Callable[..., Any] = getattr(Tensor, name).__get__
    return getter


_LIKE = (Tensor.to, Tensor.type_as)  # as methods of another tensor they ask for dtype and device alone
_MOVES = {Tensor.to, Tensor.cuda, Tensor.cpu, Tensor.half, Tensor.float, Tensor.double, Tensor.bfloat16, Tensor.type}
_READS = {
    *map(_getter, ("shape", "dtype", "device", "ndim", "layout", "requires_grad", "grad", "grad_fn", "is_leaf")),
    *map(_getter, ("is_cuda", "is_cpu", "is_sparse", "is_quantized", "is_meta", "is_nested", "itemsize", "nbytes")),
    *(Tensor.size, Tensor.dim, Tensor.numel, Tensor.nelement, Tensor.element_size, Tensor.stride, Tensor.__len__),
    *(Tensor.is_contiguous, Tensor.is_floating_point, Tensor.is_complex, Tensor.get_device, Tensor.__hash__),
    *(torch.is_floating_point, torch.is_complex, torch.numel, Tensor.is_shared),
}
