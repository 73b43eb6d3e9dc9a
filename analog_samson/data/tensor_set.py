"""Samples that are tensors in memory, such as recordings or images with a class for each pixel, and their batches."""

import hashlib
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TensorSet:
    """Inputs with targets, in the order of their files.

    Attributes:
        name: What reports call the data.
        inputs: One tensor (N, ...), or two for pairs.
        targets: A tensor (N, ...), or N texts.
        classes: The names of the labels; empty where targets are no labels.
    """

    name: str
    inputs: Tensor | tuple[Tensor, Tensor]
    targets: Tensor | Sequence[str]
    classes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        parts = self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)
        shapes = " and ".join(" x ".join(map(str, part.shape[1:])) for part in parts)
        return f"<TensorSet {self.name}: {len(self):,} samples of {shapes}>"

    def take(self, limit: int | None) -> "TensorSet":
        """The first `limit` samples; all for None."""
        return self if limit is None else self.part(slice(limit))

    def part(self, places: slice) -> "TensorSet":
        """The samples of a range."""
        pair = isinstance(self.inputs, tuple)
        inputs: Any = tuple(one[places] for one in self.inputs) if pair else self.inputs[places]
        return replace(self, inputs=inputs, targets=self.targets[places])

    def pick(self, places: Tensor) -> "TensorSet":
        """The samples at these places, in their order."""
        pair, listed = isinstance(self.inputs, tuple), places.tolist()
        inputs: Any = tuple(part[places] for part in self.inputs) if pair else self.inputs[places]
        targets = self.targets[places] if isinstance(self.targets, Tensor) else [self.targets[at] for at in listed]
        return replace(self, inputs=inputs, targets=targets)

    @property
    def num_classes(self) -> int | None:
        """The number of classes of labelled samples."""
        return len(self.classes) or None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of inputs and targets."""
        digest = hashlib.sha256()
        for part in self.inputs if isinstance(self.inputs, tuple) else (self.inputs,):
            digest.update(part.contiguous().numpy().tobytes())
        if isinstance(self.targets, Tensor):
            digest.update(self.targets.contiguous().numpy().tobytes())
        else:
            digest.update("\0".join(self.targets).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


class TensorBatches:
    """Batches (inputs, targets) of a tensor set on a device; can be iterated again and again.

    In the order of the set; with `shuffled` as `shuffled_places` says.
    """

    def __init__(
        self, tensor_set: TensorSet, *, batch_size: int, device: torch.device | str, shuffled: bool = False
    ) -> None:
        self.tensor_set, self._batch_size, self._device = tensor_set, batch_size, torch.device(device)
        self._shuffled = shuffled

    @property
    def num_classes(self) -> int | None:
        """The number of classes of labelled samples."""
        return self.tensor_set.num_classes

    def pick(self, places: Tensor) -> "TensorBatches":
        """Batches of the samples at these places, in their order."""
        picked = copy(self)
        picked.tensor_set = self.tensor_set.pick(places)
        return picked

    def __len__(self) -> int:
        return count_batches(len(self.tensor_set), self._batch_size, shuffled=self._shuffled)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        given, size = self.tensor_set, self._batch_size
        if self._shuffled:
            parts: Iterator[TensorSet] = (given.pick(places) for places in shuffled_places(len(given), size))
        else:
            parts = (given.part(slice(start, start + size)) for start in range(0, len(given), size))
        for part in parts:
            targets = part.targets.to(self._device) if isinstance(part.targets, Tensor) else part.targets
            pair = isinstance(part.inputs, tuple)
            yield (
                tuple(one.to(self._device) for one in part.inputs) if pair else part.inputs.to(self._device),  # type: ignore[union-attr]
                targets,
            )


def shuffled_places(count: int, batch_size: int) -> Iterator[Tensor]:
    """The places of the samples of each batch, in a random order from torch's global stream.

    A last batch of one sample is left out, because batch norm needs two.
    """
    parts = torch.randperm(count).split(batch_size)
    yield from parts[: count_batches(count, batch_size, shuffled=True)]


def count_batches(count: int, batch_size: int, *, shuffled: bool) -> int:
    """Batches of so many samples; of shuffled ones, one of a single sample counts only where there is no other."""
    whole, rest = divmod(count, batch_size)
    return whole + (rest > (1 if shuffled and whole and batch_size > 1 else 0))
