"""A parameter whose uses are seen: the network keeps its modules, and only the tensor is exchanged.

A `CrossbarWeight` knows the products that a weight takes part in (`crossbar.use`), reads of shape, type and device, and
views. Its holder decides what a product computes: tiles send it through converters, an observer counts it. Any other
operation goes to the holder by name, so that nothing is computed with exact weights unnoticed.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from analog_samson.crossbar.layout import Layout, form_of
from analog_samson.crossbar.use import BODIES, READINGS, Use


class Holder(Protocol):
    """What stands behind a `CrossbarWeight`."""

    @property
    def path(self) -> str:
        """Names the weight in messages."""

    def compute(self, use: Use, layout: Layout, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The result of a product; layout: of `use.weight` in the whole weight."""

    def repeated(self, weight: "CrossbarWeight", bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        """The function from x to ``functional.linear(x, weight, bias)``, for many x while the holder stays as it is."""

    def look_up(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The result of an embedding."""

    def otherwise(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The result of an operation that is neither a product nor a view."""


class CrossbarWeight(Tensor):
    """A parameter that a holder computes with, or a view of one.

    It has the shape, dtype and device of the weight that it replaces, and no values: its storage is one zero. It counts
    as an `nn.Parameter`, so it can stand wherever a module keeps its weight.
    """

    holder: Holder
    form: Tensor  # where the values are in the weight, see `layout.form_of`
    _is_param = True  # isinstance(weight, nn.Parameter)

    @staticmethod
    def __new__(cls, like: Tensor, holder: Holder, form: Tensor | None = None) -> "CrossbarWeight":
        """A weight with the dtype and device of `like`, and its shape where no form is given."""
        form = form_of(like.shape) if form is None else form
        with torch._C.DisableTorchFunctionSubclass():
            empty = torch.zeros((), dtype=like.dtype, device=like.device).expand(form.shape)
        weight: CrossbarWeight = Tensor._make_subclass(cls, empty, False)
        weight.holder, weight.form = holder, form
        return weight

    @property
    def path(self) -> str:
        return self.holder.path

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Route an operation: reads and views pass, products go to the holder, others are its decision."""
        kwargs = kwargs or {}
        if func in _READS:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        if func in BODIES and (computed := BODIES[func](*args, **kwargs)) is not NotImplemented:
            return computed
        if func in READINGS:
            use = READINGS[func](*args, **kwargs)
            if use is not None and isinstance(use.weight, CrossbarWeight):
                holder, factor = use.weight.holder, next(weights_in([use.input]), None)
                if factor is None:
                    return holder.compute(use, Layout.of(use.weight.form, 1, use.columns), func, args, kwargs)
                if factor.holder is not holder:  # an input that is a parameter itself, such as learned queries
                    read = _digitally_but(holder)
                    return func(*with_values(args, read), **with_values(kwargs, read))
        first = next(weights_in([*args, *kwargs.values()]))
        if func in _LOOKUPS:
            return first.holder.look_up(func, args, kwargs)
        found = _seen_through(first, func, args, kwargs)
        return first.holder.otherwise(func, args, kwargs) if found is None else found

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"CrossbarWeight({self.path!r}, shape={tuple(self.shape)})"

    def __deepcopy__(self, memo: dict[int, Any]) -> "CrossbarWeight":
        """A weight with a copy of its holder."""
        return CrossbarWeight(self, copy.deepcopy(self.holder, memo), self.form)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.holder.otherwise(torch.save, (self,), {})


def one_by_one(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The function from x (N, inputs) to ``functional.linear(x, weight, bias)``, without preparation."""
    return lambda x: functional.linear(x, weight, bias)


def repeated_linear(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """The function from x (N, inputs) to ``functional.linear(x, weight, bias)``, for many x in one forward."""
    if isinstance(weight, CrossbarWeight):
        return weight.holder.repeated(weight, bias)
    return one_by_one(weight, bias)


def weights_in(values: Sequence[Any]) -> Iterator[CrossbarWeight]:
    """The crossbar weights among arguments of a function, also inside lists."""
    for value in values:
        if isinstance(value, CrossbarWeight):
            yield value
        elif isinstance(value, list | tuple):
            yield from weights_in(value)


def view_like(form: Tensor, values: Tensor) -> Tensor:
    """The view of a contiguous tensor that has its values where `form` tells (see `layout.form_of`)."""
    return values.as_strided(form.shape, form.stride(), values.storage_offset() + form.storage_offset())


def with_values(arguments: Any, values: Callable[[CrossbarWeight], Any]) -> Any:
    """The same arguments of a function, also in lists and dictionaries, with values in the place of weights."""
    if isinstance(arguments, CrossbarWeight):
        return values(arguments)
    if isinstance(arguments, dict):
        return {name: with_values(value, values) for name, value in arguments.items()}
    if type(arguments) in (list, tuple):
        return type(arguments)(with_values(value, values) for value in arguments)
    return arguments


def _digitally_but(holder: Holder) -> Callable[[CrossbarWeight], Any]:
    """For the weights of other holders the numbers in them."""
    return lambda weight: weight if weight.holder is holder else weight.holder.otherwise(Tensor.clone, (weight,), {})


def _seen_through(weight: CrossbarWeight, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The result of a function that only tells where a weight's values are, or gives a view of it; else None."""
    if not args or args[0] is not weight:
        return args[0].to(weight.device, weight.dtype) if func in _LIKE else None
    if func in _FORM_READS:
        return func(weight.form, *args[1:], **kwargs)
    if func in _SAME or (func in CASTS and _keeps_type(weight, func, args, kwargs)):
        return weight
    return _views(weight, func(weight.form, *args[1:], **kwargs)) if func in _VIEWS else None


def _views(weight: CrossbarWeight, forms: Any) -> Any:
    """Weights of these forms; None where one is no view of the weight, such as a reshape that has to copy."""
    if isinstance(forms, Tensor):
        own, other = weight.form.untyped_storage(), forms.untyped_storage()
        return CrossbarWeight(weight, weight.holder, forms) if own._cdata == other._cdata else None
    views = [_views(weight, form) for form in forms]
    return None if any(view is None for view in views) else tuple(views)


def _keeps_type(weight: CrossbarWeight, func: Callable[..., Any], args: Any, kwargs: Any) -> bool:
    """Whether a cast asks for the type and device that the weight has."""
    with torch._C.DisableTorchFunctionSubclass():
        empty = torch.empty(0, dtype=weight.dtype, device=weight.device)
        result = func(empty, *args[1:], **kwargs)
        return bool(result.dtype == empty.dtype and result.device == empty.device)


def _getter(name: str) -> Callable[..., Any]:
    getter: Callable[..., Any] = getattr(Tensor, name).__get__
    return getter


_LIKE = (Tensor.to, Tensor.type_as)  # as methods of another tensor they ask for dtype and device alone
_LOOKUPS = (functional.embedding, functional.embedding_bag)
CASTS = {Tensor.to, Tensor.cuda, Tensor.cpu, Tensor.half, Tensor.float, Tensor.double, Tensor.bfloat16, Tensor.type_as}
_SAME = {Tensor.detach, Tensor.contiguous, Tensor.requires_grad_, _getter("data")}
_FORM_READS = {Tensor.stride, Tensor.is_contiguous, Tensor.storage_offset}
_READS = {
    *map(_getter, ("shape", "dtype", "device", "ndim", "layout", "requires_grad", "grad", "grad_fn", "is_leaf")),
    *map(_getter, ("is_cuda", "is_cpu", "is_sparse", "is_quantized", "is_meta", "is_nested", "itemsize", "nbytes")),
    *(Tensor.size, Tensor.dim, Tensor.numel, Tensor.nelement, Tensor.element_size, Tensor.__len__),
    *(Tensor.is_floating_point, Tensor.is_complex, Tensor.get_device, Tensor.__hash__),
    *(torch.is_floating_point, torch.is_complex, torch.numel, Tensor.is_shared),
}
_VIEW_NAMES = (
    "t", "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis", "chunk", "split", "tensor_split",
    "narrow", "select", "unbind", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze",
)  # fmt: skip
_VIEWS = {
    *map(_getter, ("T", "mT")),
    *(Tensor.__getitem__, Tensor.view),
    *(getattr(Tensor, name) for name in _VIEW_NAMES),
    *(getattr(torch, name) for name in _VIEW_NAMES),
}
