"""Training: identities, resuming bit for bit, options, schedules, and what must stop it."""

import csv
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.trainings import few, made_set, network, same_weights, stop_at, train, weights_and_history
from networks import Stateful, lazy
from torch import nn

from analog_samson import rng
from analog_samson.data import NORMALIZATIONS, ImageSet, Normalization, open_data
from analog_samson.data.batches import Batches
from analog_samson.errors import DataError, ModelError, OptionError, RunError
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.sharpness.selection import crossbar_weights
from analog_samson.tasks.evaluation import evaluate
from analog_samson.training import TrainingError, TrainOptions, TrainProgress, fit
from analog_samson.training.folder import finished_epochs
from analog_samson.training.recipes import DIGITS, FINE_TUNING, FROM_SCRATCH, recipe_for
from analog_samson.training.schedule import SCHEDULES, Schedule

HALF = Normalization((0.5,), (0.5,))
FILES = ("checkpoint.safetensors", "history.csv", "resume.pt", "train.toml")


# ---- identities


def plain_training(model: nn.Module, data: ImageSet, options: TrainOptions) -> None:
    """The obvious loop for SGD on grey images: same order of images, no shell around it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=options.learning_rate, momentum=0.9, weight_decay=5e-4)
    images = (data.images.float() / 255 - 0.5) / 0.5
    model.train()
    for epoch in range(options.epochs):
        order = torch.randperm(len(data), generator=rng.generator(options.seed, "shuffle", epoch))
        for index in order.split(options.batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(images[index]), data.labels[index]).backward()
            optimizer.step()
    model.eval()


def test_sgd_equals_the_plain_loop():
    data, plain = made_set(48), network()
    options = few(schedule="constant", normalization=HALF, epochs=2)
    trained, _ = train(data=data, schedule="constant", normalization=HALF, epochs=2)
    plain_training(plain, data, options)
    for (name, a), b in zip(trained.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("method", ["sam", "asam", "samson"])
def test_rho_zero_equals_sgd_bit_for_bit(method):
    sgd, _ = train(method="sgd", epochs=2)
    zero, _ = train(method=method, rho=0.0, epochs=2)
    assert same_weights(sgd, zero)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "sam"},
        {"method": "asam"},
        {"method": "samson"},
        {"method": "samson", "rho": 1.0},
        {"method": "samson", "p": 2.0},
        {"method": "samson", "eta": 0.1},
        {"method": "samson", "selection": "paper"},
        {"method": "samson", "selection": "name_contains_weight"},
        {"clip": 0.05},
        {"clip_std": 1.0},
        {"noise": 0.05},
        {"label_smoothing": 0.1},
        {"momentum": 0.5},
        {"nesterov": True},
        {"weight_decay": 0.1},
        {"learning_rate": 0.01},
        {"schedule": "onecycle"},
        {"schedule": "step", "step_epochs": 1},
        {"warmup_epochs": 0.5},
        {"batch_size": 10},
        {"seed": 1},
        {"normalization": NORMALIZATIONS["unit"]},
        {"bf16": True},
    ],
    ids=str,
)
def test_every_option_moves_the_weights(options):
    base = {"method": options.get("method", "sgd"), "epochs": 2}
    if options == {"method": options.get("method")}:
        base["method"] = "sgd"  # the method itself is what is varied
    assert not same_weights(train(**base)[0], train(**base | options)[0])


def test_augmentation_acts_on_colour_images_only():
    colour, grey = made_set(channels=3), made_set()
    options = {"epochs": 1}
    on = train(model=network(in_channels=3), data=colour, **options)[0]
    off = train(model=network(in_channels=3), data=colour, augment=False, **options)[0]
    assert not same_weights(on, off)
    assert same_weights(train(data=grey, **options)[0], train(data=grey, augment=False, **options)[0])


def test_channels_last_gives_the_same_weights_to_rounding():
    plain, last = train(epochs=1)[0], train(epochs=1, channels_last=True)[0]
    for a, b in zip(plain.state_dict().values(), last.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_clipping_and_noise_leave_clean_weights_in_range():
    model, _ = train(clip=0.05, noise=0.1)
    largest = [weight.abs().max().item() for weight in crossbar_weights(model).values()]
    assert max(largest) == pytest.approx(0.05)


def test_training_draws_from_named_streams_only():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = train(method="samson", noise=0.05, data=made_set(channels=3), model=network(in_channels=3))[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    second = train(method="samson", noise=0.05, data=made_set(channels=3), model=network(in_channels=3))[0]
    assert same_weights(first, second)


def test_dropout_follows_the_seed():
    def dropout_network() -> nn.Module:
        with rng.stream(0, "initial weights"):
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.Dropout(0.5), nn.Linear(20, 10))

    assert same_weights(train(model=dropout_network())[0], train(model=dropout_network())[0])
    assert not same_weights(train(model=dropout_network())[0], train(model=dropout_network(), seed=1)[0])


@pytest.mark.parametrize("limit", [{}, {"clip": 0.01}, {"clip_std": 1.0}], ids=str)
def test_frozen_parameters_stay(limit):
    model = network()
    model.head.weight.requires_grad_(False)
    before = model.head.weight.clone()
    train(model=model, method="samson", epochs=1, **limit)
    assert torch.equal(model.head.weight, before)


@pytest.mark.parametrize("method", ["sam", "asam", "samson"])
def test_climb_that_could_move_nothing_is_refused(method):
    model = network()
    for weight in crossbar_weights(model).values():
        weight.requires_grad_(False)
    with pytest.raises(OptionError, match=rf"method {method}: selection 'weights_only' picks \d+ parameters"):
        train(model=model, method=method)
    train(model=model, method=method, rho=0.0, epochs=1)
    train(model=model, method=method, selection="paper", epochs=1)


def test_infinite_buffer_is_no_divergence():
    model = network()
    model.register_buffer("mask", torch.full((2, 2), -math.inf))
    train(model=model, epochs=1)


# ---- results and files


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nesterov": "False"}, "nesterov: expected True or False, got 'False'"),
        ({"augment": 1}, "augment: expected True or False, got 1"),
        ({"step_epochs": 7}, "step_epochs: has no effect with schedule cosine"),
        ({"step_factor": 0.5, "schedule": "onecycle"}, "step_factor: has no effect with schedule onecycle"),
    ],
    ids=str,
)
def test_option_that_would_be_misread_or_unused_is_refused(options, words):
    with pytest.raises(OptionError, match=words):
        few(**options)
    assert few(schedule="step", step_epochs=7, step_factor=0.5)


def test_options_tell_of_a_method_only_what_it_has():
    assert [few(method=name).resolved()["eta"] for name in ("sam", "asam", "samson")] == [None, 0.01, 0.01]
    assert [few(method=name).resolved()["p"] for name in ("sam", "asam", "samson")] == [None, None, math.inf]


def test_result_describes_the_final_weights(tmp_path):
    model, result = train(tmp_path / "run", method="samson")
    assert not model.training
    test = made_set(20, seed=1)
    normalization = Normalization.from_metadata(load_checkpoint(result.checkpoint).metadata["normalization"])
    found = evaluate(model, Batches(test, normalization, batch_size=500, device="cpu"))
    assert result.evaluation == found
    assert [record.epoch for record in result.history] == [1, 2, 3]
    assert result.best.test_accuracy_percent == max(record.test_accuracy_percent for record in result.history)
    assert sum(result.perturbation_breakdown.values()) == pytest.approx(1)
    assert result.perturbation_breakdown["crossbar weight"] == pytest.approx(1)
    assert train()[1].perturbation_breakdown is None


def test_share_of_the_perturbation_is_logged_once(caplog):
    with caplog.at_level("INFO", logger="analog_samson"):
        train(method="samson", selection="name_contains_weight")
    lines = [record.message for record in caplog.records if "share of ||eps||^2" in record.message]
    assert len(lines) == 1
    assert "bias" in lines[0]


def test_checkpoint_holds_what_is_needed_to_use_it(tmp_path):
    options = few(method="samson", rho=0.2, clip=0.3)
    model = network()
    result = fit(model, made_set(), made_set(20), options, folder=tmp_path / "run", metadata={"model": "digits_cnn"})
    checkpoint = load_checkpoint(result.checkpoint)
    assert same_weights(restore_model(checkpoint), model)
    metadata = checkpoint.metadata
    assert (metadata["model"], metadata["num_classes"], metadata["in_channels"]) == ("digits_cnn", 10, 1)
    assert (metadata["data"], metadata["epochs"]) == ("made", 3)
    assert metadata["accuracy_percent"] == result.evaluation.accuracy_percent
    assert metadata["training"]["method"] == "samson"
    assert (metadata["training"]["rho"], metadata["training"]["p"], metadata["training"]["clip"]) == (0.2, "inf", 0.3)
    assert metadata["training"]["selection"] == "weights_only"
    assert set(metadata["versions"]) == {"analog_samson", "torch"}


def test_folder_holds_a_history_a_state_and_the_options(tmp_path):
    _, result = train(tmp_path / "run", schedule="cosine")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {*FILES, ".lock"}
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [float(row["train_loss"]) for row in rows] == [record.train_loss for record in result.history]
    assert float(rows[0]["learning_rate"]) > float(rows[2]["learning_rate"])
    assert finished_epochs(tmp_path / "run") == 3
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert len(state["history"]) == 3
    assert state["optimizer"]["state"][0]["momentum_buffer"].shape == (16, 1, 3, 3)


def test_progress_comes_after_each_step_with_the_record_at_the_end():
    seen: list[TrainProgress] = []
    _, result = train(epochs=2, progress=seen.append)
    assert [(now.epoch, now.step, now.steps) for now in seen] == [(e, s, 3) for e in (1, 2) for s in (1, 2, 3)]
    assert [now.record for now in seen if now.record] == list(result.history)
    assert all(now.epochs == 2 and math.isfinite(now.loss) and 0 <= now.value <= 100 for now in seen)


def test_progress_has_numbers_for_a_logger_by_the_names_of_the_history():
    seen: list[TrainProgress] = []
    _, result = train(epochs=2, progress=seen.append)
    assert [now.update for now in seen] == [1, 2, 3, 4, 5, 6]
    assert seen[3].values() == {"train_loss": seen[3].loss, "train_accuracy_percent": seen[3].value}
    assert {"epoch": 2, **seen[5].values()} == result.history[1].row()


def test_last_batch_of_one_image_is_left_out():
    seen: list[TrainProgress] = []
    train(data=made_set(33), epochs=1, progress=seen.append)
    assert seen[-1].steps == 2
    train(data=made_set(34), epochs=1, progress=seen.append)
    assert seen[-1].steps == 3
    train(data=made_set(2), epochs=1, progress=seen.append)
    assert seen[-1].steps == 1


# ---- resuming

RESUMED = {"method": "samson", "noise": 0.05, "clip": 0.2, "schedule": "onecycle", "epochs": 4}


def colour_training(folder: Path, progress=None):
    return train(folder, model=network(in_channels=3), data=made_set(channels=3), progress=progress, **RESUMED)


@pytest.mark.parametrize("stops", [[(1, 2)], [(2, 1)], [(4, 3)], [(1, 1), (2, 2), (3, 1)]], ids=str)
def test_interrupted_training_resumes_bit_for_bit(tmp_path, stops):
    whole, result = colour_training(tmp_path / "whole")
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            colour_training(tmp_path / "parts", stop_at(*stop))
    parts, resumed = colour_training(tmp_path / "parts")
    assert same_weights(whole, parts)
    assert weights_and_history(tmp_path / "whole") == weights_and_history(tmp_path / "parts")
    assert resumed.resumed_after == stops[-1][0] - 1
    assert resumed.evaluation == result.evaluation
    assert resumed.perturbation_breakdown == result.perturbation_breakdown


def test_finished_training_is_not_repeated_and_its_files_are_made_again(tmp_path):
    model, result = train(tmp_path / "run")
    before = weights_and_history(tmp_path / "run")
    for name in ("checkpoint.safetensors", "history.csv"):
        (tmp_path / "run" / name).unlink()
    again, second = train(tmp_path / "run", progress=stop_at(1, 1))
    assert same_weights(model, again)
    assert second.history == result.history
    assert second.resumed_after == 3
    assert weights_and_history(tmp_path / "run") == before


def test_training_of_version_0_1_goes_on_under_the_new_name_of_its_selection(tmp_path):
    options = {"method": "sam", "selection": "name_contains_weight", "epochs": 2}
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", progress=stop_at(2, 1), **options)
    stored = tmp_path / "run" / "train.toml"
    stored.write_text(stored.read_text().replace('"name_contains_weight"', '"reference"'))
    assert train(tmp_path / "run", **options | {"selection": "reference"})[1].resumed_after == 1


def killed_training(folder: Path) -> None:
    """Runs in the process that is killed and in this one."""
    torch.set_num_threads(1)
    train, test = open_data("digits", "train", limit=200), open_data("digits", "test", limit=50)
    options = TrainOptions(seed=0, epochs=40, batch_size=64, learning_rate=0.05, method="samson")
    fit(network(), train, test, options, folder=folder)


def test_killed_process_resumes_bit_for_bit(tmp_path):
    command = "import sys; sys.path.insert(0, sys.argv[1]); import test_training as t; t.killed_training(sys.argv[2])"
    arguments = [sys.executable, "-c", command, str(Path(__file__).parent), str(tmp_path / "killed")]
    with subprocess.Popen(arguments) as process:
        while finished_epochs(tmp_path / "killed") < 3 and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 3 <= finished_epochs(tmp_path / "killed") < 40
    for folder in ("killed", "whole"):
        killed_training(tmp_path / folder)
    assert weights_and_history(tmp_path / "killed") == weights_and_history(tmp_path / "whole")


def test_other_training_in_the_folder_is_refused_with_the_options_that_differ(tmp_path):
    train(tmp_path / "run", method="samson")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in FILES}
    with pytest.raises(RunError) as caught:
        train(tmp_path / "run", method="sam", epochs=5)
    text = str(caught.value)
    assert "epochs: the run there has 3, this one 5" in text
    assert "method: the run there has 'samson', this one 'sam'" in text
    assert "choose another output folder" in text
    assert {name: (tmp_path / "run" / name).read_bytes() for name in FILES} == before


def test_other_data_or_initial_weights_are_refused(tmp_path):
    train(tmp_path / "run")
    with pytest.raises(RunError, match="train_fingerprint"):
        train(tmp_path / "run", data=made_set(seed=9))
    with pytest.raises(RunError, match="initial_weights_sha256"):
        train(tmp_path / "run", model=network(seed=1))


def test_steps_of_the_rate_begin_after_the_warm_up():
    schedule = Schedule(kind="step", learning_rate=1.0, epochs=8, warmup_epochs=3, step_epochs=2)
    assert [round(schedule.at(epoch, 0, 10), 3) for epoch in (3, 4, 5, 6, 7)] == [1.0, 1.0, 0.1, 0.1, 0.01]


@pytest.mark.parametrize("options", [{"clip": 0.2}, {"clip_std": 2.0}])
def test_clipping_where_no_weight_is_trained_is_refused(options):
    model = network()
    for weight in crossbar_weights(model).values():
        weight.requires_grad_(False)
    with pytest.raises(OptionError, match="none of the network's is trained"):
        train(model=model, **options)


@pytest.mark.parametrize("options", [{"clip": 0.2}, {"noise": 0.1}, {"method": "samson"}])
def test_weights_that_are_computed_anew_are_refused_where_they_would_be_left_out(options):
    model = network()
    nn.utils.parametrizations.weight_norm(model.head)
    with pytest.raises(OptionError, match=r"head: the weight is computed anew .* remove_parametrizations"):
        train(model=model, **options)
    train(model=model, epochs=1)


class Other(type(network())):
    """The same weights, another forward."""

    def forward(self, x):
        return 1.1 * super().forward(x)


def test_training_does_not_go_on_with_other_code_of_the_network(tmp_path):
    _, whole = train(tmp_path / "run")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in FILES}
    other = network()
    other.__class__ = Other
    with pytest.raises(RunError, match=r"code of the network \(Other\) has changed .* choose another output folder"):
        train(tmp_path / "run", model=other)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in FILES} == before
    assert train(tmp_path / "run")[1].history == whole.history


def test_training_of_a_network_that_draws_its_answers_goes_on(tmp_path):
    def drawing() -> nn.Module:
        model = network()
        model.register_forward_hook(lambda module, inputs, output: output + torch.rand_like(output))
        return model

    _, whole = train(tmp_path / "run", model=drawing())
    assert train(tmp_path / "run", model=drawing())[1].history == whole.history


def test_whole_numbers_and_floats_are_the_same_option(tmp_path):
    train(tmp_path / "run", method="samson", p=2, rho=1)
    assert train(tmp_path / "run", method="samson", p=2.0, rho=1.0)[1].resumed_after == 3


def test_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds other files \(notes\.txt\) and no train\.toml"):
        train(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another"):
        train(tmp_path / "file" / "run")
    with pytest.raises(RunError, match="choose another"):
        train(tmp_path / "file")


def test_folder_in_use_is_refused(tmp_path):
    path = tmp_path / "run"
    command = (
        "import sys; from analog_samson.runtime.older_python import tomllib\n"
        "from analog_samson.training.folder import TrainingFolder\n"
        "TrainingFolder.open(sys.argv[1], tomllib.load(open(sys.argv[1] + '/train.toml', 'rb')))"
    )
    messages: list[str] = []

    def second_process(now: TrainProgress) -> None:
        found = subprocess.run([sys.executable, "-c", command, str(path)], capture_output=True, text=True)
        messages.append(found.stderr)

    train(path, data=made_set(16), epochs=1, progress=second_process)
    assert "LockedError" in messages[0]
    assert "is writing to this run; wait for it to end" in messages[0]


def test_damaged_state_is_explained(tmp_path):
    train(tmp_path / "run", epochs=1)
    (tmp_path / "run" / "resume.pt").write_bytes(b"hello")
    with pytest.raises(RunError, match=r"resume\.pt: damaged .* delete .* to train anew"):
        train(tmp_path / "run", epochs=1)


@pytest.mark.parametrize("diverged", [True, False], ids=["diverged", "stopped"])
def test_folder_without_a_finished_epoch_is_taken_over(tmp_path, diverged):
    model, progress = network(), None if diverged else stop_at(1, 1)
    if diverged:
        model.head.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingError if diverged else KeyboardInterrupt):
        train(tmp_path / "run", model=model, progress=progress, learning_rate=1.0)
    assert (tmp_path / "run" / "train.toml").exists()
    train(tmp_path / "run", learning_rate=0.01)
    train(tmp_path / "whole", learning_rate=0.01)
    assert weights_and_history(tmp_path / "run") == weights_and_history(tmp_path / "whole")
    with pytest.raises(RunError, match=r"learning_rate: the run there has 0\.01"):
        train(tmp_path / "run", learning_rate=0.02)


def test_train_toml_that_is_not_ours_is_not_overwritten(tmp_path):
    (tmp_path / "train.toml").write_text("epochs = 3\n")
    with pytest.raises(RunError, match="choose another output folder"):
        train(tmp_path)
    assert (tmp_path / "train.toml").read_text() == "epochs = 3\n"


# ---- networks of all kinds


class _Odd(nn.Module):
    """A network whose training forward returns something else than logits."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.net, self.answer = network(), answer

    def forward(self, x):
        y = self.net(x)
        return self.answer(y) if self.training else y


def test_first_of_several_outputs_is_trained():
    plain, _ = train(epochs=1)
    odd, _ = train(model=_Odd(lambda y: (y, y.detach() * 2, None)), epochs=1)
    assert same_weights(plain, odd.net)


@pytest.mark.parametrize("answer", [lambda y: {"scores": y}, lambda y: (None, y), list], ids=["dict", "none", "list"])
def test_other_outputs_in_training_are_refused(answer):
    with pytest.raises(DataError, match="the network returns"):
        train(model=_Odd(answer))


def test_network_that_cannot_be_stored_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ModelError, match=r"network Stateful: 1 problem\n  _extra_state: a dict of get_extra_state"):
        train(tmp_path / "run", model=Stateful())
    with pytest.raises(ModelError, match=r"network Sequential: 2 problems\n  1\.weight: a lazy layer"):
        train(tmp_path / "run", model=lazy())
    assert not (tmp_path / "run").exists()
    train(model=Stateful(), epochs=1)  # nothing is stored


# ---- what must stop it


def test_loss_that_is_not_finite_stops_with_epoch_and_step_and_keeps_the_last_state(tmp_path):
    class Failing(nn.Module):
        """Becomes infinite at its 8th training step."""

        def __init__(self) -> None:
            super().__init__()
            self.net, self.calls = network(), 0

        def forward(self, x):
            self.calls += self.training
            return self.net(x) * (float("inf") if self.training and self.calls == 8 else 1.0)

    with pytest.raises(TrainingError) as caught:
        train(tmp_path / "run", model=Failing(), epochs=5)
    assert "training diverged at epoch 3, step 2: the loss is nan" in str(caught.value)
    assert "try a lower learning rate" in str(caught.value)
    assert finished_epochs(tmp_path / "run") == 2
    assert load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").metadata["epochs"] == 2


def test_weights_that_are_not_finite_never_reach_the_disk(tmp_path):
    model = network()
    model.head.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingError, match="training diverged at"):
        train(tmp_path / "run", model=model, epochs=5)
    assert finished_epochs(tmp_path / "run") == 0
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda: (network(num_classes=5), made_set(), made_set()),
            "the network has 5 outputs but the data has 10 classes",
        ),
        (lambda: (network(in_channels=3), made_set(), made_set()), "images of 1 channels, the network takes 3"),
        (lambda: (network(), made_set(1), made_set()), "training needs at least 2 images, got 1"),
        (lambda: (network(), made_set(), made_set(channels=3)), "has 1 channels, test data made has 3"),
        (
            lambda: (network(), made_set(), replace(made_set(), num_classes=11)),
            "has 10 classes, test data made has 11",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, make, expected):
    with pytest.raises(DataError, match=expected):
        fit(*make(), few(normalization=HALF), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---- options and schedules


def rates(steps: int = 10, **options) -> list[float]:
    schedule = Schedule(**{"learning_rate": 2.0, "epochs": 10} | options)
    return [schedule.at(epoch, step, steps) for epoch in range(schedule.epochs) for step in range(steps)]


def test_constant_schedule_is_constant():
    assert set(rates(kind="constant")) == {2.0}


def test_step_schedule_divides_at_the_steps():
    assert rates(kind="step", step_epochs=4, step_factor=0.5) == [2.0] * 40 + [1.0] * 40 + [0.5] * 20


def test_cosine_schedule_equals_that_of_torch():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
    for rate in rates(kind="cosine"):
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        reference.step()


def test_onecycle_schedule_rises_for_three_tenths_then_falls_to_zero():
    found = rates(kind="onecycle")
    assert found[0] == pytest.approx(0.08)
    assert found.index(max(found)) == 30
    assert max(found) == 2.0
    assert found[:31] == sorted(found[:31])
    assert found[30:] == sorted(found[30:], reverse=True)
    assert found[-1] < 0.01


@pytest.mark.parametrize("kind", sorted(set(SCHEDULES) - {"onecycle"}))
def test_warmup_rises_to_the_schedule(kind):
    found = rates(kind=kind, warmup_epochs=2.0, step_epochs=5)
    assert found[:20] == sorted(found[:20])
    assert 0 < found[0] < 0.2
    assert found[20] == 2.0


def test_recipe_follows_the_data_and_the_start():
    digits, other = open_data("digits", "test", limit=5), made_set()
    assert recipe_for(digits.name, fine_tuning=True) is recipe_for(digits.name, fine_tuning=False) is DIGITS
    assert recipe_for(other.name, fine_tuning=True) is FINE_TUNING
    assert recipe_for(other.name, fine_tuning=False) is FROM_SCRATCH
    for recipe in (DIGITS, FINE_TUNING, FROM_SCRATCH):
        assert TrainOptions(seed=0, **recipe.options).epochs == recipe.options["epochs"]


# ---- it learns


def test_digits_are_learnt_to_over_98_percent_under_clipping():
    train_set, test_set = open_data("digits", "train"), open_data("digits", "test")
    options = TrainOptions(seed=0, method="samson", clip=0.2, **DIGITS.options)
    assert fit(network(), train_set, test_set, options).evaluation.accuracy_percent >= 98


@pytest.mark.gpu
def test_training_runs_on_a_gpu(tmp_path):
    model = network(in_channels=3).cuda()
    result = fit(
        model,
        made_set(channels=3),
        made_set(20, channels=3),
        few(method="samson", noise=0.05, clip=0.2, bf16=True, channels_last=True),
        folder=tmp_path / "run",
    )
    assert math.isfinite(result.evaluation.loss)
