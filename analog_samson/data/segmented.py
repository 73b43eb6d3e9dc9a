"""Images with a class for each pixel: `segmentation:DIR` with DIR/images and DIR/masks."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from analog_samson.data.tensor_set import TensorSet
from analog_samson.errors import DataError

_KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# What the networks of torchvision and transformers were trained with.
_MEAN, _STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


def load_segmentation(path: Path, options: Mapping[str, str]) -> TensorSet:
    """Read images (N, 3, H, W), normalised as for ImageNet, and masks (N, H, W) of class numbers.

    Args:
        path: A folder with images/NAME.jpg and masks/NAME.png; masks are 8-bit, by convention 255 where no class is.
        options: "size": height and width that images (bilinear) and masks (nearest) are resized to; without it, all
            have to be of one size. "classes": their number; by default one more than the largest in the masks.

    Raises:
        DataError: A folder or file is missing or unreadable, or sizes differ.
    """
    size, classes = (_number(path, options, name) for name in ("size", "classes"))
    if unknown := [name for name in options if name not in ("size", "classes")]:
        raise DataError(f"{path}: unknown option {unknown[0]!r}; known: size, classes")
    folder, masks = path / "images", path / "masks"
    if not folder.is_dir() or not masks.is_dir():
        raise DataError(f"{path}: expected the folders images and masks in it")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _KINDS)
    if not files:
        raise DataError(f"{folder}: no images ({', '.join(_KINDS)})")
    pairs = [(_pixels(file, size, "RGB"), _pixels(masks / f"{file.stem}.png", size, None)) for file in files]
    shapes = {part.shape[:2] for pair in pairs for part in pair}
    if len(shapes) > 1:
        told = " and ".join(f"{h} x {w}" for h, w in sorted(shapes)[:2])
        raise DataError(f"{path}: images and masks of {told} pixels; give one size behind a comma, such as ,size=256")
    labels = torch.from_numpy(np.stack([mask for _, mask in pairs])).long()
    images = torch.from_numpy(np.stack([image for image, _ in pairs])).float().div(255).sub(_MEAN).div(_STD)
    counted = labels[labels != 255]
    number = classes or (int(counted.max()) + 1 if counted.numel() else 1)
    return TensorSet(
        name=path.name,
        inputs=images.permute(0, 3, 1, 2).contiguous(),
        targets=labels,
        classes=tuple(map(str, range(number))),
    )


def _number(path: Path, options: Mapping[str, str], name: str) -> int | None:
    text = options.get(name)
    if text is not None and not (text.isdecimal() and int(text)):
        raise DataError(f"{path}: {name}: expected a whole number above 0, got {text!r}")
    return None if text is None else int(text)


def _pixels(file: Path, size: int | None, mode: str | None) -> np.ndarray:
    try:
        with Image.open(file) as image:
            shown = image.convert(mode) if mode else image
            if size is not None:
                shown = shown.resize((size, size), Image.Resampling.BILINEAR if mode else Image.Resampling.NEAREST)
            pixels = np.asarray(shown)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such mask; each image needs one of its name") from error
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise DataError(f"{file}: not a readable image: {error}") from error
    if mode is None and (pixels.ndim != 2 or pixels.dtype != np.uint8):
        raise DataError(f"{file}: mask of {pixels.dtype} {pixels.shape}; expected 8-bit class numbers, one channel")
    return pixels
