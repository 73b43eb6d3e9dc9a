"""Checkpoints that a sweep trains itself: each training is done once, resumed, shared, and named in what comes out."""

import csv
import importlib
import json
import pickle
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from commands import error_of, output_of
from networks import seeded
from small import SMALL, Small

from analog_samson.analysis.runs import read_runs
from analog_samson.cli.sweep import _in_turn, sweep
from analog_samson.cli.train import train
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.report.exports import render_csv
from analog_samson.report.provenance import settings
from analog_samson.results import lock
from analog_samson.results.store import open_run
from analog_samson.simulation.jobs import plan_jobs
from analog_samson.simulation.many_options import SweepOptions
from analog_samson.simulation.points import plan_points
from analog_samson.training import job as preparing

app, train_app = typer.Typer(), typer.Typer()
app.command()(sweep)
train_app.command()(train)
call, error = partial(output_of, app), partial(error_of, app)
PCM = "pcm_nandakumar_2019"
OWN = ["--model", SMALL["model"], "--data", "npz:data.npz", "--preset", PCM, "--times", "1s", "--instances", "1"]
OWN += ["--threads", "1"]
fitting = importlib.import_module("analog_samson.training.fit")  # the package has a function of that name
RHO = ["--vary", "training.rho=0.1,0.2"]
NAMES = ["sam-training.rho=0.1", "sam-training.rho=0.2"]
FILE = 'model = "small:Small"\nmethod = "samson"\nepochs = 3\nbatch_size = 6\naugment = false\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with data and a training file."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 4, 4), np.uint8)
    np.savez("data.npz", images=pixels, labels=np.arange(24) % 3)
    Path("sam.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was trained, by learning rate and rho, each time that one began or went on."""
    found, prepare = [], preparing.prepare_training

    def note(job, *context):
        found.append(f"{job.learning_rate} {job.rho}")
        return prepare(job, *context)

    monkeypatch.setattr(preparing, "prepare_training", note)
    return found


def exported(out: str) -> dict[str, str]:
    found = {}
    for path in sorted(Path(out).glob("*/*/seed*")):
        with open_run(path) as run:
            found[f"{path.parts[-3]}/{path.parts[-2]}"] = render_csv(run.records())
    return found


def rows(file: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(file).read_text().splitlines()))


def test_every_training_is_done_once_and_is_named_in_tables_database_and_page(here, begun):
    call("sam.toml", *OWN, *RHO, "--vary", "read.scale=0,1", "--no-html", "--out", "out")
    assert begun == ["0.1 0.1", "0.1 0.2"]
    places = {(row["checkpoint"], row["training.rho"], row["read.scale"]) for row in rows("out/summary.csv")}
    assert places == {(name, name[-3:], scale) for name in NAMES for scale in "01"}
    with closing(sqlite3.connect("out/sweep.sqlite")) as database:
        found = database.execute("SELECT folder, point, training FROM run ORDER BY id").fetchall()
        metadata = json.loads(database.execute("SELECT value FROM meta WHERE key = 'checkpoint'").fetchone()[0])
    assert [training for _, _, training in found] == [f"trainings/{name}" for name in NAMES for _ in range(2)]
    assert [json.loads(point)["training.rho"] for _, point, _ in found] == ["0.1", "0.1", "0.2", "0.2"]
    assert metadata["metadata"]["training"]["rho"] == 0.1
    with open_run(f"out/{found[0][0]}") as first, open_run(f"out/{found[-1][0]}") as last:
        shown = {one.name: one.values for one in settings(read_runs([first, last]))}  # what the page says of them
    assert shown["label"] == tuple(NAMES)
    assert shown["training.training.rho"] == ("0.1", "0.2")
    call("sam.toml", *OWN, *RHO, "--vary", "read.scale=0,1", "--no-html", "--out", "out")
    assert len(begun) == 2


def test_trained_network_is_that_of_train(here):
    call("sam.toml", *OWN, *RHO, "--no-html", "--out", "out")
    options = ["--method", "samson", "--rho", 0.2, "--epochs", 3, "--batch-size", 6, "--no-augment", "--threads", 1]
    output_of(train_app, "--model", SMALL["model"], "--data", "npz:data.npz", *options, "--out", "alone")
    trained = Path("out/trainings", NAMES[1], "checkpoint.safetensors")
    assert trained.read_bytes() == Path("alone/checkpoint.safetensors").read_bytes()


def test_training_that_was_stopped_is_continued(here, monkeypatch):
    call("sam.toml", *OWN, *RHO, "--no-html", "--out", "whole")
    store, count = fitting.store_epoch, iter(range(99))

    def stop(*arguments):
        if next(count) == 4:  # after the first epoch of the second training
            raise ZeroDivisionError
        store(*arguments)

    monkeypatch.setattr(fitting, "store_epoch", stop)
    again = ["sam.toml", *OWN, *RHO, "--no-html", "--out", "out"]
    with pytest.raises(ZeroDivisionError):
        call(*again)
    histories = {path.parent.name: len(path.read_text().splitlines()) for path in Path("out").rglob("history.csv")}
    assert histories == {NAMES[0]: 4, NAMES[1]: 2}
    call(*again)
    assert exported("out") == exported("whole")


def test_shards_share_trainings_and_give_the_values_of_the_whole(here, begun):
    grid = ["sam.toml", *OWN, *RHO, "--no-html"]
    call(*grid, "--out", "whole")
    del begun[:]
    for shard in ("1/2", "0/2"):
        call(*grid, "--out", "parts", "--shard", shard)
    assert begun == ["0.1 0.2", "0.1 0.1"]
    call(*grid, "--out", "parts", "--merge")
    assert exported("parts") == exported("whole")


def test_shards_that_run_at_a_time_begin_with_different_trainings():
    assert [_in_turn(list("abcd"), (number, 2))[0] for number in range(2)] == ["a", "c"]
    assert [_in_turn(list("ab"), (number, 4)) for number in (0, 3)] == [["a", "b"], ["b", "a"]]
    assert _in_turn(list("abcd"), None) == list("abcd")


def test_training_of_another_process_is_waited_for_and_used(here, begun, monkeypatch):
    """The other process is one that holds the lock of the folder."""
    monkeypatch.setattr(lock, "_WAIT_SECONDS", 0.05)
    folder = here / "out/trainings/sam"
    folder.mkdir(parents=True)
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", hold, str(folder / lock.LOCK_NAME)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    other.stdout.readline()
    ends = threading.Timer(0.3, lambda: other.communicate(b"\n"))
    ends.start()
    (trained,) = plan_jobs(SweepOptions(**options_of()), here / "out").trainings
    trained.run()
    ends.join()
    assert len(begun) == 2  # one met the lock, one began after it
    assert trained.is_finished()


def options_of(**changes):
    return {
        "checkpoint": ("sam.toml",),
        "model": (SMALL["model"],),
        "data": "npz:data.npz",
        "preset": (PCM,),
        **changes,
    }


def test_training_that_fails_fails_its_simulations_alone(here):
    Path("bad.toml").write_text(FILE.replace("epochs = 3", 'epochs = 3\ntest_data = "npz:none.npz"'))
    message = error("sam.toml", "bad.toml", *OWN, "--no-html", "--out", "out", "--seeds", "0-1")
    assert message.startswith("4 cells: 2 problems")
    assert "training bad: " in message
    assert "none.npz" in message
    assert [row["run"] for row in rows("out/failed.csv")] == [f"bad/{PCM}/seed0", f"bad/{PCM}/seed1"]
    assert set(exported("out")) == {f"sam/{PCM}"}


def test_other_options_for_a_finished_training_are_refused(here):
    call("sam.toml", *OWN, "--no-html", "--out", "out")
    Path("sam.toml").write_text(FILE.replace("epochs = 3", "epochs = 4"))
    message = error("sam.toml", *OWN, "--no-html", "--out", "out")
    assert "epochs: the run there has 3, this one 4" in message


def test_plan_counts_and_times_trainings_and_writes_nothing(here):
    text = call("sam.toml", *OWN, *RHO, "--plan", "--out", "out")
    assert "2 trainings, 2 of them not finished: about" in text
    assert "2 simulations" in text
    assert sorted(path.name for path in here.iterdir()) == ["data.npz", "sam.toml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sam.toml", "--vary", "training.roh=1"], "did you mean 'training.rho'"),
        (["sam.toml", "--vary", "training.device=cpu"], "training.device: no option of `train` that can vary"),
        (["sam.toml", "net.safetensors", *RHO], "training.rho: varies a training, but net.safetensors is no training"),
        (["sgd.toml", *RHO], "training sgd-training.rho=0.1: training options: 1 problem"),
        (["sam.toml", "--vary", "training.rho=x"], "--rho: expected a finite number of 0 or more, got 'x'"),
        (["unknown.toml"], "unknown.toml: train: 1 problem\n  roh: unknown option; did you mean 'rho'?"),
        (["torn.toml"], "torn.toml: expected options of `train` as TOML"),
        (["code.toml"], "code.toml: 1 problem\n  model: 'os:abort' is code"),
        (["trainings=sam.toml"], "trainings: is the folder of trainings"),
        (["sam.toml", "--vary", "training.method=a..b", "--random", "2"], "a range LOW..HIGH is for numbers"),
        (["sam.toml", "--vary-list", "points.csv"], "task: 'os:abort' is code"),
        (
            ["sam.toml", "--backend", "dask", "--address", "tcp://h:1", "--send-runs"],
            "--send-runs: workers that do not",
        ),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_mistake_is_explained_before_anything_is_written(here, arguments, words):
    for name, text in {
        "sgd": FILE.replace("samson", "sgd"),
        "unknown": "roh = 1",
        "torn": "rho =",
        "code": 'model = "os:abort"',
    }.items():
        Path(f"{name}.toml").write_text(text)
    Path("points.csv").write_text("task\nos:abort\n")
    save_checkpoint("net.safetensors", seeded(Small), SMALL)
    assert words in error(*arguments, *OWN, "--out", "out")
    assert not Path("out").exists()


def test_random_points_of_trainings_and_a_training_that_goes_to_another_process(here):
    points = plan_points(["training.rho=0.01..1", "training.epochs=1..9"], draws=20, presets=[PCM], seed=0)
    assert {type(eval(point["training.epochs"])) for point in points} == {int}
    assert 5 < sum(float(point["training.rho"]) < 0.1 for point in points) < 15  # on a logarithmic scale
    trainings = plan_jobs(SweepOptions(**options_of(vary=("training.rho=0.1,0.2",))), here / "out").trainings
    assert pickle.loads(pickle.dumps(trainings)) == trainings
