"""Decoded images in files of a cache folder: written once, by one process, and read by all."""

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy

from analog_samson.data.stored import StoredImages
from analog_samson.errors import DataError, RunError
from analog_samson.results.atomic import NO_ROOM, make_folder, part_of, remove_leftovers
from analog_samson.results.lock import FolderLock, LockedError, wait_until_free
from analog_samson.runtime.size_limit import VARIABLE as LIMIT

VARIABLE = "ANALOG_SAMSON_CACHE"
_GIB = 2**30
_logger = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder that the environment variable ANALOG_SAMSON_CACHE names, else one in the user's cache folder."""
    if stated := os.environ.get(VARIABLE):
        return Path(stated).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "analog-samson"


def cached_images(
    name: str, key: Iterable[object], shape: tuple[int, int, int, int], images: Iterable[np.ndarray]
) -> StoredImages:
    """Images in a file of the cache; where it is missing it is written, while other processes that need it wait.

    Args:
        name: What the images are from, for people who look into the cache.
        key: Everything that decides the pixels, with the same text in every process.
        shape: (N, H, W, C).
        images: uint8 (H, W, C), one after the other; iterated only where the file is missing.

    Raises:
        DataError: The cache cannot be written, or the disk has no room for the file.
    """
    digest = hashlib.sha256("\n".join(map(repr, (shape, *key))).encode("utf-8", "surrogatepass")).hexdigest()
    folder = cache_folder() / "images" / f"{re.sub(r'[^A-Za-z0-9.]+', '-', name)[:40]}-{digest[:24]}"
    path = folder / "images.npy"
    header = _header(shape)
    size = len(header) + prod(shape)
    if not _is_whole(path, size):
        try:
            make_folder(folder)
            lock = _lock(folder)
        except RunError as error:
            raise DataError(f"cache: {error}; name a folder for decoded images with {VARIABLE}=DIR") from error
        try:
            if not _is_whole(path, size):
                _logger.info("decoding %d images of %s once, to %s (%.1f GiB)", shape[0], name, folder, size / _GIB)
                _write(path, header, size, images)
        finally:
            lock.release()
    return StoredImages(path, len(header), shape[1:], torch.arange(shape[0]))


def _lock(folder: Path) -> FolderLock:
    """The lock of the folder, when the process that writes there has ended."""
    while True:
        try:
            return FolderLock(folder)
        except LockedError:
            wait_until_free(folder)


def _header(shape: tuple[int, ...]) -> bytes:
    """Of an npy file, which other programs read too."""
    buffer = BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _write(path: Path, header: bytes, size: int, images: Iterable[np.ndarray]) -> None:
    """The whole file, or none."""
    remove_leftovers(path)
    if (free := shutil.disk_usage(path.parent).free) < size:
        raise DataError(_no_room(path, size, f"{free / _GIB:.1f} GiB are free"))
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.write(header)
            for image in images:
                file.write(np.ascontiguousarray(image).data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DataError(_no_room(path, size, str(error.strerror))) from error
        raise DataError(f"{path}: cannot be written ({error.strerror}); name another folder, {VARIABLE}=DIR") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _no_room(path: Path, size: int, why: str) -> str:
    return (
        f"{path.parent}: decoded images need {size / _GIB:.1f} GiB of disk space ({why}); free some, name a folder on "
        f"another disk ({VARIABLE}=DIR), take fewer images (--limit N), or keep them in memory ({LIMIT}=GIB)"
    )
