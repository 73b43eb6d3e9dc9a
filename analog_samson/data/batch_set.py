"""Batches of any form from the user's own code: tuples, mappings and named tuples, for any task."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from analog_samson.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchSet:
    """Batches in memory, in their order.

    Attributes:
        name: What reports call the data.
        batches: As the user's code gives them.
    """

    name: str
    batches: Sequence[Any]

    def __len__(self) -> int:
        return sum(map(batch_size, self.batches))

    def take(self, limit: int | None) -> "BatchSet":
        """The first `limit` samples; all for None."""
        if limit is None:
            return self
        kept: list[Any] = []
        for batch in self.batches:
            size = batch_size(batch)
            kept += [first_samples(batch, limit, size)] if limit else []
            limit -= min(limit, size)
        return replace(self, batches=kept)

    def samples(self) -> set[bytes]:
        """What tells one sample from another: a digest of its part of each tensor."""
        found: set[bytes] = set()
        for batch in self.batches:
            size = batch_size(batch)
            tensors = [part for part in parts_of(batch) if isinstance(part, Tensor) and part.shape[:1] == (size,)]
            rows = zip(*(tensor.detach().cpu().reshape(size, -1).numpy() for tensor in tensors), strict=True)
            found |= {hashlib.sha256(b"".join(row.tobytes() for row in one)).digest() for one in rows}
        return found

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything in the batches."""
        digest = hashlib.sha256()
        for part in (part for batch in self.batches for part in parts_of(batch)):
            is_tensor = isinstance(part, Tensor)
            digest.update(part.detach().cpu().numpy().tobytes() if is_tensor else repr(part).encode())
        return digest.hexdigest()

    def on(self, device: torch.device) -> "MovedBatches":
        """The batches on a device; can be iterated again and again."""
        return MovedBatches(self.batches, device)


@dataclass(frozen=True)
class MovedBatches:
    """Batches that are moved to a device one by one."""

    batches: Sequence[Any]
    device: torch.device

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            yield _changed(batch, lambda part: part.to(self.device) if isinstance(part, Tensor) else part)


def batch_set(loaded: Iterable[Any], name: str, limit: int | None) -> BatchSet:
    """Take batches from an iterable until it ends, or until there are `limit` samples.

    Raises:
        DataError: There are none, or a batch holds no list of samples.
    """
    batches: list[Any] = []
    count = 0
    for batch in loaded:
        size = batch_size(batch)
        if size == 0:
            raise DataError(
                f"{name}: batch {len(batches)} is a {type(batch).__name__} without a tensor of samples; expected "
                "(x, targets), or a mapping or named tuple such as {'input_ids': ..., 'labels': ...}"
            )
        batches.append(batch)
        count += size
        if limit is not None and count >= limit:
            break
    if not batches:
        raise DataError(f"{name}: gives no batches; expected at least one")
    return BatchSet(name=name, batches=batches).take(limit)


def batch_size(batch: Any) -> int:
    """How many samples a batch has: the length of its first tensor; 0 where there is none.

    >>> batch_size({"ids": torch.zeros(3, 5), "labels": torch.zeros(3)})
    3
    """
    return next((len(part) for part in parts_of(batch) if isinstance(part, Tensor) and part.ndim), 0)


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
