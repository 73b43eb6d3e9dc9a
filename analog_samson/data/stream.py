"""Bytes of a file, unpacked on the way, into memory that is claimed once."""

from typing import Any

import numpy as np

_AT_ONCE = 2**20  # bytes


def read_values(file: Any, size: int) -> np.ndarray:
    """The next `size` bytes of `file`, or as many as there are.

    Args:
        file: A binary file, open for reading, as of `open`, `gzip.open` or `ZipFile.open`.

    Returns:
        uint8, shape (size,) or shorter, writable.
    """
    buffer, at = bytearray(size), 0
    while at < size and (count := file.readinto(memoryview(buffer)[at : at + _AT_ONCE])):
        at += count
    return np.frombuffer(buffer, np.uint8, count=at)
