"""Workers that are killed: their cell is tried again, fails after three kills, and no other cell is lost."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from analog_samson.runtime import local_workers
from analog_samson.runtime.local_workers import TRIES, run_local


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(local_workers, "PAUSE_SECONDS", 0.0)


def die_often(place: int, cell: tuple[Path, int]) -> tuple[int, str | None]:
    """Write a line to a file, and be killed unless it has more lines than the cell says."""
    file, kills = cell
    with file.open("a") as lines:
        lines.write("started\n")
    if len(file.read_text().splitlines()) <= kills:
        os.kill(os.getpid(), signal.SIGKILL)
    return place, None


def test_cell_that_kills_its_worker_is_tried_three_times_and_no_other_cell_twice(tmp_path):
    kills = [0, TRIES, TRIES - 1, 0, 0]
    cells = [(tmp_path / str(place), number) for place, number in enumerate(kills)]
    found = dict(run_local(die_often, cells, workers=2, threads=1))
    assert {place for place, failure in found.items() if failure is not None} == {1}
    assert "killed (SIGKILL(-9)) in each of 3 tries" in str(found[1])
    assert [len(file.read_text().splitlines()) for file, _ in cells] == [1, TRIES, TRIES, 1, 1]


def process_id(place: int, cell: int) -> tuple[int, str | None]:
    return place, str(os.getpid())


def test_cells_are_taken_as_workers_become_free_and_workers_serve_again():
    taken = 0

    def cells() -> Iterator[int]:
        nonlocal taken
        for number in range(20):
            taken += 1
            yield number

    first = run_local(process_id, cells(), workers=2, threads=1)
    processes = {next(first)[1]}
    assert taken <= 2 + 1
    processes |= {process for _, process in first}
    assert len(processes) == 2
    again = {process for _, process in run_local(process_id, range(4), workers=2, threads=1)}
    assert again <= processes
