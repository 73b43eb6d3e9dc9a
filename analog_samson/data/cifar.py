"""CIFAR-10 and CIFAR-100 in the "python version" layout on disk, the one that torchvision uses; no download."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analog_samson.data.image_set import ImageSet, image_set
from analog_samson.data.plain_pickle import load_plain_pickle
from analog_samson.errors import DataError
from analog_samson.runtime.size_limit import refuse_size


@dataclass(frozen=True)
class _Layout:
    name: str
    folder: str
    files: Mapping[str, Sequence[str]]
    labels: bytes
    num_classes: int
    archive: str


_CIFAR10 = _Layout(
    "cifar10",
    "cifar-10-batches-py",
    {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]},
    b"labels",
    10,
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
_CIFAR100 = _Layout(
    "cifar100",
    "cifar-100-python",
    {"train": ["train"], "test": ["test"]},
    b"fine_labels",
    100,
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
)


def load_cifar10(path: Path, split: str, options: Mapping[str, int | None], limit: int | None) -> ImageSet:
    """`path` holds cifar-10-batches-py, or is it."""
    return _load(_CIFAR10, path, split)


def load_cifar100(path: Path, split: str, options: Mapping[str, int | None], limit: int | None) -> ImageSet:
    """`path` holds cifar-100-python, or is it; the 100 fine classes."""
    return _load(_CIFAR100, path, split)


def _load(layout: _Layout, path: Path, split: str) -> ImageSet:
    folder = path if path.name == layout.folder else path / layout.folder
    missing = [name for name in layout.files[split] if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder}: no file {', '.join(missing)}; expected the unpacked archive {layout.archive} "
            f"(tar xf it in {path}, which makes {layout.folder}/)"
        )
    batches = [_batch(folder / name, layout.labels) for name in layout.files[split]]
    planes = np.concatenate([planes for planes, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    pixels = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # each row: 1024 red, 1024 green, 1024 blue
    return image_set(pixels, labels, name=layout.name, where=str(folder), num_classes=layout.num_classes)


def _batch(path: Path, label_key: bytes) -> tuple[np.ndarray, np.ndarray]:
    expected = f"expected a batch of the python version with data (N, 3072) uint8 and {label_key.decode()} (N,)"
    refuse_size(path.stat().st_size, f"{path}: reading it", "fetch the archive again", DataError)
    try:
        content = load_plain_pickle(path.read_bytes())
        planes, labels = content[b"data"], content[label_key]
        if not isinstance(planes, np.ndarray):
            raise TypeError(f"data is a {type(planes).__name__}")
        if not isinstance(labels, np.ndarray) and not all(isinstance(label, int) for label in labels):
            raise TypeError(f"{label_key.decode()} holds values that are no whole numbers")
        labels = np.asarray(labels)
    except Exception as error:  # pickle raises whatever damaged bytes lead it to; it reaches no code but ours
        raise DataError(f"{path}: cannot be read ({type(error).__name__}: {error}); {expected}") from error
    if planes.dtype != np.uint8 or labels.ndim != 1 or planes.shape != (len(labels), 3072):
        raise DataError(f"{path}: data is {planes.dtype} {planes.shape} for {len(labels)} labels; {expected}")
    return planes, labels
