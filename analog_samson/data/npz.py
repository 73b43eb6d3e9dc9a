"""Arrays of an npz file, or of the folder that it unpacks to: sizes are known from headers, and little more is read."""

import io
import struct
import zipfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from analog_samson.data.stream import read_values
from analog_samson.errors import DataError
from analog_samson.runtime.size_limit import refuse_size

_LONGEST_HEADER = 2**14  # bytes; numpy writes under 200 for plain arrays
_SUFFIX = ".npy"
_BEFORE_LENGTHS = 26  # bytes of the header before each member of a zip archive
_AT_ONCE = 2**20  # bytes
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
    """An open npz file, or a folder of npy files; a context manager.

    Damaged files raise ValueError or what zipfile and zlib raise.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive = None if path.is_dir() else zipfile.ZipFile(path)
        files = self._archive.namelist() if self._archive else sorted(file.name for file in path.iterdir())
        self.names = [name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)]

    def header(self, name: str) -> Header:
        """The header of an array, compared with the bytes that are there."""
        with self._open(name) as file:
            beginning = io.BytesIO(file.read(_LONGEST_HEADER))
        version = npy.read_magic(beginning)
        if version not in _READERS:
            raise ValueError(f"{name}: expected version 1.0 or 2.0 of the npy format, got {version}")
        shape, columns_first, dtype = _READERS[version](beginning)
        if dtype.hasobject:
            raise ValueError(f"{name}: holds Python objects, which are not read")
        found = Header(shape=shape, dtype=dtype, columns_first=columns_first, start=beginning.tell())
        held = self._size(name) - found.start
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
        remedy = "take fewer (--limit N), or 8-bit images that are not compressed, which are read from the file"
        refuse_size(size, f"{self.path}: {name} of shape {shape}", remedy, DataError)
        with self._open(name) as file:
            file.read(header.start)
            values = read_values(file, size)  # at its end the checksum is compared
        if len(values) < size:
            raise ValueError(f"{name}: ends after {len(values)} of {size} bytes")
        found = values.view(header.dtype).reshape(shape, order="F" if header.columns_first else "C")
        return found[:rows] if header.shape else found

    def place(self, name: str) -> tuple[Path, int] | None:
        """The file in which the values of an array lie as they are, and the bytes before them; None if compressed.

        All of it is read once, so that an archive compares its checksum.
        """
        start = self.header(name).start
        if self._archive is None:
            return self._file(name), start
        entry = self._archive.getinfo(f"{name}{_SUFFIX}")
        if entry.compress_type != zipfile.ZIP_STORED:
            return None
        with self._open(name) as file:
            while file.read(_AT_ONCE):
                pass
        with self.path.open("rb") as file:
            file.seek(entry.header_offset + _BEFORE_LENGTHS)
            lengths = struct.unpack("<HH", file.read(4))  # of the name and of what follows it
        return self.path, entry.header_offset + _BEFORE_LENGTHS + 4 + sum(lengths) + start

    def close(self) -> None:
        """Close the file."""
        if self._archive is not None:
            self._archive.close()

    def _file(self, name: str) -> Path:
        return self.path / f"{name}{_SUFFIX}"

    def _open(self, name: str) -> IO[bytes]:
        return self._file(name).open("rb") if self._archive is None else self._archive.open(f"{name}{_SUFFIX}")

    def _size(self, name: str) -> int:
        if self._archive is None:
            return self._file(name).stat().st_size
        return self._archive.getinfo(f"{name}{_SUFFIX}").file_size

    def __enter__(self) -> "NpzFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
