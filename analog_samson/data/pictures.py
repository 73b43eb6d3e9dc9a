"""Image files decoded to 8 bits in one size: into memory, or through the cache where they are too large for it."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
import torch
from PIL import Image

from analog_samson.data.cache import cached_images
from analog_samson.data.stored import StoredImages
from analog_samson.errors import DataError
from analog_samson.runtime.size_limit import fits_in_memory, refuse_size

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".gif", ".tif", ".tiff"}
_REMEDY = "take fewer images (--limit N) or a smaller resize and crop"
_AHEAD = 4  # images a thread that are decoded before the first of them is taken
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Picture:
    """An image file, or the part of another file that holds one.

    Attributes:
        path: The file.
        name: What messages call the image.
        start: Bytes before the image.
        size: Its bytes; None for all of the file.
    """

    path: Path
    name: str
    start: int = 0
    size: int | None = None

    @staticmethod
    def of(path: Path) -> "Picture":
        """A file that is an image."""
        return Picture(path, str(path))

    def identity(self) -> tuple[object, ...]:
        """What changes with the image: its place, and size and time of the file."""
        found = self.path.stat()
        return str(self.path.absolute()), self.start, self.size, found.st_size, found.st_mtime_ns

    def source(self) -> Path | BytesIO:
        """What Pillow opens."""
        if self.size is None:
            return self.path
        refuse_size(self.size, f"{self.name}: reading it", "remove it", DataError)
        return BytesIO(self.start_of(self.size))

    def start_of(self, most: int) -> bytes:
        """The first bytes, at most so many."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(most if self.size is None else min(most, self.size))


def decode(
    where: str, name: str, pictures: Sequence[Picture], mode: str, options: Mapping[str, int | None]
) -> np.ndarray | StoredImages:
    """Decode pictures to (N, H, W, C) uint8, in their order.

    Threads decode, as many as torch uses; Pillow lets them run side by side. What memory should not hold is written to
    the cache.

    Args:
        where: For messages.
        name: What the cache calls the data.
        pictures: At least one.
        mode: "L" or "RGB".
        options: resize scales the shorter side to so many pixels (bilinear, antialiased); crop cuts the middle square.

    Raises:
        DataError: A picture is damaged or too large, or their sizes differ.
    """
    with _large_pictures():
        each = in_order(lambda picture: _decoded(picture, mode, options), pictures)
        first = next(each)
        height, width, channels = first.shape
        images = _of_one_size(where, pictures, chain([first], each))
        if not fits_in_memory(first.nbytes * len(pictures)):
            key = chain((PIL.__version__, mode, sorted(options.items())), (one.identity() for one in pictures))
            return cached_images(name, key, (len(pictures), height, width, channels), images)
        pixels = np.empty((len(pictures), channels, height, width), np.uint8)
        for position, image in enumerate(images):
            pixels[position] = image.transpose(2, 0, 1)
    return pixels.transpose(0, 2, 3, 1)


def common_mode(pictures: Iterable[Picture]) -> str:
    """L where every picture is grey, else RGB; reads headers alone, up to the first picture in colour."""
    with _large_pictures():
        return "L" if all(map(_is_grey, pictures)) else "RGB"


def in_order(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
    """`function` of each item, in order, computed in as many threads as torch uses."""
    threads = torch.get_num_threads()
    if threads == 1 or len(items) == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[_Result]] = deque()
        for item in items:
            begun.append(pool.submit(function, item))
            if len(begun) > _AHEAD * threads:
                yield begun.popleft().result()
        for one in begun:
            yield one.result()


@contextmanager
def _large_pictures() -> Iterator[None]:
    """Within, Pillow does not warn of many pixels, which `_check_pixels` judges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _of_one_size(where: str, pictures: Sequence[Picture], images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    shape: tuple[int, ...] | None = None
    for picture, image in zip(pictures, images, strict=True):
        shape = shape or image.shape
        if image.shape != shape:
            raise DataError(
                f"{picture.name}: {image.shape[1]} x {image.shape[0]} pixels, {pictures[0].name} has "
                f"{shape[1]} x {shape[0]}; bring them to one size, for example {where},resize=256,crop=224"
            )
        yield image


def _decoded(picture: Picture, mode: str, options: Mapping[str, int | None]) -> np.ndarray:
    """(H, W, C) uint8."""
    with _opened(picture) as image:
        _check_pixels(picture, image.size)
        try:
            return np.atleast_3d(np.asarray(_fitted(picture, image.convert(mode), options)))
        except DataError:
            raise
        except Exception as error:  # a parser on damaged bytes may raise anything; nothing of ours runs in there
            raise DataError(f"{picture.name}: damaged image ({error}); replace or remove it") from error


def _check_pixels(picture: Picture, size: tuple[int, int]) -> None:
    """Raise DataError for an image whose header states, or whose resize asks for, more than memory can take."""
    refuse_size(size[0] * size[1] * 3, f"{picture.name}: an image of {size[0]} x {size[1]} pixels", _REMEDY, DataError)


def _opened(picture: Picture) -> Image.Image:
    try:
        image = Image.open(picture.source())  # its size is judged by `_check_pixels`
    except DataError:
        raise
    except Exception as error:  # as above
        raise DataError(f"{picture.name}: not an image that can be read ({error}); replace or remove it") from error
    if image.mode.startswith(("I", "F")):
        image.close()
        raise DataError(f"{picture.name}: more than 8 bits a channel (mode {image.mode}); convert it to 8 bits")
    return image


def _is_grey(picture: Picture) -> bool:
    with _opened(picture) as image:
        return image.mode in ("L", "1")


def _fitted(picture: Picture, image: Image.Image, options: Mapping[str, int | None]) -> Image.Image:
    if resize := options["resize"]:
        scale = resize / min(image.size)
        width, height = (max(resize, round(side * scale)) for side in image.size)
        _check_pixels(picture, (width, height))
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if crop := options["crop"]:
        if crop > min(image.size):
            raise DataError(
                f"{picture.name}: {image.width} x {image.height} pixels are too few for crop={crop}; "
                f"scale up first with resize={crop} or more"
            )
        left, top = (round((side - crop) / 2) for side in image.size)
        image = image.crop((left, top, left + crop, top + crop))
    return image
