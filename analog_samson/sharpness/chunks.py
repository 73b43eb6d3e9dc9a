"""Lists of tensors in chunks that a CPU's cache holds; on other devices one chunk, which takes few launches.

An ascent step does several element-wise operations on each weight. Tensor by tensor, every intermediate result of a
large layer would go out to memory and come back; chunk by chunk, only weights and gradients do.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

CACHED = 2**18  # numbers for each thread: a MiB in float32. An ascent step has four such chunks in hand at a time


class Chunk(NamedTuple):
    """Views of a few tensors, or of a part of one.

    Attributes:
        owners: The position in the lists of the tensor that each view belongs to.
        views: The views, one row for each list.
    """

    owners: list[int]
    views: list[list[Tensor]]


def iter_chunks(*lists: Sequence[Tensor]) -> Iterator[Chunk]:
    """Cut lists of tensors, equal in number and shapes, in the same way; the views of a tensor come in its order.

    >>> small, large = torch.zeros(3), torch.zeros(2 * CACHED * torch.get_num_threads())
    >>> [chunk.owners for chunk in iter_chunks([small, small, large])]
    [[0, 1], [2], [2]]
    """
    owners: list[int] = []
    rows: list[tuple[Tensor, ...]] = []
    filled = 0
    largest = CACHED * torch.get_num_threads()
    for owner, tensors in enumerate(zip(*lists, strict=True)):
        room = largest if tensors[0].device.type == "cpu" else math.inf
        for row in _cut(tensors, largest):
            filled += row[0].numel()
            if owners and filled > room:
                yield Chunk(owners, [list(views) for views in zip(*rows, strict=True)])
                owners, rows, filled = [], [], row[0].numel()
            owners.append(owner)
            rows.append(row)
    if owners:
        yield Chunk(owners, [list(views) for views in zip(*rows, strict=True)])


def _cut(tensors: tuple[Tensor, ...], largest: int) -> Iterator[tuple[Tensor, ...]]:
    """Large tensors on the CPU as flat views, if they lie in memory in one common order."""
    if tensors[0].device.type != "cpu" or tensors[0].numel() <= largest or not _same_order(tensors):
        return iter([tensors])
    flat = (tensor.detach().as_strided((tensor.numel(),), (1,)) for tensor in tensors)
    return zip(*(tensor.split(largest) for tensor in flat), strict=True)


def _same_order(tensors: tuple[Tensor, ...]) -> bool:
    """Whether the tensors are ordinary ones without gaps in memory, all in the same order of dimensions."""
    if not all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors):
        return False
    return any(
        all(tensor.is_contiguous(memory_format=order) for tensor in tensors)
        for order in (torch.contiguous_format, *([torch.channels_last] if tensors[0].ndim == 4 else []))
    )


class BufferPool:
    """Memory for copies of weights, reused from step to step: fresh memory costs more than the copying.

    Pickled or copied it is empty.

    >>> buffers, like = BufferPool(), [torch.zeros(3)]
    >>> first = buffers.take(like)
    >>> buffers.give(first)
    >>> buffers.take(like) is first, buffers.take(like) is first
    (True, False)
    """

    def __init__(self) -> None:
        self._free: list[Tensor] = []

    def take(self, like: Sequence[Tensor]) -> list[Tensor]:
        """Uninitialised tensors shaped as `like`; they are the caller's until given back."""
        free, self._free = self._free, []
        if [_traits(tensor) for tensor in free] == [_traits(tensor) for tensor in like]:
            return free
        return [torch.empty_like(tensor) for tensor in like]

    def give(self, tensors: list[Tensor]) -> None:
        """Give tensors back for the next `take`."""
        self._free = tensors

    def __reduce__(self) -> tuple[type["BufferPool"], tuple[()]]:
        return BufferPool, ()


def _traits(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device
