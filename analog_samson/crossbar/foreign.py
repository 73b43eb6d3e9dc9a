"""Weights that cannot be programmed as they are: quantised, sparse, complex or computed ones, each with its remedy."""

from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.crossbar.materialize import computed_by
from analog_samson.crossbar.slots import Slot
from analog_samson.errors import PlanError

_PACKED = (
    "qweight",
    "_packed_params",
    "weight_packed",
    "_all_weight_values",
)  # buffers and attributes of GPTQ, AWQ, torch.ao and others
_DEQUANTISE = "load the float checkpoint, or dequantise the network first (Hugging Face: model.dequantize())"
_BY_TENSOR = "put nn.Parameter(layer.{name}.dequantize()) in its place, as torchao's tensors allow"
_BY_LAYER = "load the float checkpoint, or put a float layer with layer.weight().dequantize() in its place"


def obstacle(slot: Slot) -> str | None:
    """Why the weight of a slot cannot be programmed; None if it can be."""
    value: Any = slot.value
    if not isinstance(value, Tensor):
        return f"it has no tensor `{slot.name}`"
    if value.is_complex():
        return "its weights are complex, a crossbar holds real ones"
    if value.layout != torch.strided:
        return "its weight is sparse; store it dense (weight.to_dense())"
    if value.is_quantized or not value.is_floating_point():
        return f"its weight holds {str(value.dtype).removeprefix('torch.')} codes of a quantised layer; {_DEQUANTISE}"
    if type(value.data) is not Tensor:
        has_own = type(value.data).dequantize is not Tensor.dequantize
        remedy = _BY_TENSOR.format(name=slot.name) if has_own else _DEQUANTISE
        return f"its weight is a {type(value.data).__name__}, whose values are packed; {remedy}"
    if slot.name not in slot.module._parameters and computed_by(slot.module, slot.name) is None:
        return "its weight is computed by unknown means in every forward"
    return None


def packed_weights(module: nn.Module) -> str | None:
    """Why a module without parameters holds weights all the same; None if it does not."""
    found = [name for name in _PACKED if getattr(module, name, None) is not None]
    if not found or type(module).__name__ == "LinearPackedParams":  # part of a layer that says so itself
        return None
    remedy = _BY_LAYER if callable(getattr(module, "weight", None)) else _DEQUANTISE
    return f"its weights are packed in `{found[0]}`, as quantised layers have them; {remedy}"


def digital_network(model: nn.Module) -> nn.Module:
    """The unwrapped network. Raises PlanError if aihwkit has converted it: its weights lie in tiles of their own."""
    model = unwrapped(model)
    for path, module in model.named_modules():
        if type(module).__module__.partition(".")[0] == "aihwkit":
            raise PlanError(
                f"{path or '(model)'}: {type(module).__name__} of aihwkit; expected the digital network, which "
                "aihwkit.nn.conversion.convert_to_digital(model) gives before the tiles are programmed"
            )
    return model


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside torch.compile, DataParallel or DistributedDataParallel, else the network itself.

    >>> unwrapped(nn.DataParallel(nn.Linear(2, 2)))
    Linear(in_features=2, out_features=2, bias=True)
    """
    while True:
        inner: Any = model
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = inner.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = inner._orig_mod
        else:
            return model
