"""Images in one subfolder for each class, decoded once to 8 bits."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from analog_samson import rng
from analog_samson.data.image_set import ImageSet, image_set
from analog_samson.data.pictures import SUFFIXES, Picture, common_mode, decode
from analog_samson.errors import DataError

PARTS = {"train": ("train",), "test": ("test", "val", "validation")}
_LAYOUT = "expected DIR/CLASS/IMAGE, or DIR/train/CLASS/IMAGE and DIR/test/CLASS/IMAGE (val works too)"


def load_folder(path: Path, split: str, options: Mapping[str, int | None], limit: int | None) -> ImageSet:
    """Decode a folder; RGB, or grey where all its images are grey. Classes are numbered in the order of their names.

    Which of the two holds for the whole folder: for every split, and for any `limit`.

    options: resize scales the shorter side to so many pixels (bilinear, antialiased); crop cuts the middle square.
    For training on photographs decode more than is tested on: imagenet:DIR,crop=256 (see `augment`).
    The images come in a fixed shuffled order, so that the first `limit` hold every class.
    """
    root, parts = _part(path, split)
    _check_classes(path, root)
    classes = sorted({name for part in parts for name in _subfolders(part)})
    files = [(file, label) for label, name in enumerate(classes) for file in _images(root / name)]
    if not files:
        raise DataError(f"{root}: no images found in {len(classes)} class folders; {_LAYOUT}")
    order = torch.randperm(len(files), generator=rng.generator(0, "folder order")).tolist()
    chosen = [files[position] for position in order[: limit or None]]
    mode = common_mode(
        Picture.of(file)
        for part in dict.fromkeys([root, *parts])
        for name in _subfolders(part)
        for file in _images(part / name)
    )
    pixels = decode(f"folder:{root}", root.name, [Picture.of(file) for file, _ in chosen], mode, options)
    labels = np.array([label for _, label in chosen])
    found = image_set(pixels, labels, name=f"folder:{path.name}", where=str(root), num_classes=len(classes))
    return replace(found, divided=root != path)


def _part(path: Path, split: str) -> tuple[Path, list[Path]]:
    """The subfolder for the split and all such parts; the folder itself if it is not divided.

    Classes are numbered over all parts together, so a class that one part lacks does not shift the others.
    """
    parts = {name: path / name for names in PARTS.values() for name in names if (path / name).is_dir()}
    wanted = next((name for name in PARTS[split] if name in parts), None)
    if parts and wanted is None:
        raise DataError(f"{path}: has {', '.join(parts)}, but no subfolder {' or '.join(PARTS[split])}; {_LAYOUT}")
    return (parts[wanted], list(parts.values())) if wanted else (path, [path])


def _check_classes(path: Path, root: Path) -> None:
    """Refuse classes that training never sees."""
    train = path / PARTS["train"][0]
    unknown = sorted({*_subfolders(root)} - {*_subfolders(train)}) if train.is_dir() else []
    if unknown:
        raise DataError(f"{root}: {', '.join(unknown[:5])}: no such class in {train}; {_LAYOUT}")


def _subfolders(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); {_LAYOUT}") from error


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
