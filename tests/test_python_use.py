"""What a user types in a session: names in the place of objects, and results that are shown, kept and read again."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from analog_samson import (
    SimulatedDevice,
    SimulationResult,
    convert,
    load_checkpoint,
    load_preset,
    open_run,
    plan_conversion,
    save_checkpoint,
    simulate_drift,
)
from analog_samson.analysis.runs import read_runs
from analog_samson.chip.device.error_curve import conductance_error
from analog_samson.chip.device.readings import simulated_readings
from analog_samson.data import image_set
from analog_samson.errors import RunError
from analog_samson.units import as_seconds

mpl.use("agg")


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(40, 6, generator=generator), torch.arange(40) % 3)]


@pytest.fixture(scope="module")
def result(model, data):
    options = {"times": "1s,1d,1y", "instances": 3, "seed": 0, "calibrate": ("affine",), "calibration": data}
    return simulate_drift(model, "pcm_nandakumar_2019", data, **options)


def test_a_name_and_text_mean_the_preset_and_the_seconds(model, data, result):
    preset, times = load_preset("pcm_nandakumar_2019"), (1.0, 86400.0, 31536000.0)
    options = {"instances": 3, "seed": 0, "calibrate": ("affine",), "calibration": data}
    assert simulate_drift(model, preset, data, times=times, **options).records == result.records
    assert plan_conversion(model, "ideal") == plan_conversion(model, load_preset("ideal"))
    layers = plan_conversion(model, "ideal", layer_presets={"0": "pcm_nandakumar_2019"})
    assert [one.name for one in layers.presets] == ["ideal", "pcm_nandakumar_2019"]
    x = data[0][0]
    assert torch.allclose(convert(model, "ideal")(x), model(x), atol=1e-6)
    assert isinstance(SimulatedDevice(model, plan_conversion(model, "ideal")).plan.preset, type(preset))


def test_devices_alone_take_a_name_and_text_too():
    name, preset = "pcm_nandakumar_2019", load_preset("pcm_nandakumar_2019")
    options = {"seed": 0, "points": 2, "draws": 10}
    assert conductance_error(name, "1s,1d", **options) == conductance_error(preset, [1.0, 86400.0], **options)
    readings = [simulated_readings(one, [5.0], times, seed=0) for one, times in ((name, "1d"), (preset, [86400.0]))]
    assert np.array_equal(*readings)


def test_one_number_is_one_moment():
    assert as_seconds(60) == as_seconds("60s") == as_seconds(["60s"]) == (60.0,)


def test_a_saved_result_is_read_again_with_every_value(result, tmp_path):
    result.save(tmp_path / "kept")
    again = SimulationResult.load(tmp_path / "kept")
    assert sorted(map(str, again.records)) == sorted(map(str, result.records))
    assert (again.metrics, again.samples, again.seed, again.preset) == (result.metrics, 40, 0, result.preset)
    assert {cell: one.bits for cell, one in again.packed.items()} == {c: one.bits for c, one in result.packed.items()}
    assert again.summary() == result.summary()
    result.save(tmp_path / "kept")  # once more changes nothing
    with open_run(tmp_path / "kept") as run:
        (read,) = read_runs([run])
    assert [values(one) for one in read.results] == [values(one) for one in result.results()]


def values(result):
    return [(state.label, list(state.values)) for state in result.states]


def test_a_result_is_not_saved_over_another(result, model, data, tmp_path):
    result.save(tmp_path / "kept")
    other = simulate_drift(model, "ideal", data, times="1d", instances=1, seed=1)
    with pytest.raises(RunError, match="seed"):
        other.save(tmp_path / "kept")
    assert SimulationResult.load(tmp_path / "kept").seed == 0


def test_the_summary_has_the_answer_and_every_moment(result):
    told = result.summary()
    assert "after 1 year" in told.splitlines()[0]
    assert all(f"\n  {moment}" in told for moment in ("digital", "1s", "1d", "1y"))


def test_csv_holds_the_frame(result, tmp_path):
    result.to_csv(tmp_path / "values.csv")
    read = pd.read_csv(tmp_path / "values.csv", keep_default_na=False, na_values=[""])
    assert read.accuracy_percent.tolist() == result.frame().accuracy_percent.tolist()


def test_a_plot_is_drawn_on_axes_of_the_callers(result):
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert result.plot(ax=axes[1]) is figure
    assert axes[1].lines
    assert not axes[0].lines


def test_objects_show_themselves_in_a_line_and_as_a_table(model, result):
    images = image_set(np.zeros((4, 2, 2), np.uint8), np.arange(4), name="few", where="few")
    plan = plan_conversion(model, "ideal")
    shown = [
        (images, "4 images of 1 x 2 x 2"),
        (result, "3 chips"),
        (load_preset("ideal"), "<Preset ideal"),
        (plan, "2 weights on 2 tiles"),
    ]
    for one, words in shown:
        assert words in repr(one)
        assert "\n" not in repr(one)
        assert len(repr(one)) < 160
    for one in (result, load_preset("ideal"), plan):
        assert "<table" in one._repr_html_()


def test_files_show_themselves_in_a_line(model, result, tmp_path):
    save_checkpoint(tmp_path / "net.safetensors", model, {"model": "mine"})
    shown = repr(load_checkpoint(tmp_path / "net.safetensors"))
    assert all(fact in shown for fact in ("net.safetensors", "mine", "4 tensors", "83 values"))
    result.save(tmp_path / "run")
    with open_run(tmp_path / "run") as run:
        assert repr(run) == f"<RunFolder {tmp_path / 'run'}>"
