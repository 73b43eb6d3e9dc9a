"""Mistakes on the command line that have to end in one message, with exit code 1 and nothing lost."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import seeded
from PIL import Image
from small import SMALL, Small

from analog_samson.cli.main import main
from analog_samson.data import ImageSet, image_set, open_data
from analog_samson.errors import DataError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.presets import load_preset, parse_preset
from analog_samson.presets.schema import Preset

QUICK = ["--instances", "1", "--times", "1s", "--sigmas", "none", "--threads", "1", "--no-html"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A working directory with a checkpoint, data for it, and a run."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "net.safetensors", seeded(Small), SMALL)
    draw = np.random.default_rng(0)
    for name, side in (("data", 4), ("large", 9)):
        images = draw.integers(0, 256, (30, side, side), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=images, labels=np.arange(30) % 3)
    arrays = {"train_images": images, "train_labels": np.arange(30) % 3}
    np.savez(tmp_path / "lacking.npz", **arrays, test_images=images, test_labels=np.arange(30) % 2)
    assert main([*SIMULATE, "--data", "npz:data.npz", *QUICK, "--out", "run"]) == 0
    return tmp_path


TWO = ["--preset", "pcm_nandakumar_2019", "--preset", "ideal"]
SIMULATE = ["simulate", "--checkpoint", "net.safetensors", "--model", SMALL["model"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["simulate", "--config", "run/run.toml", "--model", SMALL["model"], "--seed", "9", "--limit", "3"],
            "simulate: --limit, --seed beside --config",
        ),
        (
            [*SIMULATE, "--data", "npz:data.npz", "--max-instances", "3"],
            "--max-instances: has no effect without --target-halfwidth",
        ),
        (
            [*SIMULATE, "--data", "npz:data.npz", "--calibration-data", "npz:large.npz"],
            "--calibration-data: nothing to calibrate on pcm_nandakumar_2019; give --calibrate adabs too",
        ),
        (
            [*SIMULATE, "--data", "npz:data.npz", "--calibration-limit", "5", "--plain-calibration"],
            "--calibration-limit, --plain-calibration: nothing to calibrate on pcm_nandakumar_2019",
        ),
        (
            ["compare", *SIMULATE[1:], *TWO, "--data", "npz:data.npz", "--calibration-limit", "5"],
            "--calibration-limit: nothing to calibrate on pcm_nandakumar_2019",
        ),
        (
            ["compare", *SIMULATE[1:], *TWO, "--data", "npz:data.npz", "--calibration-data", "npz:large.npz"],
            "--calibration-data: nothing to calibrate on pcm_nandakumar_2019",
        ),
        (
            ["sweep", "a=net.safetensors", "--data", "npz:data.npz", "--calibration-data", "npz:large.npz"],
            "--calibration-data: nothing to calibrate on pcm_nandakumar_2019",
        ),
        *(
            (
                [*command, "--data", "npz:data.npz", "--input-range", "std"],
                "--input-range: has no effect on pcm_nandakumar_2019",
            )
            for command in (SIMULATE, ["compare", *SIMULATE[1:], *TWO], ["sweep", "a=net.safetensors"])
        ),
        (
            [*SIMULATE, "--data", "npz:data.npz", "--preset", "pcm_rasch_2023", "--input-range", "largest"],
            "--input-range: expected one of output_error, max, percentile[:99.9], std, learned, got 'largest'",
        ),
        ([*SIMULATE, "--data", "npz:large.npz", *QUICK], "the network cannot run on inputs of 1 x 9 x 9: "),
        (["train", "--model", "digits_cnn", "--data", "digits", "--epochs", "1", "--noise", "x"], "ratio 'x'"),
        (["compare", "run", "--times", "1y", "--seed", "9", "--adabs"], "run folders and --times, --seed, --calibrate"),
        (
            ["train", "--model", "digits_cnn", "--data", "npz:lacking.npz", "--epochs", "1"],
            "npz:lacking.npz has 3 classes, test data npz:lacking.npz has 2; use two parts of one dataset, "
            "and state the number of classes if one lacks some (npz:FILE,classes=N)",
        ),
        (["convert", "--model", "digits_cnn", "--input-shape", "8,8"], "cannot run on one sample of shape (8, 8)"),
        ([*SIMULATE, "--data", "npz:data.npz", "--label", "a\nb"], "label: expected one line of text, got 'a\\nb'"),
        ([*SIMULATE, "--data", "npz:data.npz", "--label", "a\udcff"], "label: expected one line of text, got"),
        (
            [*SIMULATE, "--data", "npz:data.npz", "--target-halfwidth", "1e-200"],
            "target-halfwidth: expected a finite number of 0.0001 or more, in percentage points, got '1e-200'",
        ),
        (
            [*SIMULATE, "--data", "npz:data.npz", "--images", "adaptive"],
            "images adaptive: expected 200 test samples or more, got 30; leave it out",
        ),
        (
            [*SIMULATE, "--data", "npz:data.npz", "--images", "some"],
            "--images: expected one of all, adaptive, got 'some'",
        ),
        (["report", "a" * 300], "File name too long"),
        (["simulate", "--checkpoint", "a" * 300, "--data", "npz:data.npz"], "File name too long"),
        (["report", "run", "--format", "csv", "--threshold", "50"], "--threshold: raw values as csv have none"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_mistake_is_told_in_one_message(files, capsys, arguments, words):
    capsys.readouterr()
    out = ["--out", "new"] if arguments[0] in ("simulate", "train", "compare", "sweep") else []
    assert main([*arguments, *out]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert words in told
    assert not (files / "new").exists()


def test_other_device_options_may_stand_beside_config_and_auto_is_one(files):
    again = [
        "simulate",
        "--config",
        "run/run.toml",
        "--model",
        SMALL["model"],
        "--threads",
        "1",
        "--device",
        "cpu",
        "--no-html",
    ]
    assert main([*again, "--out", "again"]) == 0
    assert main([*SIMULATE, "--data", "npz:data.npz", "--device", "auto", *QUICK, "--out", "auto"]) == 0


def test_run_is_not_repeated_with_files_that_have_changed(files, capsys):
    save_checkpoint(files / "net.safetensors", seeded(Small, 1), SMALL)
    again = [
        "simulate",
        "--config",
        "run/run.toml",
        "--model",
        SMALL["model"],
        "--threads",
        "1",
        "--no-html",
        "--out",
        "again",
    ]
    capsys.readouterr()
    assert main(again) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-3] == "error: run/run.toml: its run was of other contents and would not be repeated: 1 problem"
    assert told[-2].startswith("  checkpoint: the run there has ")
    assert told[-1] == "  put them back to repeat it, or copy run/run.toml elsewhere to take only the options"
    assert not (files / "again").exists()
    (files / "alone").mkdir()
    (files / "alone" / "run.toml").write_bytes((files / "run" / "run.toml").read_bytes())
    again[2] = "alone/run.toml"
    assert main(again) == 0


def test_run_with_damaged_facts_is_told_in_one_message(files, capsys):
    with closing(sqlite3.connect(files / "run" / "results.sqlite")) as connection, connection:
        connection.execute("UPDATE meta SET value = '{' WHERE key = 'data'")
    capsys.readouterr()
    assert main(["report", "run", "--no-html"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: run/results.sqlite: damaged")
    assert "\n  data: " in told
    assert "simulate again" in told


def test_output_on_a_full_disk_is_told_in_one_message():
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "analog_samson", "presets", "list"]
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (found.returncode, found.stderr) == (1, "error: the output: No space left on device\n")


def test_run_whose_values_cannot_be_read_is_not_repeated_unseen(files, capsys):
    (files / "run" / "results.sqlite").write_bytes(b"")
    capsys.readouterr()
    assert main(["simulate", "--config", "run/run.toml", "--model", SMALL["model"], "--no-html", "--out", "again"]) == 1
    told = capsys.readouterr().err
    assert "not a results file of analog-samson" in told
    assert "copy run/run.toml elsewhere to take only the options" in told
    assert not (files / "again").exists()


def test_simulate_says_how_it_normalized_and_who_decided_it(files, capsys):
    capsys.readouterr()
    assert main([*SIMULATE, "--data", "npz:data.npz", *QUICK, "--normalization", "half", "--out", "half"]) == 0
    assert "normalization half: mean 0.5, std 0.5 (given)\n" in capsys.readouterr().err
    assert main(["report", "half", "--out", "half.html"]) == 0
    assert "half: mean 0.5, std 0.5 (given)" in (files / "half.html").read_text()


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_images_of_more_than_eight_bits_are_refused_and_not_turned_white(tmp_path, mode):
    (tmp_path / "a").mkdir()
    array = np.arange(64).reshape(8, 8) * 1000
    Image.fromarray(array.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode])).save(
        tmp_path / "a" / "x.tif"
    )
    with pytest.raises(DataError, match=r"x\.tif: more than 8 bits a channel"):
        open_data(f"folder:{tmp_path}", "test")


def test_class_that_training_never_sees_is_refused(tmp_path):
    for part, name in (("train", "n01"), ("train", "n02"), ("val", "images")):
        (tmp_path / part / name).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / part / name / "x.png")
    assert open_data(f"folder:{tmp_path}", "train").num_classes == 3
    with pytest.raises(DataError, match=r"val: images: no such class in .*train"):
        open_data(f"folder:{tmp_path}", "test")


def test_number_of_classes_is_a_plain_whole_number():
    images = np.zeros((4, 2, 2), np.uint8)

    def made(classes: object) -> ImageSet:
        return image_set(images, np.arange(4), name="x", where="here", num_classes=classes)

    assert json.dumps(made(np.int64(4)).num_classes) == "4"
    assert made(np.int64(4)).fingerprint == made(4).fingerprint == made(torch.tensor(4)).fingerprint
    for wrong in (4.0, "4"):
        with pytest.raises(DataError, match="here: expected arrays of numbers and a whole number of classes"):
            made(wrong)
    with pytest.raises(DataError, match="here: expected arrays of numbers"):
        image_set([[1, 2], [3]], [0, 1], name="x", where="here")


@pytest.mark.parametrize(
    ("name", "section", "low", "high"),
    [
        ("pcm_hermes_2023_one_device", "drift", "nu_mean_log_min", "nu_mean_log_max"),
        ("pcm_hermes_2023_one_device", "drift", "nu_std_log_min", "nu_std_log_max"),
        ("pcm_hermes_2023_one_device", "read", "q_log_min", "q_log_max"),
    ],
)
def test_bounds_that_contradict_each_other_are_refused(name, section, low, high):
    mapping = load_preset(name).model_dump(mode="json")
    assert isinstance(parse_preset(mapping, "mine"), Preset)
    mapping[section][low] = mapping[section][high] + 0.1
    with pytest.raises(Exception, match=f"{section}.{low}: expected at most {high}"):
        parse_preset(mapping, "mine")


def test_number_too_long_to_read_in_a_preset_is_a_message(files, capsys):
    (files / "big.toml").write_text("schema = 1" + "0" * 5000)
    assert main(["presets", "check", "big.toml"]) == 1
    assert "big.toml: not valid TOML" in capsys.readouterr().err
