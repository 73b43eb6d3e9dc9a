"""Several networks as their average: exact where weights are concerned, statistics from images, refusals in words."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from analog_samson import rng
from analog_samson.chip.batchnorm import adapt_batchnorm
from analog_samson.cli.main import main
from analog_samson.data import open_data
from analog_samson.data.batches import Batches
from analog_samson.data.normalization import choose_normalization
from analog_samson.errors import CheckpointError, OptionError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_checkpoint, save_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.training.averaging_run import AverageOptions, average_checkpoints, mean_state

NORM = {"name": "", "mean": [0.3], "std": [0.4]}


@pytest.fixture
def files(tmp_path):
    """Two digits networks with the metadata of a training."""
    paths = []
    for seed in (0, 1):
        with rng.stream(seed, "weights"):
            model = build_model("digits_cnn", num_classes=10, in_channels=1)
        known = {"model": "digits_cnn", "num_classes": 10, "in_channels": 1, "normalization": NORM}
        save_checkpoint(tmp_path / f"{seed}.safetensors", model, known)
        paths.append(str(tmp_path / f"{seed}.safetensors"))
    return tuple(paths)


def test_every_weight_is_the_mean_by_share(files):
    mean = average_checkpoints(AverageOptions(checkpoints=files, shares=(0.25, 0.75), data="digits")).model
    first, second = (load_checkpoint(path).state for path in files)
    for name, parameter in mean.named_parameters():
        expected = 0.25 * first[name].double() + 0.75 * second[name].double()
        assert torch.equal(parameter.detach(), expected.float())


def test_images_that_were_held_out_stay_out_of_the_statistics(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "whole.npz", images=images, labels=np.arange(40) % 10)
    data, paths = f"npz:{tmp_path / 'whole.npz'}", []
    for seed in (0, 1):
        command = ["train", "--model", "digits_cnn", "--data", data, "--epochs", "1", "--batch-size", "8"]
        out = tmp_path / str(seed)
        assert main([*command, "--seed", str(seed), "--holdout", "0.25", "--threads", "1", "--out", str(out)]) == 0
        paths.append(str(out / "checkpoint.safetensors"))
    found = average_checkpoints(AverageOptions(checkpoints=tuple(paths), data=data))
    assert found.metadata["held_out"] == {"images": 40, "share": 0.25}
    assert found.metadata["statistics"]["images"] == 30
    assert found.metadata["statistics"]["fingerprint"] == found.metadata["data_fingerprint"]


def test_tensor_that_all_share_stays_as_it_is():
    mask = torch.tensor([0.1, -torch.inf])
    states = [{"mask": mask.clone(), "w": torch.full((1,), value)} for value in (1.0, 2.0)]
    mean = mean_state(states, (1.5, -0.5), ("a", "b"))
    assert torch.equal(mean["mask"], mask)
    assert mean["w"].item() == 0.5


def test_one_share_of_one_is_that_network(files):
    mean = average_checkpoints(AverageOptions(checkpoints=files, shares=(0.0, 1.0), data="digits")).model
    second = load_checkpoint(files[1]).state
    assert all(torch.equal(parameter.detach(), second[name]) for name, parameter in mean.named_parameters())


def test_statistics_are_those_of_the_mean_weights_on_the_first_images(files):
    found = average_checkpoints(AverageOptions(checkpoints=files, data="digits", limit=100, batch_size=50))
    images = open_data("digits", "train", limit=100)
    normalization, _ = choose_normalization(metadata={"normalization": NORM}, model_name="x", data_spec="digits")
    expected = restore_model(load_checkpoint(files[0]))
    expected.load_state_dict(found.model.state_dict())
    for layer in expected.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
    adapt_batchnorm(expected, Batches(images, normalization, batch_size=50, device="cpu"))
    for name, buffer in found.model.named_buffers():
        if "num_batches" not in name:
            torch.testing.assert_close(buffer, dict(expected.named_buffers())[name])
    told = found.metadata["statistics"]
    assert (told["images"], told["fingerprint"]) == (100, images.fingerprint)


def test_command_writes_a_checkpoint_that_says_what_it_is_made_of(files, tmp_path, capsys):
    command = ["average", "--checkpoint", files[0], "--checkpoint", files[1], "--data", "digits"]
    for name in ("a", "b"):
        assert main([*command, "--shares", "0.4,0.6", "--out", str(tmp_path / name)]) == 0
    written = [(tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("a", "b")]
    assert written[0] == written[1]
    text = capsys.readouterr().out
    assert f"0.4 of {files[0]}" in text
    assert main([*command, "--out", str(tmp_path / "a")]) == 1
    assert "there already; choose another output folder" in capsys.readouterr().err
    assert (tmp_path / "a" / "checkpoint.safetensors").read_bytes() == written[0]
    known = load_checkpoint(tmp_path / "a" / "checkpoint.safetensors").metadata
    assert [(source["file"], source["share"]) for source in known["averaged"]] == [
        ("0.safetensors", 0.4),
        ("1.safetensors", 0.6),
    ]
    assert known["normalization"] == NORM
    again = ["simulate", "--checkpoint", str(tmp_path / "a" / "checkpoint.safetensors"), "--data", "digits"]
    quick = ["--limit", "20", "--instances", "1", "--times", "1s", "--sigmas", "none", "--no-html"]
    assert main([*again, *quick, "--out", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"shares": (0.5, 0.6)}, "shares: expected a sum of 1, got 1.1"),
        ({"shares": (1.0,)}, "shares: expected one for each of 2 checkpoints, got 1"),
        ({"shares": (float("nan"), 1.0)}, "shares: expected a finite number, got nan"),
        ({"checkpoints": ("a",)}, "checkpoints: expected a list of 2 or more"),
        ({"limit": 0}, "limit: expected a whole number of 1 or more, got 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(given, told):
    with pytest.raises(OptionError, match=told):
        AverageOptions(**({"checkpoints": ("a", "b")} | given))


def test_batch_norm_without_images_is_refused(files):
    with pytest.raises(OptionError, match="has batch norm; name its training images with --data"):
        average_checkpoints(AverageOptions(checkpoints=files))


def test_networks_of_different_normalizations_are_refused(files, tmp_path):
    other = tmp_path / "other.safetensors"
    stored = load_checkpoint(files[1])
    save_checkpoint(other, stored.state, stored.metadata | {"normalization": NORM | {"mean": [0.1]}})
    with pytest.raises(CheckpointError, match="trained with different normalizations"):
        average_checkpoints(AverageOptions(checkpoints=(files[0], str(other)), data="digits"))


def test_network_without_batch_norm_keeps_its_normalization_and_needs_no_images(tmp_path):
    paths = []
    for seed, norm in ((0, NORM), (1, NORM), (2, NORM | {"mean": [0.1]}), (3, None)):
        with rng.stream(seed, "weights"):
            model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        paths.append(str(tmp_path / f"{seed}.safetensors"))
        save_checkpoint(Path(paths[-1]), model, {"model": "test_averaging:flat", "normalization": norm})

    def average(*chosen, **options):
        checkpoints = tuple(paths[i] for i in chosen)
        return average_checkpoints(AverageOptions(checkpoints=checkpoints, model="test_averaging:flat", **options))

    assert average(0, 1).metadata["normalization"] == NORM
    assert average(3, 1).metadata["normalization"] == NORM
    assert average(3, 3, normalization="half").metadata["normalization"]["mean"] == [0.5]
    assert average(3, 3).metadata["normalization"] is None
    with pytest.raises(CheckpointError, match="trained with different normalizations"):
        average(0, 2)


def flat(num_classes=10, in_channels=1):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))


def test_checkpoints_of_different_networks_are_refused_with_every_reason():
    states = [{"a": torch.zeros(2), "b": torch.zeros(1)}, {"a": torch.zeros(3), "c": torch.zeros(1)}]
    with pytest.raises(CheckpointError) as raised:
        mean_state(states, [0.5, 0.5], ["x", "y"])
    assert str(raised.value).splitlines()[1:] == [
        "  y: a is (3,), in x it is (2,)",
        "  y: b is missing, in x it is (1,)",
        "  y: c is (1,), in x it is missing",
    ]


def test_command_when_shares_are_no_numbers_says_so(files, capsys):
    assert main(["average", "--checkpoint", files[0], "--checkpoint", files[1], "--shares", "half"]) == 1
    assert "--shares: expected numbers such as 0.3,0.7, got 'half'" in capsys.readouterr().err
