"""What a layer's converters are given: a bounded random sample of its input vectors, and the largest of all inputs."""

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from analog_samson import rng
from analog_samson.chip.im2col import count_positions, pick_windows
from analog_samson.crossbar.registry import integer_padding
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.tasks.batch_check import check_inputs

_MOST_VECTORS = 4096
_LEAST_VECTORS = 64  # of layers so wide that these alone exceed the numbers below
_MOST_NUMBERS = 2**19  # a layer, 2 MiB

Watch = Callable[[Tensor], None]


def watch_inputs(model: nn.Module, watches: Mapping[nn.Module, Watch], batches: Iterable[tuple[Tensor, Any]]) -> None:
    """Run `model` in eval mode on all batches (x, y); each watch gets every input of its layer."""

    def hook(watch: Watch) -> Any:
        def pass_on(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            watch(inputs[0])

        return pass_on

    hooks = [layer.register_forward_pre_hook(hook(watch)) for layer, watch in watches.items()]
    try:
        with eval_mode(model), torch.no_grad():
            for x, _ in batches:
                check_inputs(x)
                model(x)
    finally:
        for one in hooks:
            one.remove()


class InputSample:
    """A uniform sample of a layer's input vectors, without replacement, over all calls of the layer.

    A vector is what the crossbar receives at once: the inputs of a linear layer, or of one output position of a
    convolution, padding included. Each vector gets a random key from a stream of its own, named by (seed, path); those
    with the smallest keys are kept. So the sample depends neither on batch sizes nor on other layers.

    vectors: (n, rows of all groups), float32, on the layer's device; n <= 4096, and fewer for wide layers (2^19 numbers
    a layer, at least 64 vectors). largest: the largest |input| of all inputs, sampled or not.
    """

    def __init__(self, layer: Any, *, seed: int, path: str) -> None:
        weight = layer.weight
        self._layer = layer
        self._generator = rng.generator(seed, "input sample", path)
        self._keys = torch.zeros(0, dtype=torch.float64)
        rows = weight[0].numel() * getattr(layer, "groups", 1)
        self._room = max(_LEAST_VECTORS, min(_MOST_VECTORS, _MOST_NUMBERS // max(1, rows)))
        self._largest = torch.zeros((), device=weight.device)
        self.vectors = torch.zeros(0, rows, device=weight.device)

    @property
    def largest(self) -> float:
        return float(self._largest)

    def add(self, x: Tensor) -> None:
        """Take a share of the vectors in one input of the layer."""
        if x.numel() == 0:
            return
        low, high = x.detach().aminmax()
        self._largest = torch.maximum(self._largest, torch.maximum(high, -low).float())
        count, pick = self._vectors_of(x.detach())
        before, device = len(self._keys), self.vectors.device
        keys = torch.cat([self._keys, torch.rand(count, generator=self._generator, dtype=torch.float64)])
        self._keys, kept = keys.topk(min(self._room, len(keys)), largest=False)  # sorted
        is_new = kept >= before
        picked = pick((kept[is_new] - before).to(device)).float()
        place = torch.where(is_new, before + is_new.cumsum(0) - 1, kept)
        self.vectors = torch.cat([self.vectors, picked])[place.to(device)]

    def _vectors_of(self, x: Tensor) -> tuple[int, Callable[[Tensor], Tensor]]:
        """How many vectors there are in `x`, and the function that picks some by their places."""
        layer = self._layer
        if not isinstance(layer, _ConvNd):
            flat = x.reshape(-1, x.shape[-1])
            return len(flat), lambda places: flat[places]
        maps = x[None] if x.ndim == len(layer.kernel_size) + 1 else x  # one sample
        geometry = layer.kernel_size, layer.stride, integer_padding(layer), layer.dilation
        positions = prod(count_positions(maps.shape, *geometry))
        return len(maps) * positions, lambda places: pick_windows(maps, places, *geometry)
