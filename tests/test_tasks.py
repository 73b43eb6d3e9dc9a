"""Tasks: each metric against its definition, sample by sample, and data that does not fit."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from sklearn.datasets import load_diabetes
from torch import nn

from analog_samson import load_preset, rng, simulate_drift, sweep_conductance_noise
from analog_samson.analysis.stopping import stein_halfwidth
from analog_samson.errors import DataError, RunError
from analog_samson.report.command import make_report
from analog_samson.results.metric import ACCURACY, Metric, stored_task
from analog_samson.results.store import RunFolder
from analog_samson.simulation.comparison import Comparison
from analog_samson.simulation.drift import needed_instances
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.regression import Regression
from analog_samson.tasks.scoring import score
from analog_samson.tasks.task import Task


class Table(nn.Module):
    """A network that answers each sample index with a row of a table."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, x):
        return self.rows[x]


def batches_of(targets, size):
    places = torch.arange(len(targets))
    return [(places[i : i + size], targets[i : i + size]) for i in range(0, len(targets), size)]


@pytest.fixture
def classified():
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(203, 8, generator=generator), torch.randint(8, (203,), generator=generator)


def test_classification_equals_its_definitions_over_uneven_batches(classified):
    logits, labels = classified
    scores = score(Table(logits), batches_of(labels, 50), Classification(detailed=True))
    probabilities = logits.double().softmax(1).numpy()
    assert scores.count == 203
    assert scores.values["accuracy_percent"] == pytest.approx(
        100 * (logits.argmax(1) == labels).float().mean().item(), abs=1e-4
    )
    assert scores.values["top5_percent"] == pytest.approx(
        100 * reference.top_k_accuracy_score(labels.numpy(), probabilities, k=5)
    )
    assert scores.values["loss"] == pytest.approx(reference.log_loss(labels.numpy(), probabilities), rel=1e-5)
    assert scores.values["calibration_error_percent"] == pytest.approx(
        100 * expected_calibration_error(logits, labels), abs=1e-3
    )


def expected_calibration_error(logits, labels):
    """Guo et al. 2017, eq. 3, bin by bin."""
    confidence, predicted = logits.softmax(1).max(1)
    right, total = (predicted == labels).float(), 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            total += inside.float().mean() * (right[inside].mean() - confidence[inside].mean()).abs()
    return float(total)


def test_a_sample_with_nan_among_its_logits_is_wrong(classified):
    logits, labels = classified
    hurt = labels == labels[0]
    logits[:, 0] = logits[:, 0].where(~hurt, math.nan)
    scores = score(Table(logits), batches_of(labels, 64), Classification(detailed=True))
    right = (logits.argmax(1) == labels) & ~hurt
    assert scores.values["accuracy_percent"] == pytest.approx(100 * right.float().mean().item(), abs=1e-4)


def test_classification_without_details_has_accuracy_and_loss(classified):
    logits, labels = classified
    scores = score(Table(logits), batches_of(labels, 64), Classification())
    assert list(scores.values) == [metric.name for metric in Classification().metrics] == ["accuracy_percent", "loss"]


@pytest.mark.parametrize("shape", [(77,), (77, 3)])
def test_regression_equals_its_definitions_over_uneven_batches(shape):
    generator = torch.Generator().manual_seed(1)
    target = 5 + 2 * torch.randn(shape, generator=generator)
    output = target + 0.5 * torch.randn(shape, generator=generator)
    task = Regression(unit="mm")
    rows = output[:, None] if len(shape) == 1 else output
    values = score(Table(rows), batches_of(target, 20), task).values
    flat = target.flatten().numpy(), output.flatten().numpy()
    assert values["rmse"] == pytest.approx(reference.root_mean_squared_error(*flat), rel=1e-5)
    assert values["mae"] == pytest.approx(reference.mean_absolute_error(*flat), rel=1e-5)
    assert values["r2"] == pytest.approx(reference.r2_score(*flat), rel=1e-4)
    assert [metric.unit for metric in task.metrics] == ["mm", "mm", ""]


def test_losses_of_tasks_have_gradients(classified):
    logits, labels = (tensor[:8] for tensor in classified)
    model = Table(logits)
    Classification().loss(model(torch.arange(8)), (None, labels)).backward()
    assert model.rows.grad.abs().sum() > 0
    Regression().loss(model(torch.arange(8))[:, :1], (None, torch.ones(8))).backward()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (torch.rand(6), ["float32", "(6,)", "Regression()"]),
        (torch.eye(6, 8), ["(6, 8)", "one-hot"]),
        ({"a": 1}, ["dict", "class labels"]),
        (torch.tensor([0, 1, 2, 3, 4, -1]), ["label -1", "from 0 on"]),
        (torch.tensor([0, 1, 2, 3, 4, 8]), ["label 8", "0 to 7"]),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, words):
    model = Table(torch.randn(6, 8))
    with pytest.raises(DataError) as caught:
        score(model, [(torch.arange(6), labels)], Classification())
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_late_batch_that_does_not_fit_is_refused():
    model = Table(torch.randn(6, 3))
    data = [(torch.arange(3), torch.tensor([0, 1, 2])), (torch.arange(3), torch.tensor([0, 1, 3]))]
    with pytest.raises(DataError, match="label 3"):
        score(model, data, Classification())


def test_outputs_that_do_not_fit_are_refused():
    model = Table(torch.randn(6, 3, 2, 2))
    with pytest.raises(DataError, match=r"\(6, 3, 2, 2\).*\(N, classes\)"):
        score(model, [(torch.arange(6), torch.zeros(6, dtype=torch.long))], Classification())
    with pytest.raises(DataError, match=r"\(6, 3, 2, 2\).*\(6,\)"):
        score(model, [(torch.arange(6), torch.zeros(6))], Regression())
    with pytest.raises(DataError, match="the data has 10"):
        score(Table(torch.randn(6, 3)), [(torch.arange(2), torch.tensor([0, 1]))], Classification(classes=10))


def test_no_samples_are_refused():
    model = Table(torch.randn(6, 3))
    for data in ([], [(torch.arange(0), torch.zeros(0, dtype=torch.long))]):
        with pytest.raises(DataError, match="no samples"):
            score(model, data, Classification())


def test_evaluation_restores_every_mode():
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout())
    model[0].eval()
    score(model, [(torch.randn(4, 2), torch.tensor([0, 1, 2, 0]))], Classification())
    assert [model.training, model[0].training, model[1].training] == [True, False, True]


@pytest.fixture(scope="module")
def diabetes():
    """A small network trained on scikit-learn's diabetes data, its batches, and the spread of the targets."""
    x, y = (torch.tensor(array, dtype=torch.float32) for array in load_diabetes(return_X_y=True))
    x = (x - x.mean(0)) / x.std(0)
    with rng.stream(0, "diabetes"):
        model = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))
    model[2].bias.data.fill_(y.mean())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        Regression().loss(model(x), (x, y)).backward()
        optimizer.step()
    return model, [(x[:300], y[:300]), (x[300:], y[300:])], y.std().item()


def test_regression_network_is_simulated_in_its_own_metrics(diabetes):
    model, data, spread = diabetes
    options = {"task": Regression(unit="points"), "instances": 3, "seed": 0}
    result = simulate_drift(model, load_preset("reram_cmo_2024_accept_2"), data, times=[1.0, 3.0e7], **options)
    frame = result.frame()
    assert [name for name in ("rmse", "mae", "r2", "weight_error") if name in frame] == [
        "rmse",
        "mae",
        "r2",
        "weight_error",
    ]
    assert "accuracy_percent" not in frame
    digital, chips = frame[frame.stage == "digital"].rmse.item(), frame[frame.stage == "drift"]
    assert 0.5 * spread < digital < 0.8 * spread
    assert (chips.rmse > digital).all()  # worse is upward
    shown = re.sub("<svg.*?</svg>", "", result._repr_html_(), flags=re.DOTALL)
    assert "The RMSE of" in shown
    assert "ccuracy" not in shown
    with pytest.raises(RunError, match="different metrics"):
        Comparison.of({"one": result, "two": replace(result, metrics=(ACCURACY,))})
    (summary,) = result.results()
    assert (summary.metric.title, summary.metric.unit) == ("RMSE", "points")
    assert [state.value.n for state in summary.states] == [3, 3]
    assert [state.drop for state in summary.states] == [
        pytest.approx(chips[chips.time_seconds == time].rmse.mean() - digital) for time in (1.0, 3.0e7)
    ]
    assert result.outcomes(0, result.records[0].condition) is None
    assert result.samples == 442
    noisy = sweep_conductance_noise(model, data, sigmas=[0.0, 0.3], **options).frame()
    assert noisy[noisy.sigma_c == 0.0].rmse.item() == pytest.approx(digital)


def test_report_of_a_regression_speaks_of_its_error_in_its_unit(diabetes, tmp_path):
    model, data, _ = diabetes
    task, preset = Regression(unit="mg/dl"), load_preset("reram_cmo_2024_accept_2")
    result = simulate_drift(model, preset, data, times=[1.0, 3.0e7], instances=3, seed=0, task=task, label="mlp")
    with RunFolder.create(tmp_path / "run", {"times": [1.0, 3.0e7], "instances": 3}) as run:
        run.commit(result.records)
        run.set_meta("task", stored_task(task.name, task.metrics))
        run.set_meta("preset", result.preset)
    text = make_report([tmp_path / "run"], "text", out=None, html=True, say=print)
    last = result.frame().query("time_seconds == 3.0e7").rmse
    assert f"The RMSE of mlp is {last.mean():.2f} +- {last.std():.2f} mg/dl after " in text
    assert "Time until RMSE is worse than a threshold" in text
    said = r"Threshold \d+\.\d+ mg/dl \(.* mg/dl worse than digital\): the mean (is|rises|does not rise) above"
    assert re.search(said, text)
    assert "accuracy" not in text
    assert "RMSE over time" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.filterwarnings("ignore::analog_samson.errors.InputRangeWarning")  # layers of ten inputs
def test_converters_and_task_work_together(diabetes):
    model, data, _ = diabetes
    preset, task = load_preset("pcm_rasch_2023"), Regression(unit="points")
    result = simulate_drift(model, preset, data, times=[1.0], instances=1, seed=0, task=task, calibration=data)
    assert result.frame().rmse.notna().all()


def test_half_width_is_in_the_unit_of_the_tasks_first_metric(diabetes):
    model, data, _ = diabetes
    options = {"times": [1.0], "instances": 3, "seed": 0, "task": Regression()}
    pilot = simulate_drift(model, load_preset("reram_cmo_2024_accept_2"), data, **options)
    values = [record.value for record in pilot.records if (record.metric, record.stage) == ("rmse", "drift")]
    wanted = 1.01 * stein_halfwidth(values, 6)
    assert needed_instances(pilot.records, Regression().headline, 3, wanted, 442) == 6
    asked = simulate_drift(model, load_preset("reram_cmo_2024_accept_2"), data, target_halfwidth=wanted, **options)
    assert 1 + max(record.instance for record in asked.records) == 6


def test_network_with_one_output_is_no_classifier(diabetes):
    model, data, _ = diabetes
    options = {"times": [1.0], "instances": 2, "seed": 0}
    with pytest.raises(DataError, match=r"Regression\(\)"):
        simulate_drift(model, load_preset("ideal"), data, **options)


def test_task_of_ones_own_is_simulated():
    class WithinTen(Task):
        """The share of samples that are off by less than ten."""

        name = "within_ten"
        metrics = (Metric(name="within_ten_percent", title="within ten", unit="%", lower=0, upper=100),)

        def check(self, output, batch):
            assert output.shape == (len(batch[1]), 1)

        def loss(self, output, batch):
            return (output[:, 0] - batch[1]).abs().mean()

        def start(self, device):
            return torch.zeros(2, device=device)

        def update(self, state, output, batch):
            close = (output[:, 0] - batch[1]).abs() < 10
            return state + torch.stack([close.sum(), torch.tensor(len(close), device=state.device)])

        def compute(self, state):
            return {"within_ten_percent": 100 * float(state[0] / state[1])}

    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    model = nn.Linear(4, 1)
    data = [(x, 10 * x.sum(1))]
    model.weight.data.fill_(10.0), model.bias.data.zero_()
    frame = simulate_drift(
        model, load_preset("ideal"), data, times=[1.0], instances=1, seed=0, task=WithinTen()
    ).frame()
    assert frame.within_ten_percent.tolist() == [100.0, 100.0]
