"""Arrays of an npz file: sizes are known from its headers, and no more is read than is asked for."""

import io
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from analog_samson.data.stream import read_values
from analog_samson.errors import DataError
from analog_samson.runtime.size_limit import refuse_size

_LONGEST_HEADER = 2**14  # bytes; numpy writes under 200 for plain arrays
_SUFFIX = ".npy"
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True, kw_only=True)
class Header:
    """What an array says of itself. start: bytes before its values. columns_first: as in Fortran."""

    shape: tuple[int, ...]
    dtype: np.dtype
    columns_first: bool
    start: int

    def first(self, rows: int | None) -> tuple[int, ...]:
        """The shape of its first `rows` rows; None is all of them."""
        return self.shape if rows is None else (min(rows, self.shape[0]), *self.shape[1:])


class NpzFile:
    """An open npz file; a context manager. Damaged files raise ValueError or what zipfile and zlib raise."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive = zipfile.ZipFile(path)
        self.names = [name.removesuffix(_SUFFIX) for name in self._archive.namelist() if name.endswith(_SUFFIX)]

    def header(self, name: str) -> Header:
        """The header of an array, compared with the bytes that are there."""
        with self._archive.open(f"{name}{_SUFFIX}") as file:
            beginning = io.BytesIO(file.read(_LONGEST_HEADER))
        version = npy.read_magic(beginning)
        if version not in _READERS:
            raise ValueError(f"{name}: expected version 1.0 or 2.0 of the npy format, got {version}")
        shape, columns_first, dtype = _READERS[version](beginning)
        if dtype.hasobject:
            raise ValueError(f"{name}: holds Python objects, which are not read")
        found = Header(shape=shape, dtype=dtype, columns_first=columns_first, start=beginning.tell())
        held = self._archive.getinfo(f"{name}{_SUFFIX}").file_size - found.start
        if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != held:
            raise ValueError(f"{name}: its header states {dtype} of shape {shape}, the file holds {held} bytes")
        return found

    def read(self, name: str, rows: int | None = None) -> np.ndarray:
        """The array, or its first `rows` rows.

        Raises:
            DataError: It takes more memory than the content of a file may.
        """
        header = self.header(name)
        # Only rows that are stored one after the other can be read alone.
        shape = header.shape if header.columns_first or not header.shape else header.first(rows)
        size = prod(shape) * header.dtype.itemsize
        refuse_size(size, f"{self.path}: {name} of shape {shape}", "take fewer (--limit N)", DataError)
        with self._archive.open(f"{name}{_SUFFIX}") as file:
            file.read(header.start)
            values = read_values(file, size)  # at its end the checksum is compared
        if len(values) < size:
            raise ValueError(f"{name}: ends after {len(values)} of {size} bytes")
        found = values.view(header.dtype).reshape(shape, order="F" if header.columns_first else "C")
        return found[:rows] if header.shape else found

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def __enter__(self) -> "NpzFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
