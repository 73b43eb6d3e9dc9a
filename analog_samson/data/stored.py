"""8-bit images in a file, read when a batch is due: for image sets that are too large for memory."""

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from analog_samson.errors import DataError

_PART = 2**26  # bytes of images that are read at a time where a whole set is gone through


class StoredImages:
    """N images of one size in a file, used like the tensor (N, C, H, W) of an image set.

    Indexing reads from the file and returns a tensor; nothing else does. The file must not change.

    Attributes:
        path: The file.
        start: Bytes before the first image.
        pixels: (H, W, C) of each image, as its uint8 values lie in the file.
        places: The numbers of the images in the file, int64 (N,).
        device: Of the tensors that indexing returns.
    """

    device = torch.device("cpu")

    def __init__(self, path: Path, start: int, pixels: tuple[int, int, int], places: Tensor) -> None:
        self.path, self.start, self.pixels, self.places = path, start, pixels, places

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        height, width, channels = self.pixels
        return torch.Size((len(self), channels, height, width))

    @property
    def nbytes(self) -> int:
        """Bytes that all images would take in memory."""
        return prod(self.shape)

    def __getitem__(self, where: slice | Tensor) -> Tensor:
        """Read images: uint8 (n, C, H, W).

        Raises:
            DataError: The file is gone or too short.
        """
        places = self.places[where]
        values = np.empty((len(places), *self.pixels), np.uint8)
        try:
            with self.path.open("rb", buffering=0) as file:
                for image, place in zip(values, places.tolist(), strict=True):
                    file.seek(self.start + place * image.nbytes)
                    if file.readinto(image.data) != image.nbytes:
                        raise DataError(f"{self.path}: ends before image {place}; it changed since it was opened")
        except OSError as error:
            raise DataError(f"{self.path}: images cannot be read ({error.strerror}); run the command again") from error
        return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous()

    def pick(self, where: slice | Tensor) -> "StoredImages":
        """The images at these places, in this order; nothing is read."""
        return StoredImages(self.path, self.start, self.pixels, self.places[where])


Images = Tensor | StoredImages


def pick_images(images: Images, where: slice | Tensor) -> Images:
    """The images at these places, in this order; those of a file stay there."""
    if isinstance(images, StoredImages):
        return images.pick(where)
    return images[where.to(images.device) if isinstance(where, Tensor) else where]


def in_parts(images: Images) -> Iterator[Tensor]:
    """All images, uint8 (n, C, H, W), as many at a time as fit into little memory."""
    for part in parts_of(images):
        yield images[part].contiguous()


def parts_of(images: Images) -> Iterator[slice]:
    """The places of the images that `in_parts` reads at a time."""
    size = max(1, _PART // max(1, prod(images.shape[1:])))
    for start in range(0, len(images), size):
        yield slice(start, start + size)
