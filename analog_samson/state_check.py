"""Every reason why a set of weights does not fit a network, found before anything is copied."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from analog_samson.errors import did_you_mean

_SHOWN = 40  # lines a kind of fault; a file of another network altogether would print hundreds


def state_faults(state: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """One line for each missing, extra, wrongly shaped, non-float or non-finite entry of `state`; empty if it fits.

    Only reads. `num_batches_tracked` may be missing: a batch-norm layer needs it only for an exact average.
    """
    expected = model.state_dict()
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    extra = [name for name in state if name not in expected]
    misshapen = [name for name in state if name in expected and state[name].shape != expected[name].shape]
    strange = [name for name in state if name in expected and _is_strange(state[name], expected[name])]
    return [
        *_shown([_missing_line(name, expected[name], extra) for name in missing]),
        *_shown([f"extra: {name} {_shape(state[name])} is not in the model" for name in extra]),
        *_shown([_shape_line(name, state[name], expected[name]) for name in misshapen]),
        *_head_lines(misshapen, state, model),
        *_shown([_kind_line(name, state[name], expected[name]) for name in strange]),
        *_shown(_not_finite(state)),
    ]


def _is_strange(tensor: Tensor, expected: Tensor) -> bool:
    """Whether this is no dense tensor of floats where the model has one: weights of a quantized or pruned file."""
    return expected.is_floating_point() and (tensor.layout != torch.strided or not tensor.is_floating_point())


def _kind_line(name: str, got: Tensor, expected: Tensor) -> str:
    kind = ("sparse " if got.layout != torch.strided else "") + str(got.dtype).removeprefix("torch.")
    wanted = str(expected.dtype).removeprefix("torch.")
    return f"kind: {name} is {kind} in the file, dense {wanted} in the model; save it as dense floats"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _missing_line(name: str, expected: Tensor, extra: Sequence[str]) -> str:
    hint = did_you_mean(name, extra).replace("did you mean", "the file has")
    return f"missing: {name} {_shape(expected)}{hint.rstrip('?')}"


def _shape_line(name: str, got: Tensor, expected: Tensor) -> str:
    return f"shape: {name} is {_shape(got)} in the file, {_shape(expected)} in the model"


def _head_lines(misshapen: Sequence[str], state: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """Explain a head whose class count differs: the commonest reason for a wrong shape."""
    head = next((name for name, module in reversed(list(model.named_modules())) if isinstance(module, nn.Linear)), None)
    if head is None or f"{head}.weight" not in misshapen:
        return []
    got, expected = state[f"{head}.weight"], model.get_submodule(head).weight
    if got.ndim != 2 or not isinstance(expected, Tensor) or got.shape[1] != expected.shape[1]:
        return []
    return [
        f"the head {head!r} of the file tells {len(got)} classes apart, that of the model {len(expected)}: "
        f"build the model for {len(got)} classes, or use data and a checkpoint of {len(expected)}"
    ]


def _not_finite(state: Mapping[str, Tensor]) -> list[str]:
    lines = []
    for name, tensor in state.items():
        if tensor.layout == torch.strided and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            nan, inf = int(tensor.isnan().sum()), int(tensor.isinf().sum())
            lines.append(f"not finite: {name} holds {nan} NaN and {inf} Inf among {tensor.numel()} values")
    return lines


def _shown(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"... and {more} more of this kind"] if more > 0 else [])]
