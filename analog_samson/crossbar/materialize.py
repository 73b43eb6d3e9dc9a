"""Weights that a layer computes anew in every forward, turned into plain parameters."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

_STANDARDISED = ("StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame")


def computed_by(module: nn.Module, name: str = "weight") -> str | None:
    """What computes the parameter `name` of a layer in every forward, such as "weight norm"; None for a parameter.

    >>> computed_by(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    'a parametrization'
    """
    if parametrize.is_parametrized(module, name):
        return "a parametrization"
    if name == "weight" and type(module).__name__ in _STANDARDISED and type(module).__module__.startswith("timm."):
        return "weight standardisation"
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm) and hook.name == name:
            return "weight norm"
        if isinstance(hook, SpectralNorm) and hook.name == name:
            return "spectral norm"
        if isinstance(hook, prune.BasePruningMethod) and hook._tensor_name == name:
            return "pruning"
    return None


def materialize(module: nn.Module, name: str = "weight") -> None:
    """Make the parameter `name` of a layer in eval mode the plain parameter that its forward would compute, in place.

    A layer that computes it by other means than those of `computed_by` is left alone.
    """
    match computed_by(module, name):
        case "a parametrization":
            # torch deletes the attribute from the class, which a copied layer shares with the original.
            shared = type(module)
            module.__class__ = type(shared.__name__, shared.__bases__, dict(vars(shared)))
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        case "weight norm":
            remove_weight_norm(module, name)
        case "spectral norm":
            remove_spectral_norm(module, name)
        case "pruning":
            prune.remove(module, name)
        case "weight standardisation":
            _keep_standardised(module)
        case None:
            return
    value = getattr(module, name)
    if not isinstance(value, nn.Parameter):  # torch leaves a buffer where gradients are off
        delattr(module, name)
        module.register_parameter(name, nn.Parameter(value.detach(), requires_grad=False))


@torch.no_grad()
def _keep_standardised(layer: Any) -> None:
    """Let a convolution of timm that standardises its weight in each forward hold the standardised one."""
    seen = _LastConvolution()
    with seen:
        layer(layer.weight.new_zeros(1, layer.in_channels, *layer.kernel_size))
    layer.weight = nn.Parameter(seen.weight.clone(), requires_grad=False)
    layer.__class__ = _Standardised


class _LastConvolution(TorchFunctionMode):
    """Keeps the weight of the last two-dimensional convolution that is computed within."""

    weight: Tensor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.conv2d:
            self.weight = args[1]
        return func(*args, **(kwargs or {}))


class _Standardised(nn.Conv2d):
    """A convolution of timm that no longer standardises its weight."""

    def forward(self, x: Tensor) -> Tensor:
        if getattr(self, "same_pad", False):
            from timm.layers.padding import pad_same

            x = pad_same(x, list(self.kernel_size), list(self.stride), list(self.dilation))
        return torch.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def copied(model: nn.Module, shared: Sequence[Tensor] = ()) -> nn.Module:
    """A deep copy, also of a network whose layers keep a computed weight, which torch refuses to copy.

    shared: parameters that the copy has in common with the network.
    """
    values = (value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor))
    memo = {id(value): value.detach().clone() for value in values if not value.is_leaf}
    return copy.deepcopy(model, memo | {id(value): value for value in shared})


def with_plain_weights(model: nn.Module, layers: Sequence[nn.Module]) -> nn.Module:
    """`model` itself where none of these layers computes its weight anew, else a copy in which they hold it."""
    computing = {path for path, module in model.named_modules() if module in layers and computed_by(module)}
    if not computing:
        return model
    plain = copied(model)
    for path in computing:
        layer = plain.get_submodule(path)
        layer.eval()
        materialize(layer)
    return plain
