"""`verify`: a run that is as it was made is confirmed; whatever was altered is named."""

import json
import re
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from commands import error_of, output_of
from small import SMALL, small_options

from analog_samson.cli.verify import verify
from analog_samson.errors import RunError
from analog_samson.models.checkpoint import load_checkpoint, save_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.simulation.run import run_simulation
from analog_samson.simulation.verify import find_runs, sample_cells, verify_run

app = typer.Typer()
app.command()(verify)
call, error = partial(output_of, app), partial(error_of, app)
TRUST = ["--trust", SMALL["model"]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, its checkpoint and its data: two chips with converters, calibration and generic noise."""
    folder = tmp_path_factory.mktemp("made")
    settings = {"images": 80, "tested": 40, "instances": 2, "seed": 3, "sigmas": (0.0, 0.2), "calibrate": ("adabs",)}
    run_simulation(small_options(folder, **settings).replace(preset="pcm_rasch_2023"), folder / "run").close()
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of that run, of copies of its files."""
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    options = copy / "run" / "run.toml"
    options.write_text(options.read_text().replace(str(made), str(copy)))
    return copy / "run"


def change(run: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(run / "results.sqlite")) as database:
        assert database.execute(statement, values).rowcount == 1
        database.commit()


def test_run_as_it_was_made_is_confirmed_and_left_as_it_is(run):
    before = {file: file.read_bytes() for file in run.iterdir()}
    text = call(run, "--sample", 100, *TRUST)
    counted = re.search(r"(\d+) of (\d+) conditions recomputed, (\d+) of (\d+) values equal to the bit, 0 diff", text)
    assert counted is not None
    assert counted[1] == counted[2] == "15"  # digital; 2 chips at 2 times with and without AdaBS; 6 of generic noise
    assert counted[3] == counted[4]
    assert {file: file.read_bytes() for file in run.iterdir()} == before


ONE = "stage = 'drift' AND instance = 1 AND time_seconds = 1 AND calibration = 'none'"


@pytest.mark.parametrize("metric", ["accuracy_percent", "loss", "weight_error"])
def test_value_that_was_altered_is_named(run, metric):
    change(run, f"UPDATE record SET value = value + 0.001 WHERE {ONE} AND metric = ?", metric)
    message = error(run, "--sample", 100, *TRUST)
    assert message.splitlines()[0] == "verify: 1 problem"
    assert f"drift instance 1 time_seconds 1, {metric}: the run has " in message


def test_outcomes_that_were_altered_are_named(run):
    change(run, f"UPDATE outcome SET bits = ? WHERE {ONE}", bytes(5))
    assert "drift instance 1 time_seconds 1: the run has other samples right" in error(run, "--sample", 100, *TRUST)


@pytest.mark.parametrize("what", ["version", "seed", "preset", "checkpoint", "data", "no checkpoint"])
def test_whatever_else_was_altered_is_named(run, what):
    folder, expected = run.parent, what
    if what == "version":
        (text,) = (
            sqlite3.connect(run / "results.sqlite")
            .execute("SELECT value FROM meta WHERE key = 'environment'")
            .fetchone()
        )
        stored = json.dumps(json.loads(text) | {"numpy": "1.0"})
        change(run, "UPDATE meta SET value = ? WHERE key = 'environment'", stored)
        expected = f"numpy: the run was made with 1.0, here is {np.__version__}"
    elif what == "seed":
        (run / "run.toml").write_text((run / "run.toml").read_text().replace("seed = 3", "seed = 4"))
        expected = "seed: the run says something else of itself"
    elif what == "preset":
        (run / "run.toml").write_text((run / "run.toml").read_text().replace("pcm_rasch_2023", "ideal"))
        expected = "preset_sha256: the run there has"
    elif what == "checkpoint":
        checkpoint = load_checkpoint(folder / "net.safetensors")
        model = restore_model(checkpoint, SMALL["model"])
        model.head.bias.data += 0.01
        save_checkpoint(folder / "net.safetensors", model, SMALL)
        expected = "checkpoint: the run there has"
    elif what == "data":
        with np.load(folder / "test.npz") as file:
            np.savez(folder / "test.npz", images=255 - file["images"], labels=file["labels"])
        expected = "data: the run there has"
    else:
        (folder / "net.safetensors").unlink()
        expected = "net.safetensors"
    assert expected in error(run, "--sample", 2, *TRUST)


def test_sample_is_drawn_from_all_runs_below_a_folder(run):
    again = run.parent / "more" / "net" / "seed3"
    again.parent.mkdir(parents=True)
    run.rename(again)
    (run.parent / "more" / "shards" / "0of1").mkdir(parents=True)
    found = find_runs([run.parent / "more"])
    assert found == [again]
    cells = sample_cells(found, 4, seed=0)[again]
    assert len(set(cells)) == 4
    assert cells != sample_cells(found, 4, seed=1)[again]


def test_code_that_a_run_names_is_run_only_if_it_is_trusted(run):
    assert f"model: '{SMALL['model']}'" in error(run)
    with pytest.raises(RunError):
        verify_run(run, [])


def test_folder_without_a_run_is_refused(tmp_path):
    assert "run.toml" in error(tmp_path)
