"""Data by name: `digits`, a kind and a path such as `cifar10:DIR` (the kinds stand in `SOURCES`), module:callable."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analog_samson.data.arrays import load_callable, load_npz
from analog_samson.data.cifar import load_cifar10, load_cifar100
from analog_samson.data.digits import load_digits_set
from analog_samson.data.folder import load_folder
from analog_samson.data.idx import load_fashion_mnist, load_idx
from analog_samson.data.image_set import ImageSet
from analog_samson.data.samples import SAMPLES, is_samples, samples_path
from analog_samson.data.shards import load_shards
from analog_samson.errors import DataError, OptionError, did_you_mean
from analog_samson.models.own_code import is_code

Split = Literal["train", "test"]
_OPTION = re.compile(r",([a-z_]+)=(\w+)$")


@dataclass(frozen=True)
class _Source:
    """load takes (path, split, options, limit). options: the names it knows, with the values that they default to."""

    load: Callable[[Path, str, Mapping[str, int | None], int | None], ImageSet]
    options: Mapping[str, int | None]


SOURCES: dict[str, _Source] = {
    "npz": _Source(load_npz, {"classes": None}),
    "cifar10": _Source(load_cifar10, {}),
    "cifar100": _Source(load_cifar100, {}),
    "fashion_mnist": _Source(load_fashion_mnist, {}),
    "idx": _Source(load_idx, {"classes": None}),
    "folder": _Source(load_folder, {"resize": None, "crop": None}),
    "imagenet": _Source(load_folder, {"resize": 256, "crop": 224}),
    "shards": _Source(load_shards, {"resize": None, "crop": None, "classes": None}),
}


def open_data(spec: str, split: Split, *, limit: int | None = None) -> ImageSet:
    """One split of a dataset: in memory, or what of it is too large in files that are read batch by batch.

    spec: `digits`; a kind and a path such as `cifar10:DIR`, with options after commas such as
    `folder:DIR,resize=256,crop=224` or `npz:FILE,classes=10`; or package.module:callable, called with split.
    A file or folder without parts for training and testing is taken as what is asked for. limit: the first images
    only.

    >>> open_data("digits", "test", limit=100).images.shape
    torch.Size([100, 1, 8, 8])
    """
    if split not in ("train", "test"):
        raise DataError(f"split {split!r}: expected 'train' or 'test'")
    if limit is not None and limit < 1:
        raise OptionError(f"limit: expected at least 1 image, got {limit}")
    scheme, _, rest = spec.partition(":")
    if spec == "digits":
        return load_digits_set(split).take(limit)
    if scheme in SOURCES and rest:
        path, options = _options(spec, rest, SOURCES[scheme].options)
        return SOURCES[scheme].load(Path(path).expanduser(), split, options, limit).take(limit)
    if is_own_data(spec):
        loaded = load_callable(spec, split, limit)
        if isinstance(loaded, ImageSet):
            return loaded
        raise DataError(f"{spec}: gives batches, which simulate alone takes; expected (images, labels) or an ImageSet")
    raise DataError(_unknown(spec))


def is_own_data(spec: str) -> bool:
    """Whether `spec` is the user's own code.

    >>> is_own_data("my_project.data:batches"), is_own_data("text:reviews.csv")
    (True, False)
    """
    return is_code(spec, {*SOURCES, *SAMPLES}) and "/" not in spec.partition(":")[0]


def data_path(spec: str) -> Path | None:
    """The file or folder that `spec` names, as it is written there; None for data without one.

    Of a pattern of names it is their folder.

    >>> data_path("folder:photos,resize=256,crop=224"), data_path("digits")
    (PosixPath('photos'), None)
    >>> data_path("shards:sets/val-*.tar,resize=256")
    PosixPath('sets')
    """
    scheme, _, rest = spec.partition(":")
    if is_samples(spec):
        return samples_path(spec)
    if scheme not in SOURCES or not rest:
        return None
    path = Path(_options(spec, rest, SOURCES[scheme].options)[0])
    return path.parent if "*" in path.name else path


def absolute_data(spec: str) -> str:
    """`spec` with an absolute path, for a process in another folder; data without a path stays as it is."""
    scheme, _, rest = spec.partition(":")
    return spec if data_path(spec) is None else f"{scheme}:{Path(rest).expanduser().absolute()}"


def _options(spec: str, rest: str, known: Mapping[str, int | None]) -> tuple[str, dict[str, int | None]]:
    """The path and the options behind it; a comma that is part of a path stays there."""
    options = dict(known)
    while match := _OPTION.search(rest):
        name, value = match.groups()
        if name not in known:
            names = ", ".join(known) or "none"
            raise DataError(f"{spec}: unknown option {name!r}{did_you_mean(name, known)}; known here: {names}")
        if not value.isdecimal() or int(value) == 0:
            raise DataError(f"{spec}: {name} must be a whole number above 0, got {value!r}")
        options[name] = int(value)
        rest = rest[: match.start()]
    return rest, options


def _unknown(spec: str) -> str:
    scheme = spec.partition(":")[0]
    kinds = ["digits", *(f"{name}:{'FILE' if name == 'npz' else 'DIR'}" for name in SOURCES)]
    needs = "; its path is missing" if scheme in SOURCES else did_you_mean(scheme, ["digits", *SOURCES])
    return f"unknown data {spec!r}{needs}; expected {', '.join(kinds)} or package.module:callable"
