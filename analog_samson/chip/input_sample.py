"""What a weight's converters are given: a bounded random sample of its input vectors, and the largest of all inputs."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.crossbar.uses import Use, Watch, watched_uses
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.tasks.batch import Run, feed, first_tensor
from analog_samson.tasks.batch_check import check_inputs

_MOST_VECTORS = 4096
_LEAST_VECTORS = 64  # of layers so wide that these alone exceed the numbers below
_MOST_NUMBERS = 2**19  # a layer, 2 MiB


def watch_inputs(model: nn.Module, watches: Mapping[Tensor, Watch], batches: Iterable[Any], run: Run = feed) -> None:
    """Run `model` in eval mode on all batches; each watch sees every use of its weight."""
    with eval_mode(model), torch.no_grad(), watched_uses(watches):
        for batch in batches:
            check_inputs(first_tensor(batch))
            run(model, batch)


class InputSample:
    """A uniform sample of a layer's input vectors, without replacement, over all calls of the layer.

    A vector is what the crossbar receives at once: one row of a matrix product, or the inputs of one output position of
    a convolution, padding included. Each vector gets a random key from a stream of its own, named by (seed, path); the
    smallest keys are kept. So the sample depends neither on batch sizes nor on other layers.

    vectors: (n, rows of all groups), float32, on the layer's device; n <= 4096, and fewer for wide layers (2^19 numbers
    a layer, at least 64 vectors). largest: the largest |input| of all inputs, sampled or not.
    """

    def __init__(self, weight: Tensor, *, seed: int, path: str) -> None:
        self._generator = rng.generator(seed, "input sample", path)
        self._keys = torch.zeros(0, dtype=torch.float64)
        self._rows = weight[0].numel()
        self._largest = torch.zeros((), device=weight.device)
        self.groups = 1
        self.vectors = torch.zeros(0, self._rows, device=weight.device)

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
