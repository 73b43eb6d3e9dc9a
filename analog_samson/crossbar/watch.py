"""Running a network with its weights watched: every product is seen, and computed as ever."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from analog_samson.crossbar import uses  # noqa: F401  (fills the tables of uses)
from analog_samson.crossbar.layout import Layout
from analog_samson.crossbar.use import Use, name_of
from analog_samson.crossbar.weight import CrossbarWeight, one_by_one, view_like, with_values

Slot = tuple[nn.Module, str]  # a module and the name of one of its parameters


def _ignore(name: str) -> None:
    """Nothing."""


@dataclass(frozen=True)
class Watch:
    """What is called for each use of a weight.

    Attributes:
        product: With the `Use`, its layout in the whole weight and the name of the function.
        other: With the name of any other function, look-ups included.
    """

    product: Callable[[Use, Layout, str], None]
    other: Callable[[str], None] = _ignore


@dataclass(frozen=True)
class _Watcher:
    """The holder of a weight that shows its uses and computes with the weight's values."""

    path: str
    values: Tensor
    watch: Watch

    def compute(self, use: Use, layout: Layout, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self.watch.product(use, layout, name_of(func))
        return func(*with_values(args, _real), **with_values(kwargs, _real))

    def repeated(self, weight: CrossbarWeight, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        return one_by_one(weight, bias)

    def look_up(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return self.otherwise(func, args, kwargs)

    def otherwise(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self.watch.other(name_of(func))
        return func(*with_values(args, _real), **with_values(kwargs, _real))


def _real(weight: CrossbarWeight) -> Tensor:
    assert isinstance(weight.holder, _Watcher)
    return view_like(weight.form, weight.holder.values)


@contextmanager
def watched(watches: Sequence[tuple[Slot, Watch]]) -> Iterator[None]:
    """Within, each product with one of these parameters is shown to its watch; not those of compiled or scripted parts.

    The parameters are exchanged for tensors that compute the same, and put back.
    """
    pairs = []
    for (module, name), watch in watches:
        values = module.get_parameter(name).detach()
        holder = _Watcher(name, values.contiguous(), watch)
        pairs.append(((module, name), CrossbarWeight(values, holder)))
    with exchanged(pairs):
        yield


@contextmanager
def exchanged(tensors: Sequence[tuple[Slot, Tensor]]) -> Iterator[None]:
    """Within, modules hold these parameters; after, their own. The parameters themselves are not changed."""
    saved = [(slot, slot[0].get_parameter(slot[1])) for slot, _ in tensors]
    try:
        for (module, name), tensor in tensors:
            setattr(module, name, tensor)  # not register_parameter: recurrent layers keep a list of their weights
        yield
    finally:
        for (module, name), tensor in saved:
            setattr(module, name, tensor)


def first_size(batch: Any) -> int:
    """How many samples a batch has: the length of its first tensor.

    >>> import torch
    >>> first_size({"ids": torch.zeros(3, 5)})
    3
    """
    values = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else [batch]
    return next((len(value) for value in values if isinstance(value, Tensor) and value.ndim), 1)
