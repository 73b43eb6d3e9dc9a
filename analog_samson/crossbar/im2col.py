"""Feature maps as the vectors that a crossbar sees, one for each output position."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

Sides = Sequence[tuple[int, int]]  # zeros (before, after) in each spatial dimension


def split_windows(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], sides: Sides, dilation: Sequence[int], groups: int
) -> Tensor:
    """(N, positions..., groups, rows) of a map (N, C, ...), rows ordered channel, then kernel position."""
    windows = functional.pad(x, [side for pair in reversed(sides) for side in pair])
    dims = len(kernel)
    for i, (size, move, gap) in enumerate(zip(kernel, stride, dilation, strict=True)):
        windows = windows.unfold(2 + i, gap * (size - 1) + 1, move)[..., ::gap]
    order = (0, *range(2, 2 + dims), 1, *range(2 + dims, 2 + 2 * dims))
    places = windows.shape[2 : 2 + dims]
    return windows.permute(order).reshape(len(x), *places, groups, x.shape[1] // groups * prod(kernel))


def count_positions(
    shape: Sequence[int], kernel: Sequence[int], stride: Sequence[int], sides: Sides, dilation: Sequence[int]
) -> tuple[int, ...]:
    """Output positions of a map (N, C, ...) of this shape, one number for each spatial dimension."""
    spans = zip(shape[2:], kernel, stride, sides, dilation, strict=True)
    return tuple((size + sum(pair) - gap * (width - 1) - 1) // move + 1 for size, width, move, pair, gap in spans)


def pick_windows(
    x: Tensor, places: Tensor, kernel: Sequence[int], stride: Sequence[int], sides: Sides, dilation: Sequence[int]
) -> Tensor:
    """Only these vectors of a map (N, C, ...): (places, C * kernel positions), ordered as in `split_windows`.

    places: flat indices into (N, positions...), on the device of `x`. Nothing of the size of all vectors is made.
    """
    sample, *at = torch.unravel_index(places, (len(x), *count_positions(x.shape, kernel, stride, sides, dilation)))
    dims, inside = len(kernel), torch.ones((), dtype=torch.bool, device=x.device)
    index: list[Tensor] = []
    for i, (width, move, pair, gap) in enumerate(zip(kernel, stride, sides, dilation, strict=True)):
        side = at[i][:, None] * move - pair[0] + torch.arange(width, device=x.device) * gap
        side = side.view(len(places), *(width if i == j else 1 for j in range(dims)))
        inside = inside & (side >= 0) & (side < x.shape[2 + i])
        index.append(side.clamp(0, x.shape[2 + i] - 1))
    chosen = (sample.view(-1, *[1] * dims), *index)
    values = x.movedim(1, -1)[chosen]  # (places, kernel..., C)
    return (values * inside[..., None]).movedim(-1, 1).flatten(1)
