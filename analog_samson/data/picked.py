"""Some samples of any batches, in their order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analog_samson.data.batch_set import batch_size, samples_at


def pick_samples(batches: Iterable[Any], places: Tensor) -> Iterable[Any]:
    """Batches of the samples at these places; can be iterated as often as `batches`.

    Args:
        batches: With a method `pick` of their own, or any that hold samples along the first axis of their tensors.
        places: Ascending, int64 (samples,), in the order in which the batches give them.

    >>> data = [(torch.arange(3), torch.zeros(3)), (torch.arange(3, 5), torch.ones(2))]
    >>> [x.tolist() for x, _ in pick_samples(data, torch.tensor([0, 2, 4]))]
    [[0, 2], [4]]
    """
    pick = getattr(batches, "pick", None)
    return PickedBatches(batches, places) if pick is None else pick(places)


@dataclass(frozen=True)
class PickedBatches:
    """The samples at some places of batches: smaller batches of the same form."""

    batches: Iterable[Any]
    places: Tensor

    def __iter__(self) -> Iterator[Any]:
        start = 0
        for batch in self.batches:
            size = batch_size(batch)
            first, last = torch.searchsorted(self.places, torch.tensor([start, start + size])).tolist()
            if last > first:
                yield samples_at(batch, (self.places[first:last] - start).tolist(), size)
            start += size
