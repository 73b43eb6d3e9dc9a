"""What happens digitally, channel by channel, to the output of a layer's tiles."""

from typing import NamedTuple

from torch import Tensor


class Affine(NamedTuple):
    """gain * y + shift, both (out channels,)."""

    gain: Tensor
    shift: Tensor


def fold_bias(bias: Tensor | None, after: Affine | None) -> Tensor | None:
    """The bias of a layer that is followed by `after`."""
    if after is None:
        return bias
    return after.shift if bias is None else after.shift.addcmul(bias, after.gain)
