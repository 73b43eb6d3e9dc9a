"""Every reason why a set of weights does not fit a network, or cannot be stored, found before anything is copied."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, takewhile

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from analog_samson.errors import ModelError, did_you_mean, list_faults

_EXTRA_STATE = "_extra_state"  # what torch calls the result of get_extra_state
_SHOWN = 40  # lines a kind of fault; a file of another network altogether would print hundreds


def state_faults(state: Mapping[str, Tensor], model: nn.Module) -> list[str]:
    """One line for each missing, extra, wrongly shaped, non-float or non-finite entry of `state`; empty if it fits.

    Only reads. `num_batches_tracked` may be missing: a batch-norm layer needs it only for an exact average. A buffer
    may be other than finite where the model has the very same: a mask of -inf, which the network was built with. A
    model that cannot be loaded at all is told alone.
    """
    expected = model.state_dict()
    if unusable := _unusable(expected):
        return _shown(unusable)
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    extra = [name for name in state if name not in expected]
    misshapen = [name for name in state if name in expected and state[name].shape != expected[name].shape]
    strange = [name for name in state if name in expected and _is_strange(state[name], expected[name])]
    shared = {name: value for name, value in state.items() if name in expected}
    return [
        *_shown([_missing_line(name, expected[name], extra) for name in missing]),
        *_shown([f"extra: {name} {_shape(state[name])} is not in the model" for name in extra]),
        *_shown([_shape_line(name, state[name], expected[name]) for name in misshapen]),
        *_head_lines(misshapen, state, model),
        *_shown([_kind_line(name, state[name], expected[name]) for name in strange]),
        *_shown(_not_finite(shared, dict(model.named_buffers(remove_duplicate=False)))),
    ]


def fit_names(state: dict[str, Tensor], model: nn.Module) -> tuple[dict[str, Tensor], str, list[str]]:
    """Compare `state` with `model`, also without a prefix that all its names share and the model's do not.

    Returns:
        The state under the names that fit best, the prefix removed from them (or ""), and what still does not fit. The
        first line then names the prefix.
    """
    best = state, "", state_faults(state, model)
    prefixes = [
        prefix for prefix in _common_prefixes(state) if not all(n.startswith(prefix) for n in model.state_dict())
    ]
    for prefix in prefixes if best[2] else ():
        inner = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
        if len(faults := state_faults(inner, model)) < len(best[2]):
            best = inner, prefix, faults
    inner, prefix, faults = best
    if faults and prefixes:
        tried = "even without it the weights do not fit" if prefix else "the names do not fit without it either"
        faults = [f"all names of weights begin with {prefix or prefixes[-1]!r}; {tried}", *faults]
    return inner, prefix, faults


def _common_prefixes(names: Iterable[str]) -> list[str]:
    """What all names begin with, up to each of its dots, the shortest first.

    >>> _common_prefixes(["model._orig_mod.head.weight", "model._orig_mod.norm.bias"])
    ['model.', 'model._orig_mod.']
    """
    parts = [name.split(".")[:-1] for name in names]
    levels = takewhile(lambda level: len(set(level)) == 1, zip(*parts, strict=False))
    return [prefix + "." for prefix in accumulate((level[0] for level in levels), lambda one, two: f"{one}.{two}")]


def claim_faults(state: Mapping[str, Tensor], size: int) -> list[str]:
    """One line for each tensor that claims more values than a file of `size` bytes holds: a few, repeated.

    Sparse tensors are left out; no network takes them.
    """
    return _shown(
        [
            f"{name}: claims {_shape(value)} values, {value.numel() * value.element_size()} bytes; the file has {size}"
            for name, value in state.items()
            if value.layout == torch.strided and value.numel() * value.element_size() > size
        ]
    )


def check_initialised(model: nn.Module) -> None:
    """Raise ModelError for weights without values: of lazy layers, or on the meta device."""
    state = model.state_dict()
    _refuse(model, [*_lazy(state), *_valueless(state)])


def check_storable(model: nn.Module) -> None:
    """Raise ModelError for lazy layers, and for state other than tensors, which checkpoints do not hold."""
    _refuse(model, _unusable(model.state_dict()))


def _refuse(model: nn.Module, faults: Sequence[str]) -> None:
    if faults:
        raise ModelError(list_faults(f"network {type(model).__name__}", _shown(faults)))


def _unusable(state: Mapping[str, object]) -> list[str]:
    return [*_lazy(state), *_no_tensors(state)]


def _lazy(state: Mapping[str, object]) -> list[str]:
    return [
        f"{name}: a lazy layer whose weights are not made yet; run one batch through the network where it is built"
        for name, value in state.items()
        if isinstance(value, Tensor) and is_lazy(value)
    ]


def _valueless(state: Mapping[str, object]) -> list[str]:
    return [
        f"{name}: on the meta device, without values; build the network on a real device, or load its weights with "
        "load_state_dict(state, assign=True)"
        for name, value in state.items()
        if isinstance(value, Tensor) and value.is_meta and not is_lazy(value)
    ]


def _no_tensors(state: Mapping[str, object]) -> list[str]:
    return [
        f"{name}: a {type(value).__name__}{' of get_extra_state' if name.endswith(_EXTRA_STATE) else ''}, which "
        "checkpoints do not store; expected tensors alone: keep it in a buffer, or return a tensor"
        for name, value in state.items()
        if not isinstance(value, Tensor)
    ]


def _is_strange(tensor: Tensor, expected: Tensor) -> bool:
    """Whether it has no values, or is no dense tensor of floats where the model has one, as in a quantized file."""
    if tensor.is_meta:
        return True
    return expected.is_floating_point() and (tensor.layout != torch.strided or not tensor.is_floating_point())


def _kind_line(name: str, got: Tensor, expected: Tensor) -> str:
    if got.is_meta:
        return f"kind: {name} is on the meta device in the file, without values; save the network with its weights"
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


def _not_finite(state: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> list[str]:
    lines = []
    for name, tensor in state.items():
        if tensor.is_meta or tensor.layout != torch.strided or not tensor.is_floating_point():
            continue
        if bool(torch.isfinite(tensor).all()):
            continue
        if name not in buffers or not _is_same(tensor, buffers[name]):
            nan, inf = int(tensor.isnan().sum()), int(tensor.isinf().sum())
            lines.append(f"not finite: {name} holds {nan} NaN and {inf} Inf among {tensor.numel()} values")
    return lines


def _is_same(tensor: Tensor, expected: Tensor) -> bool:
    """Whether all values are equal at the precision of `tensor`, which turned none into Inf; NaN equals NaN."""
    wanted = expected.detach().to(tensor)
    if tensor.shape != wanted.shape or not torch.equal(wanted.isfinite(), expected.isfinite().to(wanted.device)):
        return False
    return torch.allclose(tensor, wanted, rtol=0.0, atol=0.0, equal_nan=True)


def _shown(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"... and {more} more of this kind"] if more > 0 else [])]
