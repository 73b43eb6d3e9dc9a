"""The part of a batch that one process trains on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor

from analog_samson.errors import DataError


@dataclass(frozen=True, slots=True)
class Shard:
    """The samples of a batch of `whole` that one process works on: every `size`-th, beginning with number `rank`.

    So the first samples of a batch, from which an ascent step may be computed, are spread over all processes.

    >>> Shard(5, rank=1, size=2).index, len(Shard(5, rank=1, size=2))
    (slice(1, 5, 2), 2)
    """

    whole: int
    rank: int = 0
    size: int = 1

    def __len__(self) -> int:
        return len(range(self.rank, self.whole, self.size))

    @property
    def index(self) -> slice:
        """The positions of these samples in the batch."""
        return slice(self.rank, self.whole, self.size)

    @property
    def weight(self) -> float:
        """Of the mean loss of these samples, for the mean over processes to be the mean loss of the batch."""
        return len(self) * self.size / self.whole

    def first(self, share: float) -> "Shard":
        """The part of this process in the first samples of the batch, at least two a process."""
        return replace(self, whole=min(self.whole, max(round(share * self.whole), 2 * self.size)))


class Batch(NamedTuple):
    """A batch as the task prepared it.

    Attributes:
        prepared: What the methods of the task take, usually (inputs, targets).
        shard: Which samples of the whole batch these are.
        teacher: The outputs of a teacher, where there is one.
    """

    prepared: Any
    shard: Shard
    teacher: Tensor | None = None

    def first(self, share: float) -> "Batch":
        """The first samples of the batch, at least two of them; the very same batch for a share of 1.

        Raises:
            DataError: A part of the batch does not hold one entry for each sample.
        """
        shard = self.shard.first(share)
        if shard == self.shard:
            return self
        whole, count = len(self.shard), len(shard)
        teacher = None if self.teacher is None else self.teacher[:count]
        return Batch(_first(self.prepared, whole, count), shard, teacher)


def _first(part: Any, whole: int, count: int) -> Any:
    """The entries of the first samples in a batch of any form."""
    if isinstance(part, Tensor):
        if part.ndim and len(part) == whole:
            return part[:count]
    elif isinstance(part, Mapping):
        return {key: _first(value, whole, count) for key, value in part.items()}
    elif isinstance(part, tuple | list):
        if len(part) == whole and not any(isinstance(each, Tensor | Mapping) for each in part):
            return part[:count]
        return tuple(_first(each, whole, count) for each in part)
    elif part is None:
        return None
    raise DataError(
        f"ascent_fraction: a {type(part).__name__} in the batch does not hold one entry for each of {whole} samples, "
        "so the batch has no first part; leave ascent_fraction out"
    )
