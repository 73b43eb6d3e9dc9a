"""Labelled images in memory or in a file, checked when they are made."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from operator import index

import numpy as np
import torch
from torch import Tensor

from analog_samson import rng
from analog_samson.data.stored import Images, StoredImages, in_parts, pick_images
from analog_samson.errors import DataError, OptionError, list_faults


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImageSet:
    """N labelled images. Make one with `image_set`, which checks the arrays.

    images: uint8 (N, C, H, W), a tensor; of sets that are too large for memory `StoredImages`, which indexing reads.
    labels: int64 (N,), in 0..num_classes-1. name: where they come from, without folders.
    divided: whether their source has parts for training and for testing, of which this is one.
    """

    images: Images
    labels: Tensor
    num_classes: int
    name: str
    divided: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.images.shape[1:]))
        return f"<ImageSet {self.name}: {len(self):,} images of {shape}, {self.num_classes} classes>"

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over shape, pixels and labels: equal sets have equal fingerprints anywhere."""
        digest = hashlib.sha256(repr((tuple(self.images.shape), self.num_classes)).encode())
        for part in in_parts(self.images):
            digest.update(part.numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    def take(self, limit: int | None) -> "ImageSet":
        """The first `limit` images; all of them for None or where there are fewer."""
        if limit is not None and limit < 1:
            raise OptionError(f"limit: expected at least 1 image, got {limit}")
        return self if limit is None or limit >= len(self) else self.pick(torch.arange(limit))

    def split(self, fraction: float, seed: int) -> tuple["ImageSet", "ImageSet"]:
        """Two disjoint sets that together are this one: the first holds round(fraction * N) images.

        Each class is divided in the same proportion. Draws from its own stream; images keep their order.
        """
        first = stratified(self.labels, fraction, seed)
        if not 0 < len(first) < len(self):
            raise OptionError(
                f"split of {self.name}: a fraction of {fraction} of {len(self)} images leaves one part empty"
            )
        rest = torch.ones(len(self), dtype=torch.bool)
        rest[first] = False
        return self.pick(first), self.pick(rest.nonzero().flatten())

    def pick(self, index: Tensor | slice) -> "ImageSet":
        """The images at these positions, in this order."""
        return replace(self, images=pick_images(self.images, index), labels=self.labels[index])


def stratified(labels: Tensor, fraction: float, seed: int) -> Tensor:
    """Ascending positions of round(fraction * N) of the N labels, each class in the same proportion.

    Every image gets the position of its random rank within its class, (rank + 1/2) / size; the lowest are taken.
    """
    generator = rng.generator(seed, "split")
    quantile = torch.empty(len(labels), dtype=torch.float64)
    for value in labels.unique():
        members = (labels == value).nonzero().flatten()
        ranks = torch.randperm(len(members), generator=generator)
        quantile[members] = (ranks.double() + 0.5) / len(members)
    # Among equals of several classes chance decides, not the order of the classes.
    shuffled = torch.randperm(len(labels), generator=generator)
    order = shuffled[quantile[shuffled].argsort(stable=True)]
    return order[: round(fraction * len(labels))].sort().values


def image_set(
    images: np.ndarray | StoredImages, labels: np.ndarray, *, name: str, where: str, num_classes: int | None = None
) -> ImageSet:
    """Check arrays and make an ImageSet of them; raises DataError with every fault.

    images: (N, H, W) or (N, H, W, C) with 1 or 3 channels; 8-bit integers, or floats in [0, 1], which are stored in
    8 bits; or images in a file, which are 8-bit. labels: integers, (N,) or (N, 1). num_classes: None takes the highest
    label + 1. where: for messages.
    """
    try:
        labels = np.asarray(labels)
        images = images if isinstance(images, StoredImages) else np.asarray(images)
        num_classes = None if num_classes is None else index(num_classes)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: expected arrays of numbers and a whole number of classes ({error})") from error
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if isinstance(images, StoredImages):
        faults = _label_faults(labels, len(images), num_classes)
    else:
        faults = [*_image_faults(images), *_label_faults(labels, len(images) if images.ndim else 0, num_classes)]
    if faults:
        raise DataError(list_faults(where, faults))
    return ImageSet(
        images=images if isinstance(images, StoredImages) else _pixels(images),
        labels=torch.from_numpy(labels.astype(np.int64)),
        num_classes=int(labels.max()) + 1 if num_classes is None else num_classes,
        name=name,
    )


def _pixels(images: np.ndarray) -> Tensor:
    if images.dtype != np.uint8:
        scaled = images * 255
        images = np.round(scaled, out=scaled).astype(np.uint8)
    images = images[..., None] if images.ndim == 3 else images
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _image_faults(images: np.ndarray) -> list[str]:
    faults = shape_faults(images.shape)
    return faults if images.ndim not in (3, 4) or 0 in images.shape else [*faults, *_value_faults(images)]


def shape_faults(shape: tuple[int, ...]) -> list[str]:
    """What is wrong with the shape of an array of images."""
    expected = "expected (N, H, W) or (N, H, W, C) with 1 or 3 channels"
    if len(shape) not in (3, 4):
        return [f"images: {expected}, got shape {shape}"]
    if 0 in shape:
        return [f"images: empty (shape {shape}); expected at least one image"]
    if len(shape) == 4 and shape[3] not in (1, 3):
        hint = "; the channels seem to come second: transpose to (0, 2, 3, 1)" if shape[1] in (1, 3) else ""
        return [f"images: {expected}, got shape {shape}{hint}"]
    return []


def _value_faults(images: np.ndarray) -> list[str]:
    if images.dtype == np.uint8:
        return []
    if not np.issubdtype(images.dtype, np.floating):
        return [
            f"images: expected uint8 (0..255) or floats in [0, 1], got {images.dtype}; convert with .astype('uint8')"
        ]
    unusable = int((~np.isfinite(images)).sum())
    if unusable:
        return [f"images: {unusable} NaN or Inf among {images.size} values; remove or repair those images"]
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        return [f"images: floats must lie in [0, 1], got {low:g} to {high:g}; give the pixels before normalisation"]
    return []


def _label_faults(labels: np.ndarray, count: int, num_classes: int | None) -> list[str]:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        return [f"labels: expected integers of shape (N,), got {labels.dtype} of shape {labels.shape}"]
    faults = []
    if len(labels) != count:
        faults.append(f"labels: {len(labels)} labels for {count} images; expected one for each")
    outside = (labels < 0) if num_classes is None else (labels < 0) | (labels >= num_classes)
    if outside.any():
        first = int(outside.argmax())
        upper = "0 or more" if num_classes is None else f"0 to {num_classes - 1}"
        faults.append(
            f"labels: {int(outside.sum())} out of range, the first at position {first} is {labels[first]}; "
            f"expected {upper}"
        )
    return faults
