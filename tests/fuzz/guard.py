"""Sees every program that this process starts and every file that it writes or removes outside a folder."""

import os
import sys
from collections import Counter
from pathlib import Path

_STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen", "pty.spawn")
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_NETWORK = ("socket.connect", "socket.getaddrinfo")
ran: list[str] = []  # what code in a hostile file leaves here


class Guard:
    """An audit hook, which Python can never take off; `seen` is empty as long as nothing forbidden happened."""

    def __init__(self, folder: Path) -> None:
        self._allowed = (f"{folder}{os.sep}", str(folder), os.devnull)
        self.seen: Counter[str] = Counter()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in _STARTS or event in _NETWORK:
            self.seen[f"{event} {arguments[:1]!r}"] += 1
        elif event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES):
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                if isinstance(path, str | bytes | os.PathLike):
                    place = os.path.abspath(os.fsdecode(path))
                    if not place.startswith(self._allowed) and "__pycache__" not in place:  # Python caches modules
                        self.seen[f"{event} {place}"] += 1
