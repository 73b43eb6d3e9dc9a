"""Grids of independent cells: the same numbers whoever runs them, and mistakes told for all cells."""

import csv
import os
from functools import partial
from pathlib import Path
from statistics import mean, stdev

import pytest
import typer
from commands import error_of, output_of

from analog_samson.cli.sweep import sweep
from analog_samson.errors import DataError, InstallationError, OptionError, RunError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.report.command import make_report
from analog_samson.report.exports import render_csv
from analog_samson.results.store import open_run
from analog_samson.rng import stream
from analog_samson.runtime import workers as module
from analog_samson.runtime.workers import BACKENDS, Pool, run_cells
from analog_samson.simulation.jobs import named_checkpoints
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation

app = typer.Typer()
app.command()(sweep)
CELLS = ["a/ideal/seed0", "a/ideal/seed1", "b/ideal/seed0", "b/ideal/seed1"]
SMALL = ["--data", "digits", "--limit", "40", "--instances", "2", "--times", "1s,1d", "--sigmas", "0.2", "--no-html"]
call = partial(output_of, app)
error = partial(error_of, app)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    for seed, name in enumerate("ab"):
        with stream(seed, "weights"):
            save_checkpoint(folder / f"{name}.safetensors", build_model("digits_cnn"), {"model": "digits_cnn"})
    return sorted(folder.iterdir())


def tables(out: Path) -> dict[str, bytes]:
    """The CSV export of every run folder below `out`."""
    found = {}
    for path in sorted(out.glob("*/*/seed*")):
        with open_run(path) as run:
            found[str(path.relative_to(out))] = render_csv(run.records()).encode()
    return found


GRID = [*SMALL, "--preset", "pcm_nandakumar_2019", "--preset", "ideal", "--seeds", "0-1"]


def test_two_workers_give_the_bytes_of_one(checkpoints, tmp_path):
    grid = [*checkpoints, *GRID, "--threads", 1]
    call(*grid, "--workers", 1, "--out", tmp_path / "one")
    call(*grid, "--workers", 2, "--out", tmp_path / "two")
    one, two = tables(tmp_path / "one"), tables(tmp_path / "two")
    assert set(CELLS) < set(one)
    assert len(one) == 8
    assert one == two
    assert (tmp_path / "one/summary.csv").read_bytes() == (tmp_path / "two/summary.csv").read_bytes()
    noisy = [one[f"a/pcm_nandakumar_2019/seed{seed}"] for seed in (0, 1)]
    assert noisy[0] != noisy[1]


def test_other_threads_change_at_most_the_last_digit_of_the_weight_error(checkpoints, tmp_path):
    """Accuracy and loss must stay equal to the bit; the weight error is a sum in an order that threads divide."""
    for threads in (1, 2):
        call(*checkpoints, *GRID, "--threads", threads, "--out", tmp_path / str(threads))
    for folder in tables(tmp_path / "1"):
        with open_run(tmp_path / "1" / folder) as run, open_run(tmp_path / "2" / folder) as other:
            for first, second in zip(run.records(), other.records(), strict=True):
                if first.metric == "weight_error":
                    assert first.value == pytest.approx(second.value, rel=1e-6)
                else:
                    assert first == second


def test_interrupted_sweep_does_only_what_is_missing(checkpoints, tmp_path):
    grid = [*checkpoints, *SMALL, "--preset", "ideal", "--out", tmp_path]
    call(*grid[1:])  # the second checkpoint alone
    before = tables(tmp_path)
    stamp = (tmp_path / "b/ideal/seed0/run.toml").stat().st_mtime_ns
    text = call(*grid)
    assert "2 simulations, 1 at a time" in text
    assert "1 of 2 were finished already" in text
    assert (tmp_path / "b/ideal/seed0/run.toml").stat().st_mtime_ns == stamp
    assert tables(tmp_path).items() >= before.items()
    assert set(tables(tmp_path)) == {"a/ideal/seed0", "b/ideal/seed0"}
    assert "2 of 2 were finished already" in call(*grid)


def test_sweep_ends_with_the_answer_of_compare_and_without_its_table_for_many(checkpoints, tmp_path):
    few = call(*checkpoints, *SMALL, "--preset", "ideal", "--out", tmp_path / "few")
    folders = sorted((tmp_path / "few").glob("*/*/seed*"))
    said = []
    answer = make_report(folders, "brief", out=None, html=False, say=said.append)
    assert answer in few
    assert "finished already" not in few
    assert few.index(str(folders[-1])) < few.index(answer)
    vary = ["--vary", "programming.scale=0,0.5,1,1.5,2", "--preset", "pcm_nandakumar_2019"]
    many = call(*checkpoints, *SMALL, *vary, "--out", tmp_path / "many")
    folders = sorted((tmp_path / "many").glob("*/*/seed*"))
    assert len(folders) == 10
    assert f"{make_report(folders, 'sentence', out=None, html=False, say=said.append)}\nAll tables:" in many


def fail_on_odd(number: int) -> None:
    if number % 2:
        raise DataError(f"no data for {number}")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_cell_is_tried_and_all_mistakes_are_told(workers):
    done: list[int] = []
    with pytest.raises(RunError) as caught:
        run_cells(fail_on_odd, [2, 3, 4, 5], Pool(workers=workers, cores=2), done=done.append)
    assert str(caught.value).splitlines() == [
        "4 cells: 2 problems",
        "  3: no data for 3",
        "  5: no data for 5",
    ]
    assert sorted(done) == [0, 2]


def crash(number: int) -> None:
    raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("workers", [1, 2])
def test_bug_in_a_cell_is_not_taken_for_a_mistake_of_the_user(workers):
    with pytest.raises(ZeroDivisionError):
        run_cells(crash, [1], Pool(workers=workers, cores=2))


def write_process(path: Path) -> None:
    if not path.parent.is_dir():
        raise DataError("no folder")
    path.write_text(str(os.getpid()))


def report_threads(path: Path) -> None:
    import torch

    path.write_text(str(torch.get_num_threads()))


def test_worker_gets_its_share_of_the_cores(tmp_path):
    paths = [tmp_path / str(place) for place in range(3)]
    run_cells(report_threads, paths, Pool(workers=2, cores=6))
    assert {path.read_text() for path in paths} == {"3"}
    assert Pool(workers=4, cores=2).threads == 1


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_backend_that_is_not_installed_is_explained(backend, monkeypatch):
    def missing(name: str):
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(module.importlib, "import_module", missing)
    with pytest.raises(InstallationError, match=rf"pip install 'analog-samson\[{backend}\]'"):
        run_cells(fail_on_odd, [2], Pool(backend=backend))


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_backend_without_an_address_starts_its_workers_here(backend, tmp_path):
    pytest.importorskip(backend, reason=f"{backend} is an extra")
    paths = [tmp_path / "0", tmp_path / "none" / "1", tmp_path / "2"]
    done: list[int] = []
    with pytest.raises(RunError, match=r"3 cells: 1 problem\n  \S*/1: no folder"):
        run_cells(write_process, paths, Pool(backend=backend, cores=2), done=done.append)
    assert sorted(done) == [0, 2]
    assert {paths[place].read_text() for place in done}.isdisjoint({str(os.getpid())})


@pytest.mark.parametrize(
    ("pool", "in_process", "threads"),
    [
        (Pool(cores=8), True, 8),
        (Pool(workers=4, cores=8), False, 2),
        (Pool(backend="dask", address="tcp://host:1", cores=8), False, 1),
        (Pool(backend="dask", address="tcp://host:1", workers=1, threads_each=3), False, 3),
    ],
    ids=str,
)
def test_pool_without_workers_is_this_process_or_all_of_a_cluster(pool, in_process, threads):
    assert (pool.in_process, pool.threads) == (in_process, threads)


def test_impossible_pools_are_told_at_once():
    with pytest.raises(OptionError) as caught:
        Pool(workers=0, cores=-1, backend="rey", address=None)
    text = str(caught.value)
    assert text.startswith("sweep: 3 problems")
    assert "did you mean 'ray'" in text
    assert set(BACKENDS) == {"loky", "dask", "ray"}
    with pytest.raises(OptionError, match="choose dask or ray"):
        Pool(address="tcp://host:1")


def test_summary_is_the_mean_over_the_chips_of_all_seeds_that_finished(checkpoints, tmp_path):
    wrong = tmp_path / "wrong.safetensors"
    save_checkpoint(wrong, build_model("digits_cnn"), {"model": "no_such_model"})
    out = tmp_path / "out"
    grid = [checkpoints[0], wrong, *SMALL, "--preset", "pcm_nandakumar_2019", "--out", out]
    assert "2 problems" not in error(*grid, "--seeds", "0-2")
    rows = list(csv.DictReader((out / "summary.csv").read_text().splitlines()))
    (last,) = (row for row in rows if row["time_seconds"] == "86400.0")
    values = []
    for seed in range(3):
        with open_run(out / f"a/pcm_nandakumar_2019/seed{seed}") as run:
            found = [r for r in run.records() if r.metric == "accuracy_percent" and r.time_seconds == 86400.0]
            values += [record.value for record in found]
    assert (last["chips"], last["seeds"], last["failed_seeds"], last["coverage"]) == ("6", "3", "", "")
    assert float(last["mean"]) == pytest.approx(mean(values))
    assert float(last["std"]) == pytest.approx(stdev(values))
    assert float(last["low"]) < mean(values) < float(last["high"])
    assert [(row["stage"], row["failed_seeds"]) for row in rows if row["checkpoint"] == "wrong"] == [
        ("failed", "0 1 2")
    ]
    (digital,) = (row for row in rows if row["stage"] == "digital")
    assert (digital["chips"], digital["std"]) == ("1", "")


def test_run_goes_on_however_its_paths_are_written(checkpoints, tmp_path, monkeypatch):
    grid = [*SMALL, "--preset", "ideal", "--out", tmp_path / "out"]
    monkeypatch.chdir(checkpoints[0].parent)
    options = {"data": "digits", "limit": 40, "instances": 2, "times": (1.0, 86400.0), "sigmas": (0.2,), "label": "a"}
    relative = SimulateOptions(checkpoint="a.safetensors", preset="ideal", **options)
    run_simulation(relative, tmp_path / "out/a/ideal/seed0").close()
    call("a.safetensors", *grid)
    with open_run(tmp_path / "out/a/ideal/seed0") as run:
        assert run.options["checkpoint"] == "a.safetensors"


def test_checkpoints_are_named_by_file_folder_or_user():
    named = named_checkpoints(["runs/sgd/training/checkpoint.safetensors", "sam.pt", "best=x/checkpoint.pt"])
    assert list(named) == ["sgd", "sam", "best"]
    with pytest.raises(OptionError, match="both are called sam; give NAME=FILE"):
        named_checkpoints(["a/sam.pt", "b/sam.pt"])
    with pytest.raises(OptionError, match="cannot be the name of a folder"):
        named_checkpoints(["../x=a.pt"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["none.pt", "other.pt"], "sweep: 2 problems"),
        (["--preset", "idael"], "did you mean 'ideal'"),
        (["--preset", "ideal", "--preset", "ideal"], "preset 'ideal': named twice"),
        (["--seeds", "x"], "--seeds: seeds 'x': expected whole numbers or ranges such as 0,1,2 or 0-9,12"),
        (["--seeds", "3-1"], "--seeds: seeds '3-1': the range 3-1 ends before it begins"),
        (["--seeds", "0-4,3"], "--seeds: seeds '0-4,3': seed 3 is named twice"),
        (["--seeds", "0-999999999"], "expected at most 100000 seeds"),
        (["--workers", "0"], "workers: expected at least 1, got 0"),
    ],
    ids=str,
)
def test_mistake_is_explained_and_nothing_is_written(tmp_path, checkpoints, arguments, expected):
    given = arguments if arguments[0].endswith(".pt") else [checkpoints[0], *arguments]
    assert expected in error(*given, "--data", "digits", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
