"""A weight matrix as a sum of slices of a few bits each, for crossbars that hold no more.

Weights are rounded to sign and magnitude, and the magnitude is cut into digits. Every digit keeps the sign of its
weight, so that a slice lies on the devices as an unsliced matrix does: on differential pairs, or on single devices with
an offset (`Device.pairs`). In formulas, with b_1, ..., b_n the bits of the slices, the most significant first:

    w = sign(w) * step * sum_k d_k * 2^(b_{k+1} + ... + b_n),    0 <= d_k < 2^b_k,    step = max |w| / (2^(sum b) - 1)

This is the differential mapping with slices of Xiao et al., IEEE Circuits and Systems Magazine 22(4), 2022
(doi:10.1109/MCAS.2022.3214409), section 2, and for PCM the base-2^b slicing of Le Gallo et al., Neuromorphic Computing
and Engineering 2, 2022 (doi:10.1088/2634-4386/ac4fb7).
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def sliced(matrix: Tensor, slice_bits: Sequence[int], *, by_column: bool) -> list[Tensor]:
    """What each crossbar contributes to a matrix; the slices add up to the rounded matrix.

    Args:
        matrix: Weights, shape (columns, rows); not modified.
        slice_bits: Bits of each slice, the most significant first; none leaves the matrix as it is.
        by_column: Whether each column has a step of its own, else all have one.

    Returns:
        One matrix a slice, each of the shape of `matrix`; multiples of its own step.

    >>> [part.tolist() for part in sliced(torch.tensor([[7.0, -5.0, 0.0]]), [1, 2], by_column=False)]
    [[[4.0, -4.0, 0.0]], [[3.0, -1.0, 0.0]]]
    """
    if not slice_bits:
        return [matrix]
    sizes = matrix.abs()
    largest = sizes.amax(1, keepdim=True) if by_column else sizes.amax()
    step = torch.where(largest > 0, largest, 1.0) / (2 ** sum(slice_bits) - 1)
    left, parts, below = (sizes / step).round(), [], sum(slice_bits)
    for bits in slice_bits:
        below -= bits
        digits = torch.floor(left / 2**below)
        left = left - digits * 2**below
        parts.append(torch.copysign(digits * 2**below * step, matrix))
    return parts
