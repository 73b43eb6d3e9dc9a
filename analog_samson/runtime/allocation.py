"""What the C library does with memory that a tensor gives back.

glibc hands large blocks back to the kernel, and each page of the next tensor is then faulted in anew. In a small
network's forward on a CPU that took a quarter of the time (benchmarks/README.md).
"""

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of mallopt's parameters in glibc's malloc.h
_LARGEST_BLOCK = 32 * 2**20  # glibc takes no higher threshold
_NEVER = 2**31 - 1
_OF_THE_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Keep freed blocks of up to 32 MiB in this process for the next tensors; returns whether that is so now.

    The process then holds what it needed at its peak until it ends. Changes nothing where glibc is not the C library,
    or where the user has set glibc's thresholds in the environment.

    >>> kept = keep_freed_memory()
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _OF_THE_USER):
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK) and libc.mallopt(_TRIM_THRESHOLD, _NEVER))


def return_freed_memory() -> None:
    """Give all freed memory of this process back to the kernel, where glibc is the C library.

    >>> return_freed_memory()
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
