"""Training in several processes: the same numbers as in one, who writes, what is said, and going on after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed_worker as worker
import pytest
import torch
import torch.distributed as dist
from helpers.trainings import made_set, network, weights_and_history

from analog_samson import rng
from analog_samson.data import augment, choose_normalization
from analog_samson.data.batches import Normalizer
from analog_samson.errors import OptionError, RunError
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.training import TrainingError, TrainOptions, fit, joined_processes
from analog_samson.training.distributed import SINGLE_PROCESS, DistributedContext, Shard
from analog_samson.training.folder import finished_epochs
from analog_samson.training.job import TrainJob, prepare_training

pytestmark = pytest.mark.xdist_group("distributed")  # one worker makes what these tests share
SECONDS = 300  # after which a test gives up on processes that wait for each other; slow machines take over a minute


def torchrun(*arguments: object) -> subprocess.Popen:
    """Two processes on this machine, each started with the arguments."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finished(process: subprocess.Popen) -> tuple[int, str, str]:
    """Exit code, output and error output, once it has ended."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have done all of `worker.work`."""
    folder = tmp_path_factory.mktemp("two")
    worker.run_case("sgd", folder=folder / "one")
    worker.write_images(folder / "images.npz")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "notes.txt").write_text("mine")
    code, _, err = finished(torchrun(worker.__file__, folder))
    assert code == 0, err
    return folder


@pytest.fixture(scope="module")
def found(place: Path) -> list[dict[str, Any]]:
    """What each of the two processes found."""
    return [torch.load(place / f"found {rank}.pt", weights_only=False) for rank in (0, 1)]


def assert_close(one: dict[str, Any], two: dict[str, Any], tolerance: float = 1e-5) -> None:
    for name, tensor in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], tensor, rtol=0, atol=tolerance, msg=name)
    for first, second in zip(one["history"], two["history"], strict=True):
        assert first == pytest.approx(second, rel=1e-4)
    assert two["evaluation"].count == one["evaluation"].count
    assert two["evaluation"].loss == pytest.approx(one["evaluation"].loss, rel=1e-4)


def same_weights(one: dict[str, Any], two: dict[str, Any]) -> bool:
    pairs = zip(one["weights"].values(), two["weights"].values(), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)


# ---- one process and two


@pytest.mark.parametrize("name", worker.SAME)
def test_two_processes_give_the_numbers_of_one(found, name):
    assert_close(worker.run_case(name), found[0][name])


@pytest.mark.parametrize("name", [*worker.CASES, "batch-norm", "written", "one step"])
def test_all_processes_hold_the_same_result(found, name):
    first, second = (process[name] for process in found)
    assert same_weights(first, second)
    assert {key: first[key] for key in ("history", "evaluation", "share")} == {
        key: second[key] for key in ("history", "evaluation", "share")
    }


@pytest.mark.parametrize("name", ["apart", "apart in part"])
def test_climb_of_each_process_is_its_own_unless_asked_for(found, name):
    assert not same_weights(found[0][name], found[0]["samson"])
    alone, apart = worker.run_case(name)["weights"], found[0][name]["weights"]
    assert max((alone[key] - tensor).abs().max() for key, tensor in apart.items()) > 1e-4  # rounding is far below


def test_gradients_are_exchanged_once_a_step_and_twice_for_a_common_climb(found):
    steps, epochs, an_epoch = 9, 3, 2  # an epoch ends with the sums of training and of evaluation
    once, twice = steps + epochs * an_epoch, 2 * steps + epochs * an_epoch
    assert found[0]["exchanges"] == {"sgd": once, "apart": once, "samson": twice}


def test_batchnorm_statistics_are_those_of_the_first_process(found):
    data, reference = made_set(16), network().train()
    normalization, _ = choose_normalization(data_spec="made", channels=1)
    order = torch.randperm(16, generator=rng.generator(0, "shuffle", 0))
    reference(Normalizer(normalization, 1, device="cpu")(data.images[order[0::2]]))
    statistics = {name: buffer for name, buffer in reference.named_buffers() if "running" in name}
    assert statistics
    for name, buffer in statistics.items():
        torch.testing.assert_close(found[0]["one step"]["weights"][name], buffer)


def test_evaluation_of_fewer_images_than_processes(found):
    assert [process["few test images"].count for process in found] == [1, 1]
    assert found[0]["few test images"] == found[1]["few test images"]


@pytest.mark.parametrize("method", ["sam", "asam", "samson"])
def test_common_climb_of_one_process_is_its_own(method):
    worker_options = {"seed": 0, "epochs": 1, "batch_size": 16, "method": method}
    weights = []
    for together in (False, True):
        model = worker.plain_network()
        fit(model, made_set(), made_set(20), TrainOptions(**worker_options, ascent_sync=together))
        weights.append([tensor.clone() for tensor in model.state_dict().values()])
    assert all(map(torch.equal, *weights))


# ---- who writes and speaks


def test_first_process_alone_writes_and_tells_of_progress(place, found):
    names = {path.name for path in (place / "process 0").iterdir()}
    assert names == {".lock", "checkpoint.safetensors", "history.csv", "resume.pt", "train.toml"}
    assert not (place / "process 1").exists()
    assert found[0]["steps told"] == [1, 2, 3] * 3
    assert found[1]["steps told"] == []


def test_files_tell_the_number_of_processes(place):
    training = load_checkpoint(place / "process 0" / "checkpoint.safetensors").metadata["training"]
    assert training["processes"] == 2
    assert "ascent_sync" not in training
    assert load_checkpoint(place / "command" / "checkpoint.safetensors").metadata["training"]["ascent_sync"] is True
    assert "processes" not in load_checkpoint(place / "one" / "checkpoint.safetensors").metadata["training"]


def test_command_prints_in_the_first_process_alone(found):
    code, out, err = found[0]["command"]
    assert code == 0
    assert "2 processes of 1 CPU thread: 32 images a step in 2 parts, each climbs by the whole batch" in out
    assert "test accuracy" in out
    assert err.count("epoch 1/1") == 1
    assert found[1]["command"] == (0, "", "")


@pytest.mark.parametrize(("name", "code", "text"), [("mistyped", 1, "rho: has no effect"), ("usage", 2, "No such opt")])
def test_error_is_printed_once(found, name, code, text):
    assert found[0][name][0] == found[1][name][0] == code
    assert found[0][name][2].count(text) == 1
    assert found[1][name][1:] == ("", "")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("together", "DataError: process 1 of 2: the images are not there"),
        ("other data", "OptionError: the processes of one training have to be given the same: 1 problem\n"),
        ("folder of one", "processes: the run there has 1, this one 2"),
        ("other files", "holds other files (notes.txt) and no train.toml"),
        ("loss", "TrainingError: training diverged at epoch 1, step 3: the loss or the gradient of a process is NaN"),
        ("loss of a climb", "TrainingError: training diverged at epoch 1, step 2: the loss or the gradient"),
        ("unused", "ModelError: spare.weight, spare.bias: not used by the output"),
        ("few images", "batch_size: 16 images a pass for 9 processes; expected at least two for each"),
    ],
)
def test_mistake_is_raised_in_all_processes(found, name, expected):
    first, second = (process["mistakes"][name] for process in found)
    assert expected in first
    assert second == first


def test_mistake_about_other_data_names_what_differs(found):
    assert "train_fingerprint: process 0 has " in found[1]["mistakes"]["other data"]


def test_folder_of_two_processes_is_refused_by_one(place):
    with pytest.raises(RunError, match="processes: the run there has 2, this one 1"):
        worker.run_case("average", folder=place / "process 0")


# ---- stopped and continued


def command(folder: Path, data: Path, epochs: int) -> subprocess.Popen:
    return torchrun("-m", "analog_samson", "train", *worker.command_for(data), "--epochs", epochs, "--out", folder)


def started(folder: Path, data: Path, epochs: int) -> subprocess.Popen:
    """The command in two processes, with the first epochs of that folder finished."""
    process = command(folder, data, epochs)
    give_up = time.monotonic() + SECONDS
    while finished_epochs(folder) < 2 and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.01)
    return process


def process_of_rank(agent: int, rank: int) -> int:
    """The process that torchrun started with that number."""
    for task in Path(f"/proc/{agent}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                return child
    raise AssertionError(f"torchrun has no process of rank {rank}")


def test_killed_process_ends_all_and_the_same_command_continues_bit_for_bit(tmp_path, place):
    process = started(tmp_path / "run", place / "images.npz", worker.EPOCHS)
    os.kill(process_of_rank(process.pid, 1), signal.SIGKILL)
    code, _, err = finished(process)
    assert code != 0
    said = err.count("another process of this training has ended")
    assert said <= 1  # none where torchrun ends the first process before it can say so
    done = finished_epochs(tmp_path / "run")
    assert 2 <= done < worker.EPOCHS
    code, out, err = finished(command(tmp_path / "run", place / "images.npz", worker.EPOCHS))
    assert code == 0, err
    assert f"continued after epoch {done}" in out
    assert weights_and_history(tmp_path / "run") == weights_and_history(place / "whole")


def test_interrupt_is_told_once_and_ends_all(tmp_path):
    worker.write_images(tmp_path / "images.npz")
    process = started(tmp_path / "run", tmp_path / "images.npz", 10**4)
    process.send_signal(signal.SIGINT)
    code, _, err = finished(process)
    assert code != 0
    assert err.count("stopped after epoch") == 1
    assert "the same command resumes" in err
    assert "this is a bug" not in err


# ---- parts


@pytest.mark.parametrize("whole", [8, 13, 128])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_shards_are_the_whole_batch_and_their_weights_its_mean(whole, size):
    values = torch.arange(whole, dtype=torch.float64)
    shards = [DistributedContext(rank=rank, size=size).shard(whole) for rank in range(size)]
    parts = [values[shard.index] for shard in shards]
    assert torch.cat(parts).sort().values.equal(values)
    assert [len(part) for part in parts] == [len(shard) for shard in shards]
    mean = sum(shard.weight * part.mean() for shard, part in zip(shards, parts, strict=True)) / size
    assert mean.item() == pytest.approx(values.mean().item())
    first = [part[: len(shard.first(0.5))] for shard, part in zip(shards, parts, strict=True)]
    assert torch.cat(first).sort().values.equal(values[: max(round(whole / 2), 2 * size)])


def test_batch_too_small_to_divide_is_every_process_s_and_counted_by_the_first():
    worlds = [DistributedContext(rank=rank, size=3) for rank in range(3)]
    assert [context.shard(5) for context in worlds] == [Shard(5)] * 3
    assert [context.counts(context.shard(5)) for context in worlds] == [True, False, False]
    assert [context.counts(context.shard(6)) for context in worlds] == [True, True, True]


@pytest.mark.parametrize("window", [None, (6, 6)])
def test_augmentation_of_a_part_is_that_part_of_the_augmented_batch(window):
    images = made_set(13, channels=3).images

    def changed(part: slice, whole: int | None = None) -> torch.Tensor:
        draws = torch.Generator().manual_seed(3)
        return augment(images[part], generator=draws, window=window, whole=whole, part=part)

    all_of_them = changed(slice(None))
    for part in (slice(0, None, 2), slice(1, None, 2), slice(1, 13, 3)):
        assert torch.equal(changed(part, whole=13), all_of_them[part])


def test_process_without_torchrun_is_alone(monkeypatch):
    monkeypatch.setenv("RANK", "1")  # as some schedulers leave it
    monkeypatch.setenv("WORLD_SIZE", "2")
    with joined_processes() as context:
        assert context == SINGLE_PROCESS
    assert context.threads() is None
    assert not dist.is_initialized()


@pytest.fixture(scope="module")
def left(place: Path) -> list[dict[str, Any]]:
    """What each of the two processes says at its end."""
    return [json.loads((place / f"left {rank}.json").read_text()) for rank in (0, 1)]


def test_threads_of_the_process_group_end_with_it(left):
    for process in left:
        assert process["at the end"] < process["of the group"]  # the profiler of this test leaves one of its own


def test_processes_know_their_place(left):
    worlds = [DistributedContext(**process["context"]) for process in left]
    assert worlds == [DistributedContext(rank=rank, size=2, local_rank=rank, local_size=2) for rank in (0, 1)]
    cores = len(os.sched_getaffinity(0))
    assert [context.threads() for context in worlds] == [max(1, cores // 2)] * 2


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of this process alone, made by the caller."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_group_of_the_caller_is_used_and_left(group):
    with joined_processes() as context:
        assert (context.rank, context.size) == (0, 1)
    assert dist.is_initialized()


def test_end_of_another_process_is_told_and_other_errors_pass(group):
    lost = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1")
    with pytest.raises(TrainingError, match="another process of this training has ended"), joined_processes():
        raise lost
    with pytest.raises(RuntimeError, match="a bug"), joined_processes():
        raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("device", "gpus", "expected"),
    [("cuda:1", 2, "each of 2 processes takes its own GPU; give cuda"), ("cuda", 1, "2 processes, 1 GPUs")],
)
def test_gpu_that_a_process_cannot_have_is_refused(monkeypatch, device, gpus, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    job = TrainJob(data="digits", seed=0, model="digits_cnn", device=device)
    with pytest.raises(OptionError, match=expected):
        prepare_training(job, DistributedContext(rank=1, size=2, local_rank=1, local_size=2))


@pytest.mark.parametrize("method", ["sgd", "rwp"])
def test_common_climb_without_a_climb_is_refused(method):
    with pytest.raises(OptionError, match=f"ascent_sync: has no effect with method {method}"):
        TrainOptions(seed=0, method=method, ascent_sync=True)


def test_part_of_the_batch_has_to_be_enough_for_all_processes():
    with pytest.raises(OptionError, match=r"ascent_fraction: 3\.2 images a pass for 2 processes"):
        fit(
            worker.plain_network(),
            made_set(),
            made_set(),
            TrainOptions(seed=0, batch_size=16, method="sam", ascent_fraction=0.2),
            context=DistributedContext(size=2),
        )
