"""How far the outputs of a network on a chip are from the digital ones."""

from collections.abc import Sequence

import torch
from torch import Tensor


def output_errors(outputs: Sequence[Tensor], digital: Sequence[Tensor]) -> list[Tensor]:
    """For each real tensor of an output the squared errors of its samples (n,), over their mean squared size."""
    found = []
    for one, other in zip(outputs, digital, strict=False):
        if other.is_floating_point() and one.shape == other.shape and other.ndim and other.numel():
            finite = other.isfinite()
            error, size = (torch.where(finite, part, 0).double().square() for part in (one - other, other))
            found.append(error.flatten(1).sum(1) if error.ndim > 1 else error)
            found[-1] /= (size.sum() / len(size)).clamp_min(1e-30)
    return found
