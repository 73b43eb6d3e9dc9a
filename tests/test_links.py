"""No symbolic link inside an output folder is followed on writing."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from networks import seeded
from small import SMALL, Small
from synthetic_runs import OPTIONS, synthetic_records, synthetic_run

from analog_samson.analysis.runs import read_runs
from analog_samson.cli.main import main
from analog_samson.errors import RunError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.report.contents import Contents
from analog_samson.report.page import write_page
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.database import DATABASE
from analog_samson.results.links import refuse_links
from analog_samson.results.lock import FolderLock
from analog_samson.results.parts import write_part
from analog_samson.results.store import RunFolder, open_run
from analog_samson.training.folder import TrainingFolder

WORDS = b"of the user's"
REFUSED = "is a symbolic link, and nothing is written through one"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file of the user's outside every output folder."""
    file = tmp_path / "target"
    file.write_bytes(WORDS)
    return file


WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "lock": (".lock", FolderLock),
    "run folder, lock": (".lock", lambda out: RunFolder.create(out, OPTIONS)),
    "training, lock": (".lock", lambda out: TrainingFolder.open(out, {"epochs": 1})),
    "database": (DATABASE, lambda out: RunFolder.create(out, OPTIONS).commit(synthetic_records()[:2])),
    "journal": (f"{DATABASE}-journal", lambda out: RunFolder.create(out, OPTIONS)),
    "wal": (f"{DATABASE}-wal", lambda out: RunFolder.create(out, OPTIONS)),
    "any file": ("plan.json", lambda out: write_atomically(out / "plan.json", b"{}")),
    "checkpoint": (
        "checkpoint.safetensors",
        lambda out: save_checkpoint(out / "checkpoint.safetensors", seeded(Small), SMALL),
    ),
    "part of a cell": ("clean.json", lambda out: write_part(out / "clean.json", {}, {})),
}


@pytest.mark.parametrize("case", WRITERS)
@pytest.mark.parametrize("broken", [False, True], ids=["to a file", "to nothing"])
def test_link_in_place_of_a_file_is_refused(case: str, broken: bool, target: Path, tmp_path: Path) -> None:
    name, write = WRITERS[case]
    out = tmp_path / "out"
    if name.startswith(DATABASE):
        RunFolder.create(out, OPTIONS).close()  # a run to continue; a new one begins by removing what is there
        (out / name).unlink(missing_ok=True)
    out.mkdir(exist_ok=True)
    goal = tmp_path / "new" if broken else target
    (out / name).symlink_to(goal)
    with pytest.raises(RunError, match=f"{name}: {REFUSED}"):
        write(out)
    assert (target.read_bytes(), (tmp_path / "new").exists()) == (WORDS, False)


def test_link_in_place_of_the_unfinished_file_is_not_followed(target: Path, tmp_path: Path) -> None:
    (tmp_path / f".plan.json.{os.getpid()}.part").symlink_to(target)
    write_atomically(tmp_path / "plan.json", b"{}")
    assert (target.read_bytes(), (tmp_path / "plan.json").read_bytes()) == (WORDS, b"{}")
    assert not (tmp_path / "plan.json").is_symlink()


def test_lock_with_another_name_is_not_overwritten(target: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    os.link(target, tmp_path / "out" / ".lock")
    with pytest.raises(RunError, match="not a lock of analog-samson"):
        RunFolder.create(tmp_path / "out", OPTIONS)
    (tmp_path / "out" / ".lock").unlink()
    os.mkfifo(tmp_path / "out" / ".lock")
    with pytest.raises(RunError, match="not a lock of analog-samson"):
        RunFolder.create(tmp_path / "out", OPTIONS)
    assert target.read_bytes() == WORDS


def test_linked_database_is_read_and_not_repaired(tmp_path: Path) -> None:
    """A journal that a killed process left is rolled back by whoever may write; through a link nobody may."""
    path = synthetic_run(tmp_path / "run")
    theirs = tmp_path / "theirs.sqlite"
    (path / DATABASE).rename(theirs)
    (path / DATABASE).symlink_to(theirs)
    with open_run(path) as run:
        assert run.records()
        run._connection.execute("PRAGMA query_only = OFF")
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            run._connection.execute("DELETE FROM record")


def test_figures_are_not_written_through_a_link(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    (path / "figures").symlink_to(tmp_path / "elsewhere")
    with open_run(path) as run, pytest.raises(RunError, match=f"figures: {REFUSED}"):
        write_page(Contents(read_runs([run])), path / "report.html")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two checkpoints, data, and a folder that links lead to."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        save_checkpoint(f"{name}.safetensors", seeded(Small), SMALL)
    np.savez("data.npz", images=np.zeros((6, 4, 4), np.uint8), labels=np.arange(6) % 3)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


OWN = ["--model", SMALL["model"], "--data", "npz:data.npz", "--preset", "ideal", "--times", "1s", "--instances", "1"]
BOTH = ["--checkpoint", "a.safetensors", "--checkpoint", "b.safetensors"]
ONE = ["simulate", "--checkpoint", "a.safetensors", *OWN, "--sigmas", "none", "--threads", "1", "--no-html"]
COMMANDS = {
    "sweep": (["sweep", "a.safetensors", *OWN], "out/a/ideal"),
    "compare": (["compare", *BOTH, *OWN], "out/a"),
    "demo": (["demo"], "out/sgd/training"),
    "reproduce": (
        ["reproduce", "fig2", "--only", "digits_cnn_digits/sgd", "--limit-epochs", "1"],
        "out/digits_cnn_digits",
    ),
    "error_budget": ([*ONE, "--error-budget"], "out/error_budget"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_folder_below_out_that_is_a_link_is_refused(case: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, link = COMMANDS[case]
    if case == "error_budget":
        assert main([*ONE, "--out", "out"]) == 0
    Path(link).parent.mkdir(parents=True, exist_ok=True)
    Path(link).symlink_to(here / "elsewhere")
    capsys.readouterr()
    assert main([*arguments, "--out", "out"]) == 1
    said = capsys.readouterr().err
    assert f"{link}: {REFUSED}" in said
    assert not list((here / "elsewhere").iterdir())


def test_output_folder_may_be_a_link_itself(here: Path) -> None:
    Path("out").symlink_to(here / "elsewhere")
    assert main([*ONE, "--out", "out"]) == 0
    assert (here / "elsewhere" / DATABASE).is_file()
    make_folder(Path("out/new"), below=Path("out"))
    refuse_links(here, [here / "elsewhere" / "run.toml", here / "none" / "x"])
    with pytest.raises(RunError, match=f"out: {REFUSED}"):
        refuse_links(here, [here / "out" / "new" / "x"])
