"""What one forward pass shows: the products of each weight, and the multiply-accumulates of all that is computed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from analog_samson import rng
from analog_samson.crossbar.flops import MISSING_FORMULAS
from analog_samson.crossbar.layout import Layout
from analog_samson.crossbar.slots import Slot
from analog_samson.crossbar.use import Use
from analog_samson.crossbar.watch import Watch, first_size, watched
from analog_samson.runtime.call import call


@dataclass
class SlotUses:
    """The uses of one slot in a forward pass.

    Attributes:
        products: How many vectors met the weight, by function and layout of the part that was used.
        others: Other functions that had the weight as an argument, look-ups included, in the order of their calls.
        order: Position of the first product among those of all slots; None without one.
    """

    products: dict[tuple[str, Layout], int] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    order: int | None = None

    @property
    def macs(self) -> int:
        return sum(layout.weights * vectors for (_, layout), vectors in self.products.items())

    def merged(self, other: "SlotUses") -> "SlotUses":
        """The uses of two slots that hold the same parameter."""
        products = dict(self.products)
        for key, vectors in other.products.items():
            products[key] = products.get(key, 0) + vectors
        orders = [order for order in (self.order, other.order) if order is not None]
        return SlotUses(products, [*self.others, *other.others], min(orders, default=None))


@dataclass(frozen=True)
class Observation:
    """A forward pass of `samples` samples: the uses of each slot, and multiply-accumulates of everything (`macs`)."""

    uses: Mapping[Slot, SlotUses]
    macs: int
    samples: int = 1


@dataclass(frozen=True, kw_only=True)
class Example:
    """What to run a network on, to see how it uses its weights.

    Attributes:
        batch: A batch as `run` takes it; by default a tensor, a tuple of arguments or a mapping of named arguments.
        run: How the network is called on the batch.
        count: Also count multiply-accumulates, which takes single products in the place of fused kernels.
    """

    batch: Any
    run: Callable[[nn.Module, Any], Any] = call
    count: bool = True


def observe(model: nn.Module, slots: Sequence[Slot], example: Example) -> Observation:
    """Run `model` in eval mode on an example and see how it uses the parameters of these slots.

    Multiply-accumulates are counted by torch's FlopCounterMode; two of its FLOPs are one. Counted are matrix products
    of every kind: layers, recurrences, attention scores, einsum. Not counted are elementwise work, norms, look-ups,
    FFTs, and kernels that torch does not know. Modes of all modules are restored, and nothing is drawn from the
    caller's random stream.

    Args:
        model: The network; it is not changed.
        slots: Of plain parameters of the network.
        example: What it is run on.
    """
    modes = {module: module.training for module in model.modules()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    counter = FlopCounterMode(display=False, custom_mapping=MISSING_FORMULAS)
    uses = {slot: SlotUses() for slot in slots}
    count = iter(range(2**62))
    watches = [((slot.module, slot.name), _watch(found, count)) for slot, found in uses.items()]
    try:
        model.eval()
        for parameter in trained:  # the counter hooks into gradients of a parameter that is passed to a module
            parameter.requires_grad_(False)
        with ExitStack() as stack, torch.no_grad(), rng.stream(0, "multiply-accumulates"), watched(watches):
            if example.count:
                stack.enter_context(_unfused())
                stack.enter_context(counter)
            example.run(model, example.batch)
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for module, training in modes.items():
            module.training = training
    return Observation(uses, counter.get_total_flops() // 2, first_size(example.batch))


def zeros(model: nn.Module, input_shape: Sequence[int]) -> torch.Tensor:
    """One sample of zeros on the device and in the type of the model's parameters."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    return torch.zeros(1, *input_shape, device=like.device, dtype=like.dtype)


def _watch(found: SlotUses, count: Iterator[int]) -> Watch:
    def product(use: Use, layout: Layout, name: str) -> None:
        found.order = next(count) if found.order is None else found.order
        key = name, layout
        found.products[key] = found.products.get(key, 0) + use.operator.count(use.input)

    def other(name: str) -> None:
        if name not in found.others:
            found.others.append(name)

    return Watch(product, other)


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
