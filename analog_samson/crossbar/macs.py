"""The multiply-accumulates of a forward pass: of each layer, and of everything between the layers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from analog_samson import rng
from analog_samson.crossbar.registry import rule_of
from analog_samson.crossbar.uses import Use, watched_uses
from analog_samson.errors import PlanError

_aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class ForwardCount:
    """What one forward of one sample computes; layers by their id.

    positions: vectors that each layer with a rule multiplies in its own forward.
    own: multiply-accumulates inside a module with parameters, without those of such modules inside it. elsewhere:
    vectors that a layer's weight multiplies in the forward of another module. total: of the whole forward.
    """

    positions: Mapping[int, int] = field(default_factory=dict)
    elsewhere: Mapping[int, int] = field(default_factory=dict)
    own: Mapping[int, int] = field(default_factory=dict)
    total: int = 0

    def of(self, module: nn.Module, weights: int) -> int:
        """Multiply-accumulates of a module; weights: of its matrix, 0 where it has no rule."""
        if not weights:
            return self.own.get(id(module), 0)
        return weights * (self.positions.get(id(module), 0) + self.elsewhere.get(id(module), 0))


def count_forward(model: nn.Module, input_shape: Sequence[int]) -> ForwardCount:
    """Count a forward pass of zeros with torch's FlopCounterMode; two of its FLOPs are one multiply-accumulate.

    Counted are matrix products of every kind: layers, recurrences, attention scores, einsum. Not counted are
    elementwise work, norms, lookups, FFTs, and kernels that torch does not know. Modes of all modules are restored, and
    nothing is drawn from the caller's random stream. Raises PlanError if the model cannot run on that shape.
    """
    modes = {module: module.training for module in model.modules()}
    like = next((p for p in model.parameters()), torch.zeros(()))
    counter = FlopCounterMode(display=False, custom_mapping=_MISSING)
    try:
        with (
            torch.no_grad(),
            rng.stream(0, "multiply-accumulates"),
            _unfused(),
            _hooked(model, counter) as (positions, own),
            _used_elsewhere(model) as elsewhere,
            counter,
        ):
            model.eval()
            model(torch.zeros(1, *input_shape, device=like.device, dtype=like.dtype))
    except Exception as error:  # the forward is the user's: it may raise anything
        shape, reason = tuple(input_shape), str(error) or type(error).__name__
        raise PlanError(f"the model cannot run on one sample of shape {shape}: {reason}") from error
    finally:
        for module, training in modes.items():
            module.training = training
    return ForwardCount(positions=positions, elsewhere=elsewhere, own=own, total=counter.get_total_flops() // 2)


@contextmanager
def _unfused() -> Iterator[None]:
    """Attention and recurrent layers as single products: FlopCounterMode does not see into their fused kernels."""
    backends: Any = torch.backends
    before = backends.mha.get_fastpath_enabled(), backends.mkldnn.enabled, backends.cudnn.enabled
    try:
        _set_fused(False, False, False)
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _set_fused(*before)


def _set_fused(attention: bool, mkldnn: bool, cudnn: bool) -> None:
    backends: Any = torch.backends
    backends.mha.set_fastpath_enabled(attention)
    backends.mkldnn.enabled = mkldnn
    backends.cudnn.enabled = cudnn


@contextmanager
def _hooked(model: nn.Module, counter: FlopCounterMode) -> Iterator[tuple[dict[int, int], dict[int, int]]]:
    """Positions of the layers with a rule, and own multiply-accumulates of all modules with parameters."""
    positions: dict[int, int] = {}
    own: dict[int, int] = {}
    open_calls: list[list[int]] = []  # FLOPs at entry, FLOPs of the modules inside

    def enter(module: nn.Module, inputs: Any) -> None:
        open_calls.append([counter.get_total_flops(), 0])

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        start, inside = open_calls.pop()
        spent = counter.get_total_flops() - start
        own[id(module)] = own.get(id(module), 0) + (spent - inside) // 2
        if open_calls:
            open_calls[-1][1] += spent

    def count(module: nn.Module, inputs: Any, output: Tensor) -> None:
        channels = output.shape[-1] if isinstance(module, nn.Linear) else output.shape[1]
        positions[id(module)] = positions.get(id(module), 0) + output.numel() // channels

    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # takes no hooks; what it computes is in the total
            if any(True for _ in module.parameters(recurse=False)):
                stack.callback(module.register_forward_pre_hook(enter).remove)
                stack.callback(module.register_forward_hook(leave).remove)
            if rule_of(module) is not None:
                stack.callback(module.register_forward_hook(count).remove)
        yield positions, own


@contextmanager
def _used_elsewhere(model: nn.Module) -> Iterator[dict[int, int]]:
    """Vectors that the weights of layers multiply while none of the layers that hold them runs, by layer id."""
    holders: dict[Tensor, list[nn.Module]] = {}
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if rule_of(module) is not None and isinstance(weight, nn.Parameter):
            holders.setdefault(weight, []).append(module)
    found: dict[int, int] = {}
    running: list[nn.Module] = []

    def watch(layers: list[nn.Module]) -> Any:
        def count(use: Use) -> None:
            if not any(layer in running for layer in layers):
                found[id(layers[0])] = found.get(id(layers[0]), 0) + use.operator.count(use.input)

        return count

    with ExitStack() as stack:
        for layer in (layer for layers in holders.values() for layer in layers):
            stack.callback(layer.register_forward_pre_hook(lambda module, inputs: running.append(module)).remove)
            stack.callback(layer.register_forward_hook(lambda module, *_: running.remove(module)).remove)
        stack.enter_context(watched_uses({weight: watch(layers) for weight, layers in holders.items()}))
        yield found


def _trilinear_flops(
    first: Sequence[int],
    second: Sequence[int],
    third: Sequence[int],
    expand_first: Sequence[int],
    expand_second: Sequence[int],
    expand_third: Sequence[int],
    *others: Any,
    **named: Any,
) -> int:
    """FLOPs of the product behind nn.Bilinear: the volume that its three operands span."""
    shapes = []
    for shape, added in ((first, expand_first), (second, expand_second), (third, expand_third)):
        spread = list(shape)
        for place in sorted(added):
            spread.insert(place, 1)
        shapes.append(spread)
    return 2 * prod(torch.broadcast_shapes(*shapes))


# Products that FlopCounterMode has no formula for; each takes shapes and returns FLOPs.
_MISSING = {
    _aten.mv: lambda matrix, vector, **named: 2 * prod(matrix),
    _aten.addmv: lambda added, matrix, vector, **named: 2 * prod(matrix),
    _aten.dot: lambda first, second, **named: 2 * prod(first),
    _aten.vdot: lambda first, second, **named: 2 * prod(first),
    _aten._trilinear: _trilinear_flops,
}
