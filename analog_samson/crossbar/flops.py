"""FLOPs of the products that torch's FlopCounterMode has no formula for."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch

_aten = torch.ops.aten


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
MISSING_FORMULAS = {
    _aten.mv: lambda matrix, vector, **named: 2 * prod(matrix),
    _aten.addmv: lambda added, matrix, vector, **named: 2 * prod(matrix),
    _aten.dot: lambda first, second, **named: 2 * prod(first),
    _aten.vdot: lambda first, second, **named: 2 * prod(first),
    _aten._trilinear: _trilinear_flops,
}
