"""Training by tasks other than image classification: the user's own batches, their loss and metrics, resuming."""

import pytest
import torch
from helpers.trainings import made_set, stop_at
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from analog_samson.errors import DataError, OptionError
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.sharpness.methods import Samson
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.regression import Regression
from analog_samson.training import Teacher, TrainOptions, fit
from analog_samson.training.batch import Batch, Shard


def samples(count: int = 96, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points on a curve that a small network learns."""
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] * x[:, 1]).sin() + x[:, 2]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1))


def batches(size: int = 16, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    x, y = samples(seed=seed)
    return list(zip(x.split(size), y.split(size), strict=True))


def shuffled() -> DataLoader:
    return DataLoader(TensorDataset(*samples()), batch_size=16, shuffle=True)


def options(**given) -> TrainOptions:
    return TrainOptions(**{"seed": 0, "epochs": 3, "learning_rate": 0.05} | given)


@pytest.mark.parametrize("data", [batches, shuffled], ids=["list", "loader"])
def test_regression_is_learnt_under_any_method_and_its_metrics_are_recorded(data):
    for given in ({}, {"perturbation": Samson(rho=0.2)}, {"method": "rwp", "clip": 1.0}, {"ema_decay": 0.9}):
        result = fit(network(), data(), batches(seed=1), options(**given, epochs=8), task=Regression())
        errors = [record.test_values["rmse"] for record in result.history]
        assert errors[-1] < 0.8 * errors[0]
        assert result.best.test_values["rmse"] == min(errors)
        assert list(result.scores.values) == ["rmse", "mae", "r2"]
        assert result.scores.count == 96
        assert result.history[-1].train_values.keys() == {"rmse"}


def test_loss_is_that_of_the_task_bit_for_bit():
    """A list of one batch: three epochs are three steps of plain SGD on the mean squared error."""
    trained, plain = network(), network()
    x, y = samples(16)
    fit(trained, [(x, y)], [(x, y)], options(schedule="constant", momentum=0.0), task=Regression())
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, weight_decay=5e-4)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.mse_loss(plain(x)[:, 0], y).backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize("data", [batches, shuffled], ids=["list", "loader"])
def test_stopped_training_on_own_batches_resumes_bit_for_bit(tmp_path, data):
    def train(folder, progress=None):
        model = network()
        given = options(method="samson", noise=0.02, ascent_fraction=0.5)
        return model, fit(model, data(), batches(seed=1), given, task=Regression(), folder=folder, progress=progress)

    whole, result = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", stop_at(2, 3))
    parts, resumed = train(tmp_path / "parts")
    assert resumed.resumed_after == 1
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    assert resumed.scores == result.scores
    header = (tmp_path / "whole" / "history.csv").read_text().splitlines()[0]
    assert header == "epoch,train_loss,train_rmse,test_rmse,test_mae,test_r2,learning_rate,seconds"
    metadata = load_checkpoint(result.checkpoint).metadata
    assert (metadata["task"], metadata["rmse"]) == ("regression", result.scores.values["rmse"])


def test_batches_in_another_form_are_fed_as_the_task_feeds_them():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(3, 2)

        def forward(self, values, offset):
            return {"logits": self.net(values) + offset}

    data = [{"values": x, "offset": torch.zeros(len(x), 2), "labels": (y > 0).long()} for x, y in batches()]
    given = options(method="sam", ascent_fraction=0.5, epochs=10, learning_rate=0.2)
    assert fit(Named(), data, data, given).scores.values["accuracy_percent"] > 75


def test_first_part_of_a_batch_is_taken_from_every_entry_or_refused():
    prepared = ({"x": torch.arange(8.0), "n": None}, list(range(8)))
    first = Batch(prepared, Shard(8)).first(0.5)
    assert len(first.prepared[0]["x"]) == len(first.prepared[1]) == len(first.shard) == 4
    with pytest.raises(DataError, match="the batch has no first part"):
        Batch((torch.zeros(3), torch.zeros(8)), Shard(8)).first(0.5)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"train_set": iter(batches())}, DataError, "train_set"),
        ({"train_set": (batch for batch in batches())}, DataError, "train_set"),
        ({"train_set": made_set()}, DataError, "one is an image set, the other is not"),
        ({"options": {"batch_size": 8}}, OptionError, "batch_size: has no effect on batches of your own"),
        ({"options": {"label_smoothing": 0.1}}, OptionError, "label_smoothing: only for classification"),
        ({"task": Classification()}, DataError, "class labels"),
        ({"teacher": None}, OptionError, "a teacher: only for classification, not for task regression"),
    ],
    ids=["iterator", "generator", "image set", "batch_size", "label_smoothing", "task", "teacher"],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, change, error, words):
    given = {"train_set": batches(), "test_set": batches(), "task": Regression()} | change
    if "teacher" in change:
        given["teacher"] = Teacher(model=network(), normalization=None)
    given["options"] = options(**change.get("options", {}))
    with pytest.raises(error, match=words):
        fit(network(), folder=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()
