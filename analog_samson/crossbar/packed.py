"""A matrix that many vectors are multiplied by, in the order of memory that the CPU's fastest kernel reads.

On a CPU torch sends `functional.linear` to MKL, which uses only half of the vector width of other vendors' processors.
oneDNN, which computes torch's convolutions, uses all of it; torch reaches its matrix product by two operators that
`torch.compile` emits. They have no gradients.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

_VECTORS = 64  # for which oneDNN chooses the order; others work as well


def packed_linear(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The function from vectors (N, rows), float32, to `functional.linear(vectors, weight)`; weight: (columns, rows).

    >>> double = packed_linear(2 * torch.eye(3))
    >>> double(torch.ones(1, 3))
    tensor([[2., 2., 2.]])
    """
    suits = weight.device.type == "cpu" and weight.dtype == torch.float32 and not torch.is_grad_enabled()
    if not (suits and torch.backends.mkldnn.enabled and _packs()):
        return lambda vectors: functional.linear(vectors, weight)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, _VECTORS)
    multiply = torch.ops.mkldnn._linear_pointwise.default
    return lambda vectors: multiply(vectors, packed, None, "none", [], "")


@cache
def _packs() -> bool:
    """Whether this build of torch has oneDNN's operators and they compute what they should."""
    if not torch.backends.mkldnn.is_available():
        return False
    matrix = torch.arange(6.0).view(2, 3)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(matrix, 1)
        output = torch.ops.mkldnn._linear_pointwise.default(matrix[:1], packed, None, "none", [], "")
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(output, matrix[:1] @ matrix.T)
