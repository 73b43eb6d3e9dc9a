"""Lists of tensors in portions that a CPU's cache holds; on other devices one portion, which takes few launches.

A climb does several element-wise operations on each weight. Tensor by tensor, every intermediate result of a large
layer would go out to memory and come back; a portion at a time, only weights and gradients do.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

CACHED = 2**18  # numbers for each thread: a MiB in float32. A climb has four such portions in hand at a time


class Block(NamedTuple):
    """owners: which tensor of the lists each part belongs to. parts: for each list its parts, views of the tensors."""

    owners: list[int]
    parts: list[list[Tensor]]


def blocks(*lists: Sequence[Tensor]) -> Iterator[Block]:
    """Cut lists of tensors, equal in number and shapes, in the same way; all parts of a tensor come in its order.

    >>> small, large = torch.zeros(3), torch.zeros(2 * CACHED * torch.get_num_threads())
    >>> [block.owners for block in blocks([small, small, large])]
    [[0, 1], [2], [2]]
    """
    owners: list[int] = []
    rows: list[tuple[Tensor, ...]] = []
    filled = 0
    part = CACHED * torch.get_num_threads()
    for owner, tensors in enumerate(zip(*lists, strict=True)):
        room = part if tensors[0].device.type == "cpu" else math.inf
        for row in _cut(tensors, part):
            filled += row[0].numel()
            if owners and filled > room:
                yield Block(owners, [list(parts) for parts in zip(*rows, strict=True)])
                owners, rows, filled = [], [], row[0].numel()
            owners.append(owner)
            rows.append(row)
    if owners:
        yield Block(owners, [list(parts) for parts in zip(*rows, strict=True)])


def _cut(tensors: tuple[Tensor, ...], part: int) -> Iterator[tuple[Tensor, ...]]:
    """Large tensors on the CPU as flat parts, if they lie in memory in one common order."""
    if tensors[0].device.type != "cpu" or tensors[0].numel() <= part or not _lie_alike(tensors):
        return iter([tensors])
    flat = (tensor.detach().as_strided((tensor.numel(),), (1,)) for tensor in tensors)
    return zip(*(tensor.split(part) for tensor in flat), strict=True)


def _lie_alike(tensors: tuple[Tensor, ...]) -> bool:
    """Whether the tensors are ordinary ones without gaps in memory, all in the same order of dimensions."""
    if not all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors):
        return False
    return any(
        all(tensor.is_contiguous(memory_format=order) for tensor in tensors)
        for order in (torch.contiguous_format, *([torch.channels_last] if tensors[0].ndim == 4 else []))
    )


class Buffers:
    """Memory for copies of weights that is kept from step to step: fresh memory costs more than the copying.

    Pickled or copied it is empty.

    >>> buffers, like = Buffers(), [torch.zeros(3)]
    >>> first = buffers.take(like)
    >>> buffers.give(first)
    >>> buffers.take(like) is first, buffers.take(like) is first
    (True, False)
    """

    def __init__(self) -> None:
        self._free: list[Tensor] = []

    def take(self, like: Sequence[Tensor]) -> list[Tensor]:
        """Uninitialised tensors shaped as `like`; nobody else has them until they are given back."""
        free, self._free = self._free, []
        if len(free) == len(like) and all(_serves(one, for_) for one, for_ in zip(free, like, strict=True)):
            return free
        return [torch.empty_like(tensor) for tensor in like]

    def give(self, tensors: list[Tensor]) -> None:
        self._free = tensors

    def __reduce__(self) -> tuple[type["Buffers"], tuple[()]]:
        return Buffers, ()


def _serves(one: Tensor, for_: Tensor) -> bool:
    def traits(tensor: Tensor) -> tuple:
        return tensor.shape, tensor.stride(), tensor.dtype, tensor.device

    return traits(one) == traits(for_)
