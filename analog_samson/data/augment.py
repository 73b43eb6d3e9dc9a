"""Random crops and flips of whole batches, driven by a generator.

Images are decoded once and kept in one size, so what varies at random is the place of the crop, not its scale: for
photographs of objects, decode more than the network takes (imagenet:DIR,crop=256) and let training cut windows of the
test images' size (224) out of it.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from analog_samson import rng
from analog_samson.data.cache import cached_images
from analog_samson.data.image_set import ImageSet
from analog_samson.data.stored import StoredImages, parts_of


def suits_augmentation(data: ImageSet) -> bool:
    """Whether the standard augmentation keeps the labels true: photographs yes; grey glyphs no (a mirrored 2)."""
    return data.channels == 3


def augment(
    images: Tensor,
    *,
    generator: torch.Generator,
    window: Sequence[int] | None = None,
    whole: int | None = None,
    part: slice = slice(None),
) -> Tensor:
    """Crop each image at random, flip half of them.

    images: (N, C, H, W) of any type and device, not changed. window: (rows, columns) of the result; a side that is
    not smaller than the image's, or all with None, keeps the image's length and moves by up to an eighth of it (4 of
    32), with black moving in. whole, part: the images are this part of a batch of so many, and are changed as they
    would be among the others; None and all of it unless given. Draws 3 numbers for each image of the whole batch on
    the generator's device.
    """
    count, _, height, width = images.shape
    drawn = count if whole is None else whole
    wanted_rows, wanted_columns = window or (height, width)
    kept_rows, pad_rows = _side(height, wanted_rows)
    kept_columns, pad_columns = _side(width, wanted_columns)
    rows = _starts(drawn, height + 2 * pad_rows - kept_rows, generator)[part] + torch.arange(kept_rows)
    columns = _starts(drawn, width + 2 * pad_columns - kept_columns, generator)[part] + torch.arange(kept_columns)
    flipped = torch.rand(drawn, generator=generator)[part] < 0.5
    columns = torch.where(flipped[:, None], columns.flip(1), columns)
    padded = F.pad(images, (pad_columns, pad_columns, pad_rows, pad_rows))
    rows, columns = rows.to(images.device), columns.to(images.device)
    picked = padded[torch.arange(count, device=images.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)  # indexing puts (N, H, W) before the channels


def _side(length: int, wanted: int) -> tuple[int, int]:
    """How much of a side is kept, and the black added at either end first."""
    return (wanted, 0) if wanted < length else (length, length // 8)


def _starts(count: int, room: int, generator: torch.Generator) -> Tensor:
    """(count, 1) first positions, from 0 to `room`."""
    return torch.randint(room + 1, (count, 1), generator=generator)


def as_in_training(images: ImageSet, *, seed: int) -> ImageSet:
    """Calibration images as a training sees them: colour images cropped and flipped, others as they are."""
    if not suits_augmentation(images):
        return images
    found, whole = images.images, len(images)
    if not isinstance(found, StoredImages):
        return replace(images, images=augment(found, generator=rng.generator(seed, "calibration")))
    changed = (
        augment(found[part], generator=rng.generator(seed, "calibration"), whole=whole, part=part)
        for part in parts_of(found)
    )
    shown = (image.permute(1, 2, 0).numpy() for part in changed for image in part)
    key = ("augmented", seed, images.fingerprint)
    return replace(images, images=cached_images(f"{images.name} augmented", key, (whole, *found.pixels), shown))
