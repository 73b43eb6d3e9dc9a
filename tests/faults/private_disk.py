"""An output folder on a small disk that only one process tree sees; needs the right to mount, or user namespaces."""

import ctypes
import functools
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from faults.forked import Ended, Process

_NEWNS, _NEWUSER, _REMOUNT, _RDONLY, _PRIVATE, _REC = 0x20000, 0x10000000, 32, 1, 1 << 18, 16384
_LIBC = ctypes.CDLL(None, use_errno=True)
_ROOM = "size=64m"
UNAVAILABLE = 5


class PrivateDisk:
    """A tmpfs, made by `run` and gone with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(
        self, command: Sequence[str], folder: Path, spoil: Callable[["PrivateDisk"], None], die: Callable[[], None]
    ) -> list[Ended] | None:
        """Let the command die where `die` says, run it on the spoilt disk, then on a good one; None without the rights.

        Afterwards the contents are in `self._folder` as on any disk.
        """
        logs = [folder / f"log{number}" for number in range(3)]
        statuses = folder / "statuses"

        def work() -> int:
            if not self._mount():
                return UNAVAILABLE
            found = [Process.command(command, folder, logs[0], die).finish().status]
            spoil(self)
            found.append(Process.command(command, folder, logs[1]).finish().status)
            self.remount("rw")
            found.append(Process.command(command, folder, logs[2]).finish().status)
            shutil.copytree(self._folder, folder / "copy")
            statuses.write_text(" ".join(map(str, found)))
            return 0

        ended = Process(work, folder, folder / "log").finish()
        if ended.status == UNAVAILABLE:
            return None
        if ended.status != 0:
            raise RuntimeError(f"the disk of {folder}: {ended}")
        self._folder.rmdir()
        (folder / "copy").rename(self._folder)
        found = [None if text == "None" else int(text) for text in statuses.read_text().split()]
        return [Ended(status, log.read_text(errors="replace")) for status, log in zip(found, logs, strict=True)]

    def resize(self, pages: int) -> None:
        """Leave so many pages of 4096 bytes beyond those in use."""
        used = os.statvfs(self._folder)
        left = max(1, used.f_blocks - used.f_bfree + pages)  # a size of 0 would be no limit
        self._remount(0, f"size={left * used.f_bsize}")

    def remount(self, mode: str) -> None:
        """Make it read-only ("ro") or writable with room ("rw")."""
        self._remount(_RDONLY if mode == "ro" else 0, _ROOM)

    def _remount(self, flags: int, options: str) -> None:
        if _LIBC.mount(b"none", bytes(self._folder), b"tmpfs", _REMOUNT | flags, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), "remount")

    def _mount(self) -> bool:
        """Make the disk in a namespace of this process; whether that is allowed."""
        self._folder.mkdir()
        user = 0 if os.geteuid() == 0 else _NEWUSER
        if _LIBC.unshare(_NEWNS | user) != 0:
            return False
        _LIBC.mount(b"none", b"/", None, _PRIVATE | _REC, None)
        return _LIBC.mount(b"none", bytes(self._folder), b"tmpfs", 0, _ROOM.encode()) == 0


@functools.cache
def can_mount(folder: Path) -> bool:
    """Whether this process may make such a disk."""

    def work() -> int:
        return 0 if PrivateDisk(folder / "disk")._mount() else UNAVAILABLE

    folder.mkdir(parents=True)
    return Process(work, folder, folder / "log").finish().status == 0
