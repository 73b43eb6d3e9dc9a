"""Commands in forked processes, so that importing torch is paid once. The forking process starts no threads."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analog_samson.cli.main import main

PATIENCE = 300.0  # seconds after which a command counts as hung
_STEP = 0.005


def nothing() -> None:
    """What a child does first unless told otherwise."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status, or minus the signal; None where it hung and was killed."""

    status: int | None
    said: str

    @property
    def crashed(self) -> bool:
        """Whether it hung, or ended with a traceback or as a bug."""
        return self.status in (None, 3) or "Traceback" in self.said


class Process:
    """A forked process that leads a group of its own."""

    def __init__(self, work: Callable[[], int], folder: Path, log: Path) -> None:
        """Start `work` in `folder`; its status is the exit status, and what it prints goes to `log`."""
        self._log = log
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _run(work, folder, log)
        self.started = time.monotonic()

    @classmethod
    def command(
        cls, arguments: Sequence[str], folder: Path, log: Path, first: Callable[[], None] = nothing
    ) -> "Process":
        """A process that runs `analog-samson ARGUMENTS` after `first`."""

        def work() -> int:
            first()
            return main(list(arguments))

        return cls(work, folder, log)

    def ended(self, seconds: float = PATIENCE) -> Ended | None:
        """How it ended; None if it still runs after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            pid, code = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return Ended(os.waitstatus_to_exitcode(code), self._log.read_text(errors="replace"))
            if time.monotonic() > end:
                return None
            time.sleep(_STEP)

    def finish(self) -> Ended:
        """Wait for the end; a process that hangs is killed."""
        found = self.ended()
        if found is None:
            self.kill_group()
            os.waitpid(self.pid, 0)
            return Ended(None, self._log.read_text(errors="replace"))
        return found

    def send(self, number: int) -> None:
        """Send a signal to the process alone, which was not waited for."""
        os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill it together with its workers."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not begun
            os.kill(self.pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The worker processes that it has started."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                line = (entry / "cmdline").read_text()
            except OSError:  # it ended meanwhile
                continue
            if parent == self.pid and "loky" in line and "resource_tracker" not in line:
                found.append(int(entry.name))
        return found


def _run(work: Callable[[], int], folder: Path, log: Path) -> None:
    """What the child does; it never returns."""
    status = 4
    try:
        os.setsid()
        os.chdir(folder)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for place, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
            os.dup2(descriptor, place)
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)
