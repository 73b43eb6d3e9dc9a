"""A sweep that is ended from outside: its workers end with it, and the same command goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analog_samson.errors import RunError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.results.lock import LOCK_NAME, FolderLock
from analog_samson.runtime import local_workers
from analog_samson.runtime.workers import Pool, run_cells

PATIENCE = 120  # seconds; far beyond what anything here takes on a busy machine
RUN = "from analog_samson.cli.main import run; run()"


def wait_for(happened, what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def writers(folders: list[Path]) -> list[int]:
    """The processes that last wrote to these run folders."""
    texts = [(folder / LOCK_NAME).read_text() for folder in folders if (folder / LOCK_NAME).exists()]
    return [int(text) for text in texts if text]  # a lock is empty for a moment, until its holder has signed it


def are_free(folders: list[Path]) -> bool:
    try:
        for folder in folders:
            FolderLock(folder).release()
    except RunError:
        return False
    return True


class Sweep:
    """A sweep of two endless simulations by two workers, as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.runs = [folder / "out/net/ideal" / name for name in ("seed0", "seed1")]
        before = writers(self.runs)
        command = "sweep net.safetensors --preset ideal --data digits --limit 10 --times 1s --seeds 0-1"
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *command.split(), "--instances", "1000000", "--workers", "2", "--out", "out"],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        wait_for(lambda: self.process.poll() is not None or self._both_write(before), "two workers to write")
        assert self.process.poll() is None, self.process.communicate()[1]

    def _both_write(self, before: list[int]) -> bool:
        return len({*writers(self.runs)} - {*before}) == 2 and all(
            (run / "results.sqlite").exists() for run in self.runs
        )

    def end(self, number: int) -> tuple[int, str]:
        """The exit status and the messages of the driver after this signal."""
        self.process.send_signal(number)
        _, messages = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, messages


def test_workers_end_with_a_driver_that_is_killed_or_terminated(tmp_path):
    save_checkpoint(tmp_path / "net.safetensors", build_model("digits_cnn"), {"model": "digits_cnn"})
    killed = Sweep(tmp_path)
    assert killed.end(signal.SIGKILL)[0] == -signal.SIGKILL
    wait_for(lambda: are_free(killed.runs), "orphans to end")

    terminated = Sweep(tmp_path)  # the same command, which no orphan keeps from writing
    status, messages = terminated.end(signal.SIGTERM)
    assert status == 128 + signal.SIGTERM
    assert "terminated: what was finished is kept; the same command continues" in messages
    assert "Traceback" not in messages
    wait_for(lambda: are_free(terminated.runs), "workers to end")


def kill_this_process(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_worker_that_is_killed_is_no_bug_and_the_message_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr(local_workers, "PAUSE_SECONDS", 0.0)
    with pytest.raises(RunError, match=r"  1: a worker was killed \(SIGKILL.*perhaps for memory; run the same command"):
        run_cells(kill_this_process, [1], Pool(workers=2, cores=2))
