"""One writer per run folder, for as long as that process lives."""

import fcntl
import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analog_samson.errors import RunError
from analog_samson.results.atomic import make_folder
from analog_samson.results.links import refuse_link

LOCK_NAME = ".lock"


class FolderLock:
    """An exclusive lock on a folder, held until `release`, garbage collection or the end of the process.

    A POSIX record lock: the kernel drops it when the process dies in any way; forked children do not hold it.
    """

    def __init__(self, folder: Path) -> None:
        refuse_link(folder / LOCK_NAME)
        try:
            descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise RunError(_unwritable_message(folder, error)) from error
        self._close = weakref.finalize(self, os.close, descriptor)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # of another name too: not ours to overwrite
            self._close()
            raise RunError(f"{folder / LOCK_NAME}: not a lock of analog-samson; delete it or choose another folder")
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except (BlockingIOError, PermissionError) as error:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            self._close()
            raise RunError(_locked_message(folder, owner)) from error
        except OSError as error:
            self._close()
            raise RunError(_unwritable_message(folder, error)) from error

    def release(self) -> None:
        """Let other processes write; safe to call twice."""
        self._close()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """For the driver of many runs below `folder`: make the folder, lock it, and leave none that stayed empty.

    Raises:
        RunError: The folder cannot be made or written, or another process holds it.
    """
    made = not folder.exists()
    make_folder(folder)
    lock = FolderLock(folder)
    try:
        yield
    finally:
        if made and [child.name for child in folder.iterdir()] == [LOCK_NAME]:
            (folder / LOCK_NAME).unlink()
            folder.rmdir()
        lock.release()


def _locked_message(folder: Path, owner: str) -> str:
    who = f"process {owner}" if owner else "another process"
    return f"{folder}: {who} is writing to this run; wait for it to end or choose another output folder"


def _unwritable_message(folder: Path, error: OSError) -> str:
    return f"{folder}: cannot be written ({error.strerror}); choose another output folder"
