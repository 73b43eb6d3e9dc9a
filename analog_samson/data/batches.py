"""Normalised batches of an image set."""

from collections.abc import Iterator
from copy import copy

import torch
from torch import Tensor

from analog_samson.data.ahead import moved_ahead
from analog_samson.data.image_set import ImageSet
from analog_samson.data.normalization import Normalization
from analog_samson.data.stored import Images, pick_images
from analog_samson.errors import DataError, OptionError

_KEPT_ON_DEVICE = 2**31  # bytes of 8-bit images that are moved to the device once instead of batch by batch


class Batches:
    """Normalised batches of an image set, in its order; can be iterated again and again.

    Gives (x, y): x float32 (B, C, H, W) and y int64 (B,), both on `device`. Pixels stay 8-bit until a batch is due.
    """

    def __init__(
        self,
        image_set: ImageSet,
        normalization: Normalization,
        *,
        batch_size: int,
        device: torch.device | str,
        channels_last: bool = False,
    ) -> None:
        if batch_size < 1:
            raise OptionError(f"batch_size: expected at least 1, got {batch_size}")
        self.image_set = image_set
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.normalize = Normalizer(normalization, image_set.channels, device=self.device, channels_last=channels_last)
        self._images = on_device_if_small(image_set.images, self.device)
        self._labels = image_set.labels.to(self.device)

    @property
    def num_classes(self) -> int:
        """Classes of the image set, which a network's outputs are checked against."""
        return self.image_set.num_classes

    def pick(self, places: Tensor) -> "Batches":
        """Batches of the samples at these places, in their order."""
        picked = copy(self)
        picked.image_set = self.image_set.pick(places)
        picked._images = pick_images(self._images, places)
        picked._labels = self._labels[places.to(self.device)]
        return picked

    def __len__(self) -> int:
        return -(-len(self.image_set) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        size = self.batch_size
        parts = [slice(start, start + size) for start in range(0, len(self.image_set), size)]
        images = (self._images[part] for part in parts)
        on_device = images if self._images.device.type == self.device.type else moved_ahead(images, self.device)
        for part, batch in zip(parts, on_device, strict=True):
            yield self.normalize(batch), self._labels[part]


def on_device_if_small(images: Images, device: torch.device) -> Images:
    """8-bit images moved to the device once; large sets stay where they are and go batch by batch."""
    if device == images.device or images.nbytes > _KEPT_ON_DEVICE:
        return images
    return images[:].to(device)


class Normalizer:
    """8-bit images (B, C, H, W) to normalised float32 on a device; does not change its input."""

    def __init__(
        self,
        normalization: Normalization,
        channels: int,
        *,
        device: torch.device | str,
        channels_last: bool = False,
    ) -> None:
        if not normalization.fits(channels):
            raise DataError(
                f"images of {channels} channels, normalization of {len(normalization.mean)}: {normalization}"
            )
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        std = torch.tensor(normalization.std, dtype=torch.float64).view(1, -1, 1, 1)
        mean = torch.tensor(normalization.mean, dtype=torch.float64).view(1, -1, 1, 1)
        # (x / 255 - mean) / std, as one multiplication and one addition in place
        self._scale = (1 / (255 * std)).float().to(device)
        self._shift = (-mean / std).float().to(device)

    def __call__(self, images: Tensor) -> Tensor:
        x = images.to(self._scale.device, torch.float32, memory_format=self._format, copy=True)
        return x.mul_(self._scale).add_(self._shift)
