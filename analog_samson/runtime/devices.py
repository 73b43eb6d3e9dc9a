"""The device that a user names."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


def check_noise_device(noise_device: str, device: torch.device) -> None:
    """Raise OptionError where device noise is to be drawn on a GPU for a network that is on `device`, which is none."""
    if noise_device == "cuda" and device.type != "cuda":
        raise OptionError(
            f"noise_device cuda: noise is drawn on the GPU that has the network, which is on {device}; "
            "give --device cuda too, or leave --noise-device out"
        )


def bfloat16_is_emulated(device: torch.device) -> bool:
    """Whether bfloat16 costs more than float32 there: on x86 CPUs without instructions for it (AVX512-BF16 or AMX).

    Other CPUs and all GPUs count as having them; torch does not tell.
    """
    if device.type != "cpu" or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def bfloat16_notes(bf16: bool, device: torch.device) -> tuple[str, ...]:
    """A line for the user who asks for bfloat16 where it loses time; else none."""
    if not (bf16 and bfloat16_is_emulated(device)):
        return ()
    return ("bf16: this CPU has no bfloat16 instructions, so it is slower than float32 here; leave bf16 off",)


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions with all digits of float32: on a GPU torch lets cuDNN round their inputs to the ten bits of TF32."""
    convolution: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # a module made at run time
    before = convolution.fp32_precision
    convolution.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolution.fp32_precision = before
