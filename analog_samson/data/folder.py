"""Images in one subfolder for each class, decoded once to 8 bits."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from analog_samson import rng
from analog_samson.data.image_set import ImageSet, image_set
from analog_samson.errors import DataError
from analog_samson.runtime.size_limit import refuse_size

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".gif", ".tif", ".tiff"}
_PARTS = {"train": ("train",), "test": ("test", "val", "validation")}
_REMEDY = "take fewer images (--limit N) or a smaller resize and crop"
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
    pixels = _decode(root, [file for file, _ in chosen], _mode([root, *parts]), options)
    labels = np.array([label for _, label in chosen])
    found = image_set(pixels, labels, name=f"folder:{path.name}", where=str(root), num_classes=len(classes))
    return replace(found, divided=root != path)


def _part(path: Path, split: str) -> tuple[Path, list[Path]]:
    """The subfolder for the split and all such parts; the folder itself if it is not divided.

    Classes are numbered over all parts together, so a class that one part lacks does not shift the others.
    """
    parts = {name: path / name for names in _PARTS.values() for name in names if (path / name).is_dir()}
    wanted = next((name for name in _PARTS[split] if name in parts), None)
    if parts and wanted is None:
        raise DataError(f"{path}: has {', '.join(parts)}, but no subfolder {' or '.join(_PARTS[split])}; {_LAYOUT}")
    return (parts[wanted], list(parts.values())) if wanted else (path, [path])


def _check_classes(path: Path, root: Path) -> None:
    """Refuse classes that training never sees."""
    train = path / _PARTS["train"][0]
    unknown = sorted({*_subfolders(root)} - {*_subfolders(train)}) if train.is_dir() else []
    if unknown:
        raise DataError(f"{root}: {', '.join(unknown[:5])}: no such class in {train}; {_LAYOUT}")


def _subfolders(folder: Path) -> list[str]:
    try:
        return [entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); {_LAYOUT}") from error


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES)


def _mode(parts: Sequence[Path]) -> str:
    """L where every image of all parts is grey, else RGB; reads headers alone, up to the first image in colour."""
    files = (file for part in dict.fromkeys(parts) for name in _subfolders(part) for file in _images(part / name))
    return "L" if all(map(_is_grey, files)) else "RGB"


def _decode(root: Path, files: Sequence[Path], mode: str, options: Mapping[str, int | None]) -> np.ndarray:
    """(N, H, W, C) uint8; the memory is claimed once, with the size of the first image."""
    decoded = _each(files, mode, options)
    first = next(decoded)
    refuse_size(first.nbytes * len(files), f"{root}: decoding {len(files)} images", _REMEDY, DataError)
    pixels = np.empty((len(files), *first.shape), np.uint8)
    pixels[0] = first
    for position, image in enumerate(decoded, start=1):
        if image.shape != first.shape:
            raise DataError(
                f"{files[position]}: {image.shape[1]} x {image.shape[0]} pixels, {files[0].name} has "
                f"{first.shape[1]} x {first.shape[0]}; bring them to one size, for example "
                f"folder:{root},resize=256,crop=224"
            )
        pixels[position] = image
    return pixels


def _each(files: Sequence[Path], mode: str, options: Mapping[str, int | None]) -> Iterator[np.ndarray]:
    for file in files:
        with _opened(file) as image:
            _check_pixels(file, image.size)
            try:
                yield np.atleast_3d(np.asarray(_fitted(file, image.convert(mode), options)))
            except Exception as error:  # a parser on damaged bytes may raise anything; nothing of ours runs in there
                raise DataError(f"{file}: damaged image ({error}); replace or remove it") from error


def _check_pixels(file: Path, size: tuple[int, int]) -> None:
    """Raise DataError for an image whose header states, or whose resize asks for, more than memory can take."""
    refuse_size(size[0] * size[1] * 3, f"{file}: an image of {size[0]} x {size[1]} pixels", _REMEDY, DataError)


def _opened(file: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file)  # its size is judged by `_check_pixels`
    except Exception as error:  # as above
        raise DataError(f"{file}: not an image that can be read ({error}); replace or remove it") from error
    if image.mode.startswith(("I", "F")):
        image.close()
        raise DataError(f"{file}: more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    return image


def _is_grey(file: Path) -> bool:
    with _opened(file) as image:
        return image.mode in ("L", "1")


def _fitted(file: Path, image: Image.Image, options: Mapping[str, int | None]) -> Image.Image:
    if resize := options["resize"]:
        scale = resize / min(image.size)
        width, height = (max(resize, round(side * scale)) for side in image.size)
        _check_pixels(file, (width, height))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if crop := options["crop"]:
        if crop > min(image.size):
            raise DataError(
                f"{file}: {image.width} x {image.height} pixels are too few for crop={crop}; "
                f"scale up first with resize={crop} or more"
            )
        left, top = (round((side - crop) / 2) for side in image.size)
        image = image.crop((left, top, left + crop, top + crop))
    return image
