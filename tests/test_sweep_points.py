"""What a sweep varies, and its parts: points, shards and their merging, one file for all, the plan."""

import csv
import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from commands import error_of, output_of
from networks import seeded
from small import SMALL, Small

from analog_samson.cli.progress import _Lines
from analog_samson.cli.sweep import sweep
from analog_samson.errors import OptionError, PresetError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.presets.changes import join_changes
from analog_samson.presets.search import load_preset
from analog_samson.results.store import open_run
from analog_samson.simulation.jobs import plan_jobs
from analog_samson.simulation.many_options import SweepOptions
from analog_samson.simulation.paths import absolute_paths
from analog_samson.simulation.points import plan_points
from analog_samson.simulation.sweep import shard_folder

app = typer.Typer()
app.command()(sweep)
call, error = partial(output_of, app), partial(error_of, app)
OWN = ["--model", SMALL["model"], "--data", "npz:data.npz", "--times", "1s", "--instances", "2", "--threads", "1"]
PCM = "pcm_nandakumar_2019"
VARY = ["--vary", "programming.scale=0,1", "--vary", "read_noise=per_condition,per_read"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a checkpoint and data for it."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint("net.safetensors", seeded(Small), SMALL)
    np.savez(
        "data.npz", images=np.random.default_rng(0).integers(0, 256, (12, 4, 4), np.uint8), labels=np.arange(12) % 3
    )
    return tmp_path


def rows(file: str | Path) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(file).read_text().splitlines()))


def test_changed_preset_is_that_preset_with_other_numbers_under_a_name_that_says_so(tmp_path):
    plain, changed = load_preset(PCM), load_preset(f"{PCM}@drift.t0_seconds=1m,read.scale=0.5")
    assert changed.drift.t0_seconds == 60.0
    assert changed.name == f"{PCM}_drift_t0_seconds_60p0_read_scale_0p5"
    assert changed.fingerprint != plain.fingerprint
    assert load_preset(f"{PCM}@programming.scale=1").programming == plain.programming
    text = (Path(__file__).parents[1] / "hw_presets" / f"{PCM}.toml").read_text()
    file = tmp_path / "mine@home.toml"
    file.write_text(text.replace(f'name = "{PCM}"', 'name = "mine@home"'))
    named = absolute_paths({"preset": f"{file}@read.scale=0"})["preset"]
    assert named == join_changes(str(file), {"read.scale": "0"})


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("@drift.t0=5", OptionError, "did you mean 'drift.t0_seconds'"),
        ("@drift.t0_seconds=5uS", OptionError, "expected no unit or one of s, "),
        ("@device.pairs=1.5", OptionError, "device.pairs: expected a whole number, got '1.5'"),
        ("@device.g_max_microsiemens=-1", PresetError, "device.g_max_microsiemens"),
        ("@read.scale=1,read.scale=2", OptionError, "changes a number twice"),
        ("@t0=5", PresetError, "no such preset"),
    ],
)
def test_changed_preset_that_cannot_be_is_refused(text, kind, words):
    with pytest.raises(kind, match=words):
        load_preset(PCM + text)


def test_grid_of_preset_numbers_and_options_is_simulated_and_tabulated(here):
    call("net.safetensors", *OWN, *VARY, "--preset", PCM, "--out", "out", "--no-html")
    drift = [row for row in rows("out/summary.csv") if row["stage"] == "drift"]
    assert [(row["programming.scale"], row["read_noise"]) for row in drift] == [
        ("0", "per_condition"),
        ("0", "per_read"),
        ("1", "per_condition"),
        ("1", "per_read"),
    ]
    folder = here / f"out/net-read_noise=per_read/{PCM}_programming_scale_1p0/seed0"
    with open_run(folder) as run:
        assert (run.options["preset"], run.options["read_noise"]) == (f"{PCM}@programming.scale=1", "per_read")
        assert run.meta("preset")["name"] == f"{PCM}_programming_scale_1p0"
        stored = [record.value for record in run.records()]
    with closing(sqlite3.connect("out/sweep.sqlite")) as database:
        points = database.execute("SELECT folder, point FROM run ORDER BY id").fetchall()
        (number,) = [place for place, (name, _) in enumerate(points, 1) if str(folder).endswith(name)]
        gathered = database.execute("SELECT value FROM record WHERE run = ?", (number,)).fetchall()
    assert json.loads(points[number - 1][1]) == {"programming.scale": "1", "read_noise": "per_read"}
    assert sorted(value for (value,) in gathered) == sorted(stored)


def test_points_of_a_file_are_taken_line_by_line(here):
    Path("points.csv").write_text("programming.scale,read.scale\n0,1\n2, 0.5\n")
    given = {"data": "npz:data.npz", "checkpoint": ("net.safetensors",), "model": (SMALL["model"],)}
    jobs = plan_jobs(SweepOptions(**given, vary_list=Path("points.csv"), seed=(0, 3)), Path("out"))
    assert [(job.options.preset.partition("@")[2], job.options.seed) for job in jobs] == [
        ("programming.scale=0,read.scale=1", 0),
        ("programming.scale=0,read.scale=1", 3),
        ("programming.scale=2,read.scale=0.5", 0),
        ("programming.scale=2,read.scale=0.5", 3),
    ]


def test_many_simulations_are_made_one_by_one_and_divided_among_shards(here):
    given = {"data": "npz:data.npz", "checkpoint": ("net.safetensors",), "model": (SMALL["model"],), "preset": (PCM,)}
    vary = ("programming.scale=1,2,3,4,5", "read_noise=per_condition,per_read")
    jobs = plan_jobs(SweepOptions(**given, vary=vary, seed=tuple(range(10_000))), Path("out"))
    assert len(jobs) == 10**5
    last = jobs[10**5 - 1]
    assert last.folder == Path(f"out/net-read_noise=per_read/{PCM}_programming_scale_5p0/seed9999")
    assert (last.options.seed, last.options.read_noise, last.options.label) == (9999, "per_read", last.folder.parts[1])
    shards = [jobs[number::7] for number in range(7)]
    assert sum(map(len, shards)) == len(jobs)
    assert shards[3][100].folder == jobs[703].folder


def test_random_points_lie_in_their_ranges_are_distinct_and_are_named_by_the_seed():
    vary = ["programming.scale=0.01..10", "device.pairs=1..2", "read_noise=per_condition,per_read"]
    found = plan_points(vary, draws=40, presets=[PCM], seed=0)
    assert found == plan_points(vary, draws=40, presets=[PCM], seed=0)
    assert found != plan_points(vary, draws=40, presets=[PCM], seed=1)
    assert len({tuple(point.values()) for point in found}) == 40
    scales = np.array([float(point["programming.scale"]) for point in found])
    assert (scales >= 0.01).all()
    assert (scales <= 10).all()
    assert 8 < (scales < 0.01**0.5 * 10**0.5).sum() < 32  # half of them, on a logarithmic scale
    assert {point["device.pairs"] for point in found} == {"1", "2"}
    assert len(plan_points(["device.pairs=1..2"], draws=9, presets=[PCM], seed=0)) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vary", "programming.scael=1,2"], "did you mean 'programming.scale'"),
        (["--vary", "input_rnage=max"], "did you mean 'input_range'"),
        (["--vary", "seed=1,2"], "seed: neither a number of a preset"),
        (["--vary", "read.scale=1..2"], "needs --random N"),
        (["--vary", "read.scale=1,1"], "a value is given twice"),
        (["--vary", "read.scale"], "expected NAME=VALUE,VALUE"),
        (["--vary", "read.scale=1", "--vary", "read.scale=2"], "given twice; list all values behind one name"),
        (["--vary", "read.scale=x"], "expected a finite number, got 'x'"),
        (["--vary", "device.pairs=0.5,1"], "device.pairs: expected a whole number, got '0.5'"),
        (["--vary", "read_noise=never"], "got 'never'"),
        (["--vary", "read.scale=2..1", "--random", "3"], "expected LOW below HIGH"),
        (["--random", "3"], "--random: has no effect without --vary"),
        (["--vary-list", "no.csv"], "no.csv: cannot be read as CSV"),
        (["--shard", "2/2"], "expected NUMBER/COUNT"),
        (["--shard", "0/2", "--merge"], "exclude each other"),
        (["--merge"], "holds no shards"),
    ],
    ids=str,
)
def test_mistake_is_explained_and_nothing_is_written(here, arguments, words):
    assert words in error("net.safetensors", *OWN, *arguments, "--preset", PCM, "--out", "out")
    assert not Path("out").exists()


def test_merged_shards_give_the_files_of_the_whole_sweep(here):
    grid = ["net.safetensors", *OWN, "--vary", "programming.scale=0,1", "--preset", PCM, "--seeds", "0-2", "--no-html"]
    call(*grid, "--out", "whole")
    call(*grid, "--out", "parts", "--shard", "1/2")
    begun = error(*grid, "--out", "parts", "--merge")
    assert begun.splitlines()[0] == "6 cells: 3 problems"
    assert "no shard has begun it" in begun
    assert [row["run"] for row in rows("parts/failed.csv")] == [
        f"net/{PCM}_programming_scale_{scale}/seed{seed}" for scale, seed in (("0p0", 0), ("0p0", 2), ("1p0", 1))
    ]
    call(*grid, "--out", "parts", "--shard", "0/2")
    call(*grid, "--out", "parts", "--merge")
    assert not Path("parts/failed.csv").exists()
    for name in ("summary.csv", "sweep.sqlite"):
        assert Path("parts", name).read_bytes() == Path("whole", name).read_bytes()
    assert len(list(shard_folder(Path("parts"), 0, 2).glob("*/*/seed*"))) == 3


def test_shard_that_was_stopped_is_not_merged(here):
    grid = ["net.safetensors", *OWN, "--preset", PCM, "--no-html", "--out", "out"]
    call(*grid, "--shard", "0/1")
    with closing(sqlite3.connect(f"out/shards/0of1/net/{PCM}/seed0/results.sqlite")) as database:
        database.execute("DELETE FROM record WHERE instance = 1")
        database.commit()
    assert "not finished: 2 instances asked" in error(*grid, "--merge")
    assert [row["stage"] for row in rows("out/summary.csv")] == ["failed"]
    call(*grid, "--shard", "0/1")
    call(*grid, "--merge")
    assert rows("out/summary.csv")[-1]["chips"] == "2"


def test_page_of_all_runs_is_written_beside_the_tables(here):
    call("net.safetensors", *OWN, "--vary", "programming.scale=0,1", "--preset", PCM, "--out", "out")
    page = Path("out/report.html").read_text()
    assert "scale 0" in page
    assert "scale 1" in page


def test_plan_counts_and_estimates_and_writes_nothing(here):
    text = call(
        "net.safetensors", *OWN, *VARY, "--preset", PCM, "--seeds", "0-4", "--workers", 2, "--plan", "--out", "o"
    )
    assert "20 simulations, 40 evaluations" in text
    assert "of one worker here" in text
    assert "of 2 workers" in text
    assert not Path("o").exists()


def test_log_has_a_line_a_minute_with_the_time_left(capsys, monkeypatch):
    times = iter(range(0, 2000, 25))
    monkeypatch.setattr("analog_samson.cli.progress.monotonic", lambda: next(times))
    line = _Lines(10)
    for _ in range(7):
        line("a/b")
    assert capsys.readouterr().err.splitlines() == [
        "3 of 10 done, about 3 min left (a/b)",
        "6 of 10 done, about 100 s left (a/b)",
    ]
