"""The places of a network that hold a weight: a module and the name of one of its parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from analog_samson.crossbar.matrices import TABLES, matrix_shaped
from analog_samson.crossbar.registry import crossbar_names

ROOT = "(model)"  # the path of a model that is itself one layer


@dataclass(frozen=True, eq=False)
class Slot:
    """A parameter of a module.

    path: names the weight in plans, streams and results. It is the module's path where the parameter is called
    `weight`, else the path of the parameter.
    """

    module_path: str
    name: str
    module: nn.Module

    @property
    def path(self) -> str:
        return slot_path(self.module_path, self.name)

    @property
    def names(self) -> tuple[str, str]:
        """The path, and the parameter's name in a state dict."""
        return self.path, f"{self.module_path}.{self.name}".removeprefix(".")

    @property
    def value(self) -> Any:
        """The parameter, or the tensor that is computed in its place; whatever else the module has there."""
        return getattr(self.module, self.name, None)

    @property
    def key(self) -> int:
        """Equal for slots that hold one and the same parameter; computed ones are known by their module."""
        own = dict(self.module.named_parameters(recurse=False)).get(self.name)
        return id(self.module) if own is None else id(own)


def slot_path(module_path: str, name: str) -> str:
    """The path of a slot.

    >>> slot_path("head", "weight"), slot_path("lstm", "weight_hh_l0"), slot_path("", "weight")
    ('head', 'lstm.weight_hh_l0', '(model)')
    """
    if name == "weight":
        return module_path or ROOT
    return f"{module_path}.{name}" if module_path else name


def modules_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module under each of its paths, without those that compute a parametrised weight."""
    for path, module in model.named_modules(remove_duplicate=False):
        parent, _, last = path.rpartition(".")
        if "parametrizations" not in (last, parent.rpartition(".")[2]):
            yield path, module


def slots_of(path: str, module: nn.Module) -> list[Slot]:
    """The slots of a module that hold, or may hold, a weight matrix: by its rule, as a table, or by their shape."""
    names = list(crossbar_names(module))
    if isinstance(module, TABLES):
        names.append("weight")
    if not parametrize.is_parametrized(module):
        computed = {f"{name}{suffix}" for name in names for suffix in ("_g", "_v", "_orig")}
        names += [name for name in matrix_shaped(module) if name not in {*names, *computed}]
    return [Slot(path, name, module) for name in names]


def parameters_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's own parameters, and those that its parametrised weights are computed of."""
    own: dict[str, Tensor] = dict(module.named_parameters(recurse=False))
    if parametrize.is_parametrized(module):
        inner: Any = module.parametrizations
        own |= {f"parametrizations.{name}": parameter for name, parameter in inner.named_parameters()}
    return own


def bias_of(slot: Slot) -> Tensor | None:
    """The bias that belongs to a slot by its name."""
    found = getattr(slot.module, slot.name.replace("weight", "bias"), None)
    return found if isinstance(found, torch.Tensor) and found is not slot.value else None
