"""The linear maps that a weight matrix takes part in: a matrix product, or a convolution of any kind.

Every map is the same product of a matrix (out, rows) with many vectors. An `Operator` says how to compute it on a whole
feature map at once, and how to cut the map into its vectors where each needs a treatment of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from analog_samson.crossbar.im2col import Sides, count_positions, pick_windows, split_windows
from analog_samson.crossbar.packed import packed_linear

_CONVOLVE: dict[int, Callable[..., Tensor]] = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}


@dataclass(frozen=True)
class Operator:
    """One use of a weight matrix, on inputs x (N, C, ...).

    Attributes:
        multiply: (x, weight (out, rows), bias or None, groups) -> y, channels in dimension 1 of x and y.
        fixed: (weight, groups) -> the function from x to y, for many x.
        gradients: (x, weight, gradient of y, groups) -> the gradients of x and weight, without y.
        windows: x -> (N, positions..., groups, rows), rows in the order channel, kernel position.
        count: x -> how many vectors it has, over all samples and positions.
        pick: (x, places) -> (places, groups * rows), the vectors at these places of all.
        groups: independent blocks of the matrix, each on rows and columns of its own.
        positions: kernel positions of one channel.
    """

    multiply: Callable[..., Tensor]
    fixed: Callable[[Tensor, int], Callable[[Tensor], Tensor]]
    gradients: Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]
    windows: Callable[[Tensor], Tensor]
    count: Callable[[Tensor], int]
    pick: Callable[[Tensor, Tensor], Tensor]
    groups: int
    positions: int


def matrix_product(groups: int = 1) -> Operator:
    """The operator of vectors x (N, groups * rows) as they are."""

    def multiply(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        if groups == 1:
            return functional.linear(x, weight, bias)
        # as a convolution of length 1 this takes up to ten times as long on a CPU
        blocks = x.unflatten(1, (groups, -1)).transpose(0, 1)
        columns = weight.unflatten(0, (groups, -1)).transpose(1, 2)
        product = torch.bmm(blocks, columns).transpose(0, 1).flatten(1)
        return product if bias is None else product + bias

    def fixed(weight: Tensor, groups: int) -> Callable[[Tensor], Tensor]:
        return packed_linear(weight) if groups == 1 else lambda x: multiply(x, weight, None, groups)

    def gradients(x: Tensor, weight: Tensor, upstream: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        blocks, upstreams = (part.unflatten(1, (groups, -1)).transpose(0, 1) for part in (x, upstream))
        of_x = torch.bmm(upstreams, weight.unflatten(0, (groups, -1))).transpose(0, 1).flatten(1)
        return of_x, torch.bmm(upstreams.transpose(1, 2), blocks).flatten(0, 1)

    return Operator(
        multiply=multiply,
        fixed=fixed,
        gradients=gradients,
        windows=lambda x: x.unflatten(1, (groups, -1)),
        count=len,
        pick=lambda x, places: x[places],
        groups=groups,
        positions=1,
    )


LINEAR = matrix_product()


def convolution(
    kernel: Sequence[int], stride: Sequence[int], padding: str | Sequence[int], dilation: Sequence[int], groups: int
) -> Operator:
    """The operator of a 1-d, 2-d or 3-d convolution that pads with zeros.

    Args:
        kernel: Kernel size in each dimension; its length is the number of dimensions.
        stride: Step in each dimension.
        padding: Zeros on both sides in each dimension, or "valid" or "same" as in torch.
        dilation: Distance between kernel points in each dimension.
        groups: As in torch.

    Returns:
        The operator on weights of shape (out, channels / groups * prod(kernel)).
    """
    convolve = _CONVOLVE[len(kernel)]
    sides = _sides(kernel, padding, dilation)

    def multiply(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> Tensor:
        return convolve(x, weight.view(len(weight), -1, *kernel), bias, stride, padding, dilation, groups)

    def gradients(x: Tensor, weight: Tensor, upstream: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        kernels = weight.view(len(weight), -1, *kernel)
        both, odd = [before for before, _ in sides], [after - before for before, after in sides]
        padded = functional.pad(x, [zeros for end in reversed(odd) for zeros in (0, end)]) if any(odd) else x
        of_x, of_kernels, _ = torch.ops.aten.convolution_backward(
            upstream,
            padded,
            kernels,
            None,
            stride,
            both,
            dilation,
            False,
            [0] * len(kernel),
            groups,
            [True, True, False],
        )
        for dimension, size in enumerate(x.shape):
            of_x = of_x.narrow(dimension, 0, size)
        return of_x, of_kernels.view_as(weight)

    return Operator(
        multiply=multiply,
        fixed=lambda weight, groups: lambda x: multiply(x, weight, None, groups),
        gradients=gradients,
        windows=lambda x: split_windows(x, kernel, stride, sides, dilation, groups),
        count=lambda x: len(x) * prod(count_positions(x.shape, kernel, stride, sides, dilation)),
        pick=lambda x, places: pick_windows(x, places, kernel, stride, sides, dilation),
        groups=groups,
        positions=prod(kernel),
    )


def _sides(kernel: Sequence[int], padding: str | Sequence[int], dilation: Sequence[int]) -> Sides:
    """Zeros (before, after) in each dimension; torch puts the odd one of "same" after."""
    if padding == "valid":
        return [(0, 0) for _ in kernel]
    if padding == "same":
        totals = [gap * (size - 1) for size, gap in zip(kernel, dilation, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    assert not isinstance(padding, str)
    return [(side, side) for side in padding]
