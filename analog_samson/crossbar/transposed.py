"""What a transposed convolution does after its products: outputs are added up where they overlap."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

_TRANSPOSED = {1: torch.conv_transpose1d, 2: torch.conv_transpose2d, 3: torch.conv_transpose3d}


def overlap_add(
    y: Tensor,
    kernel: Sequence[int],
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    """The output (N, channels, ...) of a transposed convolution from its products.

    y: (N, channels * kernel positions, ...), at each position of the input what it adds to every output of its kernel.
    The other arguments are those of torch's transposed convolutions, one number for each dimension.
    """
    positions = prod(kernel)
    channels = y.shape[1] // positions
    spread = torch.eye(positions, dtype=y.dtype, device=y.device).view(positions, 1, *kernel)
    spread = spread.repeat(channels, *[1] * (spread.ndim - 1))
    convolve = _TRANSPOSED[len(kernel)]
    return convolve(
        y, spread, bias, stride=stride, padding=padding, output_padding=output_padding, groups=channels,
        dilation=dilation,
    )  # fmt: skip
