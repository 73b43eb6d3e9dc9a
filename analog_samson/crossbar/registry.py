"""Which parameters of which layer types can live on a crossbar, and how they lie on it.

A rule holds for its type and for the types derived from it. Weights of other modules are planned by the products that
an example forward shows, see `crossbar.plan`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from analog_samson.crossbar.layout import Layout, form_of, inputs_first, last_is_input, outputs_first

_Arrangement = Callable[..., tuple[Tensor, int, int]]


def _only_weight(layer: Any) -> Sequence[str]:
    return ("weight",)


def _one_group(layer: Any) -> int:
    return 1


@dataclass(frozen=True)
class Rule:
    """How a layer type lies on crossbars.

    Attributes:
        arrange: Which axes of a weight are inputs: `outputs_first`, `inputs_first` or another of `crossbar.layout`.
        names: The parameters of a layer that go on a crossbar.
        groups: Independent blocks of a layer's weight.
    """

    arrange: _Arrangement
    names: Callable[[Any], Sequence[str]] = _only_weight
    groups: Callable[[Any], int] = _one_group

    def layout(self, layer: nn.Module, name: str) -> Layout:
        """How the parameter `name` of a layer lies on crossbars."""
        form, groups = form_of(getattr(layer, name).shape), self.groups(layer)
        return Layout.of(*(self.arrange(form) if groups == 1 else self.arrange(form, groups)))


RULES: dict[type[nn.Module] | str, Rule] = {}


def register_rule(layer_type: type[nn.Module] | str, rule: Rule) -> None:
    """Add a rule; a second one for the same type is an error.

    layer_type: the type, or its module and name as text, for a type of a package that need not be installed.
    """
    if layer_type in RULES:
        raise ValueError(f"{_name(layer_type)} has a rule already")
    RULES[layer_type] = rule


def rule_of(layer: nn.Module) -> Rule | None:
    """The rule of a layer's type, or of the nearest type that it is derived from.

    A subclass may compute something of its own around the product: the tiles compute what it does with its weight.

    >>> class Mine(nn.Linear):
    ...     pass
    >>> rule_of(Mine(2, 2)) is RULES[nn.Linear]
    True
    """
    for base in type(layer).__mro__:
        for key in (base, f"{base.__module__}.{base.__qualname__}"):
            if key in RULES:
                return RULES[key]
    return None


def crossbar_names(layer: nn.Module) -> Sequence[str]:
    """The names of the parameters that a layer's rule puts on a crossbar; none without a rule.

    >>> list(crossbar_names(nn.LSTM(2, 3)))
    ['weight_ih_l0', 'weight_hh_l0']
    """
    rule = rule_of(layer)
    return () if rule is None else rule.names(layer)


def crossbar_layouts(model: nn.Module) -> dict[int, Layout]:
    """How the weights of layers with a rule lie on crossbars, by the id of the parameter.

    >>> model = nn.ConvTranspose1d(2, 3, 4)
    >>> crossbar_layouts(model)[id(model.weight)].columns
    12
    """
    found: dict[int, Layout] = {}
    for module in model.modules():
        rule = rule_of(module)
        own = dict(module.named_parameters(recurse=False))
        for name in () if rule is None else rule.names(module):
            if rule is not None and name in own and own[name].numel():
                found.setdefault(id(own[name]), rule.layout(module, name))
    return found


def analog_types() -> str:
    """The names of all types that have a rule, for messages."""
    return ", ".join(sorted(map(_name, RULES)))


def same_padding(layer: Any) -> tuple[int, ...] | None:
    """The integer padding that equals ``padding="same"``, or None where both sides would differ."""
    totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    return tuple(total // 2 for total in totals) if all(total % 2 == 0 for total in totals) else None


def _name(layer_type: type[nn.Module] | str) -> str:
    return layer_type.rpartition(".")[2] if isinstance(layer_type, str) else layer_type.__name__


def _groups_of(layer: Any) -> int:
    return int(layer.groups)


def _projections(attention: Any) -> Sequence[str]:
    names = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
    return [name for name in names if getattr(attention, name) is not None]


def _recurrent_weights(layer: Any) -> Sequence[str]:
    return [name for name in layer._flat_weights_names if name.startswith("weight")]


def _cell_weights(layer: Any) -> Sequence[str]:
    return ("weight_ih", "weight_hh")


_SHIPPED: list[tuple[Rule, tuple[type[nn.Module] | str, ...]]] = [
    (Rule(outputs_first), (nn.Linear,)),
    (Rule(outputs_first, groups=_groups_of), (nn.Conv1d, nn.Conv2d, nn.Conv3d)),
    (Rule(inputs_first, groups=_groups_of), (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)),
    (Rule(last_is_input), (nn.Bilinear,)),
    (Rule(outputs_first, _projections), (nn.MultiheadAttention,)),
    (Rule(outputs_first, _recurrent_weights), (nn.LSTM, nn.GRU, nn.RNN)),
    (Rule(outputs_first, _cell_weights), (nn.LSTMCell, nn.GRUCell, nn.RNNCell)),
    (Rule(inputs_first), ("transformers.pytorch_utils.Conv1D",)),
]
for _rule, _types in _SHIPPED:
    for _type in _types:
        register_rule(_type, _rule)
