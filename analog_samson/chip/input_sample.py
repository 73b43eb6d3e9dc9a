"""What a weight's converters are given: a bounded random sample of its input vectors, and the largest of all inputs."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.crossbar.layout import Layout
from analog_samson.crossbar.plan import Placement
from analog_samson.crossbar.use import Use
from analog_samson.crossbar.watch import Watch, first_size, watched
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.tasks.batch import Run, feed, first_tensor
from analog_samson.tasks.batch_check import check_inputs

_MOST_VECTORS = 4096
_LEAST_VECTORS = 64  # of layers so wide that these alone exceed the numbers below
_MOST_NUMBERS = 2**19  # a layer, 2 MiB


def watch_inputs(
    model: nn.Module,
    watches: Iterable[tuple[Placement, Callable[[Use], None]]],
    batches: Iterable[Any],
    run: Run = feed,
) -> int:
    """Run `model` in eval mode on all batches; each function is called with every product of its weight.

    Returns the number of samples in the batches.
    """
    samples = 0
    slots = [(slot, _watch(add)) for placement, add in watches for slot in dict.fromkeys(placement.slots(model))]
    with eval_mode(model), torch.no_grad(), watched(slots):
        for batch in batches:
            check_inputs(first_tensor(batch))
            run(model, batch)
            samples += first_size(batch)
    return samples


def _watch(add: Callable[[Use], None]) -> Watch:
    def product(use: Use, layout: Layout, name: str) -> None:
        add(use)

    return Watch(product)


class InputSample:
    """A uniform sample of a layer's input vectors, without replacement, over all calls of the layer.

    A vector is what the crossbar receives at once: one row of a matrix product, or the inputs of one output position of
    a convolution, padding included. Each vector gets a random key from a stream of its own, named by (seed, path); the
    smallest keys are kept. So the sample depends neither on batch sizes nor on other layers.

    vectors: (n, rows of all groups), float32, on the layer's device; n <= 4096, and fewer for wide layers (2^19 numbers
    a layer, at least 64 vectors). The rest is of all inputs, sampled or not. by_channel: the largest |input| of each
    channel; None where uses of the weight differ in their channels. moments: number, sum and sum of squares.
    groups, positions: as the operator has them.
    """

    def __init__(self, rows: int, device: torch.device, *, seed: int, path: str) -> None:
        """An empty sample for a weight with so many rows a group."""
        self._generator = rng.generator(seed, "input sample", path)
        self._keys = torch.zeros(0, dtype=torch.float64)
        self._rows = rows
        self.by_channel: Tensor | None = torch.zeros(0, device=device)
        self._largest = torch.zeros((), device=device)
        self.moments = torch.zeros(3, dtype=torch.float64, device=device)
        self.groups = self.positions = 1
        self.vectors = torch.zeros(0, self._rows, device=device)

    @property
    def largest(self) -> float:
        """The largest |input|."""
        return float(self._largest)

    def add(self, use: Use) -> None:
        """Take a share of the vectors that the weight is multiplied by in one call."""
        x, operator = use.input.detach(), use.operator
        if x.numel() == 0:
            return
        if len(self.vectors) == 0:
            self.groups, self.positions = operator.groups, operator.positions
            self.by_channel = x.new_zeros(x.shape[1], dtype=torch.float32)
            self.vectors = self.vectors.new_zeros(0, self._rows * operator.groups)
        room = max(_LEAST_VECTORS, min(_MOST_VECTORS, _MOST_NUMBERS // max(1, self.vectors.shape[1])))
        self._summarize(x)
        before, device = len(self._keys), self.vectors.device
        new = torch.rand(operator.count(x), generator=self._generator, dtype=torch.float64)
        keys = torch.cat([self._keys, new])
        self._keys, kept = keys.topk(min(room, len(keys)), largest=False)  # sorted
        is_new = kept >= before
        picked = operator.pick(x, (kept[is_new] - before).to(device)).float()
        place = torch.where(is_new, before + is_new.cumsum(0) - 1, kept)
        self.vectors = torch.cat([self.vectors, picked])[place.to(device)]

    def _summarize(self, x: Tensor) -> None:
        low, high = x.transpose(0, 1).flatten(1).aminmax(dim=1)
        largest = torch.maximum(high, -low).float()
        self._largest = torch.maximum(self._largest, largest.max())
        if self.by_channel is not None:
            same = len(self.by_channel) == len(largest)
            self.by_channel = torch.maximum(self.by_channel, largest) if same else None
        squares = torch.linalg.vector_norm(x, dtype=torch.float64).square()
        self.moments += torch.stack([torch.full_like(squares, x.numel()), x.sum(dtype=torch.float64), squares])
