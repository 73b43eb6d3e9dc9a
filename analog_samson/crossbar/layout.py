"""How a weight tensor lies on crossbars: which of its axes are inputs (rows) and which are outputs (columns)."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

_Axes = tuple[tuple[int, int], ...]  # (size, stride) of each axis, in elements of the contiguous weight


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`groups` blocks of a weight, each of (rows, columns), along the diagonal of a crossbar.

    group_axes, column_axes and row_axes say where in the contiguous weight a device's value is: they are the sizes and
    strides of a view (groups, columns, rows). offset: of its first value; more than 0 for a part of a weight.
    """

    group_axes: _Axes
    column_axes: _Axes
    row_axes: _Axes
    offset: int = 0

    @classmethod
    def of(cls, arranged: Tensor, groups: int, columns: int) -> "Layout":
        """The layout of a strided view: its first axes are groups, the next `columns` ones outputs, the others inputs.

        >>> Layout.of(torch.empty(1, 3, 4), 1, 1).rows
        4
        """
        axes = list(zip(arranged.shape, arranged.stride(), strict=True))
        return cls(
            group_axes=_merged(axes[:groups]),
            column_axes=_merged(axes[groups : groups + columns]),
            row_axes=_merged(axes[groups + columns :]),
            offset=int(arranged.storage_offset()),
        )

    @property
    def groups(self) -> int:
        return prod(size for size, _ in self.group_axes)

    @property
    def columns(self) -> int:
        """Outputs of one group."""
        return prod(size for size, _ in self.column_axes)

    @property
    def rows(self) -> int:
        """Inputs of one group."""
        return prod(size for size, _ in self.row_axes)

    @property
    def weights(self) -> int:
        return self.groups * self.columns * self.rows

    def to_matrix(self, weight: Tensor) -> Tensor:
        """(groups * columns, rows) of the weight, contiguous: noise is drawn in the order of memory."""
        return self._view(weight.contiguous()).reshape(-1, self.rows).contiguous()

    def to_weight(self, matrix: Tensor, shape: torch.Size) -> Tensor:
        """The weight of this shape whose matrix (groups * columns, rows) is given; the inverse of `to_matrix`."""
        weight = matrix.new_empty(shape)
        view = self._view(weight)
        view.copy_(matrix.reshape(view.shape))
        return weight

    def columns_in(self, whole: "Layout") -> tuple[int, int] | None:
        """(first, past the last) column of `whole` that this part of the same weight covers.

        None where it is no range of columns: where rows are left out, or inputs and outputs are exchanged.
        """
        if (self.group_axes, self.row_axes) != (whole.group_axes, whole.row_axes):
            return None
        if (self.column_axes, self.offset) == (whole.column_axes, whole.offset):
            return 0, whole.columns
        if whole.groups > 1 or not whole.column_axes:
            return None
        stride = whole.column_axes[0][1]
        if whole.column_axes[1:] and whole.column_axes[1:] == self.column_axes:  # one matrix of a stack
            place, rest = divmod(self.offset - whole.offset, stride)
            return None if rest else (place * self.columns, (place + 1) * self.columns)
        if len(whole.column_axes) != 1 or len(self.column_axes) > 1:
            return None
        begin, rest = divmod(self.offset - whole.offset, stride)
        if rest or any(own != stride for _, own in self.column_axes):
            return None
        return begin, begin + self.columns

    def stacked(self, form: Tensor) -> "Layout":
        """The layout of a stack (n, ...) of weights that each lie as this one: their columns side by side.

        >>> part = Layout.of(torch.empty(3, 4, 5)[1].T[None], 1, 1)
        >>> part.columns_in(part.stacked(torch.empty(3, 4, 5)))
        (5, 10)
        """
        columns = _merged([(form.shape[0], form.stride(0)), *self.column_axes])
        return Layout(group_axes=self.group_axes, column_axes=columns, row_axes=self.row_axes)

    def _view(self, weight: Tensor) -> Tensor:
        axes = (*self.group_axes, *self.column_axes, *self.row_axes)
        return weight.as_strided([size for size, _ in axes], [stride for _, stride in axes])


def outputs_first(weight: Tensor, groups: int = 1) -> tuple[Tensor, int, int]:
    """Arguments of `Layout.of` for weights (groups * outputs, inputs...), as linear and convolution layers have them.

    >>> Layout.of(*outputs_first(torch.empty(6, 2, 3, 3), groups=2)).columns
    3
    """
    return weight.unflatten(0, (groups, -1)), 1, 1


def inputs_first(weight: Tensor, groups: int = 1) -> tuple[Tensor, int, int]:
    """Arguments of `Layout.of` for weights (groups * inputs, outputs...), as transposed convolutions have them.

    >>> Layout.of(*inputs_first(torch.empty(6, 2, 3, 3), groups=2)).columns
    18
    """
    return weight.unflatten(0, (groups, -1)).movedim(1, -1), 1, weight.ndim - 1


def last_is_input(weight: Tensor) -> tuple[Tensor, int, int]:
    """Arguments of `Layout.of` for weights (outputs..., inputs), as bilinear layers have them."""
    return weight.unsqueeze(0), 1, weight.ndim - 1


def form_of(shape: torch.Size) -> Tensor:
    """A contiguous tensor of that shape without memory: its views tell where their values are in the weight."""
    return torch.empty(shape, device="meta")


def _merged(axes: list[tuple[int, int]]) -> _Axes:
    """The same positions with as few axes as possible."""
    found: list[tuple[int, int]] = []
    for size, stride in axes:
        if size == 1:
            continue
        if found and found[-1][1] == size * stride:
            found[-1] = found[-1][0] * size, stride
        else:
            found.append((size, stride))
    return tuple(found)
