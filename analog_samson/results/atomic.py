"""Write a file whole or not at all."""

import os
from pathlib import Path

from analog_samson.errors import RunError


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that a reader, or a crash at any moment, meets the old file or the new one.

    The folder must exist. Raises RunError where the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise RunError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def is_leftover(name: str, of: str) -> bool:
    """Whether `name` is what a killed write_atomically of the file named `of` leaves behind."""
    return name.startswith(f".{of}.") and name.endswith(".part")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
