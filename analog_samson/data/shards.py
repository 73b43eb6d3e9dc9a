"""Images in tar files as WebDataset lays them out: NAME.jpg and NAME.cls, a whole number, one after the other."""

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from analog_samson import rng
from analog_samson.data.folder import PARTS
from analog_samson.data.image_set import ImageSet, image_set
from analog_samson.data.pictures import SUFFIXES, Picture, common_mode, decode
from analog_samson.errors import DataError
from analog_samson.runtime.size_limit import refuse_size

_LAYOUT = (
    "expected a tar file, a pattern such as DIR/val-*.tar, or a folder DIR/*.tar or DIR/train/*.tar and DIR/test/*.tar "
    "(val works too); in each NAME.jpg (or .png, ...) with NAME.cls, its class as a whole number"
)
_LONGEST_LABEL = 19  # bytes


def load_shards(path: Path, split: str, options: Mapping[str, int | None], limit: int | None) -> ImageSet:
    """Decode tar shards; RGB, or grey where all images of the split are grey.

    Args:
        path: A tar file, a folder of them, or a pattern of their names.
        split: "train" or "test", for folders with parts.
        options: resize and crop as for `load_folder`; classes (else the highest label + 1).
        limit: Take the first images of the shuffled order, in which all come: it is the same at each call.

    Raises:
        DataError: A shard is compressed, damaged or ends early, or an image has no label.
    """
    shards, divided = _shards(path, split)
    pictures: list[Picture] = []
    labels: list[int] = []
    for shard in shards:
        for picture, label in _indexed(shard):
            pictures.append(picture)
            labels.append(label)
    if not pictures:
        raise DataError(f"{path}: no images in {len(shards)} shards; {_LAYOUT}")
    classes = options["classes"] or max(labels) + 1
    refuse_size(100 * classes, f"{path}: label {max(labels)} with all below it", "number the classes from 0", DataError)
    order = torch.randperm(len(pictures), generator=rng.generator(0, "folder order"))
    chosen = order[: limit or None].tolist()
    mode = common_mode(pictures)
    pixels = decode(f"shards:{path}", path.name, [pictures[place] for place in chosen], mode, options)
    found = np.array(labels)[chosen]
    name = f"shards:{path.name}"
    return replace(image_set(pixels, found, name=name, where=str(path), num_classes=classes), divided=divided)


def _shards(path: Path, split: str) -> tuple[list[Path], bool]:
    """The tar files, and whether their folder has parts for training and testing."""
    if path.is_file():
        return [path], False
    if "*" in path.name:
        found, divided = sorted(path.parent.glob(path.name)), False
    else:
        parts = [path / name for names in PARTS.values() for name in names if (path / name).is_dir()]
        folder = next((path / name for name in PARTS[split] if path / name in parts), None if parts else path)
        if folder is None:
            raise DataError(f"{path}: no subfolder {' or '.join(PARTS[split])}; {_LAYOUT}")
        found, divided = sorted(folder.glob("*.tar")), folder != path
    if not found:
        raise DataError(f"{path}: no tar files; {_LAYOUT}")
    return found, divided


def _indexed(shard: Path) -> list[tuple[Picture, int]]:
    """Where the images of a shard lie, and their labels; no image is read."""
    pictures: dict[str, Picture] = {}
    labels: dict[str, int] = {}
    for member in _members(shard):
        name, suffix = _parted(member.name)
        where = f"{shard}: {member.name}"
        if suffix in SUFFIXES:
            if name in pictures:
                raise DataError(f"{where}: a second image of this name; give each sample a name of its own")
            pictures[name] = Picture(shard, where, member.offset_data, member.size)
        elif suffix == ".cls":
            labels[name] = _label(Picture(shard, where, member.offset_data, member.size))
    if lone := sorted(pictures.keys() ^ labels.keys()):
        lacks = "image" if lone[0] in labels else "label"
        raise DataError(f"{shard}: {lone[0]} has no {lacks} ({len(lone)} such samples); {_LAYOUT}")
    return [(picture, labels[name]) for name, picture in pictures.items()]


def _members(shard: Path) -> Iterator[tarfile.TarInfo]:
    """The plain files in a shard, whose blocks of zeros at the end must be there."""
    end, block = 0, tarfile.BLOCKSIZE
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                end = member.offset_data + (-(-member.size // block) * block if member.isreg() else 0)
                if member.isreg() and not member.issparse():
                    yield member
        with shard.open("rb") as file:
            file.seek(end)
            whole = file.read(block) == bytes(block)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{shard}: cannot be read ({error.strerror}); {_LAYOUT}") from error
    except Exception as error:  # tarfile on damaged bytes may raise anything
        remedy = "fetch it again; unpack .tar.gz with gunzip"
        raise DataError(f"{shard}: not a whole tar file without compression ({error}); {remedy}") from error
    if not whole:
        raise DataError(f"{shard}: ends early, without the blocks of zeros that end a tar file; fetch it again")


def _parted(member: str) -> tuple[str, str]:
    """The sample that a member belongs to, and the kind of it: what follows the first point of the file's name.

    >>> _parted("val/n01440764/img.2.JPEG"), _parted("0001.cls")
    (('val/n01440764/img', '.2.jpeg'), ('0001', '.cls'))
    """
    path = PurePosixPath(member)
    stem, point, kind = path.name.partition(".")
    return str(path.with_name(stem)) if stem else member, (point + kind).lower()


def _label(file: Picture) -> int:
    text = file.start_of(_LONGEST_LABEL).strip()
    if not text.isdigit() or len(text) == _LONGEST_LABEL:
        shown = text.decode(errors="replace")
        raise DataError(f"{file.name}: expected the number of a class, 0 or more, got {shown!r}")
    return int(text)
