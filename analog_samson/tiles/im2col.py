"""Feature maps as the vectors that a crossbar sees, one for each output position."""

from collections.abc import Sequence
from math import prod

from torch import Tensor
from torch.nn import functional


def split_windows(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    blocks: int,
) -> Tensor:
    """(N, positions..., blocks, rows) of a map (N, C, ...), rows ordered channel, then kernel position."""
    sides = [side for pad in reversed(padding) for side in (pad, pad)]
    windows = functional.pad(x, sides)
    dims = len(kernel)
    for i, (size, move, gap) in enumerate(zip(kernel, stride, dilation, strict=True)):
        windows = windows.unfold(2 + i, gap * (size - 1) + 1, move)[..., ::gap]
    order = (0, *range(2, 2 + dims), 1, *range(2 + dims, 2 + 2 * dims))
    places = windows.shape[2 : 2 + dims]
    return windows.permute(order).reshape(len(x), *places, blocks, x.shape[1] // blocks * prod(kernel))
