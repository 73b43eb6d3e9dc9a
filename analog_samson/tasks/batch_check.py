"""Labelled batches of the user's own, checked before a network answers them."""

import torch
from torch import Tensor

from analog_samson.errors import DataError


def check_batch(x: object, labels: Tensor) -> None:
    """Raise DataError for negative labels and for inputs that are not a number; one wait for the device.

    A negative label stops the CUDA device for the whole process, and -100 means "ignore" to torch's cross-entropy.

    Args:
        x: Inputs; checked where it is a tensor of floating-point numbers.
        labels: Whole numbers, shape (N,), N >= 1.
    """
    lowest = labels.min()
    unknown = x.isnan().sum() if isinstance(x, Tensor) and x.is_floating_point() else torch.zeros_like(lowest)
    low, nan = torch.stack([lowest, unknown.to(lowest)]).tolist()
    if low < 0:
        raise DataError(f"data: label {low} in a batch; expected classes from 0 on: leave out samples without a class")
    if nan:
        raise DataError(_nan_message(int(nan), x))


def check_inputs(x: object) -> None:
    """Raise DataError where inputs are not a number: statistics of them would be none either."""
    if isinstance(x, Tensor) and x.is_floating_point() and bool(x.isnan().any()):
        raise DataError(_nan_message(int(x.isnan().sum()), x))


def _nan_message(count: int, x: object) -> str:
    assert isinstance(x, Tensor)
    return (
        f"data: {count} NaN among {x.numel()} inputs of a batch of {len(x)}; remove those samples, or look at how the "
        "inputs are normalized"
    )
