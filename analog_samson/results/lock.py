"""One writer per run folder, for as long as that process lives."""

import os
import stat
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from analog_samson.errors import RunError
from analog_samson.results.atomic import make_folder, remedy
from analog_samson.results.links import refuse_link

try:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

except ImportError:  # Windows, where other processes cannot read what is locked: a byte behind the owner's number
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]


LOCK_NAME = ".lock"
_LOCKED_BYTE = 1 << 20
_WAIT_SECONDS = 1.0
_FLAGS = [getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")]  # those that the system has


class LockedError(RunError):
    """Another process writes to the folder."""


class FolderLock:
    """An exclusive lock on a folder, held until `release`, garbage collection or the end of the process.

    The system drops it when the process dies in any way. A POSIX record lock is not held by forked children.
    """

    def __init__(self, folder: Path) -> None:
        refuse_link(folder / LOCK_NAME)
        try:
            descriptor = os.open(folder / LOCK_NAME, sum(_FLAGS, os.O_RDWR | os.O_CREAT), 0o666)
        except OSError as error:
            raise RunError(_unwritable_message(folder, error)) from error
        self._close = weakref.finalize(self, os.close, descriptor)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # of another name too: not ours to overwrite
            self._close()
            raise RunError(f"{folder / LOCK_NAME}: not a lock of analog-samson; delete it or choose another folder")
        try:
            _lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except (BlockingIOError, PermissionError) as error:
            os.lseek(descriptor, 0, os.SEEK_SET)
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            self._close()
            raise LockedError(_locked_message(folder, owner)) from error
        except OSError as error:
            self._close()
            raise RunError(_unwritable_message(folder, error)) from error

    def release(self) -> None:
        """Let other processes write; safe to call twice."""
        self._close()


def wait_until_free(folder: Path) -> None:
    """Return when no other process holds the lock of a folder."""
    while True:
        try:
            FolderLock(folder).release()
            return
        except LockedError:
            time.sleep(_WAIT_SECONDS)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """For the driver of many runs below `folder`: make the folder, lock it, and leave none that stayed empty.

    Raises:
        RunError: The folder cannot be made or written.
        LockedError: Another process holds it.
    """
    made = not folder.exists()
    make_folder(folder)
    lock = FolderLock(folder)
    try:
        yield
    finally:
        if made and [child.name for child in folder.iterdir()] == [LOCK_NAME]:
            with suppress(PermissionError):  # Windows removes no file that is open
                (folder / LOCK_NAME).unlink()
                folder.rmdir()
        lock.release()


def _locked_message(folder: Path, owner: str) -> str:
    who = f"process {owner}" if owner else "another process"
    return f"{folder}: {who} is writing to this run; wait for it to end or choose another output folder"


def _unwritable_message(folder: Path, error: OSError) -> str:
    return f"{folder}: cannot be written ({error.strerror}); {remedy(error)}"
