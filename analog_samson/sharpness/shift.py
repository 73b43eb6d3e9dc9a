"""Weights plus a step for the length of a block, and exactly the old weights after it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from analog_samson.sharpness.chunks import BufferPool


@contextmanager
def shifted(
    weights: Sequence[Tensor], steps: Sequence[Tensor], factor: float = 1.0, buffers: BufferPool | None = None
) -> Iterator[None]:
    """Add factor * steps to the weights in place; a saved copy goes back at the end, also on an exception.

    weights: detached, or parameters. steps: shaped as they are; not changed. `buffers` keeps the memory of the copy
    for the next time.

    >>> weight = torch.tensor([1.0, 2.0])
    >>> with shifted([weight], [torch.tensor([0.5, 0.5])], 2.0):
    ...     weight.tolist()
    [2.0, 3.0]
    >>> weight.tolist()
    [1.0, 2.0]
    """
    buffers = BufferPool() if buffers is None else buffers
    weights = [weight.detach() for weight in weights]
    saved = buffers.take(weights)
    torch._foreach_copy_(saved, weights)
    try:
        torch._foreach_add_(weights, list(steps), alpha=factor)
        del steps  # nobody else may need them, and the block is where memory is short
        torch.clear_autocast_cache()  # it may hold the weights of an earlier pass
        yield
    finally:
        torch._foreach_copy_(weights, saved)
        buffers.give(saved)
        torch.clear_autocast_cache()
