"""The device that a user names."""

import torch

from analog_samson.errors import OptionError


def find_device(text: str) -> torch.device:
    """`cpu`, `cuda`, `cuda:N`, or `auto` for the first GPU where there is one; OptionError if it is not there.

    >>> find_device("cpu")
    device(type='cpu')
    """
    if text == "auto":
        text = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(text)
    except RuntimeError as error:
        raise OptionError(f"device {text!r}: expected auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise OptionError(f"device {text!r}: expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if count == 0:
        raise OptionError(f"device {text!r}: torch sees no CUDA device here; use cpu")
    if (device.index or 0) >= count:
        raise OptionError(f"device {text!r}: this machine has {count} (0 to {count - 1})")
    return device
