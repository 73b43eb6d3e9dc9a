"""Batches of any form from the user's own code: tuples, mappings and named tuples, for any task."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from analog_samson.data.ahead import moved


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchSet:
    """Batches in their order, in memory or from a loader that is iterated again and again.

    Attributes:
        name: What reports call the data.
        batches: As the user's code gives them.
    """

    name: str
    batches: Iterable[Any]

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return sum(map(batch_size, self.batches))

    def take(self, limit: int | None) -> "BatchSet":
        """The first `limit` samples; all for None."""
        if limit is None:
            return self
        first = FirstBatches(self.batches, limit)
        return replace(self, batches=list(first) if isinstance(self.batches, Sequence) else first)

    def samples(self) -> set[bytes]:
        """What tells one sample from another: a digest of its part of each tensor."""
        found: set[bytes] = set()
        for batch in self.batches:
            size = batch_size(batch)
            tensors = [part for part in parts_of(batch) if isinstance(part, Tensor) and part.shape[:1] == (size,)]
            rows = zip(*(tensor.detach().cpu().reshape(size, -1).numpy() for tensor in tensors), strict=True)
            found |= {hashlib.sha256(b"".join(row.tobytes() for row in one)).digest() for one in rows}
        return found

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything in the batches."""
        return digest_of(self.batches)

    def on(self, device: torch.device) -> "MovedBatches":
        """The batches on a device; can be iterated again and again."""
        return MovedBatches(self.batches, device)


@dataclass(frozen=True)
class MovedBatches:
    """Batches that are moved to a device one by one."""

    batches: Iterable[Any]
    device: torch.device

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            yield _changed(batch, lambda part: moved(part, self.device) if isinstance(part, Tensor) else part)


@dataclass(frozen=True)
class FirstBatches:
    """The first `limit` samples of batches, at least one."""

    batches: Iterable[Any]
    limit: int

    def __iter__(self) -> Iterator[Any]:
        left = self.limit
        for batch in self.batches:
            size = batch_size(batch)
            yield first_samples(batch, left, size)
            left -= size
            if left <= 0:
                return


def batch_size(batch: Any) -> int:
    """How many samples a batch has: the length of its first tensor; 0 where there is none.

    >>> batch_size({"ids": torch.zeros(3, 5), "labels": torch.zeros(3)})
    3
    """
    return next((len(part) for part in parts_of(batch) if isinstance(part, Tensor) and part.ndim), 0)


def bytes_of(batch: Any) -> int:
    """The memory that the tensors of a batch take."""
    return sum(part.nbytes for part in parts_of(batch) if isinstance(part, Tensor))


def digest_of(batches: Iterable[Any]) -> str:
    """SHA-256 of everything in the batches."""
    digest = hashlib.sha256()
    for part in (part for batch in batches for part in parts_of(batch)):
        is_tensor = isinstance(part, Tensor)
        digest.update(part.detach().cpu().numpy().tobytes() if is_tensor else repr(part).encode())
    return digest.hexdigest()


def parts_of(batch: Any) -> Iterator[Any]:
    """What a batch holds, however deep; names of a mapping are left out."""
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, list | tuple) and not _is_list(batch):
        for part in batch:
            yield from parts_of(part)
    else:
        yield batch


def first_samples(batch: Any, limit: int, size: int) -> Any:
    """The first samples of a batch of that size: of every tensor and list that is as long."""
    return batch if size <= limit else samples_at(batch, range(limit), size)


def samples_at(batch: Any, places: Sequence[int], size: int) -> Any:
    """The samples at these places of a batch of that size: of every tensor and list that is as long."""

    def chosen(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part[torch.tensor(places, device=part.device)] if part.shape[:1] == (size,) else part
        return [part[place] for place in places] if isinstance(part, list) and len(part) == size else part

    return _changed(batch, chosen)


def _is_list(part: Any) -> bool:
    """Whether this is a list of texts or numbers, one for each sample."""
    return isinstance(part, list) and all(isinstance(one, str | int | float) for one in part)


def _changed(batch: Any, change: Any) -> Any:
    """A batch of the same form whose parts are changed; a mapping becomes a dictionary."""
    if isinstance(batch, Mapping):
        return {name: _changed(part, change) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_changed(part, change) for part in batch))
    if isinstance(batch, list | tuple) and not _is_list(batch):
        return type(batch)(_changed(part, change) for part in batch)
    return change(batch)
