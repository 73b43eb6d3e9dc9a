"""What a weight's converters are given: a bounded random sample of its input vectors, and the largest of all inputs."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from analog_samson import rng
from analog_samson.crossbar.layout import Layout
from analog_samson.crossbar.plan import Placement
from analog_samson.crossbar.use import Use
from analog_samson.crossbar.watch import Watch, watched
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
) -> None:
    """Run `model` in eval mode on all batches; each function is called with every product of its weight."""
    slots = [(slot, _watch(add)) for placement, add in watches for slot in dict.fromkeys(placement.slots(model))]
    with eval_mode(model), torch.no_grad(), watched(slots):
        for batch in batches:
            check_inputs(first_tensor(batch))
            run(model, batch)


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
    a layer, at least 64 vectors). largest: the largest |input| of all inputs, sampled or not.
    """

    def __init__(self, rows: int, device: torch.device, *, seed: int, path: str) -> None:
        """An empty sample for a weight with so many rows a group."""
        self._generator = rng.generator(seed, "input sample", path)
        self._keys = torch.zeros(0, dtype=torch.float64)
        self._rows = rows
        self._largest = torch.zeros((), device=device)
        self.groups = 1
        self.vectors = torch.zeros(0, self._rows, device=device)

    @property
    def largest(self) -> float:
        return float(self._largest)

    def add(self, use: Use) -> None:
        """Take a share of the vectors that the weight is multiplied by in one call."""
        x, operator = use.input.detach(), use.operator
        if x.numel() == 0:
            return
        if len(self.vectors) == 0:
            self.groups = operator.groups
            self.vectors = self.vectors.new_zeros(0, self._rows * operator.groups)
        room = max(_LEAST_VECTORS, min(_MOST_VECTORS, _MOST_NUMBERS // max(1, self.vectors.shape[1])))
        low, high = x.aminmax()
        self._largest = torch.maximum(self._largest, torch.maximum(high, -low).float())
        before, device = len(self._keys), self.vectors.device
        new = torch.rand(operator.count(x), generator=self._generator, dtype=torch.float64)
        keys = torch.cat([self._keys, new])
        self._keys, kept = keys.topk(min(room, len(keys)), largest=False)  # sorted
        is_new = kept >= before
        picked = operator.pick(x, (kept[is_new] - before).to(device)).float()
        place = torch.where(is_new, before + is_new.cumsum(0) - 1, kept)
        self.vectors = torch.cat([self.vectors, picked])[place.to(device)]
