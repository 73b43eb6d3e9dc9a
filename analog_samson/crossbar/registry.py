"""Which layer types can live on a crossbar, and how their weights lie on it.

A rule holds for its type and for the types derived from it.
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
    """How a layer type lies on crossbars.

    Attributes:
        crossbar: The layout of a layer's `weight`.
        obstacle: Why a certain layer stays digital; None if it need not.
    """

    crossbar: Callable[[Any], Crossbar]
    obstacle: Callable[[Any], str | None] = lambda layer: None


_EMPTY = "has no weights: no inputs or no outputs"
RULES: dict[type[nn.Module], Rule] = {}


def register_rule(layer_type: type[nn.Module], rule: Rule) -> None:
    """Add a rule; a second one for the same type is an error."""
    if layer_type in RULES:
        raise ValueError(f"{layer_type.__name__} has a rule already")
    RULES[layer_type] = rule


def rule_of(layer: nn.Module) -> Rule | None:
    """The rule of a layer's type, or of the nearest type that it is derived from.

    A subclass may compute something of its own around the product: the tiles compute what it does with its weight.

    >>> class Mine(nn.Linear):
    ...     pass
    >>> rule_of(Mine(2, 2)) is RULES[nn.Linear]
    True
    """
    return next((RULES[base] for base in type(layer).__mro__ if base in RULES), None)


def analog_types() -> str:
    """The names of all types that have a rule, for messages."""
    return ", ".join(sorted(layer_type.__name__ for layer_type in RULES))


def same_padding(layer: Any) -> tuple[int, ...] | None:
    """The integer padding that equals ``padding="same"``, or None where both sides would differ."""
    totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    return tuple(total // 2 for total in totals) if all(total % 2 == 0 for total in totals) else None


def _linear_crossbar(layer: Any) -> Crossbar:
    return Crossbar(rows=layer.in_features, columns=layer.out_features)


def _conv_crossbar(layer: Any) -> Crossbar:
    groups = layer.groups
    rows = layer.in_channels // groups * prod(layer.kernel_size)
    return Crossbar(rows=rows, columns=layer.out_channels // groups, groups=groups)


def _obstacle(layer: Any) -> str | None:
    return _EMPTY if layer.weight.numel() == 0 else None


register_rule(nn.Linear, Rule(_linear_crossbar, _obstacle))
register_rule(nn.Conv1d, Rule(_conv_crossbar, _obstacle))
register_rule(nn.Conv2d, Rule(_conv_crossbar, _obstacle))
register_rule(nn.Conv3d, Rule(_conv_crossbar, _obstacle))
