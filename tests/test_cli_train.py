"""`analog-samson train`, called as the command line calls it."""

import csv
import os
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from commands import error_of, output_of
from typer.testing import CliRunner

from analog_samson.cli.helping import HelpfulCommand
from analog_samson.cli.train import train
from analog_samson.cli.train_progress import epoch_line
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.results.metric import ACCURACY
from analog_samson.sharpness.methods import METHODS
from analog_samson.training import EpochRecord, TrainOptions

app = typer.Typer()
app.command(cls=HelpfulCommand)(train)
SHORT = ["--model", "digits_cnn", "--limit", "96", "--epochs", "2"]
call = partial(output_of, app)
error = partial(error_of, app)


def help_text() -> str:
    result = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).invoke(app, ["--help"])
    return re.sub(r"[\s│]+", " ", result.output)


def test_help_shows_defaults_an_example_and_every_option():
    text = help_text()
    assert "analog-samson train --model digits_cnn --data digits --method samson" in text
    assert "(sam, rwp: in units of the weights). [default: sam 0.05, asam and samson 0.5, rwp by --sigma]" in text
    assert "[default: by data: digits 30; from scratch 200; from a checkpoint 10; hf: 3]" in text
    assert "--augment Random crops and flips (colour images only). [default: on] --no-augment" in text
    for name in set(TrainOptions.model_fields) - {"perturbation"}:
        option = {"learning_rate": "lr"}.get(name, name)
        assert f"--{option.replace('_', '-')}" in text


def test_stated_defaults_are_those_of_the_recipes():
    from analog_samson.training.recipes import DIGITS, FINE_TUNING, FROM_SCRATCH

    text = help_text()
    for field in ("epochs", "batch_size", "learning_rate", "schedule"):
        values = [recipe.options[field] for recipe in (DIGITS, FROM_SCRATCH, FINE_TUNING)]
        assert "by data: digits {}; from scratch {}; from a checkpoint {}".format(*values) in text


def test_defaults_train_digits_and_leave_a_usable_checkpoint(tmp_path):
    text = call("--model", "digits_cnn", "--data", "digits", "--method", "samson", "--out", tmp_path / "run")
    accuracy = float(re.search(r"test accuracy ([\d.]+) % of 500 images", text)[1])
    assert accuracy >= 97.5
    metadata = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").metadata
    assert metadata["accuracy_percent"] == pytest.approx(accuracy, abs=0.005)
    assert (metadata["model"], metadata["data"]) == ("digits_cnn", "digits")


def test_everything_decided_for_the_user_is_printed(tmp_path):
    text = call(*SHORT, "--out", tmp_path / "run")
    assert "digits_cnn: 15,418 parameters, 96 training images of digits, 10 classes" in text
    assert "tested on the test part of digits" in text
    assert "normalization digits: mean 0.3052, std 0.3761 (usual for the data digits)" in text
    assert "recipe: digits, seconds on one core" in text
    assert "method samson, rho 0.5, p inf, eta 0.01, selection weights_only" in text
    assert "epoch 2/2  train " in text
    assert "first step, share of ||eps||^2: crossbar weight 100.0 %" in text
    assert f"checkpoint: {tmp_path / 'run' / 'checkpoint.safetensors'}" in text


def test_same_command_again_finishes_without_training(tmp_path):
    call(*SHORT, "--out", tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    text = call(*SHORT, "--out", tmp_path / "run")
    assert "the training in that folder was continued after epoch 2" in text
    assert "epoch 1/2" not in text
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == before


def test_other_command_in_the_folder_is_refused_with_what_differs(tmp_path):
    call(*SHORT, "--out", tmp_path / "run")
    text = error(*SHORT, "--rho", "0.1", "--seed", "3", "--out", tmp_path / "run")
    assert "rho: the run there has 0.5, this one 0.1" in text
    assert "seed: the run there has 0, this one 3" in text


def test_interrupted_command_says_what_is_kept_and_resumes(tmp_path, monkeypatch):
    from analog_samson.training import fit
    from analog_samson.training.records import TrainProgress

    def interrupted(*arguments, progress, **options):
        def stop(now: TrainProgress) -> None:
            progress(now)
            if (now.epoch, now.step) == (2, 1):
                raise KeyboardInterrupt

        return fit(*arguments, progress=stop, **options)

    monkeypatch.setattr("analog_samson.training.job.fit", interrupted)
    text = CliRunner().invoke(app, [*SHORT, "--out", str(tmp_path / "run")]).output
    assert f"stopped after epoch 1 of 2, which is kept in {tmp_path / 'run'}; the same command resumes" in text
    monkeypatch.undo()
    assert "continued after epoch 1" in call(*SHORT, "--out", tmp_path / "run")
    call(*SHORT, "--out", tmp_path / "whole")
    files = [(tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("run", "whole")]
    assert files[0] == files[1]


def test_options_of_the_command_reach_the_training(tmp_path):
    call(
        *SHORT,
        *("--method", "samson", "--rho", "0.3", "--p", "2", "--eta", "0", "--selection", "paper", "--clip-std", "2"),
        *("--noise", "0.94/25", "--batch-size", "32", "--lr", "0.02", "--schedule", "step", "--step-epochs", "1"),
        *("--step-factor", "0.5", "--momentum", "0.8", "--nesterov", "--weight-decay", "0", "--label-smoothing", "0.1"),
        *("--no-augment", "--seed", "7", "--normalization", "unit", "--bf16", "--channels-last", "--threads", "1"),
        *("--warmup-epochs", "0.5", "--out", tmp_path / "run"),
    )
    training = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").metadata["training"]
    assert training == {
        "seed": 7,
        "epochs": 2,
        "batch_size": 32,
        "learning_rate": 0.02,
        "momentum": 0.8,
        "nesterov": True,
        "weight_decay": 0.0,
        "schedule": "step",
        "warmup_epochs": 0.5,
        "step_epochs": 1,
        "step_factor": 0.5,
        "method": "samson",
        "rho": 0.3,
        "p": 2.0,
        "eta": 0.0,
        "selection": "paper",
        "ascent_every": 1,
        "ascent_fraction": 1.0,
        "clip_std": 2.0,
        "noise": pytest.approx(0.0376),
        "label_smoothing": 0.1,
        "augment": False,
        "normalization": "unit",
        "bf16": True,
        "channels_last": True,
    }


def test_ingredients_of_the_command_reach_the_training(tmp_path):
    call(*SHORT, "--method", "sgd", "--seed", "1", "--out", tmp_path / "teacher")
    text = call(
        *SHORT,
        *("--method", "samson", "--ramp-epochs", "1.5", "--ascent-every", "2", "--ascent-fraction", "0.5"),
        *(
            "--noise-preset",
            "pcm_nandakumar_2019",
            "--noise-time",
            "1h",
            "--ema-decay",
            "0.9",
            "--distill-weight",
            "0.3",
        ),
        *("--distill", tmp_path / "teacher" / "checkpoint.safetensors", "--out", tmp_path / "run"),
    )
    assert {"noise_preset pcm_nandakumar_2019", "noise_time 3600", "ema_decay 0.9"} <= set(re.split(", |\n", text))
    assert "sha256" not in text
    assert "teacher: digits_cnn of checkpoint.safetensors" in text
    metadata = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").metadata
    assert (
        metadata["training"].items()
        >= {
            "ramp_epochs": 1.5,
            "ascent_every": 2,
            "ascent_fraction": 0.5,
            "noise_preset": "pcm_nandakumar_2019",
            "noise_time": 3600.0,
            "ema_decay": 0.9,
            "distill_weight": 0.3,
            "distill_temperature": 4.0,
        }.items()
    )
    assert metadata["distilled_from"]["file"] == "checkpoint.safetensors"


def test_relative_noise_is_an_option_of_the_command(tmp_path):
    text = call(*SHORT, "--method", "sgd", "--noise-sigma-c", "0.2", "--out", tmp_path / "run")
    assert "noise_sigma_c 0.2" in text
    assert load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").metadata["training"]["noise_sigma_c"] == 0.2


def test_random_weight_perturbation_is_a_method_of_the_command(tmp_path):
    text = call(*SHORT, "--method", "rwp", "--sigma", "0.02", "--perturbed-share", "0.5", "--out", tmp_path / "run")
    assert "method rwp, selection weights_only, sigma 0.02, perturbed_share 0.5" in text
    assert "share of ||eps||" not in text


def write_npz(path: Path, count: int, *, classes: int = 4, channels: int = 3, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, channels), dtype=np.uint8)
    np.savez(path, images=pixels, labels=np.arange(count) % classes)
    return path


def test_data_with_one_part_is_tested_on_held_out_images(tmp_path):
    data = write_npz(tmp_path / "set.npz", 80)
    base = ["--model", "resnet20", "--data", f"npz:{data}", "--epochs", "1"]
    text = call(*base, "--out", tmp_path / "a")
    assert f"tested on 8 images held out of npz:{data} (10%)" in text
    assert "72 training images of npz:set.npz, 4 classes" in text
    assert "normalization imagenet: mean 0.485, 0.456, 0.406" in text
    assert "(stated by the model resnet20)" in text
    assert "held out of" in call(*base, "--holdout", "0.25", "--limit", "40", "--out", tmp_path / "b")


def test_test_data_may_come_from_another_file(tmp_path):
    train_file, test_file = write_npz(tmp_path / "a.npz", 40), write_npz(tmp_path / "b.npz", 20, seed=1)
    base = ["--model", "resnet20", "--data", f"npz:{train_file}", "--test-data", f"npz:{test_file}", "--epochs", "1"]
    text = call(*base, "--out", tmp_path / "run")
    assert f"tested on npz:{test_file}" in text
    assert "% of 20 images" in text
    assert "holdout and test_data: both say what to test on" in error(*base, "--holdout", "0.1")


def test_training_begins_at_a_checkpoint_with_its_model_and_normalization(tmp_path):
    call(*SHORT, "--normalization", "half", "--out", tmp_path / "first")
    start = tmp_path / "first" / "checkpoint.safetensors"
    text = call(
        "--from-checkpoint", start, "--limit", "96", "--epochs", "1", "--lr", "1e-9", "--out", tmp_path / "second"
    )
    assert "normalization half: mean 0.5, std 0.5 (stored in the checkpoint)" in text
    before, after = load_checkpoint(start), load_checkpoint(tmp_path / "second" / "checkpoint.safetensors")
    assert after.metadata["started_from"] == {"file": "checkpoint.safetensors", "sha256": before.sha256}
    torch.testing.assert_close(after.state["head.weight"], before.state["head.weight"], rtol=0, atol=1e-6)


def test_foreign_checkpoint_is_fine_tuned(tmp_path, shared):
    data = shared / "data" / "cifar10_test.npz"
    text = call(
        *("--model", "resnet20", "--from-checkpoint", shared / "checkpoints" / "resnet20-12fca82f.th"),
        *("--data", f"npz:{data}", "--limit", "200", "--holdout", "0.5", "--epochs", "1", "--lr", "0.001"),
        *("--method", "samson", "--bf16", "--channels-last", "--out", tmp_path / "run"),
    )
    assert "recipe: fine-tuning" in text
    assert float(re.search(r"test accuracy ([\d.]+) %", text)[1]) > 85


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "model: name the network to train"),
        (["--model", "resnet21"], "unknown model 'resnet21'"),
        (["--model", "digits_cnn", "--data", "digit"], "unknown data 'digit'; did you mean 'digits'"),
        (["--model", "digits_cnn", "--data", "cifar10:/none"], "expected the unpacked archive"),
        (["--model", "digits_cnn", "--method", "sgd", "--rho", "1"], "rho: has no effect with method sgd"),
        (["--model", "digits_cnn", "--clip", "1", "--clip-std", "2"], "clip and clip_std: both limit the weights"),
        (["--model", "digits_cnn", "--noise", "x"], "ratio 'x': expected a number such as 0.0376"),
        (
            ["--model", "digits_cnn", "--method", "sgd", "--ascent-every", "4"],
            "ascent_every: has no effect with method",
        ),
        (["--model", "digits_cnn", "--method", "rwp", "--p", "2"], "p: has no effect with method rwp"),
        (["--model", "digits_cnn", "--noise-preset", "pcm_nandakuma"], "did you mean 'pcm_nandakumar_2019'"),
        (["--model", "digits_cnn", "--noise-time", "1d"], "noise_time: has no effect without noise_preset"),
        (["--model", "digits_cnn", "--noise-preset", "ideal"], "noise_preset: has no effect, for ideal"),
        (["--model", "digits_cnn", "--noise-time", "1 day"], "duration '1 day'"),
        (["--model", "digits_cnn", "--ema-decay", "1"], "--ema-decay: expected a number above 0, below 1"),
        (["--model", "digits_cnn", "--distill", "none.pt"], "none.pt: no such file"),
        (["--model", "digits_cnn", "--distill-weight", "0.5"], "distill_weight: has no effect without a teacher"),
        (["--model", "digits_cnn", "--distill-model", "resnet20"], "distill_model: has no effect without distill"),
        (["--model", "digits_cnn", "--normalization", "imagenet"], "3 channels (imagenet"),
        (["--model", "digits_cnn", "--normalization", "digit"], "did you mean 'digits'"),
        (["--model", "digits_cnn", "--device", "gpu"], "device 'gpu': expected auto, cpu, cuda or cuda:N"),
        (["--model", "digits_cnn", "--device", "mps"], "device 'mps': expected auto, cpu, cuda or cuda:N"),
        (["--model", "digits_cnn", "--from-checkpoint", "none.pt"], "none.pt: no such file"),
        (["--model", "torch.nn:Identity"], "training Identity: expected parameters on one device, got no parameter"),
        (["--model", "networks:lazy"], "network Sequential: 2 problems\n  1.weight: a lazy layer"),
        (["--model", "networks:Stateful"], "network Stateful: 1 problem\n  _extra_state: a dict of get_extra_state"),
        (["--model", "torchvision:resnet18"], "takes 3 input channels, 1 are needed"),
    ],
    ids=str,
)
def test_mistake_is_explained_and_nothing_is_written(tmp_path, arguments, expected):
    assert expected in error(*arguments, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


METHOD = """
from dataclasses import dataclass

from analog_samson.sharpness.methods import register_method
from analog_samson.sharpness.perturbations import WorstCase


@register_method("root_of_module")
@dataclass(frozen=True, kw_only=True)
class Root(WorstCase):
    rho: float = 0.1

    def scale(self, weight):
        return weight.abs().sqrt()
"""


def test_method_of_the_users_own_module_trains_and_is_stored_by_name(tmp_path, monkeypatch):
    (tmp_path / "own_method.py").write_text(METHOD)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        text = call(*SHORT, "--method", "own_method:Root", "--rho", "0.2", "--out", tmp_path / "run")
    finally:
        METHODS.pop("root_of_module", None)
        sys.modules.pop("own_method", None)
    assert "method root_of_module" in text
    training = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").metadata["training"]
    assert (training["method"], training["rho"], training["selection"]) == ("root_of_module", 0.2, "weights_only")


def test_booleans_are_flags_without_values(tmp_path):
    text = call("--model", "digits_cnn", "--bf16", "False", "--out", tmp_path / "run", code=2)
    assert "unexpected extra argument" in text


def test_head_of_the_checkpoint_that_disagrees_with_the_data_is_explained(tmp_path):
    call(*SHORT, "--out", tmp_path / "run")
    data = write_npz(tmp_path / "set.npz", 20, channels=1)
    start = tmp_path / "run" / "checkpoint.safetensors"
    text = error("--from-checkpoint", start, "--data", f"npz:{data}", "--out", tmp_path / "other")
    assert "the head 'head' of the file tells 10 classes apart, that of the model 4" in text


def test_folder_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    assert "choose another" in error(*SHORT, "--out", tmp_path / "file" / "run")
    if os.getuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        assert "choose another" in error(*SHORT, "--out", tmp_path / "locked" / "run")


def test_history_has_one_row_an_epoch(tmp_path):
    call(*SHORT, "--out", tmp_path / "run")
    rows = list(csv.reader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    assert rows[0] == [
        *("epoch", "train_loss", "train_accuracy_percent", "test_loss", "test_accuracy_percent"),
        *("learning_rate", "seconds"),
    ]
    assert len(rows) == 3


def test_epoch_line_aligns_its_numbers():
    record = EpochRecord(
        epoch=3,
        train_loss=0.5,
        train_values={"accuracy_percent": 87.5},
        test_values={"accuracy_percent": 100.0, "loss": 0.25},
        learning_rate=0.05,
        seconds=1.25,
    )
    assert (
        epoch_line(record, 30, ACCURACY) == "epoch  3/30  train 0.5000  87.50 %  test 0.2500 100.00 %  lr 0.05  1.2 s"
    )


def test_option_typed_by_the_name_of_its_field_is_answered_with_its_flag(capsys):
    from analog_samson.cli.main import main

    assert main(["train", "--model", "digits_cnn", "--learning-rate", "2e-3"]) == 2
    error = capsys.readouterr().err
    assert "--learning-rate" in error
    assert "did you mean --lr?" in error
    assert main(["train", "--model", "digits_cnn", "--rho"]) == 2
    assert "did you mean" not in capsys.readouterr().err
