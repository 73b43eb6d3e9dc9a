"""Which layer types can live on a crossbar, and how their weights lie on it.

A rule is looked up by exact type: a subclass may compute something else, so it is named and left to the user.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Crossbar:
    """How a layer's weight matrix lies on crossbars: `groups` blocks of (rows, columns) along the diagonal."""

    rows: int
    columns: int
    groups: int = 1

    @property
    def weights(self) -> int:
        return self.rows * self.columns * self.groups


@dataclass(frozen=True)
class Rule:
    """`crossbar` gives the layout of a layer; `obstacle` says why a layer of this type cannot be converted."""

    crossbar: Callable[[Any], Crossbar]
    obstacle: Callable[[Any], str | None]


_EMPTY = "has no weights: no inputs or no outputs"
RULES: dict[type[nn.Module], Rule] = {}


def register_rule(layer_type: type[nn.Module], rule: Rule) -> None:
    """Add a rule; a second one for the same type is an error."""
    if layer_type in RULES:
        raise ValueError(f"{layer_type.__name__} has a rule already")
    RULES[layer_type] = rule


def analog_types() -> str:
    """The names of all types that have a rule, for messages."""
    return ", ".join(sorted(layer_type.__name__ for layer_type in RULES))


def same_padding(layer: Any) -> tuple[int, ...] | None:
    """The integer padding that equals ``padding="same"``, or None where both sides would differ."""
    totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    return tuple(total // 2 for total in totals) if all(total % 2 == 0 for total in totals) else None


def integer_padding(layer: Any) -> tuple[int, ...]:
    """The zeros on each side of a convolution's input, one number for each spatial dimension."""
    if not isinstance(layer.padding, str):
        return tuple(layer.padding)
    padding = same_padding(layer) if layer.padding == "same" else (0,) * len(layer.kernel_size)
    assert padding is not None  # a rule keeps such a layer digital
    return padding


def _linear_crossbar(layer: Any) -> Crossbar:
    return Crossbar(rows=layer.in_features, columns=layer.out_features)


def _conv_crossbar(layer: Any) -> Crossbar:
    groups = layer.groups
    rows = layer.in_channels // groups * prod(layer.kernel_size)
    return Crossbar(rows=rows, columns=layer.out_channels // groups, groups=groups)


def _conv_obstacle(layer: Any) -> str | None:
    if layer.weight.numel() == 0:
        return _EMPTY
    if layer.padding_mode != "zeros":
        return f"padding_mode={layer.padding_mode!r}: a crossbar convolution pads with zeros"
    if layer.padding == "same" and same_padding(layer) is None:
        return "padding='same' with an even kernel pads unequally; pad explicitly before the layer"
    return None


def _indexed_conv_obstacle(layer: Any) -> str | None:
    if any(step != 1 for step in layer.dilation):
        return f"dilation={layer.dilation}: aihwkit's layer of this type has none"
    return _conv_obstacle(layer)


def _linear_obstacle(layer: Any) -> str | None:
    return _EMPTY if layer.weight.numel() == 0 else None


register_rule(nn.Linear, Rule(_linear_crossbar, _linear_obstacle))
register_rule(nn.Conv1d, Rule(_conv_crossbar, _indexed_conv_obstacle))
register_rule(nn.Conv2d, Rule(_conv_crossbar, _conv_obstacle))
register_rule(nn.Conv3d, Rule(_conv_crossbar, _indexed_conv_obstacle))
