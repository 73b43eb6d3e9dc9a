"""Arrays from an npz file, from a folder of npy files, or from a function of the user's."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import MAGIC_PREFIX

from analog_samson.data.batch_set import BatchSet
from analog_samson.data.image_set import ImageSet, image_set, shape_faults
from analog_samson.data.npz import NpzFile
from analog_samson.data.own_batches import batch_set
from analog_samson.data.stored import StoredImages
from analog_samson.errors import AnalogSamsonError, DataError
from analog_samson.models.imported import call_with_known, import_callable
from analog_samson.runtime.size_limit import fits_in_memory

_LAYOUT = (
    "expected arrays `images` (uint8, (N, H, W) or (N, H, W, C)) and `labels` (integers, (N,)), or the pairs "
    "train_images, train_labels and test_images, test_labels; `num_classes` is optional"
)


def load_npz(path: Path, split: str, options: Mapping[str, int | None], limit: int | None) -> ImageSet:
    """`images` and `labels` of a file, or its pair for the split; options: classes (else the highest label + 1).

    path: An npz file, or a folder with a npy file for each array. Of the images the first `limit` are read, of the
    labels all, for the number of classes. 8-bit images that are too large for memory stay in the file.
    """
    with _open(path) as arrays:
        prefix = f"{split}_" if f"{split}_images" in arrays.names else ""
        missing = [name for name in (f"{prefix}images", f"{prefix}labels") if name not in arrays.names]
        if missing:
            found = ", ".join(arrays.names) or "none"
            raise DataError(f"{path}: no array {' or '.join(missing)} (it has {found}); {_LAYOUT}")
        try:
            stored = _in_file(arrays, f"{prefix}images", limit)
            images = arrays.read(f"{prefix}images", limit) if stored is None else stored
            labels = arrays.read(f"{prefix}labels")
            count = arrays.header(f"{prefix}images").shape[:1]
            stated = _stated_classes(arrays)
        except DataError:
            raise
        except Exception as error:  # numpy, zipfile and zlib raise whatever damaged bytes lead them to
            raise DataError(f"{path}: cannot be read ({str(error) or type(error).__name__}); {_LAYOUT}") from error
    classes = options["classes"] or stated
    if limit is not None and labels.ndim and labels.shape[:1] == count:  # else image_set says what is wrong
        classes = classes or _count_classes(labels)
        labels = labels[:limit]
    loaded = image_set(images, labels, name=f"npz:{path.name}", where=str(path), num_classes=classes)
    return replace(loaded, divided=bool(prefix))


def _in_file(arrays: NpzFile, name: str, limit: int | None) -> StoredImages | None:
    """Images that are read when they are due; None where they are to be loaded."""
    header = arrays.header(name)
    if header.dtype != np.uint8 or header.columns_first or shape_faults(header.shape):
        return None
    count, *sides = header.first(limit)
    pixels = (sides[0], sides[1], sides[2] if len(sides) == 3 else 1)
    if fits_in_memory(count * prod(pixels)) or (place := arrays.place(name)) is None:
        return None
    return StoredImages(*place, pixels, torch.arange(count))


def _stated_classes(arrays: NpzFile) -> int | None:
    if "num_classes" not in arrays.names:
        return None
    if (shape := arrays.header("num_classes").shape) not in ((), (1,)):
        raise ValueError(f"num_classes: expected one number, got shape {shape}")
    return index(arrays.read("num_classes").item())


def _count_classes(labels: np.ndarray) -> int | None:
    """As `image_set` counts them; None for labels that it refuses."""
    return int(labels.max()) + 1 if labels.size and np.issubdtype(labels.dtype, np.integer) else None


def load_callable(spec: str, split: str, limit: int | None) -> ImageSet | BatchSet:
    """The first `limit` samples of what a function of the user's returns for split="train" or "test".

    An ImageSet; (images, labels) or (images, labels, num_classes) with arrays as in an npz file; or another iterable,
    such as a list, a generator or a DataLoader, of batches of any form.
    """
    loaded: Any = call_with_known(spec, import_callable(spec, DataError), {"split": split}, DataError)
    if isinstance(loaded, ImageSet):
        return loaded.take(limit)
    if isinstance(loaded, tuple) and len(loaded) in (2, 3):
        classes = loaded[2] if len(loaded) == 3 else None
        return image_set(loaded[0], loaded[1], name=spec, where=spec, num_classes=classes).take(limit)
    if isinstance(loaded, Iterable) and not isinstance(loaded, str | bytes | Mapping | tuple):
        try:
            return batch_set(loaded, spec, limit)
        except AnalogSamsonError:
            raise
        except Exception as error:  # the user's code goes on while it is iterated
            raise DataError(f"{spec}: its batches raised {type(error).__name__}: {error}") from error
    raise DataError(
        f"{spec}: expected an ImageSet, (images, labels), (images, labels, num_classes) or an iterable of batches, "
        f"got a {type(loaded).__name__}"
    )


def _open(path: Path) -> NpzFile:
    try:
        if path.is_dir():
            return NpzFile(path)
        with path.open("rb") as file:
            single = file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX
        if not single:
            return NpzFile(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; {_LAYOUT}") from error
    except Exception as error:  # as above
        raise DataError(f"{path}: not an npz file ({str(error) or type(error).__name__}); {_LAYOUT}") from error
    raise DataError(f"{path}: a single array, not an npz file; write it with numpy.savez(FILE, images=, labels=)")
