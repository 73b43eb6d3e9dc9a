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
from analog_samson.data.stream import read_values
from analog_samson.errors import DataError
from analog_samson.runtime.size_limit import refuse_size

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
    return _load(_ANY, path, split, options["classes"], f"idx:{path.name}", limit)


def load_fashion_mnist(path: Path, split: str, options: Mapping[str, int | None], limit: int | None) -> ImageSet:
    """`path` holds the files, or Debian's folder fashion-mnist, or torchvision's FashionMNIST/raw."""
    return _load(_FASHION_MNIST, path, split, 10, "fashion_mnist", limit)


def _load(layout: _Layout, path: Path, split: str, classes: int | None, name: str, limit: int | None) -> ImageSet:
    names = [f"{_PREFIX[split]}-{part}-ubyte" for part in ("images-idx3", "labels-idx1")]
    found = [[_find(path / folder, name) for name in names] for folder in layout.folders]
    files = max(found, key=lambda pair: sum(file is not None for file in pair))
    missing = [name for name, file in zip(names, files, strict=True) if file is None]
    if missing:
        raise DataError(f"{path}: no file {' or '.join(missing)}; {layout.remedy}")
    pixels, numbers = (file for file in files if file)
    (images, count), (labels, _) = _read(pixels, 3, limit), _read(numbers, 1)
    if limit is not None and len(labels) == count:  # else image_set says what is wrong
        classes = classes or int(labels.max(initial=0)) + 1
        labels = labels[:limit]
    return image_set(images, labels, name=name, where=str(path), num_classes=classes)


def _find(folder: Path, name: str) -> Path | None:
    """The file, unpacked or packed."""
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.is_file()), None)


def _read(path: Path, dimensions: int, limit: int | None = None) -> tuple[np.ndarray, int]:
    """The array of one file, uint8, or its first `limit` rows, and how many rows the file has.

    The file has to be complete and to have so many dimensions. Its size is judged by the header before it is read.
    """
    header = 4 + 4 * dimensions
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            beginning = file.read(header)
            if len(beginning) < header or beginning[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
                raise DataError(
                    f"{path}: not an IDX file of unsigned bytes in {dimensions} dimensions (it starts with "
                    f"{beginning[:4].hex(' ') or 'nothing'}); fetch it again"
                )
            shape = struct.unpack(f">{dimensions}I", beginning[4:])
            if path.suffix != ".gz":
                _check_length(path, path.stat().st_size, header + prod(shape))
            taken = shape if limit is None else (min(limit, shape[0]), *shape[1:])
            remedy = "take fewer images (--limit N)"
            refuse_size(prod(taken), f"{path}: an array of shape {taken}", remedy, DataError)
            values = read_values(file, prod(taken))
            if len(values) < prod(taken) or taken == shape:
                _check_length(path, header + len(values) + len(file.read(1)), header + prod(shape))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch it again") from error
    return values.reshape(taken), shape[0]


def _check_length(path: Path, found: int, expected: int) -> None:
    if found != expected:
        raise DataError(f"{path}: {found} bytes, its header promises {expected}; fetch it again")
