"""What other modules read of a layer's weight: facts that a tile can tell, and products that it cannot.

Some networks ask for `layer.weight.dtype`. Others multiply by `layer.weight` instead of calling the layer; such a
layer has to stay digital, because a tile offers its product and not its weights.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from analog_samson.crossbar.registry import RULES
from analog_samson.errors import PlanError

_GETTERS = (
    "device dtype grad_fn is_cpu is_cuda is_leaf is_meta is_mps is_nested is_quantized is_sparse is_xpu itemsize "
    "layout names nbytes ndim requires_grad shape"
)
_METHODS = (
    "__len__ dim element_size get_device is_complex is_contiguous is_floating_point ndimension nelement numel size "
    "stride"
)
# Functions of a weight that need none of its values.
_FACTS = frozenset[Callable[..., Any]](
    [
        *(getattr(Tensor, name).__get__ for name in _GETTERS.split()),
        *(getattr(Tensor, name) for name in _METHODS.split()),
        *(torch.is_complex, torch.is_floating_point, torch.numel),
    ]
)
_LIKE = (Tensor.to, Tensor.type_as)  # as methods of another tensor they ask for dtype and device alone

BYPASSED = "another module computes with its parameters instead of calling the layer, which a tile cannot serve"


class TileWeight(Tensor):
    """The weight of a layer on tiles, as other modules may see it: shape, dtype and device, but no values.

    Any computation with it raises PlanError, which names the layer.
    """

    path: str  # of the parameter, such as `block.0.qkv.weight`
    layer_type: str

    @classmethod
    def of(cls, path: str, layer_type: str, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Self:
        """The stand-in for a parameter of this shape at `path`, in a layer of this type."""
        made = torch.zeros((), dtype=dtype, device=device).expand(*shape).as_subclass(cls)  # memory of one number
        made.path, made.layer_type = path, layer_type
        return made

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        weight = next(leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, TileWeight))
        with torch._C.DisableTorchFunctionSubclass():
            if func in _FACTS:
                return func(*args, **(kwargs or {}))
            if func in _LIKE and weight is not args[0]:
                return args[0].to(weight.device, weight.dtype)
        layer = weight.path.rpartition(".")[0]
        kind = re.sub(r"\b\d+\b", "*", layer)
        others = f", or {kind!r} for all of its kind" if kind != layer else ""
        raise PlanError(
            f"{layer} ({weight.layer_type}): {BYPASSED}; exclude {layer!r}{others} (--exclude on the command line)"
        )

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"TileWeight({self.path}, shape={tuple(self.shape)}, dtype={self.dtype}, device={self.device})"


@contextmanager
def find_bypassed(model: nn.Module) -> Iterator[set[str]]:
    """Fill the yielded set with the paths of layers with a rule whose parameters other modules compute with.

    Sees every forward of `model` inside the context. A parameter of several modules is used rightly in a forward of
    any of them. Compiled networks show nothing.
    """
    found: set[str] = set()
    if any(isinstance(module, torch._dynamo.eval_frame.OptimizedModule) for module in model.modules()):
        yield found
        return
    watch = _Watch(model, found)
    with ExitStack() as stack:
        for module in watch.owners:
            stack.callback(module.register_forward_pre_hook(watch.enter).remove)
            stack.callback(module.register_forward_hook(watch.leave, always_call=True).remove)
        with watch:
            yield found


def exclude_patterns(paths: Collection[str], others: Collection[str]) -> dict[str, str]:
    """For each path the shortest way to exclude it: with numbers as `*` where that meets none of `others`.

    >>> exclude_patterns(["layers.0.qkv", "layers.1.qkv"], ["layers.0.proj"])["layers.1.qkv"]
    'layers.*.qkv'
    """
    patterns = {path: re.sub(r"\b\d+\b", "*", path) for path in paths}
    wide = {pattern for pattern in patterns.values() if any(fnmatchcase(other, pattern) for other in others)}
    return {path: path if pattern in wide else pattern for path, pattern in patterns.items()}


class _Watch(TorchFunctionMode):
    """Sees every torch function; knows which owners of a parameter are running."""

    def __init__(self, model: nn.Module, found: set[str]) -> None:
        super().__init__()
        self.found = found
        self.paths: dict[int, str] = {}  # of the layer, by the id of its parameter
        for path, module in model.named_modules():
            if type(module) in RULES:
                self.paths |= {id(own): path for own in module.parameters(recurse=False)}
        hooked = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
        self.owners = [m for m in hooked if any(id(p) in self.paths for p in m.parameters(recurse=False))]
        self.running: list[nn.Module] = []

    def enter(self, module: nn.Module, inputs: Any) -> None:
        self.running.append(module)

    def leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if module in self.running:
            self.running.remove(module)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in _FACTS:
            inside = {id(own) for module in self.running for own in module.parameters(recurse=False)}
            values = (args[:1], kwargs) if func in _LIKE else (args, kwargs)
            used = {id(leaf) for leaf in tree_leaves(values) if isinstance(leaf, nn.Parameter)}
            self.found |= {self.paths[key] for key in used - inside if key in self.paths}
        return func(*args, **(kwargs or {}))
