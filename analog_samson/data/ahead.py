"""Batches for a GPU that are read from memory or disk while it computes the one before."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items in the same order; each is made in a thread while the one before is in use.

    What an item raises is raised in its place.

    >>> list(ahead(number**2 for number in range(4)))
    [0, 1, 4, 9]
    """
    made, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="next batch") as thread:
        following = thread.submit(next, made, end)
        while (item := following.result()) is not end:
            following = thread.submit(next, made, end)
            yield item  # type: ignore[misc]


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; a copy to a GPU goes through page-locked memory, and nothing waits for it."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def moved_ahead(tensors: Iterable[Tensor], device: torch.device) -> Iterator[Tensor]:
    """The tensors on a device, `ahead` where that is a GPU.

    Args:
        tensors: Are made one by one, such as by reading a file.
        device: Where they go.
    """
    found = (moved(tensor, device) for tensor in tensors)
    return ahead(found) if device.type == "cuda" else found
