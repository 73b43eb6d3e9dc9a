"""Write a file whole or not at all, and make the folder it goes to."""

import errno
import glob
import os
import platform
import re
from contextlib import suppress
from pathlib import Path

from analog_samson.errors import RunError
from analog_samson.results.links import refuse_link, refuse_links

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no code of ours can make room
_WINDOWS = os.name == "nt"
_HOST = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "host"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that a reader, or a crash at any moment, meets the old file or the new one.

    The folder must exist. What writers that were killed left of the same file is removed. Raises RunError where the
    folder cannot be written, `path` cannot name a file, or it is a symbolic link.
    """
    try:
        refuse_link(path)
        _replace(path, part_of(path), data)
        remove_leftovers(path)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror}); {remedy(error, 'choose another place')}"
        ) from error
    except ValueError as error:
        raise RunError(f"{path}: cannot be written ({error}); expected the name of a file") from error


def make_folder(folder: Path, *, below: Path | None = None) -> None:
    """Make a folder, and those above it, where they are missing.

    Args:
        below: The output folder that the user named. No folder between it and `folder` may be a symbolic link.

    Raises:
        RunError: The folder cannot be made, or is reached through a link below the output folder.
    """
    try:
        if below is not None:
            refuse_links(below, [folder])
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); {remedy(error)}") from error


def remedy(error: OSError, otherwise: str = "choose another output folder") -> str:
    """What to do about a file or folder that cannot be written."""
    return "free some space or raise the limit (ulimit -f)" if error.errno in NO_ROOM else otherwise


def is_leftover(name: str, of: str) -> bool:
    """Whether `name` is what a killed write_atomically of the file named `of` leaves behind."""
    return name.startswith(f".{of}.") and name.endswith(".part")


def part_of(path: Path) -> Path:
    """Where this process writes `path` before it replaces it."""
    return path.with_name(f".{path.name}.{_HOST}.{os.getpid()}.part")


def remove_leftovers(path: Path) -> None:
    """Remove the parts of writers of this machine that no longer run; those of others may be at work."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.{_HOST}.*.part"):
        process = part.name.removesuffix(".part").rpartition(".")[2]
        if process.isdecimal() and not _runs(int(process)):
            with suppress(OSError):
                part.unlink()


def _runs(process: int) -> bool:
    if _WINDOWS:  # where this signal would interrupt the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user
        return True
    return True


def _replace(path: Path, part: Path, data: bytes) -> None:
    """Write `part` and rename it; where that fails it is removed, if the place lets it."""
    try:
        part.unlink(missing_ok=True)  # left by a killed process of the same number, or a link
        with part.open("xb") as file:  # only ever a new file: no link is followed
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    if _WINDOWS:  # which opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
