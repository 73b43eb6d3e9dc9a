"""Images that a training held out of undivided data are what its network is tested on."""

from pathlib import Path

import numpy as np
import pytest
from small import SMALL

from analog_samson.data import open_data
from analog_samson.data.held_out import find_held_out
from analog_samson.errors import DataError
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.simulation.inputs import load_inputs
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.training.averaging_run import AverageOptions, average_checkpoints, write_average
from analog_samson.training.job import TrainJob, prepare_training


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Images without any sense: what is right on those of the training was learnt by heart."""
    draws = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", images=draws.integers(0, 256, (200, 4, 4), np.uint8), labels=np.arange(200) % 3)
    return tmp_path / "noise.npz"


def trained(folder: Path, data: Path, **job) -> tuple[float, SimulateOptions]:
    """The test accuracy of a training, and the options that simulate its checkpoint on the same data."""
    options = {"epochs": 30, "batch_size": 20, "learning_rate": 0.1, "method": "sgd"}
    made = prepare_training(TrainJob(data=f"npz:{data}", seed=0, model=SMALL["model"], **options, **job))
    made.run(folder)
    checkpoint = folder / "checkpoint.safetensors"
    simulate = SimulateOptions(
        checkpoint=str(checkpoint),
        model=SMALL["model"],
        data=f"npz:{data}",
        preset="ideal",
        times=(1.0,),
        sigmas=(),
        instances=1,
        calibrate=("adabs",),
    )
    return load_checkpoint(checkpoint).metadata["accuracy_percent"], simulate


@pytest.mark.parametrize("job", [{}, {"holdout": 0.3}, {"holdout": 0.5, "limit": 100}], ids=str)
def test_network_is_tested_on_what_its_training_held_out(job, noise, tmp_path):
    accuracy, options = trained(tmp_path / "t", noise, **job)
    with run_simulation(options, tmp_path / "run") as run:
        digital = next(r.value for r in run.records() if r.stage == "digital" and r.metric == "accuracy_percent")
        assert run.meta("data")["name"] == "npz:noise.npz, held out of training"
    assert digital == pytest.approx(accuracy)
    inputs = load_inputs(options)
    metadata = inputs.checkpoint.metadata
    assert len(inputs.images) == round(job.get("holdout", 0.1) * job.get("limit", 200))
    test, rest = find_held_out(options.data, metadata)
    assert rest.fingerprint == metadata["data_fingerprint"]
    assert test.fingerprint == inputs.images.fingerprint
    assert len(load_inputs(options.replace(limit=5)).images) == 5


def test_other_images_are_taken_whole(noise, tmp_path):
    _, options = trained(tmp_path / "t", noise)
    with np.load(noise) as file:
        np.savez(tmp_path / "other.npz", images=file["images"][::-1], labels=file["labels"][::-1])
        np.savez(tmp_path / "few.npz", images=file["images"][:20], labels=file["labels"][:20])
    metadata = load_checkpoint(options.checkpoint).metadata
    for name in ("other", "few"):
        assert find_held_out(f"npz:{tmp_path / name}.npz", metadata) is None
    inputs = load_inputs(options.replace(data=f"npz:{tmp_path / 'other.npz'}", calibrate=()))
    assert (len(inputs.images), inputs.images.name) == (200, "npz:other.npz")


def test_average_is_tested_on_what_all_its_parts_held_out(noise, tmp_path):
    folders = [tmp_path / name for name in ("a", "b", "c")]
    options = [trained(folder, noise, holdout=share)[1] for folder, share in zip(folders, (0.2, 0.2, 0.3), strict=True)]
    for parts, tested in ((options[:2], 40), (options[1:], 200)):
        checkpoints = tuple(part.checkpoint for part in parts)
        average = AverageOptions(checkpoints=checkpoints, model=SMALL["model"], data=options[0].data)
        path = write_average(average_checkpoints(average), tmp_path / str(tested))
        assert len(load_inputs(options[0].replace(checkpoint=str(path), calibrate=())).images) == tested


def test_training_with_test_images_of_its_own_holds_nothing_out(noise, tmp_path):
    _, options = trained(tmp_path / "t", noise, test_data=f"npz:{noise}")
    assert "held_out" not in load_checkpoint(options.checkpoint).metadata
    with pytest.raises(DataError, match="would come out too good"):
        load_inputs(options)
    assert len(load_inputs(options.replace(calibrate=())).images) == len(open_data(options.data, "test"))
