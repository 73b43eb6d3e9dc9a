"""The harness of `make test-faults` sees lost, duplicated and different results; and one command under kills."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from faults.tables import compare, rows_of
from synthetic_runs import synthetic_run

from analog_samson.cli.interruption import told_when_interrupted
from analog_samson.results.lock import LOCK_NAME, FolderLock, locked

HERE = Path(__file__).parent


def test_tables_differ_where_conditions_are_lost_duplicated_or_different(tmp_path):
    run = synthetic_run(tmp_path / "run", instances=2)
    (tmp_path / "history.csv").write_text("epoch,loss,seconds\n1,0.5,3\n")
    expected = rows_of(tmp_path)
    (tmp_path / "history.csv").write_text("epoch,loss,seconds\n1,0.5,4\n")
    assert compare(expected, rows_of(tmp_path)).bad == 0
    with closing(sqlite3.connect(run / "results.sqlite")) as database, database:
        database.execute("DROP INDEX cell")
        database.execute("DELETE FROM record WHERE rowid = 1")
        database.execute("UPDATE record SET value = value + 1 WHERE rowid = 2")
        database.execute("INSERT INTO record SELECT * FROM record WHERE rowid = 3")
    found = compare(expected, rows_of(tmp_path))
    assert (found.conditions, found.lost, found.duplicated, found.different) == (len(expected), 1, 1, 1)


@pytest.mark.slow
def test_a_few_kills_lose_nothing():
    command = [sys.executable, "-m", "faults", "--only", "simulate: kill", "--share", "0.1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kill at a step" in done.stdout


def test_second_driver_of_a_folder_is_refused_and_an_empty_folder_is_removed(tmp_path):
    code = "import sys; from pathlib import Path; from analog_samson.results.lock import locked\n"
    code += "with locked(Path(sys.argv[1])): pass"
    with locked(tmp_path / "out"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, check=False
        )
        assert f"process {os.getpid()} is writing" in done.stderr
    assert not (tmp_path / "out").exists()
    with locked(tmp_path / "out"):
        (tmp_path / "out" / "a").touch()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [LOCK_NAME, "a"]
    FolderLock(tmp_path / "out").release()


@pytest.mark.parametrize("torchrun", [False, True])
def test_sigterm_interrupts_what_resumes_but_not_under_torchrun(torchrun, monkeypatch):
    if torchrun:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    else:
        monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    seen = []
    told_when_interrupted(lambda: seen.append(signal.getsignal(signal.SIGTERM)), continues=True)()
    assert (seen == [signal.SIG_DFL]) is torchrun
