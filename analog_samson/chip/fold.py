"""Batch normalisation done by the convolution in front of it.

In eval mode a batch-norm layer scales and shifts each channel by constants. A convolution on tiles does both already,
with its digital scale and bias behind the converters, so the two steps can be one: the same random variable, one pass
over the activations less. Where statistics are being recomputed (AdaBS) the layer has to stand by itself.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from analog_samson.chip.network import CrossbarNetwork
from analog_samson.chip.scaling import Affine

Pairs = Mapping[str, str]  # path of a convolution -> path of the batch-norm layer behind it
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@torch.no_grad()
def foldable(model: nn.Module, sample: Any) -> Pairs:
    """The convolutions of `model`, in eval mode, whose output goes into one batch-norm layer and nowhere else.

    Read off the graph that torch.fx records. Where the model cannot be recorded, or the graph does not repeat the
    model's output bit for bit, nothing is foldable. `model` is not changed.

    Args:
        model: The digital network.
        sample: A few inputs of the network.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        graph = fx.symbolic_trace(model)
        output, expected = graph(sample), model(sample)
        same = isinstance(expected, Tensor) and torch.equal(output, expected)
        return _pairs(graph) if same else {}
    except Exception:  # a model may do to a symbolic value whatever fails; then it runs as it is written
        return {}
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def folded(crossbar: CrossbarNetwork, pairs: Pairs) -> Iterator[None]:
    """Within, the batch-norm layers of `pairs` are gone and their convolutions do their work; then all is as before.

    Takes the statistics as they are on entry. Layers that stayed digital, that share their weight, or whose norm is in
    train mode or without statistics, are left alone.
    """
    network: Any = crossbar.network
    taken: list[tuple[str, Any, nn.Module, nn.Module]] = []
    try:
        for layer_path, norm_path in pairs.items():
            norm = network.get_submodule(norm_path)
            if crossbar.is_alone(layer_path) and _is_constant(norm):
                bias, stand_in = getattr(network.get_submodule(layer_path), "bias", None), _StandIn(norm)
                taken.append((layer_path, bias, norm, stand_in))
                crossbar.scale_outputs(layer_path, affine_of(norm), bias)
                _exchange(network, norm, stand_in)
        yield
    finally:
        for layer_path, bias, norm, silent in taken:
            crossbar.scale_outputs(layer_path, None, bias)
            _exchange(network, silent, norm)


class _StandIn(nn.Identity):
    """Passes its input on, and shows the attributes of the layer that is gone: the forward may read its statistics."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.__dict__["_norm"] = norm  # unregistered, so it is no part of the model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_norm"], name)


@torch.no_grad()
def affine_of(norm: nn.Module) -> Affine:
    """What a batch-norm layer does to each channel in eval mode.

    >>> affine_of(nn.BatchNorm2d(1, eps=0.0)).gain.tolist()
    [1.0]
    """
    assert isinstance(norm, _NORMS)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = torch.rsqrt(norm.running_var.double() + norm.eps)
    if norm.weight is not None:
        gain = gain * norm.weight
    shift = -norm.running_mean * gain
    if norm.bias is not None:
        shift = shift + norm.bias
    return Affine(gain.float(), shift.float())


def _exchange(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` in the place of `old` under each of its names: the forward may use any of them."""
    for path in [path for path, module in model.named_modules(remove_duplicate=False) if module is old]:
        model.set_submodule(path, new)


def _is_constant(norm: nn.Module) -> bool:
    return isinstance(norm, _NORMS) and not norm.training and norm.running_mean is not None


def _pairs(graph: fx.GraphModule) -> Pairs:
    """Each module of a pair is called once in the whole graph, by whatever name."""
    modules = dict(graph.named_modules(remove_duplicate=False))
    calls = [node for node in graph.graph.nodes if node.op == "call_module"]
    count = Counter(id(modules[str(node.target)]) for node in calls)
    found = {}
    for node in calls:
        users = list(node.users)
        if len(users) != 1 or users[0].op != "call_module":
            continue
        layer, norm = modules[str(node.target)], modules[str(users[0].target)]
        alone = count[id(layer)] == count[id(norm)] == 1
        if alone and type(layer) in _CONVOLUTIONS and type(norm) in _NORMS:
            found[str(node.target)] = str(users[0].target)
    return found
