"""Which calls use a weight as a matrix, and how each reads: the one table of what a crossbar computes.

`einsum` and `recurrent` add theirs when they are imported.
"""

import types
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from analog_samson.crossbar import einsum, recurrent  # noqa: F401
from analog_samson.crossbar.layout import inputs_first, last_is_input, outputs_first
from analog_samson.crossbar.operator import LINEAR, convolution, matrix_product
from analog_samson.crossbar.transposed import overlap_add
from analog_samson.crossbar.use import Use, register_body, register_use
from analog_samson.crossbar.weight import CrossbarWeight


@register_use(functional.linear)
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Use | None:
    if weight.ndim != 2:
        return None
    places = input.shape[:-1]
    vectors = input.reshape(-1, input.shape[-1])
    return Use(vectors, outputs_first(weight)[0], bias, LINEAR, lambda y: y.view(*places, y.shape[1]))


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
        arranged = outputs_first(weight, groups)[0]
        return Use(input[None] if single else input, arranged, bias, operator, lambda y: y[0] if single else y)


def _register_transposed(function: Callable[..., Any], dims: int) -> None:
    @register_use(function)
    def convolve(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        dilation: int | Sequence[int] = 1,
    ) -> Use:
        """One product a position of the input, whose outputs are added up where they overlap, after the converters."""
        point, kernel = (1,) * dims, tuple(weight.shape[2:])
        operator = convolution(point, point, (0,) * dims, point, groups)
        single = input.ndim == dims + 1
        sizes = [_each(value, dims) for value in (stride, padding, output_padding, dilation)]

        def restore(y: Tensor) -> Tensor:
            output = overlap_add(y, kernel, bias, *sizes)
            return output[0] if single else output

        arranged, _, columns = inputs_first(weight, groups)
        return Use(input[None] if single else input, arranged, None, operator, restore, columns)


for _dims in (1, 2, 3):
    _register_convolution(getattr(torch, f"conv{_dims}d"), _dims)
    _register_transposed(getattr(torch, f"conv_transpose{_dims}d"), _dims)


def _each(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    """One number for each dimension."""
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * dims if len(numbers) == 1 else numbers


@register_use(torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm, torch.mv, Tensor.mv)
def _matmul(first: Tensor, second: Tensor) -> Use | None:
    if isinstance(second, CrossbarWeight):
        return _product(first, second) if second.ndim == 2 else _batched(first, second)
    if isinstance(first, CrossbarWeight) and first.ndim == 2:
        return _weight_first(first, second)
    return None


@register_use(Tensor.__rmatmul__)
def _rmatmul(second: Tensor, first: Tensor) -> Use | None:
    return _matmul(first, second)


@register_use(torch.bmm, Tensor.bmm)
def _bmm(first: Tensor, second: Tensor) -> Use | None:
    return _batched(first, second) if isinstance(second, CrossbarWeight) else None


@register_use(torch.addmm, Tensor.addmm, torch.baddbmm, Tensor.baddbmm)
def _addmm(added: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1) -> Use | None:
    use = _matmul(first, second)
    if use is None:
        return None

    def restore(y: Tensor) -> Tensor:
        output = use.restore(y)
        return added * beta + (output if alpha == 1 else output * alpha)

    return Use(use.input, use.weight, None, use.operator, restore, use.columns)


def _product(x: Tensor, weight: Tensor) -> Use:
    """x (..., inputs) times a weight (inputs, outputs)."""
    places = x.shape[:-1]
    arranged, _, columns = inputs_first(weight)
    vectors = x.reshape(-1, x.shape[-1])
    return Use(vectors, arranged, None, LINEAR, lambda y: y.view(*places, y.shape[1]), columns)


def _weight_first(weight: Tensor, x: Tensor) -> Use:
    """A weight (outputs, inputs) times x (inputs,) or (..., inputs, n)."""
    arranged = outputs_first(weight)[0]
    if x.ndim == 1:
        return Use(x[None], arranged, None, LINEAR, lambda y: y[0])
    turned = x.movedim(-2, -1)
    places = turned.shape[:-1]
    vectors = turned.reshape(-1, turned.shape[-1])
    return Use(vectors, arranged, None, LINEAR, lambda y: y.view(*places, y.shape[1]).movedim(-1, -2))


def _batched(x: Tensor, weight: Tensor) -> Use | None:
    """x (..., groups, n, inputs) times a weight (groups, inputs, outputs): blocks with inputs of their own."""
    if weight.ndim != 3 or x.ndim < 2:
        return None
    groups = weight.shape[0]
    x = x.expand(groups, *x.shape) if x.ndim == 2 else x.expand(*x.shape[:-3], groups, *x.shape[-2:])
    turned = x.movedim(-3, -2)  # (..., n, groups, inputs)
    places = turned.shape[:-2]
    vectors = turned.reshape(prod(places), -1)

    def restore(y: Tensor) -> Tensor:
        return y.reshape(*places, groups, -1).movedim(-2, -3)

    return Use(vectors, weight.transpose(1, 2), None, matrix_product(groups), restore)


@register_use(functional.bilinear)
def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Use:
    """The second input meets the crossbar; the first is multiplied by its outputs digitally."""
    places, outputs = input1.shape[:-1], weight.shape[0]
    first = input1.reshape(-1, input1.shape[-1])

    def restore(y: Tensor) -> Tensor:
        output = (y.view(len(y), outputs, -1) * first[:, None, :]).sum(-1)
        return (output if bias is None else output + bias).view(*places, outputs)

    arranged, _, columns = last_is_input(weight)
    return Use(input2.reshape(-1, input2.shape[-1]), arranged, None, LINEAR, restore, columns)


# torch's own body of attention; left out is its first question, whether an argument has a say in what it computes.
_attention: Any = functional.multi_head_attention_forward
_body = types.FunctionType(
    _attention.__code__,
    {**vars(functional), "has_torch_function": lambda tensors: False},
    argdefs=_attention.__defaults__,
)
_body.__kwdefaults__ = _attention.__kwdefaults__
register_body(_attention)(_body)
