"""Pickles of plain values and arrays of whole numbers, read without numpy's own pickling.

numpy rebuilds an array from whatever shape, type and flags a pickle states. Here the parts are only collected, and the
array is made from the bytes that are there.
"""

import io
import pickle
import pickletools
import re
from math import prod
from typing import Any

import numpy as np

_ARRAYS = ("numpy.core.multiarray", "numpy._core.multiarray")
_WHOLE_NUMBERS = re.compile(r"[iu][1248]")
_ORDERS = ("<", ">", "|", "=")


def load_plain_pickle(content: bytes) -> Any:
    """The value of a pickle of dictionaries, lists, numbers, texts, bytes and arrays of whole numbers.

    Args:
        content: The whole pickle; memory stays in proportion to its length.

    Raises:
        UnpicklingError: It asks for other code, which is not executed, or is malformed. Damaged bytes may raise others.
    """
    for opcode, argument, _ in pickletools.genops(content):
        # The unpickler makes room for every number below the one that a value is remembered under.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise pickle.UnpicklingError(f"it remembers a value under the number {argument}")
    return _finished(_Parts(io.BytesIO(content), encoding="bytes").load())


class _PlainType:
    """What a pickle says of a dtype."""

    def __init__(self, name: Any = "", *_: object) -> None:
        self.name = name.decode("latin1") if isinstance(name, bytes) else str(name)
        self.order = "|"

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        self.order = order.decode("latin1") if isinstance(order, bytes) else str(order)

    def made(self) -> np.dtype:
        if not _WHOLE_NUMBERS.fullmatch(self.name) or self.order not in _ORDERS:
            raise pickle.UnpicklingError(f"an array of type {self.order}{self.name}; expected whole numbers")
        return np.dtype(self.order.replace("|", "=") + self.name)


class _PlainArray:
    """What a pickle says of an array."""

    def __init__(self, *_: object) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def made(self) -> np.ndarray:
        _, shape, kind, columns_first, data = self.state
        if not isinstance(kind, _PlainType) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array without a type or without bytes")
        dtype = kind.made()
        if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(data):
            raise pickle.UnpicklingError(f"an array states {dtype} of shape {shape} and has {len(data)} bytes")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if columns_first else "C")


class _Parts(pickle.Unpickler):
    """Builds parts of arrays instead of arrays, and refuses everything else that is code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray") or (module in _ARRAYS and name == "_reconstruct"):
            return _PlainArray
        if (module, name) == ("numpy", "dtype"):
            return _PlainType
        if (module, name) == ("_codecs", "encode"):
            return _encode_latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not executed")


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    """How protocol 2 stores bytes; the one codec that pickles use."""
    return text.encode("latin1")


def _finished(value: Any) -> Any:
    """A dictionary with the arrays at its top level made."""
    if not isinstance(value, dict):
        raise pickle.UnpicklingError(f"holds a {type(value).__name__}; expected a dictionary")
    return {key: item.made() if isinstance(item, _PlainArray) else item for key, item in value.items()}
