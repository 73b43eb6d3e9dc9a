"""Figures: equal data gives equal bytes, nothing global changes, colours suit everyone and every page."""

import io
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image
from synthetic_runs import PRESET, synthetic_records, synthetic_run

from analog_samson.analysis.runs import Run, read_runs
from analog_samson.analysis.summary import results_of
from analog_samson.report.artists import legend, legend_columns, look
from analog_samson.report.contents import Contents
from analog_samson.report.drawing import NARROW, WIDE, Drawing, make_figure, png, svg
from analog_samson.report.figures import over_time_figure
from analog_samson.report.page import drawings, page_groups
from analog_samson.report.palette import DARK, DASHES, LIGHT, MARKERS, SERIES
from analog_samson.report.svg import colour_css, inline_svg
from analog_samson.report.time_axis import time_axis
from analog_samson.results.metric import Metric, stored_task
from analog_samson.results.records import Record
from analog_samson.results.store import open_run

ALL = ["over_time", "difference_over_time", "gaussian"]
# Linear RGB as seen without red, green or blue cones (Machado, Oliveira and Fernandes 2009, severity 1).
VISION = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def run_of(tmp_path: Path, name: str = "run", records: list[Record] | None = None, **numbers: float) -> Run:
    (run,) = read_runs([open_run(synthetic_run(tmp_path / name, name, records=records, **numbers))])
    return run


def figures(runs: Sequence[Run]) -> dict[str, Drawing]:
    """The figures of the metric itself."""
    found = drawings(page_groups(Contents(runs)))
    return {name: found[name] for name in found if name in ALL}


def texts(drawing: Drawing) -> list[str]:
    root = ET.fromstring(svg(drawing, WIDE, text=True))
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Run, ...]:
    paths = [synthetic_run(tmp_path / "sgd", "sgd"), synthetic_run(tmp_path / "samson", "samson", fall=4.0)]
    return read_runs([open_run(path) for path in paths])


@pytest.mark.parametrize("name", ALL)
def test_figure_is_byte_identical_when_drawn_twice(pair: tuple[Run, ...], name: str) -> None:
    first, second = figures(pair)[name], figures(pair)[name]
    for text in (True, False):
        assert svg(first, WIDE, text=text) == svg(second, WIDE, text=text)
    assert png(first, NARROW) == png(second, NARROW)


def test_figure_differs_when_one_value_does(tmp_path: Path) -> None:
    records = synthetic_records("run")
    place = next(i for i, r in enumerate(records) if r.stage == "drift" and r.metric == "accuracy_percent")
    changed = [*records[:place], replace(records[place], value=records[place].value - 1), *records[place + 1 :]]
    first, second = run_of(tmp_path / "a", records=records), run_of(tmp_path / "b", records=changed)
    name = "over_time"
    assert svg(figures([first])[name], WIDE, text=True) != svg(figures([second])[name], WIDE, text=True)


def test_figure_holds_no_date_and_png_has_the_asked_size(pair: tuple[Run, ...]) -> None:
    drawing = figures(pair)["over_time"]
    assert not re.search(rb"dc:date|dc:creator|20\d\d-\d\d-\d\d", svg(drawing, WIDE, text=True))
    image = Image.open(io.BytesIO(png(drawing, WIDE, dots_per_inch=100)))
    assert image.size == (760, 410)
    assert image.text == {}  # type: ignore[attr-defined]


def test_settings_of_matplotlib_are_as_before_when_figures_were_drawn(pair: tuple[Run, ...]) -> None:
    before = dict(matplotlib.rcParams)
    for drawing in figures(pair).values():
        png(drawing, WIDE)
    assert dict(matplotlib.rcParams) == before


def test_pyplot_and_torch_are_not_loaded_when_figures_are() -> None:
    code = "import sys, analog_samson.report.page; print({'matplotlib.pyplot', 'torch'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_figures_exist_for_what_was_measured_only(tmp_path: Path, pair: tuple[Run, ...]) -> None:
    assert list(figures(pair)) == ALL
    assert list(figures(pair[:1])) == ALL[::2]
    records = synthetic_records("run")
    for stages, expected in (({"gaussian"}, ALL[2:]), ({"drift"}, ALL[:1]), ({"digital", "programmed"}, [])):
        some = [record for record in records if record.stage in stages]
        assert list(figures([run_of(tmp_path, "-".join(sorted(stages)), some)])) == expected


def test_accuracy_figure_names_times_values_digital_and_extrapolation(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    shown = texts(figures([run])["over_time"])
    means = [f"{state.value.mean:.1f}" for state in run.results[0].states]
    assert {"programmed", "1s", "1h", "1d", "1y", "digital 91.7 %", "extrapolated", *means} <= set(shown)


def test_accuracy_figure_is_not_shaded_when_the_preset_covers_all_times(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run", meta={"preset": PRESET | {"validity": {"max_seconds": 1e9}}})
    assert "extrapolated" not in texts(figures(read_runs([open_run(path)]))["over_time"])


def test_accuracy_figure_is_shaded_whole_when_the_preset_covers_no_conductance(tmp_path: Path) -> None:
    hot = PRESET | {"validity": {"max_seconds": 1e9, "max_g_microsiemens": 20.0}}
    path = synthetic_run(tmp_path / "run", meta={"preset": hot})
    assert "extrapolated" in texts(figures(read_runs([open_run(path)]))["over_time"])


@pytest.mark.parametrize("name", ["over_time", "gaussian"])
def test_markers_are_half_filled_when_interpolated_and_hollow_when_extrapolated(tmp_path: Path, name: str) -> None:
    published = PRESET | {"validity": {"max_seconds": 90000.0, "published_seconds": [1.0, 86400.0]}}
    (run,) = read_runs([open_run(synthetic_run(tmp_path / "run", meta={"preset": published}))])
    axes = make_figure(figures([run])[name], WIDE).axes[0]
    markers = [line for line in axes.lines if line.get_marker() == MARKERS[0]]
    looks = {state.coverage: _filling(line) for line, state in zip(markers[-4:], run.results[0].times, strict=True)}
    assert looks == {"": "full", "interpolated": "half", "extrapolated": "hollow"}


def _filling(line: Line2D) -> str:
    if line.get_fillstyle() == "bottom":
        return "half"
    return "hollow" if line.get_markerfacecolor() == LIGHT["surface"] else "full"


def test_gaussian_figure_marks_every_drift_time_at_its_equivalent(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    axes = make_figure(figures([run])["gaussian"], WIDE).axes[0]
    marked = {float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == MARKERS[0]}  # type: ignore[index]
    assert marked == {state.equivalent.value for state in run.results[0].times if state.equivalent}
    assert {"1s", "1h, 1d", "1y"} <= set(texts(figures([run])["gaussian"]))


def test_difference_figure_shows_the_paired_differences(pair: tuple[Run, ...]) -> None:
    assert {"+7.6", "+5.5"} & set(texts(figures(pair)["difference_over_time"]))


def test_times_with_equal_equivalents_share_a_label(tmp_path: Path) -> None:
    assert "1s, 1h, 1d, 1y" in texts(figures([run_of(tmp_path, fall=0.0)])["gaussian"])


RMSE = Metric(name="rmse", title="RMSE", unit="mm", lower=0.0, higher_is_better=False, decimals=1)


def errors_of(tmp_path: Path, name: str, fall: float, metric: Metric = RMSE) -> Run:
    """A run in another metric: 100 minus the accuracy of a made-up network."""
    records = [
        replace(r, metric=metric.name, value=100.0 - r.value) if r.metric == "accuracy_percent" else r
        for r in synthetic_records(name, fall=fall)
    ]
    path = synthetic_run(tmp_path / name, name, records=records, meta={"task": stored_task("test", [metric])})
    return read_runs([open_run(path)])[0]


def test_figures_of_a_metric_that_grows_worse_upwards_name_it_its_unit_and_the_direction(tmp_path: Path) -> None:
    runs = (errors_of(tmp_path, "one", 8.0), errors_of(tmp_path, "two", 4.0))
    shown = drawings(page_groups(Contents(runs)))
    for name in ("over_time", "gaussian", "yield"):
        assert "RMSE (mm)" in texts(shown[name]), name
    assert "difference (mm), below 0: better" in texts(shown["difference_over_time"])
    assert "chips at or below it (%)" in texts(shown["yield"])
    assert not any("accuracy" in text or "points" in text for drawing in shown.values() for text in texts(drawing))
    axes = make_figure(shown["over_time"], WIDE).axes[0]
    means = [line.get_ydata()[-1] for line in axes.lines if len(line.get_xdata()) == 5]  # type: ignore[arg-type, index]
    assert means == [run.results[0].states[-1].value.mean for run in runs]
    bottom, top = axes.get_ylim()
    assert bottom < min(means) < max(means) < top, "worse is upward"


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 100.0), (0.0, math.inf)])
def test_axis_has_no_tick_beyond_what_the_metric_can_be(tmp_path: Path, lower: float, upper: float) -> None:
    metric = replace(RMSE, lower=lower, upper=upper)
    values = [0.2, 0.4] if upper > 100 else [99.5, 99.9]
    cell = {"checkpoint": "n", "preset": "p", "stage": "drift", "calibration": "none", "sigma_c": None}
    records = [
        Record(**cell, instance=chip, time_seconds=time, metric="rmse", value=value)  # type: ignore[arg-type]
        for time in (1.0, 10.0)
        for chip, value in enumerate(values)
    ]
    axes = over_time_figure(results_of(records, metric)).axes[0]
    assert axes.lines, "something is drawn"
    assert all(lower <= tick <= upper for tick in axes.get_yticks())


def test_figures_of_values_that_are_not_finite_leave_them_out(tmp_path: Path) -> None:
    broken = [
        replace(r, value=math.nan) if r.stage == "drift" and r.time_seconds == 3600.0 else r
        for r in synthetic_records()
    ]
    axes = over_time_figure(results_of(broken)).axes[0]
    (means,) = [line.get_ydata() for line in axes.lines if len(line.get_xdata()) == 5]  # type: ignore[arg-type]
    assert [bool(np.isnan(mean)) for mean in means] == [False, False, True, False, False]


def test_many_series_can_be_drawn(tmp_path: Path) -> None:
    runs = read_runs([open_run(synthetic_run(tmp_path / str(i), f"net{i}", fall=2.0 + i)) for i in range(8)])
    for drawing in figures(runs).values():
        assert len(svg(drawing, NARROW, text=True)) > 10_000


def test_legend_has_as_many_columns_as_fit() -> None:
    for letters, columns in ((4, 3), (23, 3), (39, 2), (60, 1)):
        looks = [look(place, "x" * letters) for place in range(4)]
        assert (legend_columns(looks, WIDE), legend_columns(looks, NARROW)) == (columns, 1)
        figure = make_figure(Drawing(draw=lambda axes, layout, looks=looks: legend(axes, looks, layout)), WIDE)
        figure.draw_without_rendering()
        assert figure.legends[0].get_window_extent().x1 <= figure.bbox.x1


def test_figure_of_raw_records_is_a_matplotlib_figure() -> None:
    figure = over_time_figure(results_of(synthetic_records()))
    assert isinstance(figure, Figure)
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["programmed", "1s", "1h", "1d", "1y"]


def test_time_axis_sets_apart_what_has_no_logarithm() -> None:
    records = [replace(r, time_seconds=0.0) if r.time_seconds == 1.0 else r for r in synthetic_records()]
    figure = over_time_figure(results_of(records))
    ticks = dict(
        zip([t.get_text() for t in figure.axes[0].get_xticklabels()], figure.axes[0].get_xticks(), strict=True)
    )
    assert list(ticks) == ["programmed", "0s", "1h", "1d", "1y"]
    assert ticks["1h"] == pytest.approx(np.log10(3600))
    assert ticks["programmed"] < ticks["0s"] < ticks["1h"]


def test_time_axis_has_room_when_there_is_one_time() -> None:
    axis = time_axis([])
    assert axis.span == 1.0


def draw_everything(axes: Axes, _: object) -> None:
    """One mark in each colour of the palette."""
    for place, colour in enumerate(LIGHT.values()):
        axes.plot([0, 1], [place, place], color=colour)


def test_inline_figure_has_no_fixed_colour_or_font() -> None:
    text = inline_svg(svg(Drawing(draw=draw_everything), WIDE, text=True), name="x", title="All <colours>")
    assert {role for role in LIGHT if f"var(--{role})" in text} == set(LIGHT)
    assert not [colour for colour in LIGHT.values() if colour in text.lower()]
    assert "DejaVu" not in text
    assert "All &lt;colours&gt;" in text


def test_ids_of_inline_figures_are_unique_and_references_hold(pair: tuple[Run, ...]) -> None:
    drawn = figures(pair)
    parts = [
        inline_svg(svg(drawing, layout, text=True), name=f"{name}-{layout.narrow}", title=name)
        for name, drawing in drawn.items()
        for layout in (WIDE, NARROW)
    ]
    page = "".join(parts)
    ids = re.findall(r'\bid="([^"]+)"', page)
    references = re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', page)
    assert len(ids) == len(set(ids))
    assert references
    assert set(references) <= set(ids)
    for part in parts:
        ET.fromstring(part)


def test_every_role_has_a_light_and_a_dark_value() -> None:
    assert list(LIGHT) == list(DARK)
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert colour_css().count("--series-1:") == 2
    assert len(MARKERS) == len(DASHES) == len(SERIES)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_letters_can_be_read_on_the_surface(colours: dict[str, str]) -> None:
    for role in ("ink", "muted", *SERIES):
        assert contrast(colours[role], colours["surface"]) >= 4.5, role


@pytest.mark.parametrize("vision", list(VISION))
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_first_four_series_differ_for_every_kind_of_vision(colours: dict[str, str], vision: str) -> None:
    seen = [lab(np.array(VISION[vision]) @ linear(colours[role])) for role in SERIES[:4]]
    # CIE76: a difference of 2.3 is just noticeable; thin lines need several times that.
    assert min(float(np.linalg.norm(one - other)) for one, other in combinations(seen, 2)) > 15


def linear(colour: str) -> NDArray[np.float64]:
    """Linear RGB of "#rrggbb" (IEC 61966-2-1)."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(first: str, second: str) -> float:
    """Contrast ratio of WCAG 2."""
    bright, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (first, second)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b* (D65) of linear RGB."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x = np.array(matrix) @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(x > 216 / 24389, np.cbrt(x), (24389 / 27 * x + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
