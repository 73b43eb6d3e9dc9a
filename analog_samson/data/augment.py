"""Random crops and flips of whole batches, driven by a generator."""

import torch
import torch.nn.functional as F
from torch import Tensor

from analog_samson.data.image_set import ImageSet


def suits_augmentation(data: ImageSet) -> bool:
    """Whether the standard augmentation keeps the labels true: photographs yes; grey glyphs no (a mirrored 2)."""
    return data.channels == 3


def augment(images: Tensor, *, generator: torch.Generator) -> Tensor:
    """Crop each image at random after padding with black by an eighth of its size (4 of 32), flip half of them.

    images: (N, C, H, W) of any type and device, not changed. Draws 3 N numbers on the generator's device.
    """
    count, _, height, width = images.shape
    pad_rows, pad_columns = height // 8, width // 8
    rows = _starts(count, 2 * pad_rows + 1, generator) + torch.arange(height)
    columns = _starts(count, 2 * pad_columns + 1, generator) + torch.arange(width)
    flipped = torch.rand(count, generator=generator) < 0.5
    columns = torch.where(flipped[:, None], columns.flip(1), columns)
    padded = F.pad(images, (pad_columns, pad_columns, pad_rows, pad_rows))
    rows, columns = rows.to(images.device), columns.to(images.device)
    picked = padded[torch.arange(count, device=images.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)  # indexing puts (N, H, W) before the channels


def _starts(count: int, choices: int, generator: torch.Generator) -> Tensor:
    return torch.randint(choices, (count, 1), generator=generator)
