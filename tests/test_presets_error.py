"""`presets show`: how far devices are from target, as a table and as a picture."""

import math
import re
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analog_samson.chip.device.error_curve import conductance_error
from analog_samson.cli.presets import app
from analog_samson.errors import OptionError, RunError
from analog_samson.presets import list_presets, load_preset
from analog_samson.presets.validity import validity_of
from analog_samson.report.device_error import ErrorCurve, draw_error, error_picture, error_table
from analog_samson.report.drawing import NARROW, Drawing, make_figure

HW_PRESETS = Path(__file__).parents[1] / "hw_presets"
HOUR, DAY, YEAR = 3600.0, 86400.0, 31536000.0
TIMES = (1.0, HOUR, DAY, YEAR)
NAMES = [preset.name for preset in list_presets()]


def validity(name):
    return validity_of(load_preset(name).model_dump(mode="json"))


def run(*arguments):
    return CliRunner().invoke(app, ["show", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize("name", NAMES)
def test_conductance_error_when_drawn_covers_the_device_and_every_time(name):
    preset = load_preset(name)
    curves = conductance_error(preset, TIMES, seed=0, points=5, draws=50)
    assert [curve.time_seconds for curve in curves] == [None, *TIMES]
    for curve in curves:
        assert curve.targets[0] == pytest.approx(preset.device.g_min_microsiemens)
        assert curve.targets[-1] == pytest.approx(preset.device.g_max_microsiemens)
        assert len(curve.means) == len(curve.deviations) == 5
        assert all(math.isfinite(value) for value in (*curve.means, *curve.deviations))


def test_conductance_error_when_programmed_has_the_formulas_spread():
    preset = load_preset("pcm_nandakumar_2019")
    (programmed,) = conductance_error(preset, (), seed=0, points=3, draws=20_000)
    for target, deviation in list(zip(programmed.targets, programmed.deviations, strict=True))[1:]:
        x = target / 25
        assert deviation == pytest.approx(0.26348 + 1.9650 * x - 1.1731 * x**2, rel=4.9 / 40_000**0.5)


def test_conductance_error_at_time_zero_is_that_of_the_programming():
    programmed, unread, later = conductance_error(load_preset("pcm_nandakumar_2019"), (0.0, 1.0), seed=0, draws=50)
    assert (programmed.means, programmed.deviations) == (unread.means, unread.deviations)
    assert later.deviations != unread.deviations


def test_conductance_error_when_seeded_alike_is_the_same_and_otherwise_not():
    preset = load_preset("reram_wan_2022")
    first, again, other = (conductance_error(preset, TIMES, seed=seed, draws=10) for seed in (1, 1, 2))
    assert first == again != other


def test_conductance_error_when_devices_drift_reads_the_same_devices_at_every_time():
    preset = load_preset("pcm_nandakumar_2019")
    alone = conductance_error(preset, (YEAR,), seed=0, draws=2000)[1]
    among = conductance_error(preset, TIMES, seed=0, draws=2000)[4]
    # Only the read noise differs: drift exponents drawn anew would change the means by about 0.035.
    assert alone.means[-1] == pytest.approx(among.means[-1], abs=0.06)
    assert alone != among


def test_error_table_when_made_has_a_line_a_target_and_marks_times():
    curves = [
        ErrorCurve(time_seconds=None, targets=(0.0, 40.0), means=(0.0, -0.0), deviations=(0.0, 1.0)),
        ErrorCurve(time_seconds=HOUR, targets=(0.0, 40.0), means=(0.1, -2.25), deviations=(0.0125, 1.0)),
        ErrorCurve(time_seconds=YEAR, targets=(0.0, 40.0), means=(1e-9, 12.0), deviations=(1.0, 1.0)),
    ]
    assert error_table(curves, validity("reram_wan_2022")) == [
        ("TARGET [uS]", "programmed", "1h (interpolated)", "1y (extrapolated)"),
        ("0", "0", "+0.100 +- 0.013", "+0.000 +- 1.000"),
        ("40", "+0.000 +- 1.000", "-2.250 +- 1.000", "+12.000 +- 1.000"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_show_when_given_a_name_prints_the_errors_of_its_devices(name):
    lines = run(name).output.split("not compensated:\n\n")[1].splitlines()
    assert lines[0].startswith("TARGET [uS]  programmed  ")
    assert [bool(re.search(rf"\b{time}\b", lines[0])) for time in ("1s", "1h", "1d", "1y")] == [True] * 4
    assert len(lines) == 10


def test_show_when_the_device_is_ideal_prints_zeros():
    last = run("ideal").output.splitlines()[-1]
    assert last.split() == ["25", "0", "0", "0", "0", "0"]


def test_show_when_times_are_given_prints_those():
    output = run("pcm_nandakumar_2019", "--times", "20s,2d").output
    assert "TARGET [uS]  programmed       20s" in output
    assert "2d (extrapolated)" in output


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_show_when_a_plot_is_asked_for_writes_the_same_picture_every_time(tmp_path, suffix, start):
    files = [tmp_path / f"{place}.{suffix}" for place in range(2)]
    for file in files:
        result = run("reram_wan_2022", "--plot", file)
        assert result.exit_code == 0
        assert result.output.endswith(f"\nwrote {file}\n")
    first, second = (file.read_bytes() for file in files)
    assert first.startswith(start)
    assert first == second


def test_show_when_the_plot_has_another_suffix_names_those_there_are(tmp_path):
    result = run("ideal", "--plot", tmp_path / "error.jpg")
    assert isinstance(result.exception, OptionError)
    assert result.output == ""
    assert str(result.exception) == "picture format 'jpg': expected one of svg, png"
    assert not list(tmp_path.iterdir())


def test_show_when_the_plot_cannot_be_written_says_where(tmp_path):
    result = run("ideal", "--plot", tmp_path / "nowhere" / "error.svg")
    assert isinstance(result.exception, RunError)
    assert f"no folder {tmp_path / 'nowhere'}; make it" in str(result.exception)
    assert result.output == ""


def test_show_and_simulate_when_conductances_are_not_covered_mark_the_same_times(tmp_path):
    text = (HW_PRESETS / "pcm_nandakumar_2019.toml").read_text()
    text, count = re.subn(r"(?m)^g_max_microsiemens = 25.0", "g_max_microsiemens = 50.0", text)
    assert count == 1
    path = tmp_path / "hot.toml"
    path.write_text(text.replace('name = "pcm_nandakumar_2019"', 'name = "hot"'))
    head = run(path).output.split("not compensated:\n\n")[1].splitlines()[0]
    shown = re.findall(r"(programmed|1s|1h|1d|1y)( \(extrapolated\))?", head)
    found = validity_of(load_preset(path).model_dump(mode="json"))
    assert {mark.strip(" ()") for _, mark in shown} == {"extrapolated"}
    assert {found.coverage(t) for t in (None, 1.0, HOUR, YEAR)} == {"extrapolated"}


def test_error_picture_when_drawn_names_axes_and_times():
    curves = conductance_error(load_preset("reram_wan_2022"), TIMES, seed=0, draws=10)
    figure = make_figure(Drawing(draw=partial(draw_error, curves, validity("reram_wan_2022"))), NARROW)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "target conductance [uS]"
    assert axes.get_ylabel() == "conductance - target [uS]"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["programmed", "1s", "1h (interpolated)", "1d", "1y (extrapolated)"]
    assert len(error_picture(curves, validity("reram_wan_2022"), "svg")) > 5000
