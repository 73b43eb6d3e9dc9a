"""What a simulation asks of its data, its plan and its store, and the outcome that it keeps of every sample."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from networks import seeded
from torch import nn

from analog_samson import SimulatedDevice, load_preset, plan_conversion, simulate_drift, sweep_conductance_noise
from analog_samson.chip.calibration import CALIBRATIONS, CalibrationMethod
from analog_samson.errors import OptionError, RunError
from analog_samson.results.condition import Condition
from analog_samson.results.memory import MemoryStore
from analog_samson.results.store import RunFolder, open_run

PCM, CONVERTERS = load_preset("pcm_nandakumar_2019"), load_preset("pcm_rasch_2023")
DAY = Condition(stage="drift", time_seconds=86400.0)
DIGITAL = Condition(stage="digital")


def classifier() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return seeded(classifier)


@pytest.fixture(scope="module")
def data(model: nn.Module) -> list[Any]:
    """Batches of unequal size, most of which the digital network gets right."""
    x = torch.randn(101, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = model(x).argmax(1)
    labels[:9] = (labels[:9] + 1) % 3
    return list(zip(x.split(40), labels.split(40), strict=True))


class Counted(list):
    """Batches that count how often they are gone through."""

    passes = 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        return super().__iter__()


def age(model: nn.Module, data: Any, preset: Any = PCM, **options: Any) -> Any:
    times, instances = options.pop("times", [86400.0]), options.pop("instances", 2)
    return simulate_drift(model, preset, data, times=times, instances=instances, seed=0, **options)


def test_data_is_gone_through_once_a_cell_and_counted_on_the_way(model, data):
    counted = Counted(data)
    result = age(model, counted, times=[1.0, 86400.0])
    assert counted.passes == 1 + 4 + 1  # digital, four cells, and the few samples on which folding is tried
    assert result.samples == 101
    swept = Counted(data)
    assert sweep_conductance_noise(model, swept, sigmas=[0.0, 0.1], instances=2, seed=0).samples == 101
    assert swept.passes == 3


def test_samples_are_known_where_every_cell_was_stored_before(model, data):
    store = MemoryStore()
    first = age(model, data, store=store)
    again = age(model, data, store=store)
    assert again.samples == first.samples == 101
    assert again.records == first.records


def test_outcomes_are_those_that_the_accuracy_counts(model, data):
    result = age(model, data, calibrate=["adabs"], calibration=data)
    accuracies = [record for record in result.records if record.metric == "accuracy_percent"]
    assert len(accuracies) == 5
    for record in accuracies:
        right = result.outcomes(record.instance, record.condition)
        assert right.dtype == bool
        assert 100 * right.mean() == pytest.approx(record.value)
    digital = result.outcomes(0, DIGITAL)
    assert np.flatnonzero(~digital).tolist() == list(range(9)), "in the order of the data"
    assert result.outcomes(7, DAY) is None


def test_outcomes_lie_packed_in_the_run_folder_and_come_back(model, data, tmp_path):
    with RunFolder.create(tmp_path / "run", {"seed": 0}) as run:
        result = age(model, data, store=run)
        sweep_conductance_noise(model, data, sigmas=[0.2], instances=1, seed=0, store=run)
    with open_run(tmp_path / "run") as run:
        for instance, condition in ((0, DIGITAL), (0, DAY), (1, DAY)):
            assert np.array_equal(run.outcomes(instance, condition), result.outcomes(instance, condition))
        assert len(run.outcomes(0, Condition(stage="gaussian", sigma_c=0.2))) == 101
        assert run.outcomes(0, replace(DAY, calibration="adabs")) is None
        sizes = run._connection.execute("SELECT DISTINCT length(bits) FROM outcome").fetchall()
    assert sizes == [(13,)]  # 101 bits


@pytest.mark.parametrize("damage", ["bits = x'00'", "bits = 'text'", "count = 'x'", "count = -3"])
def test_damaged_outcomes_are_refused(model, data, tmp_path, damage):
    with RunFolder.create(tmp_path / "run", {"seed": 0}) as run:
        age(model, data, store=run, instances=1)
        run._connection.execute(f"UPDATE outcome SET {damage}")
    with open_run(tmp_path / "run") as run, pytest.raises(RunError, match=r"results\.sqlite: damaged[^$]*outcomes"):
        run.outcomes(0, DAY)


def test_folder_without_a_table_of_outcomes_has_none(model, data, tmp_path):
    with RunFolder.create(tmp_path / "run", {"seed": 0}) as run:
        age(model, data, store=run, instances=1)
        run._connection.execute("DROP TABLE outcome")
    with open_run(tmp_path / "run") as run:
        assert run.outcomes(0, DAY) is None
        assert run.has(0, DAY)


def test_outcomes_of_another_measurement_are_refused(model, data, tmp_path):
    with RunFolder.create(tmp_path / "run", {"seed": 0}) as run:
        age(model, data, store=run, instances=1)
        kept = MemoryStore()
        age(model, [(x, (y + 1) % 3) for x, y in data], store=kept, instances=1)
        other = age(model, [(x, (y + 1) % 3) for x, y in data], instances=1).packed[0, DAY]
        with pytest.raises(RunError, match="already holds other outcomes"):
            run.commit([], [other])


@contextmanager
def brightened(network: nn.Module, batches: Any, run: Any) -> Iterator[None]:
    """A method of calibration from outside: the bias of the last layer is raised for class 0."""
    bias = network[3].bias
    before = bias.detach().clone()
    with torch.no_grad():
        bias[0] += 100.0 * len(list(batches))
    yield
    with torch.no_grad():
        bias.copy_(before)


def test_calibration_method_is_added_by_one_registration(model, data, monkeypatch):
    monkeypatch.setitem(CALIBRATIONS, "bright", CalibrationMethod(title="Bright", within=brightened))
    plain, result = age(model, data), age(model, data, calibrate=("bright", "adabs", "bright"), calibration=data)
    assert set(plain.records) <= set(result.records)
    assert {record.calibration for record in result.records} == {"none", "bright", "adabs"}
    zero = torch.cat([y for _, y in data]).eq(0).numpy()
    assert np.array_equal(result.outcomes(1, replace(DAY, calibration="bright")), zero)
    swept = sweep_conductance_noise(
        model, data, sigmas=[0.1], instances=1, seed=0, calibrate=["bright"], calibration=data
    )
    assert np.array_equal(swept.outcomes(0, Condition(stage="gaussian", sigma_c=0.1, calibration="bright")), zero)
    assert {record.preset for record in swept.records} == {"generic_gaussian"}


def test_adabs_is_the_name_in_0_1_of_a_calibration(model, data):
    old, new = age(model, data, adabs=True, calibration=data), age(model, data, calibrate=["adabs"], calibration=data)
    assert old.records == new.records


def test_calibrations_that_cannot_be_are_refused_before_anything_is_measured(model, data):
    counted = Counted(data)
    with pytest.raises(OptionError, match="expected one of adabs, affine, got 'adaps'; did you mean 'adabs'"):
        age(model, counted, calibrate=["adaps"], calibration=data)
    with pytest.raises(OptionError, match="AdaBS needs calibration batches, got none"):
        sweep_conductance_noise(model, counted, sigmas=[0.1], instances=1, seed=0, calibrate=["adabs"])
    with pytest.raises(OptionError, match="no batch-norm layer"):
        age(nn.Sequential(nn.Linear(6, 3)), counted, calibrate=["adabs"], calibration=data)
    device = SimulatedDevice(model, plan_conversion(model, PCM))
    with pytest.raises(OptionError, match="got none"), device.program(0, 0).at(replace(DAY, calibration="adabs")):
        pass
    assert counted.passes == 0


@pytest.mark.filterwarnings("ignore::analog_samson.errors.InputRangeWarning")  # of layers of six inputs
@pytest.mark.filterwarnings("ignore::analog_samson.crossbar.coverage.CoverageWarning")
def test_plan_that_was_made_before_is_acted_upon(model, data):
    plan = plan_conversion(model, CONVERTERS, keep_digital=["0"])
    given = age(model, data, CONVERTERS, plan=plan, calibration=data)
    made = age(model, data, CONVERTERS, keep_digital=["0"], calibration=data)
    assert given.records == made.records
    assert list(given.input_ranges) == list(made.input_ranges) == ["3"]
    with pytest.raises(OptionError) as caught:
        age(model, data, plan=plan, keep_digital=["3"])
    assert "keep_digital: has no effect" in str(caught.value)
    assert "plan: made for preset pcm_rasch_2023, got pcm_nandakumar_2019" in str(caught.value)


def test_cells_of_one_store_are_not_measured_twice(model, data):
    store, counts = MemoryStore(), Counter()
    age(model, data, store=store, instances=1)
    result = age(model, data, store=store, progress=lambda text: counts.update([text]))
    assert list(counts) == ["instance 2 of 2, 1d"]
    assert len(result.packed) == 3


def test_convolutions_compute_in_channels_last_layout_where_the_network_takes_it():
    class Views(nn.Module):
        def __init__(self, view):
            super().__init__()
            self.conv, self.head, self.view = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 3), view

        def forward(self, x):
            y = self.conv(x)
            self.seen = y.is_contiguous(memory_format=torch.channels_last)
            return self.head(y.view(len(y), -1) if self.view else y.flatten(1))

    x = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    preset = load_preset("pcm_nandakumar_2019")
    for view in (False, True):
        model = Views(view).eval()
        device = SimulatedDevice(model, plan_conversion(model, preset), sample=x[:2])
        with torch.no_grad(), device.program(0, 0).at(DAY) as network:
            network(x)
            assert network.seen is not view
            model(x)
            assert not model.seen  # the user's own network is as it was
