"""`presets fit`: the file that is read, the preset and the picture that are written, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import error_of, output_of
from typer.testing import CliRunner

from analog_samson import SimulatedDevice, load_preset, plan_conversion
from analog_samson.analysis.device_fit.measurements import from_readings, read_measurements
from analog_samson.analysis.device_fit.model import LARGEST_MISFIT, clock_of, fit_devices
from analog_samson.chip.device.readings import simulated_readings
from analog_samson.cli.presets import app
from analog_samson.errors import DataError
from analog_samson.presets.validity import validity_of
from analog_samson.results.condition import Condition

HEADER = "device,target [uS],time [s],conductance [uS],read\n"


def write_readings(path: Path, readings: np.ndarray, targets: np.ndarray, times: list[float]) -> Path:
    device, time, read = np.indices(readings.shape)
    columns = {
        "device": device,
        "target [uS]": targets[device],
        "time [s]": np.array(times)[time],
        "conductance [uS]": readings,
        "read": read,
    }
    pd.DataFrame({name: column.ravel() for name, column in columns.items()}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def readings(tmp_path_factory):
    """150 simulated PCM devices, three times, two reads."""
    targets, times = np.repeat([4.0, 10.0, 25.0], 50), [1.0, 3600.0, 86400.0]
    made = simulated_readings(load_preset("pcm_nandakumar_2019"), targets, times, seed=0, reads=2)
    return write_readings(tmp_path_factory.mktemp("readings") / "pcm.csv", made, targets, times)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_fit_writes_a_preset_that_simulates_and_a_picture(readings, here):
    text = output_of(app, "fit", readings, "--name", "mine", "--t0", "20s", "--technology", "PCM")
    assert (here / "mine.png").read_bytes().startswith(b"\x89PNG")
    preset = load_preset(here / "mine.toml")
    assert (preset.source.kind, preset.device.technology) == ("fitted", "PCM")
    assert (preset.validity.max_seconds, preset.drift.t0_seconds) == (86400.0, 20.0)
    for fact in ("900 readings of 150 devices", "3 times from 1s to 1d", "t0 = 20s was given", "Tile size, converters"):
        assert fact in " ".join(preset.source.notes.split())
    assert output_of(app, "check", "mine.toml").startswith("mine.toml: ok")
    assert "IN CENTRAL 90%" in text

    (line,) = (line for line in (here / "mine.toml").read_text().splitlines() if line.startswith("q_coefficient"))
    value, interval = line.removeprefix("q_coefficient = ").split("  # ")
    low, high = map(float, interval.split(" to "))
    assert low < float(value) == preset.read.q_coefficient < high

    layer = torch.nn.Sequential(torch.nn.Linear(8, 4))
    device = SimulatedDevice(layer, plan_conversion(layer, preset))
    with torch.no_grad(), device.program(0, 0).at(Condition(stage="drift", time_seconds=3600.0)) as network:
        assert not torch.equal(network(torch.eye(8)), layer(torch.eye(8)))


def test_what_was_not_measured_is_said(readings, here):
    table = pd.read_csv(readings)
    table[(table.read == 0) & (table["time [s]"] > 1)].drop(columns="read").to_csv("two.csv", index=False)
    text = output_of(app, "fit", "two.csv", "--name", "mine")
    preset = load_preset(here / "mine.toml")
    assert preset.read.model == "none"
    assert "Read noise was not measured" in preset.source.notes
    assert "Read noise was not measured" in text
    assert preset.drift.t0_seconds == 3600.0


@pytest.mark.parametrize(
    ("early_by", "right", "wrong", "remedy"),
    [(0.0, [], ["--t0", "20s"], "leave --t0 out"), (20.0, ["--t0", "20s"], [], "give --t0")],
    ids=["from programming", "from t0 after programming"],
)
def test_times_on_which_the_law_does_not_hold_are_warned_of(early_by, right, wrong, remedy, here):
    """Power laws with 1 % of noise; the times of the file count from programming, or from 20 s after it."""
    times = np.array([21.0, 40.0, 120.0, 3600.0, 86420.0])
    noise = np.random.default_rng(0).normal(1.0, 0.01, (60, 5, 3))
    labels = (times - early_by).tolist()
    path = write_readings(here / "pcm.csv", 10 * (times[:, None] / 20) ** -0.05 * noise, np.full(60, 10.0), labels)
    results = {
        name: CliRunner().invoke(app, ["fit", str(path), "--name", name, *options])
        for name, options in (("right", right), ("wrong", wrong))
    }
    assert [result.exit_code for result in results.values()] == [0, 0]
    assert results["right"].stderr == ""
    assert results["wrong"].stderr.startswith("warning: The drift law does not hold with these times")
    for name, facts in (("right", set()), ("wrong", {"does not hold", remedy})):
        preset = load_preset(here / f"{name}.toml")
        notes = " ".join(preset.source.notes.split())
        assert {fact for fact in ("does not hold", remedy) if fact in notes} == facts
        validity = validity_of(preset.model_dump())
        assert [validity.coverage(time) for time in (labels[-1], labels[-1] + 1)] == ["", "extrapolated"]
    assert load_preset(here / "right.toml").drift.nu_mean == pytest.approx(0.05, abs=0.001)


def test_few_devices_that_follow_the_law_are_not_warned_of_chance():
    """A misfit above the limit is common with 20 devices and one degree of freedom each."""
    targets, times = np.resize([4.0, 10.0, 25.0], 20), np.array([1.0, 3600.0, 86400.0])
    preset = load_preset("generic_rasch_2021_state_independent")
    models = []
    for seed in range(25):
        data = from_readings(targets, times, simulated_readings(preset, targets, times.tolist(), seed=seed, reads=3))
        models.append(fit_devices(data, clock_of(data, 20.0, 2.5e-7, drift=True)))
    assert max(model.misfit for model in models) > LARGEST_MISFIT
    assert not any(model.laws_fail for model in models)


def test_units_of_the_header_are_read(tmp_path):
    rows = "\n".join(f"d{k}, 0.005, {time}, {4 + time}e-6" for k in range(20) for time in (1, 2))
    path = tmp_path / "units.csv"
    path.write_text(f"\ufeffDevice,target [mS],time [h], conductance [S]\n{rows}\n\n", encoding="utf-8")
    data = read_measurements(path)
    assert data.times.tolist() == [3600.0, 7200.0]
    assert data.targets[0] == pytest.approx(5.0)
    assert data.means[0].tolist() == pytest.approx([5.0, 6.0])
    path.write_text(path.read_text(encoding="utf-8-sig").replace("[mS]", "[µS]"), encoding="utf-8")
    assert read_measurements(path).targets[0] == pytest.approx(0.005)


def test_repeated_reads_are_taken_together(tmp_path):
    rows = "".join(f"{k},5,{t},{value},{read}\n" for k in range(20) for t in (1, 2) for read, value in ((1, 6), (0, 4)))
    (tmp_path / "reads.csv").write_text(HEADER + rows)
    data = read_measurements(tmp_path / "reads.csv")
    assert [float(one[3, 1]) for one in (data.counts, data.means, data.squares, data.first)] == [2, 5, 2, 4]


GOOD = "".join(f"{k},5,{t},4.{k},0\n" for k in range(20) for t in (1, 2))
FAULTY = {
    "unit": (HEADER.replace("[s]", "[hr]") + GOOD, ["'time [hr]'", "unknown unit 'hr'", "did you mean 'h'", "ms"]),
    "no unit": (HEADER.replace(" [s]", "") + GOOD, ["'time': no unit", "time [UNIT]"]),
    "column": (HEADER.replace("read", "reads") + GOOD, ["'reads': unknown", "did you mean 'read'"]),
    "round": (HEADER.replace("[uS]", "(µS)") + GOOD, ["did you mean 'target [µS]'", "did you mean 'conductance [µS]'"]),
    "misspelt": (
        HEADER.replace("target [uS]", "tagret (uS)") + GOOD,
        ["'tagret (uS)': unknown; did you mean 'target [uS]'"],
    ),
    "missing": ("device,time [s]\n1,1\n", ["column target: missing", "column conductance: missing"]),
    "nan": (HEADER + GOOD + "7,5,3,nan,0\n", ["line 42: conductance: expected a finite number", "got nan"]),
    "negative": (HEADER + GOOD + "7,5,3,-1,0\n", ["line 42: conductance", "0 or above, got -1"]),
    "text": (HEADER + GOOD + "7,5,soon,1,0\n", ["line 42: time", "got soon"]),
    "empty cell": (HEADER + GOOD + "\n7,,3,1,0\n", ["line 43: target", "got nothing"]),
    "targets": (HEADER + GOOD + "7,6,3,1,0\n", ["device 7: has several targets (5, 6 uS", "line 42"]),
    "twice": (HEADER + GOOD + "7,5,2,1,0\n", ["device 7: read twice at one time (line 42)", "number its reads"]),
    "few": (HEADER + "1,5,1,4,0\n1,5,2,4,0\n", ["has 1 devices; expected at least 20"]),
    "times": (HEADER + "".join(f"1,5,{t},4,0\n" for t in range(101)) + GOOD, ["has 101 different times", "round"]),
    "zero": (HEADER + GOOD.replace(",5,", ",0,"), ["all targets are 0"]),
    "empty": ("", ["not a CSV table", "device,target [uS]"]),
    "header alone": (HEADER, ["no lines of readings"]),
    "long lines": (HEADER + GOOD.replace(",0\n", ",0,1,2\n"), ["more values than the header has columns"]),
}


@pytest.mark.parametrize("case", FAULTY)
def test_faulty_file_is_refused_with_its_place(case, tmp_path):
    text, facts = FAULTY[case]
    path = tmp_path / "faulty.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_measurements(path)
    assert str(path) in str(caught.value)
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_missing_file_and_bytes_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_measurements(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a CSV table"):
        read_measurements(tmp_path / "bytes.csv")


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        (["--name", "My PCM"], ["--name: expected small letters", "'My PCM'"]),
        (["--name", "ideal"], ["ideal is a preset of the package"]),
        (["--name", "mine", "--out", "other.toml"], ["expected a file with the preset's name, mine.toml"]),
        (["--name", "mine", "--out", "nowhere/mine.toml"], ["no folder nowhere"]),
        (["--name", "taken"], ["taken.toml exists"]),
        (["--name", "mine", "--no-drift", "--t0", "1s"], ["--no-drift: --t0"]),
        (["--name", "mine", "--no-drift"], ["--no-drift: the measurements have 3 times"]),
        (["--name", "mine", "--t0", "1e-8s"], ["--t0: expected more than the read pulse"]),
        (["--name", "mine", "--drift-model", "linear"], ["--drift-model", "log_linear_exponent"]),
    ],
)
def test_faulty_options_are_refused_and_nothing_is_written(options, facts, readings, here):
    (here / "taken.toml").write_text("")
    message = error_of(app, "fit", readings, *options)
    assert [fact for fact in facts if fact not in message] == []
    assert [path.name for path in here.iterdir()] == ["taken.toml"]
