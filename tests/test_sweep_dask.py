"""A sweep on a Dask cluster: two workers that were started in other folders than the command."""

import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import typer
from commands import error_of, output_of

from analog_samson.cli.sweep import sweep
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.report.exports import render_csv
from analog_samson.results.lock import LOCK_NAME
from analog_samson.results.store import open_run
from analog_samson.runtime import workers as module

distributed = pytest.importorskip("distributed", reason="dask is an extra")
app = typer.Typer()
app.command()(sweep)
call, error = partial(output_of, app), partial(error_of, app)
PATIENCE = 120  # seconds; far beyond what anything here takes on a busy machine
GRID = ["net.safetensors", "--data", "npz:data.npz", "--preset", "mine.toml", "--times", "1s", "--instances", "2"]
GRID += ["--no-html"]


def start_worker(address: str, folder: Path) -> subprocess.Popen:
    start = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny"]
    start += ["--nthreads", "1", "--no-dashboard"]
    return subprocess.Popen(start, cwd=folder, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a scheduler, and the process ids of its workers."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    with distributed.LocalCluster(
        n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as local:
        processes = [start_worker(local.scheduler_address, folder) for folder in folders]
        try:
            end = time.monotonic() + PATIENCE
            while len(local.scheduler.workers) < len(processes):
                assert time.monotonic() < end, "no workers"
                time.sleep(0.05)
            yield local.scheduler_address, {process.pid for process in processes}
        finally:
            for process in processes:
                process.kill()
                process.wait()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The current folder, with everything that GRID names."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint("net.safetensors", build_model("digits_cnn"), {"model": "digits_cnn"})
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    np.savez("data.npz", images=pixels, labels=np.arange(20) % 10)
    preset = Path(__file__).parents[1] / "hw_presets/pcm_nandakumar_2019.toml"
    Path("mine.toml").write_text(preset.read_text().replace('name = "pcm_nandakumar_2019"', 'name = "mine"'))
    return tmp_path


def exported(out: str) -> dict[str, str]:
    found = {}
    for path in sorted(Path(out).glob("net/mine/seed*")):
        with open_run(path) as run:
            found[path.name] = render_csv(run.records())
    return found


def test_two_workers_in_other_folders_do_the_work_and_give_the_files_of_loky(cluster, folder):
    address, pids = cluster
    call(*GRID, "--seeds", "0-3", "--threads", 1, "--workers", 2, "--out", "here")
    text = call(*GRID, "--seeds", "0-3", "--backend", "dask", "--address", address, "--out", "there")
    assert f"4 simulations, as many at a time as the cluster takes on {address}" in text
    assert len(exported("there")) == 4
    assert exported("there") == exported("here")
    for name in ("summary.csv", "sweep.sqlite"):
        assert Path("there", name).read_bytes() == Path("here", name).read_bytes()
    assert {int(lock.read_text()) for lock in Path("there").glob(f"*/*/*/{LOCK_NAME}")} <= pids


def test_trainings_on_workers_in_other_folders_give_the_networks_of_this_process(cluster, folder):
    Path("own.toml").write_text('model = "digits_cnn"\nepochs = 1\nbatch_size = 10\naugment = false\n')
    grid = [word.replace("net.safetensors", "own.toml") for word in GRID] + ["--vary", "training.rho=0.1,0.2"]
    call(*grid, "--threads", 1, "--out", "here")
    call(*grid, "--backend", "dask", "--address", cluster[0], "--out", "there")
    names = [f"own-training.rho={rho}" for rho in (0.1, 0.2)]
    for name in names:
        here, there = (Path(out, "trainings", name, "checkpoint.safetensors") for out in ("here", "there"))
        assert here.read_bytes() == there.read_bytes()
        assert int(there.with_name(LOCK_NAME).read_text()) in cluster[1]
        with open_run(f"here/{name}/mine/seed0") as first, open_run(f"there/{name}/mine/seed0") as second:
            assert render_csv(first.records()) == render_csv(second.records())


def test_worker_that_does_not_see_a_file_says_which_and_where(cluster, folder):
    """/proc/self/cwd is another folder for every process."""
    command = [*GRID, "--backend", "dask", "--address", cluster[0], "--workers", 1]
    for arguments, path in (
        (["--data", "npz:/proc/self/cwd/data.npz", "--out", "out"], "/proc/self/cwd/data.npz"),
        (["--out", "/proc/self/cwd/far"], "/proc/self/cwd/far"),
    ):
        message = error(*command, *arguments)
        assert f"the worker on {socket.gethostname()} does not see {path}; " in message
    assert Path("out/summary.csv").read_text().splitlines()[1:] == ["net,mine,failed,,,,,,,,,,,,0"]
    assert not Path("out/net").exists()


def test_runs_that_are_sent_need_no_folder_that_workers_see_and_are_continued(cluster, folder):
    """The output folder is /proc/self/cwd/far, another one for every process."""
    call(*GRID, "--seeds", "0-1", "--threads", 1, "--out", "here")
    sent = [*GRID, "--backend", "dask", "--address", cluster[0], "--send-runs", "--out", "/proc/self/cwd/far"]
    call(*sent, "--seeds", "0")
    before = (folder / "far/net/mine/seed0/run.toml").stat().st_mtime_ns
    call(*sent, "--seeds", "0-1")
    assert exported("far") == exported("here")
    assert Path("far/sweep.sqlite").read_bytes() == Path("here/sweep.sqlite").read_bytes()
    assert (folder / "far/net/mine/seed0/run.toml").stat().st_mtime_ns > before  # it came back
    other = error(*[word if word != "2" else "3" for word in sent], "--seeds", "0")
    assert "holds another run: 1 problem" in other
    assert "instances: the run there has 2, this one 3" in other
    assert exported("far") == exported("here")


def test_simulation_of_a_worker_that_is_killed_midway_is_done_by_another(cluster, folder):
    long = [word if word != "2" else "12" for word in GRID]
    call(*long, "--seeds", "0-5", "--threads", 1, "--out", "here")
    doomed = start_worker(cluster[0], folder)
    with distributed.Client(cluster[0]) as client:
        client.wait_for_workers(3, timeout=PATIENCE)
    began = []

    def kill_when_it_writes() -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and doomed.poll() is None:
            locks = [lock.read_text().strip() for lock in Path("there").glob(f"*/*/*/{LOCK_NAME}")]
            if str(doomed.pid) in locks:
                began.append(doomed.pid)
                doomed.kill()
            time.sleep(0.01)

    killer = threading.Thread(target=kill_when_it_writes)
    killer.start()
    try:
        call(*long, "--seeds", "0-5", "--backend", "dask", "--address", cluster[0], "--out", "there")
    finally:
        doomed.kill()
        doomed.wait()
        killer.join()
    assert began
    assert exported("there") == exported("here")
    assert Path("there/sweep.sqlite").read_bytes() == Path("here/sweep.sqlite").read_bytes()


@pytest.mark.parametrize("listens", [False, True], ids=["nothing", "something else"])
def test_address_without_a_scheduler_is_one_sentence_within_seconds(folder, monkeypatch, listens):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listens:
            other.listen()
        address = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        begun = time.monotonic()
        message = error(*GRID, "--backend", "dask", "--address", address, "--out", "out")
    assert time.monotonic() - begun < 5
    assert message.startswith(f"--address {address}: no Dask scheduler answers there")
    assert "\n" not in message
    assert not Path("out").exists()
