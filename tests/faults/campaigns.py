"""Disturb a command in one way after the other until it ends, and compare its tables with the undisturbed ones."""

import os
import random
import resource
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults.forked import Ended, Process, nothing
from faults.private_disk import PrivateDisk
from faults.scenarios import Scenario
from faults.steps import die_at, report_steps
from faults.tables import Difference, Row, compare, rows_of

GRACE = 10.0  # seconds from SIGTERM to the end, on a busy machine
_PAGES_LEFT = 6  # of 4096 bytes at most, on a full disk
_ATTEMPTS = 8  # in one folder, before the command is left to end


@dataclass
class Outcome:
    """What a kind of fault did to a command, over several folders."""

    disturbed: int = 0
    folders: int = 0
    conditions: int = 0
    lost: int = 0
    duplicated: int = 0
    different: int = 0
    wrong: list[str] = field(default_factory=list)  # endings that no user should meet
    endings: Counter[int | None] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.duplicated or self.different or self.wrong)

    def add(self, found: Difference) -> None:
        self.folders += 1
        self.conditions += found.conditions
        self.lost += found.lost
        self.duplicated += found.duplicated
        self.different += found.different


class Campaign:
    """One command in folders of its own, and the tables that it has to end with."""

    def __init__(self, scenario: Scenario, networks: Path, place: Path, draw: random.Random) -> None:
        """Run the command undisturbed, and once more to count its steps."""
        self._scenario, self._networks, self._place, self._draw = scenario, networks, place, draw
        self._count = 0
        folder = self._new_folder()
        begun = time.monotonic()
        self._must_end(self._start(folder).finish())
        self.seconds = time.monotonic() - begun
        self.expected = rows_of(folder / "out")
        largest = max(path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file())
        self._largest = largest
        again, steps = self._new_folder(), place / "steps"
        self._must_end(self._start(again, report_steps(steps)).finish())
        self._steps = int(steps.read_text())
        repeated = compare(self.expected, rows_of(again / "out"))
        if repeated.bad or not self.expected:
            raise RuntimeError(f"{scenario.name}: two undisturbed runs differ: {repeated}")

    def faults(self) -> dict[str, Callable[[Outcome, int], None]]:
        """The kinds of fault by name: each adds so many disturbances to an outcome."""
        if self._scenario.workers:
            return {
                "kill the driver": self._kills(lambda process: process.send(signal.SIGKILL)),
                "kill a worker": self._kills(self._kill_worker),
                "kill both": self._kills(Process.kill_group),
                "SIGTERM": self._terminations,
            }
        return {
            "kill at a time": self._kills(lambda process: process.send(signal.SIGKILL)),
            "kill at a step": self._kills_at_steps,
            "SIGTERM": self._terminations,
            "limit on file sizes": self._limited,
            "full disk": self._full,
            "read-only folder": self._read_only,
            "two drivers": self._two_drivers,
        }

    def _start(self, folder: Path, first: Callable[[], None] = nothing) -> Process:
        return Process.command(self._scenario.command(self._networks), folder, folder / "log", first)

    def _new_folder(self) -> Path:
        self._count += 1
        folder = self._place / f"{self._count}"
        folder.mkdir(parents=True)
        return folder

    def _finish(self, outcome: Outcome, folder: Path) -> None:
        """Let the command end undisturbed, and compare."""
        ended = self._start(folder).finish()
        if ended.status != 0:
            outcome.wrong.append(f"the last run ended with {ended.status}: {ended.said[-600:]}")
        self._compare(outcome, folder)

    def _compare(self, outcome: Outcome, folder: Path) -> None:
        found: list[Row] = rows_of(folder / "out") if (folder / "out").is_dir() else []
        outcome.add(compare(self.expected, found))
        left = [path for path in folder.rglob("*.part")] + [path for path in folder.rglob("*-journal")]
        outcome.wrong += [f"left behind: {path}" for path in left]
        if outcome.is_good:
            shutil.rmtree(folder)

    def _note(self, outcome: Outcome, ended: Ended, *allowed: int) -> None:
        outcome.endings[ended.status] += 1
        if ended.crashed or ended.status not in (0, *allowed):
            outcome.wrong.append(f"ended with {ended.status}: {ended.said[-600:]}")

    def _must_end(self, ended: Ended) -> None:
        if ended.status != 0:
            raise RuntimeError(f"{self._scenario.name} undisturbed: {ended.status}\n{ended.said}")

    def _folders(self, outcome: Outcome, count: int, disturb: Callable[[Path], bool]) -> None:
        """Disturb until it was done `count` times, a few times in each folder."""
        while outcome.disturbed < count:
            folder = self._new_folder()
            for _ in range(_ATTEMPTS):
                if outcome.disturbed < count and not disturb(folder):
                    break
            self._finish(outcome, folder)

    def _kills(self, kill: Callable[[Process], object]) -> Callable[[Outcome, int], None]:
        def add(outcome: Outcome, count: int) -> None:
            def disturb(folder: Path) -> bool:
                process = self._start(folder)
                ended = process.ended(self._draw.uniform(0, self.seconds))
                if ended is None and kill(process) is not False:
                    outcome.disturbed += 1
                ended = ended or process.finish()
                self._note(outcome, ended, 1 if self._scenario.workers else 0, -signal.SIGKILL)
                return ended.status != 0

            self._folders(outcome, count, disturb)

        return add

    def _kill_worker(self, process: Process) -> bool:
        """Kill one of its workers, as soon as it has one; whether that was done."""
        while not (workers := process.workers()):
            if process.ended(0.05) is not None:
                return False
        os.kill(self._draw.choice(workers), signal.SIGKILL)
        return True

    def _kills_at_steps(self, outcome: Outcome, count: int) -> None:
        def disturb(folder: Path) -> bool:
            ended = self._start(folder, die_at(self._draw.randint(1, self._steps // 2))).finish()
            self._note(outcome, ended, -signal.SIGKILL)
            outcome.disturbed += ended.status == -signal.SIGKILL
            return ended.status != 0

        self._folders(outcome, count, disturb)

    def _terminations(self, outcome: Outcome, count: int) -> None:
        """Before the command has begun SIGTERM ends it as any process; later it says how to go on."""

        def disturb(folder: Path) -> bool:
            process = self._start(folder)
            ended = process.ended(self._draw.uniform(0, self.seconds))
            if ended is None:
                process.send(signal.SIGTERM)
                outcome.disturbed += 1
                sent = time.monotonic()
                ended = process.finish()
                if time.monotonic() - sent > GRACE:
                    outcome.wrong.append(f"SIGTERM took {time.monotonic() - sent:.0f} s")
            not_begun = ended.status == -signal.SIGTERM and not ended.said
            self._note(outcome, ended, -signal.SIGTERM if not_begun else 143)
            return ended.status != 0

        self._folders(outcome, count, disturb)

    def _limited(self, outcome: Outcome, count: int) -> None:
        def disturb(folder: Path) -> bool:
            size = self._draw.randint(1, self._largest)
            process = self._start(folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
            ended = process.finish()
            self._note(outcome, ended, 1)
            outcome.disturbed += ended.status != 0
            return ended.status != 0

        self._folders(outcome, count, disturb)

    def _full(self, outcome: Outcome, count: int) -> None:
        for _ in range(_ATTEMPTS * count):  # what is missing may find room
            if outcome.disturbed < count:
                self._on_disk(outcome, lambda disk: disk.resize(self._draw.randint(0, _PAGES_LEFT)))
        if outcome.disturbed < count:
            outcome.wrong.append("the disk was never full")

    def _read_only(self, outcome: Outcome, count: int) -> None:
        for _ in range(count):
            self._on_disk(outcome, lambda disk: disk.remount("ro"))

    def _on_disk(self, outcome: Outcome, spoil: Callable[[PrivateDisk], None]) -> None:
        """The output folder is a disk of its own: it fails, and works again before the command is repeated."""
        folder = self._new_folder()
        command = self._scenario.command(self._networks)
        disk = PrivateDisk(folder / "out")
        ended = disk.run(command, folder, spoil, die_at(self._draw.randint(1, self._steps // 2)))
        if ended is None:
            return
        for one in ended[:-1]:
            self._note(outcome, one, 1, -signal.SIGKILL)
            outcome.disturbed += one.status == 1
            if one.status == 1 and one.said.count("error: ") != 1:
                outcome.wrong.append(f"not one message: {one.said[-600:]}")
        if ended[-1].status != 0:
            outcome.wrong.append(f"the last run ended with {ended[-1].status}: {ended[-1].said[-600:]}")
        self._compare(outcome, folder)

    def _two_drivers(self, outcome: Outcome, count: int) -> None:
        """Two at a time on one folder: one ends well, and what it wrote is whole when both have ended."""
        for _ in range(count):
            folder = self._new_folder()
            first = self._start(folder)
            time.sleep(self._draw.uniform(0, self.seconds / 2))
            second = Process.command(self._scenario.command(self._networks), folder, folder / "log2")
            endings = [first.finish(), second.finish()]
            for ended in endings:
                self._note(outcome, ended, 1)
            outcome.disturbed += 1
            if all(ended.status for ended in endings):
                outcome.wrong.append(f"neither ended well: {[ended.said[-300:] for ended in endings]}")
            self._compare(outcome, folder)
