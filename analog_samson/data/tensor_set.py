"""Samples that are tensors in memory, such as recordings or images with a class for each pixel, and their batches."""

import hashlib
from collections.abc import Iterator, Sequence
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
        if limit is None:
            return self
        pair = isinstance(self.inputs, tuple)
        inputs: Any = tuple(part[:limit] for part in self.inputs) if pair else self.inputs[:limit]
        return replace(self, inputs=inputs, targets=self.targets[:limit])

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
    """Batches (inputs, targets) of a tensor set on a device, in its order; can be iterated again and again."""

    def __init__(self, tensor_set: TensorSet, *, batch_size: int, device: torch.device | str) -> None:
        self.tensor_set, self._batch_size, self._device = tensor_set, batch_size, torch.device(device)

    @property
    def num_classes(self) -> int | None:
        """The number of classes of labelled samples."""
        return self.tensor_set.num_classes

    def __len__(self) -> int:
        return -(-len(self.tensor_set) // self._batch_size)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        given = self.tensor_set
        for start in range(0, len(given), self._batch_size):
            part = slice(start, start + self._batch_size)
            targets = given.targets[part]
            yield self._moved(given.inputs, part), targets.to(self._device) if isinstance(targets, Tensor) else targets

    def _moved(self, inputs: Tensor | tuple[Tensor, Tensor], part: slice) -> Any:
        if isinstance(inputs, tuple):
            return tuple(one[part].to(self._device) for one in inputs)
        return inputs[part].to(self._device)
