"""IDX files, the format of MNIST and of the sets made after it (Fashion-MNIST among them); no download.

Big-endian: two zero bytes, a type (8 = unsigned bytes), the number of dimensions, each dimension in four bytes, data.
"""

import gzip
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from analog_samson.data.image_set import ImageSet, image_set
from analog_samson.errors import DataError

_PREFIX = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTES = 8
_FILES = "DIR/train-images-idx3-ubyte, train-labels-idx1-ubyte and t10k- likewise, each with .gz or without"


@dataclass(frozen=True)
class _Layout:
    """folders: where the files may be below the path that is given, looked through in this order."""

    name: str
    folders: Sequence[str]
    remedy: str


_ANY = _Layout("idx", (".", "raw"), f"expected {_FILES}")
_FASHION_MNIST = _Layout(
    "fashion_mnist",
    (".", "fashion-mnist", "raw", "FashionMNIST/raw"),
    "install the Debian package dataset-fashion-mnist and give fashion_mnist:/usr/share/datasets/fashion-mnist, or "
    f"fetch the four files that https://github.com/zalandoresearch/fashion-mnist lists; expected {_FILES}",
)


def load_idx(path: Path, split: str, options: Mapping[str, int | None], limit: int | None) -> ImageSet:
    """Any folder of four IDX files named as MNIST's; options: classes (else the highest label + 1)."""
    return _load(_ANY, path, split, options["classes"], f"idx:{path.name}")


def load_fashion_mnist(path: Path, split: str, options: Mapping[str, int | None], limit: int | None) -> ImageSet:
    """`path` holds the files, or Debian's folder fashion-mnist, or torchvision's FashionMNIST/raw."""
    return _load(_FASHION_MNIST, path, split, 10, "fashion_mnist")


def _load(layout: _Layout, path: Path, split: str, classes: int | None, name: str) -> ImageSet:
    names = [f"{_PREFIX[split]}-{part}-ubyte" for part in ("images-idx3", "labels-idx1")]
    found = [[_find(path / folder, name) for name in names] for folder in layout.folders]
    files = max(found, key=lambda pair: sum(file is not None for file in pair))
    missing = [name for name, file in zip(names, files, strict=True) if file is None]
    if missing:
        raise DataError(f"{path}: no file {' or '.join(missing)}; {layout.remedy}")
    images, labels = (_read(file, dimensions) for file, dimensions in zip(files, (3, 1), strict=True) if file)
    return image_set(images, labels, name=name, where=str(path), num_classes=classes)


def _find(folder: Path, name: str) -> Path | None:
    """The file, unpacked or packed."""
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.is_file()), None)


def _read(path: Path, dimensions: int) -> np.ndarray:
    """The array of one file, uint8, checked to be complete and to have so many dimensions."""
    content = _bytes(path)
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
        raise DataError(
            f"{path}: not an IDX file of unsigned bytes in {dimensions} dimensions (it starts with "
            f"{content[:4].hex(' ') or 'nothing'}); fetch it again"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:header])
    expected = header + prod(shape)
    if len(content) != expected:
        raise DataError(f"{path}: {len(content)} bytes, its header promises {expected}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()  # writable, as torch wants it


def _bytes(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch it again") from error
