"""Which tensors are perturbed, and which of them by the rule T: the three named selection modes.

What a sharpness-aware step does depends as much on this choice as on T. On a trained batch-norm ResNet the mode
`name_contains_weight` with p = 2 puts nearly all of ||eps||^2 on biases, although only convolution and linear weights
are programmed on a crossbar. So rho has to be tuned for each mode, and `perturbation_breakdown.py` shows where the
perturbation went.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from analog_samson.crossbar.matrices import NORMS
from analog_samson.crossbar.registry import crossbar_names
from analog_samson.errors import OptionError, did_you_mean

CROSSBAR, NORMALISATION, BIAS, OTHER = "crossbar weight", "normalisation weight", "bias", "other"
KINDS = (CROSSBAR, NORMALISATION, BIAS, OTHER)  # a tensor with several owners is of the first kind that applies
SelectionName = Literal["weights_only", "paper", "name_contains_weight"]
_RENAMED = {"reference": "name_contains_weight"}  # names of version 0.1, read where they are stored or given

Role = Literal["scaled", "unscaled", "left out"]  # perturbed with the method's T | with T = 1 | not at all


@dataclass(frozen=True, slots=True, eq=False)
class ParamInfo:
    """A parameter with what is known of it: its name (None if it came without one) and its kind, one of KINDS."""

    tensor: Tensor
    name: str | None
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A named rule: the role of each parameter, and the eta that applies when none is given."""

    summary: str
    eta: float
    role: Callable[[ParamInfo], Role]


def _only_weights(info: ParamInfo) -> Role:
    return "scaled" if info.kind == CROSSBAR else "left out"


def _by_name(info: ParamInfo) -> Role:
    if info.name is None:
        raise OptionError(
            "selection='name_contains_weight' needs the names of parameters, and these came without names; "
            "pass the model or model.named_parameters() instead of model.parameters()"
        )
    return "scaled" if "weight" in info.name else "unscaled"


SELECTIONS: dict[SelectionName, Selection] = {
    "weights_only": Selection(
        summary="weights of layers that go on a crossbar (linear, convolution, attention, recurrent), and nothing else",
        eta=0.01,
        role=_only_weights,
    ),
    "paper": Selection(
        summary="eq. 6 as written: every tensor with the method's T, and no eta",
        eta=0.0,
        role=lambda info: "scaled",
    ),
    "name_contains_weight": Selection(
        summary="a co-author's public code: T for every name that contains 'weight', T = 1 for all other tensors",
        eta=0.01,
        role=_by_name,
    ),
}


def selection_name(name: Any) -> Any:
    """The present name of a selection mode: "reference" of version 0.1 is "name_contains_weight"."""
    return _RENAMED.get(name, name) if isinstance(name, str) else name


def find_selection(name: str) -> Selection:
    """The selection mode of that name.

    Raises:
        OptionError: There is none; the message has the nearest names.

    >>> find_selection("paper").eta
    0.0
    """
    name = selection_name(name)
    if name not in SELECTIONS:
        known = ", ".join(SELECTIONS)
        raise OptionError(f"selection: expected one of {known}, got {name!r}{did_you_mean(str(name), SELECTIONS)}")
    return SELECTIONS[name]


def describe_tensors(
    tensors: Sequence[Tensor], names: Sequence[str] | None = None, model: nn.Module | None = None
) -> list[ParamInfo]:
    """What is known of each tensor: from the model's layers if one is given, else from its name and shape.

    Without a model a tensor of two or more dimensions counts as a crossbar weight, also an embedding table. A flat one
    goes by its name: bias, normalisation weight, or other; without a name it is other.

    >>> [info.kind for info in describe_tensors(list(nn.Linear(2, 3).parameters()))]
    ['crossbar weight', 'other']
    """
    known = {} if model is None else {id(info.tensor): info for info in describe_parameters(model)}
    labels = [None] * len(tensors) if names is None else names
    return [
        known.get(id(tensor)) or ParamInfo(tensor, name, _kind_by_shape(tensor, name))
        for tensor, name in zip(tensors, labels, strict=True)
    ]


def describe_parameters(model: nn.Module) -> list[ParamInfo]:
    """Every parameter of a model once, in the model's order, under its first name.

    >>> [(info.name, info.kind) for info in describe_parameters(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))][::2]
    [('0.weight', 'crossbar weight'), ('1.weight', 'normalisation weight')]
    """
    kinds: dict[int, str] = {}
    for tensor, kind in _owned(model):
        kinds[id(tensor)] = min(kind, kinds.get(id(tensor), OTHER), key=KINDS.index)
    return [ParamInfo(tensor, name, kinds[id(tensor)]) for name, tensor in model.named_parameters()]


def crossbar_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of a model whose layers have a rule for crossbars (`crossbar.registry`), by name, each tensor once.

    >>> list(crossbar_weights(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))))
    ['0.weight', '2.weight']
    """
    wanted = {id(info.tensor) for info in describe_parameters(model) if info.kind == CROSSBAR}
    return {name: tensor for name, tensor in model.named_parameters() if id(tensor) in wanted}


def computed_weights(model: nn.Module) -> list[str]:
    """Paths of layers on crossbars whose weight is no parameter: weight norm and the like compute it anew.

    >>> net = nn.Sequential(nn.Linear(2, 2), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    >>> computed_weights(net)
    ['1']
    """
    return [
        path or "the network"
        for path, module in model.named_modules()
        if any(name not in module._parameters for name in crossbar_names(module))
    ]


def _owned(model: nn.Module) -> Iterator[tuple[Tensor, str]]:
    """Each parameter with its kind, once for every layer that owns it (tied layers share one)."""
    for module in model.modules():
        for name, tensor in module.named_parameters(recurse=False):
            yield tensor, _kind_in_layer(module, name)


def _kind_in_layer(module: nn.Module, name: str) -> str:
    if name in crossbar_names(module):
        return CROSSBAR
    if name == "weight" and isinstance(module, NORMS):
        return NORMALISATION
    return BIAS if "bias" in name else OTHER


def _kind_by_shape(tensor: Tensor, name: str | None) -> str:
    if tensor.ndim >= 2:
        return CROSSBAR
    label = (name or "").rpartition(".")[2]
    return BIAS if "bias" in label else NORMALISATION if label == "weight" else OTHER
