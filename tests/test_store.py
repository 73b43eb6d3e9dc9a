"""Run folders: one transaction a cell, resumable, safe against kill -9, and never mixed up with other files."""

import errno
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from golden_files import assert_golden
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_runs import OPTIONS, synthetic_records, synthetic_run

from analog_samson.errors import RunError
from analog_samson.report.exports import render_csv
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.condition import Condition
from analog_samson.results.lock import FolderLock
from analog_samson.results.metric import ACCURACY, LOSS, stored_metrics, stored_task
from analog_samson.results.records import sort_key
from analog_samson.results.store import RunFolder, open_run
from analog_samson.runtime.older_python import tomllib
from analog_samson.tasks.regression import Regression

HERE = Path(__file__).parent
CELL = synthetic_records()[:2]


def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
    """Another Python process that can import the helpers of this folder."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment)


def test_folder_holds_every_option_when_it_is_created(tmp_path: Path) -> None:
    options = {"times": (1.0, 60.0), "limit": None, "checkpoint": Path("a/b.pt"), "nested": {"rho": 0.5, "p": None}}
    RunFolder.create(tmp_path / "run", options).close()
    stored = tomllib.loads((tmp_path / "run" / "run.toml").read_text())
    assert stored == {"times": [1.0, 60.0], "checkpoint": "a/b.pt", "nested": {"rho": 0.5}}
    assert open_run(tmp_path / "run").options == stored


def test_option_that_no_file_can_hold_is_our_own_mistake(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="option 'model': object cannot be stored"):
        RunFolder.create(tmp_path / "run", {"model": object()})
    assert not (tmp_path / "run").exists()


def test_records_come_back_exactly_when_stored_and_read_by_another(tmp_path: Path) -> None:
    records = synthetic_records()
    path = synthetic_run(tmp_path / "run", records=records)
    assert open_run(path).records() == records


def test_not_a_number_comes_back_when_a_loss_diverged(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run", records=[replace(CELL[1], value=float("nan"))])
    assert isnan(open_run(path).records()[0].value)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(8)))
def test_csv_is_byte_identical_when_cells_were_stored_in_any_order(order: list[int]) -> None:
    records = synthetic_records(instances=2)
    cells = [records[place::8] for place in range(8)]
    with tempfile.TemporaryDirectory() as folder, RunFolder.create(Path(folder) / "run", {}) as run:
        for place in order:
            run.commit(cells[place])
        assert render_csv(run.records()) == render_csv(records)


def test_cell_is_known_when_committed_and_only_then(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", OPTIONS) as run:
        run.commit([r for r in synthetic_records() if r.time_seconds == 3600.0 and r.instance == 1])
        known = Condition(stage="drift", time_seconds=3600.0)
        assert run.has(1, known)
        assert not run.has(2, known)
        assert not run.has(1, replace(known, calibration="adabs"))
        assert not run.has(1, replace(known, time_seconds=3601.0))
        assert not run.has(1, Condition(stage="gaussian", sigma_c=0.1))


def as_in_0_1(path: Path) -> Path:
    """The run at `path` with the tables that analog-samson 0.1 made."""
    with closing(sqlite3.connect(path / "results.sqlite")) as database, database:
        database.execute("ALTER TABLE record ADD COLUMN adabs INTEGER NOT NULL DEFAULT 0")
        database.execute("UPDATE record SET adabs = calibration = 'adabs'")
        database.execute("DROP INDEX cell")
        database.execute("ALTER TABLE record DROP COLUMN calibration")
        database.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
    return path


def test_run_of_0_1_is_read_with_its_calibrations_and_the_metrics_of_a_classifier(tmp_path: Path) -> None:
    records = sorted([*synthetic_records(), *synthetic_records("other", adabs=True)], key=sort_key)
    path = as_in_0_1(synthetic_run(tmp_path / "run", records=records))
    with open_run(path) as run:
        assert run.records() == records
        assert {record.calibration for record in run.records()} == {"none", "adabs"}
        assert stored_metrics(run.meta("task")) == (ACCURACY, LOSS)
        assert run.has(1, Condition(stage="drift", time_seconds=3600.0, calibration="adabs"))


def test_run_of_0_1_is_not_continued_for_its_chips_were_drawn_otherwise(tmp_path: Path) -> None:
    path = as_in_0_1(synthetic_run(tmp_path / "run"))
    before = (path / "results.sqlite").read_bytes()
    with pytest.raises(RunError, match=r"results.sqlite: .* 0\.1.*: simulate into another folder"):
        RunFolder.create(path, OPTIONS | {"checkpoint": "sgd.safetensors"})
    assert (path / "results.sqlite").read_bytes() == before


def test_metrics_come_back_from_a_run_with_their_bounds_and_direction(tmp_path: Path) -> None:
    metrics = Regression(unit="mm").metrics
    record = replace(CELL[0], metric="rmse", value=-1.0)
    task = stored_task("regression", metrics)
    with open_run(synthetic_run(tmp_path / "run", records=[record], meta={"task": task})) as run:
        assert stored_metrics(run.meta("task")) == metrics
        with pytest.raises(RunError, match="rmse -1: expected 0 to inf"):
            run.records()


def test_task_of_another_form_is_refused_by_the_name_of_its_part(tmp_path: Path) -> None:
    task = {"name": "regression", "metrics": [{"name": "rmse", "title": "RMSE", "higher_is_better": "no"}]}
    with open_run(synthetic_run(tmp_path / "run", meta={"task": task})) as run, pytest.raises(RunError) as caught:
        run.meta("task")
    assert "metrics.0.higher_is_better" in str(caught.value)


def test_commit_twice_changes_nothing_when_values_are_equal(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", OPTIONS) as run:
        run.commit(CELL)
        run.commit(CELL)
        assert run.records() == CELL


def test_commit_is_refused_whole_when_one_value_differs(tmp_path: Path) -> None:
    other = replace(CELL[0], value=1.0)
    new = replace(CELL[0], instance=7)
    with RunFolder.create(tmp_path / "run", OPTIONS) as run:
        run.commit(CELL)
        with pytest.raises(RunError, match="already holds another value"):
            run.commit([new, other])
        assert run.records() == CELL


def test_meta_is_replaced_when_set_again_and_none_when_never(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", OPTIONS) as run:
        run.set_meta("data", {"name": "digits", "count": 3})
        run.set_meta("data", {"name": "digits", "count": 4})
        assert run.meta("data") == {"name": "digits", "count": 4}
        assert run.meta("plan") is None


def test_run_continues_when_options_are_equal_or_volatile(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", OPTIONS | {"device": "cpu"}) as run:
        run.commit(CELL)
    with RunFolder.create(tmp_path / "run", OPTIONS | {"device": "cuda"}, volatile=["device"]) as run:
        assert run.records() == CELL
        assert run.options["device"] == "cpu"


def test_run_is_refused_with_every_difference_when_another_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    synthetic_run(Path("runs/sgd"))
    before = {path.name: path.read_bytes() for path in Path("runs/sgd").iterdir()}
    with pytest.raises(RunError) as caught:
        RunFolder.create("runs/sgd", OPTIONS | {"checkpoint": "sgd.safetensors", "seed": 1, "limit": 500})
    assert_golden("run_differs.txt", f"{caught.value}\n")
    assert {path.name: path.read_bytes() for path in Path("runs/sgd").iterdir()} == before


def test_folder_is_refused_untouched_when_it_holds_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RunError, match=r"holds other files \(thesis.tex\) and no run.toml; choose a new or empty"):
        RunFolder.create(tmp_path, OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_folder_is_refused_when_run_toml_is_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text("[something]\nelse = 1\n")
    with pytest.raises(RunError, match="not written by analog-samson"):
        RunFolder.create(tmp_path, OPTIONS)


def test_folder_is_refused_when_run_toml_is_damaged(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    (path / "run.toml").write_text("seed = ")
    with pytest.raises(RunError, match="cannot be read as TOML"):
        open_run(path)


def test_folder_is_refused_when_a_file_is_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match=str(path)):
            RunFolder.create(path, OPTIONS)


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that this process may not write, also where the tests run as root."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", [".", "new"])
def test_folder_is_refused_when_it_is_read_only(read_only: Path, name: str) -> None:
    with pytest.raises(RunError, match=r"Permission denied\); choose another output folder"):
        RunFolder.create(read_only / name, OPTIONS)
    assert list(read_only.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file.py/x.json", "Not a directory"),
        ("none/x.json", "No such file or directory"),
        ("n" * 250, "File name too long"),
        (".", "has an empty name.; expected the name of a file"),
        ("a\0b", "embedded null"),
        ("folder", "Is a directory"),
    ],
)
def test_file_is_refused_in_one_message_where_none_can_be(
    tmp_path: Path, monkeypatch: Any, name: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.py").write_text("kept")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match=f"^{re.escape(name)}: cannot be written \\(.*{words}"):
        write_atomically(Path(name), b"data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.py", "folder"]
    assert (tmp_path / "file.py").read_text() == "kept"


def test_file_is_refused_when_its_folder_is_read_only(read_only: Path) -> None:
    with pytest.raises(RunError, match=r"x: cannot be written \(Permission denied\); choose another place"):
        write_atomically(read_only / "x", b"data")


@pytest.mark.parametrize("name", ["file.py", "file.py/new"])
def test_folder_cannot_be_made_where_a_file_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.py").write_text("kept")
    with pytest.raises(RunError, match=f"{name}: cannot be made .*; choose another output folder"):
        make_folder(tmp_path / name)


def test_folder_is_refused_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        with pytest.raises(RunError, match=r"cannot be written \(No space left on device\); free some space"):
            FolderLock(tmp_path)
    FolderLock(tmp_path).release()


def test_folder_that_a_kill_left_empty_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("123\n")
    (tmp_path / ".run.toml.123.part").write_text("half a fi")
    RunFolder.create(tmp_path, OPTIONS).close()
    assert open_run(tmp_path).records() == []


def test_folder_that_a_kill_left_without_tables_is_taken_up(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "run", OPTIONS).close()
    (tmp_path / "run" / "results.sqlite").write_bytes(b"")
    with RunFolder.create(tmp_path / "run", OPTIONS) as run:
        run.commit(CELL)
    assert open_run(tmp_path / "run").records() == CELL


def test_run_is_refused_when_another_live_process_writes_to_it(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    code = """if True:
        import sys
        from synthetic_runs import OPTIONS
        from analog_samson.results.store import RunFolder
        run = RunFolder.create(sys.argv[1], OPTIONS | {"checkpoint": "sgd.safetensors"})
        print("open", flush=True)
        sys.stdin.read()
    """
    with start(code, path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(RunError, match=f"process {other.pid} is writing to this run; wait for it to end"):
            RunFolder.create(path, OPTIONS | {"checkpoint": "sgd.safetensors"})
        assert len(open_run(path).records()) == len(synthetic_records())  # reading is allowed meanwhile
        other.kill()
    RunFolder.create(path, OPTIONS | {"checkpoint": "sgd.safetensors"}).close()


def test_cells_are_whole_when_the_writer_is_killed_at_any_moment(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from dataclasses import replace
        from synthetic_runs import synthetic_records
        from analog_samson.results.store import RunFolder
        run = RunFolder.create(sys.argv[1], {"seed": 0})
        cell = synthetic_records()[:2]
        for instance in range(int(sys.argv[2]), 100000):
            run.commit([replace(record, instance=instance) for record in cell])
            print(instance, flush=True)
    """
    acknowledged = -1
    for lines in (1, 20, 57):
        with start(code, tmp_path / "run", acknowledged + 1) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        counts: dict[int, int] = {}
        for record in open_run(tmp_path / "run").records():
            counts[record.instance] = counts.get(record.instance, 0) + 1
        assert set(counts.values()) == {2}
        assert set(range(acknowledged + 1)) <= set(counts)
        acknowledged = max(counts)


def test_half_written_cell_is_rolled_back_when_the_writer_is_killed_inside_it(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    # A cache of one page makes SQLite write into the file itself before the commit: a hot journal stays behind.
    code = """if True:
        import os, signal, sqlite3, sys
        database = sqlite3.connect(sys.argv[1], isolation_level=None)
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        rows = [("net", "p", "drift", 0, i, 1.0, None, "m" * 500, 0.0) for i in range(2000)]
        database.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    before = (path / "results.sqlite").stat().st_size
    with start(code, path / "results.sqlite") as writer:
        assert writer.wait() == -signal.SIGKILL
    assert (path / "results.sqlite-journal").exists()
    assert (path / "results.sqlite").stat().st_size > before
    assert open_run(path).records() == synthetic_records()


def test_reading_changes_no_file_when_a_run_is_opened(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    run = open_run(path)
    run.records()
    with pytest.raises(RunError, match="make the folder writable"):
        run.commit([replace(CELL[0], instance=99)])
    run.close()
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_run_of_another_schema_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    database = sqlite3.connect(path / "results.sqlite")
    with database:
        database.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    database.close()
    with pytest.raises(RunError, match="schema 99, this version reads schema 2; read it with the analog-samson that"):
        open_run(path)
    with pytest.raises(RunError, match="schema 99"):
        RunFolder.create(path, OPTIONS | {"checkpoint": "sgd.safetensors"})


def test_damaged_database_is_named_when_opened(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    (path / "results.sqlite").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(RunError, match=r"results.sqlite: file is not a database; the file is damaged"):
        open_run(path)


def test_full_disk_is_told_in_one_message_and_keeps_what_is_there(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path / "run", OPTIONS) as run:
        run.commit(CELL)
        pages = run._connection.execute("PRAGMA page_count").fetchone()[0]
        run._connection.execute(f"PRAGMA max_page_count = {pages}")
        many = [replace(CELL[0], instance=i) for i in range(1, 2000)]
        with pytest.raises(RunError, match="full; free some space and run the same command again"):
            run.commit(many)
        assert run.records() == CELL


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such folder; expected a run folder made by `analog-samson simulate --out`"),
        (lambda path: path.mkdir(), "looked for run.toml and results.sqlite, missing run.toml and results.sqlite"),
        (lambda path: path.write_text(""), r"missing run.toml and results.sqlite \(it is a file\)"),
        (lambda path: synthetic_run(path / "sgd"), "runs inside it: .*sgd"),
    ],
)
def test_opening_says_what_was_looked_for_when_it_is_no_run(tmp_path: Path, make: Any, message: str) -> None:
    make(tmp_path / "here")
    with pytest.raises(RunError, match=message):
        open_run(tmp_path / "here")


def test_folder_is_free_again_when_a_run_is_forgotten_without_close(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", OPTIONS)
    del run
    code = """if True:
        import sys
        from pathlib import Path
        from analog_samson.results.lock import FolderLock
        FolderLock(Path(sys.argv[1]))
    """
    with start(code, tmp_path / "run") as other:
        assert other.wait() == 0


def test_limit_on_file_size_is_not_told_as_damage(tmp_path: Path) -> None:
    code = """if True:
        import resource, sys
        from dataclasses import replace
        from pathlib import Path
        from analog_samson.errors import RunError
        from analog_samson.results.atomic import write_atomically
        from analog_samson.results.store import RunFolder
        from synthetic_runs import OPTIONS, synthetic_records
        path, cell = Path(sys.argv[1]), synthetic_records()[0]
        with RunFolder.create(path / "run", OPTIONS) as run:
            run.commit([cell])
            resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
            for act in (lambda: run.commit([replace(cell, stage="drift", time_seconds=1.0, instance=i)
                                            for i in range(5000)]),
                        lambda: write_atomically(path / "page.html", b"x" * 100_000)):
                try:
                    act()
                except RunError as error:
                    print(error)
            print(len(run.records()), sorted(p.name for p in path.iterdir()))
    """
    with start(code, tmp_path) as other:
        stored, written, left = other.communicate()[0].splitlines()
    assert "results.sqlite: " in stored
    for told in (stored, written):
        assert "ulimit -f" in told
        assert "damaged" not in told
    assert left == "1 ['run']"


def test_part_of_a_killed_writer_is_removed_by_the_next_one(tmp_path: Path) -> None:
    code = """if True:
        import os, signal, sys
        from pathlib import Path
        from analog_samson.results.atomic import write_atomically
        os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
        write_atomically(Path(sys.argv[1]) / "run.toml", b"half")
    """
    with start(code, tmp_path) as other:
        other.wait()
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(f".{other.pid}.part")
    running = left.with_name(left.name.replace(str(other.pid), str(os.getppid())))
    running.write_bytes(b"of a process that is at work")
    write_atomically(tmp_path / "run.toml", b"whole")
    assert sorted(tmp_path.iterdir()) == sorted([running, tmp_path / "run.toml"])
