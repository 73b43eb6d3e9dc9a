"""explore: ranges, thresholds, the search for a boundary, and maps of a small network from end to end."""

import csv
from itertools import product

import numpy as np
import pytest
import tomli_w
import typer
from commands import error_of, output_of
from small import small_options

from analog_samson import load_preset
from analog_samson.analysis.exploration import ThresholdMap, Verdict, complete, directions, margin_of
from analog_samson.analysis.threshold import parse_threshold
from analog_samson.cli.explore import explore as command
from analog_samson.errors import OptionError, PresetError, RunError
from analog_samson.presets import list_presets
from analog_samson.presets.axis import parse_axis
from analog_samson.presets.leaves import FACTORS, leaves, with_leaves
from analog_samson.results.metric import ACCURACY, LOSS
from analog_samson.results.store import open_run
from analog_samson.runtime.workers import Pool
from analog_samson.simulation.explore import explore
from analog_samson.simulation.explore_layers import explore_layers
from analog_samson.simulation.explore_options import ExploreOptions
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation

PCM, CONVERTERS = "pcm_nandakumar_2019", "pcm_rasch_2023"
app = typer.Typer()
app.command()(command)


def axis(text, preset=CONVERTERS, points=9):
    return parse_axis(text, load_preset(preset), points)


def test_levels_of_whole_numbers_are_whole_and_those_of_others_evenly_spaced():
    bits = axis("periphery.adc_bits=4..10")
    assert bits.levels == (4, 5, 6, 7, 8, 9, 10)
    assert all(isinstance(level, int) for level in bits.levels)
    rows = axis("tile.max_rows=64..1000", points=4).levels
    assert all(isinstance(level, int) for level in rows)
    assert len(rows) == 4
    assert 512 in rows  # that of the preset
    assert axis("periphery.output_noise=0..0.2", points=3).levels == (0.0, 0.04, 0.2)
    assert axis("programming.scale=0.25..2", points=4).levels == (0.25, 0.5, 1.0, 2.0)


def test_ends_may_have_the_unit_of_the_number():
    assert axis("drift.t0_seconds=1m..1h", points=2).levels == (60.0, 3600.0)
    assert axis("device.g_max_microsiemens=10uS..30", points=2).levels == (10.0, 30.0)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("periphery.adc_bit=4..10", ["periphery.adc_bit", CONVERTERS, "periphery.adc_bits"]),
        ("periphery.adc_bits=4..", ["two ends", "4.."]),
        ("periphery.adc_bits=4", ["two ends"]),
        ("periphery.adc_bits", ["LEAF=LOW..HIGH"]),
        ("periphery.adc_bits=10..4", ["LOW below HIGH", "10..4"]),
        ("periphery.adc_bits=4.5..8", ["whole number", "4.5"]),
        ("periphery.adc_bits=4uS..8uS", ["without a unit", "4uS"]),
        ("drift.t0_seconds=1uS..2uS", ["s, m, h, d, w, y", "1uS"]),
        ("programming.scale=nan..2", ["finite number", "nan"]),
        ("source.year=1990..2000", ["source.year"]),
    ],
)
def test_wrong_ranges_are_refused(text, parts):
    with pytest.raises(OptionError) as caught:
        axis(text)
    assert all(part in str(caught.value) for part in parts)


def test_factor_scales_every_number_of_the_error_and_one_is_the_preset():
    preset = load_preset(CONVERTERS)
    doubled = with_leaves(preset, {"programming.scale": 2.0}, "doubled")
    once = preset.programming.coefficients_microsiemens
    assert doubled.programming.coefficients_microsiemens == tuple(2 * c for c in once)
    assert doubled.drift == preset.drift
    spread = with_leaves(preset, {"drift.spread_scale": 0.0}, "same")
    assert spread.drift.nu_std_slope == spread.drift.nu_std_max == 0
    assert spread.drift.nu_mean_slope == preset.drift.nu_mean_slope


def test_every_number_of_every_preset_can_be_set_to_itself():
    for preset in list_presets():
        found = leaves(preset)
        same = with_leaves(preset, found, preset.name, preset.title)
        assert same.fingerprint == preset.fingerprint
        for factor in FACTORS:
            model = getattr(preset, factor.partition(".")[0]).model
            assert (factor in found) == (model != "none"), (preset.name, factor)


def test_impossible_value_is_named():
    with pytest.raises(PresetError, match=r"periphery\.adc_bits.*got 1"):
        with_leaves(load_preset(CONVERTERS), {"periphery.adc_bits": 1}, "one_bit")


@pytest.mark.parametrize(
    ("text", "metric", "value"),
    [
        ("digital - 1", ACCURACY, 91.0),
        ("digital-1 points", ACCURACY, 91.0),
        ("digital * 0.5", ACCURACY, 46.0),
        ("91.5 %", ACCURACY, 91.5),
        ("digital + 0.1 nats", LOSS, 92.1),
        ("digital * 1.5", LOSS, 138.0),
    ],
)
def test_thresholds(text, metric, value):
    threshold = parse_threshold(text)
    threshold.check(metric)
    assert threshold.value(92.0) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "metric", "part"),
    [
        ("digital", ACCURACY, "digital - 1"),
        ("the best", ACCURACY, "digital - 1"),
        ("digital / 2", ACCURACY, "digital - 1"),
        ("91.5 uS", ACCURACY, "'uS'"),
        ("digital * 0.9 %", ACCURACY, "'%'"),
        ("101", ACCURACY, "0 to 100 %"),
        ("digital + 1", ACCURACY, "digital - 1"),
        ("digital - 1", LOSS, "digital + 1"),
        ("digital * 0.9", LOSS, "digital + 0.9"),
    ],
)
def test_wrong_thresholds_are_refused(text, metric, part):
    with pytest.raises(OptionError) as caught:
        parse_threshold(text).check(metric)
    assert "--keep" in str(caught.value)
    assert part in str(caught.value)


def test_verdict_follows_the_interval_in_the_direction_of_the_metric():
    values = {89.0: Verdict.HOLDS, 91.9: Verdict.UNDECIDED, 95.0: Verdict.FAILS}
    assert {t: margin_of([91.0, 92.0, 93.0], t, ACCURACY).verdict for t in values} == values
    assert margin_of([1.0, 1.1], 9.0, LOSS).verdict == Verdict.HOLDS
    assert margin_of([9.0, 9.1], 1.0, LOSS).verdict == Verdict.FAILS
    assert margin_of([float("nan"), 91.0], 1.0, ACCURACY).verdict == Verdict.FAILS
    assert margin_of([63.4, 63.4], 64.4 - 1.0, ACCURACY).verdict == Verdict.HOLDS  # rounding of the difference


def searched(shape, better, truth):
    """The map of a response without noise, from its corners."""
    found = ThresholdMap(shape, better)
    for cell in product(*((0, size - 1) for size in shape)):
        found.verdicts[cell] = truth(cell)
    while cells := found.next_cells(1):
        found.verdicts[cells[0]] = truth(cells[0])
    return found


@pytest.mark.parametrize("better", [(1, 1), (1, -1), (-1, -1)])
def test_map_equals_the_full_grid_at_a_fraction_of_its_points(better):
    shape, counts = (7, 9), []
    for shift in range(-6, 20, 2):

        def truth(cell, shift=shift):
            x, y = (
                level if sign > 0 else size - 1 - level for level, sign, size in zip(cell, better, shape, strict=True)
            )
            return Verdict.HOLDS if 1.3 * x + y >= shift else Verdict.FAILS

        found = searched(shape, better, truth)
        counts.append(len(found.verdicts))
        assert all(found.verdict(cell) == truth(cell) for cell in found.cells)
        assert found.contradictions() == []
    assert max(counts) <= 0.4 * 63
    assert min(counts) == 4


def test_one_axis_is_bisected():
    for boundary in range(1, 33):
        found = searched((33,), (1,), lambda cell, at=boundary: Verdict.HOLDS if cell[0] >= at else Verdict.FAILS)
        assert len(found.verdicts) <= 2 + 5
        crossing = found.boundary((0,), 0)
        assert (crossing.fails, crossing.undecided, crossing.holds) == (boundary - 1, (), boundary)


def test_both_ends_of_the_undecided_levels_are_found():
    verdicts = [Verdict.FAILS] * 3 + [Verdict.UNDECIDED] * 4 + [Verdict.HOLDS] * 4
    crossing = searched((11,), (-1,), lambda cell: verdicts[10 - cell[0]]).boundary((0,), 0)
    assert (crossing.fails, crossing.undecided, crossing.holds) == (8, (7, 6, 5, 4), 3)


def test_points_of_one_round_cannot_make_each_other_needless():
    found = ThresholdMap((7, 9), (1, 1))
    chosen = found.next_cells(4)
    assert len(chosen) > 1
    assert not any(found.at_least(a, b) for a, b in product(chosen, chosen) if a != b)


@pytest.mark.parametrize("ahead", [2, 5])
def test_points_that_are_measured_ahead_change_no_verdict(ahead):
    draw = np.random.default_rng(1)
    noise = draw.normal(0, 2, (7, 9, 4))
    margins = {
        (x, y): margin_of(list(3.0 * (x + y - 7) + noise[x, y]), 0.0, ACCURACY) for x in range(7) for y in range(9)
    }
    corners = {cell: margins[cell] for cell in product((0, 6), (0, 8))}
    one, many = ThresholdMap((7, 9), (1, 1)), ThresholdMap((7, 9), (1, 1))
    alone = complete(one, corners, lambda cells: {cell: margins[cell] for cell in cells}, ahead=1)
    assert complete(many, corners, lambda cells: {cell: margins[cell] for cell in cells}, ahead=ahead) == alone
    assert [one.verdict(cell) for cell in one.cells] == [many.verdict(cell) for cell in many.cells]
    assert Verdict.UNDECIDED in one.verdicts.values()


def test_response_that_is_not_monotone_is_reported_and_undecided():
    found = ThresholdMap((5,), (1,), {(1,): Verdict.HOLDS, (3,): Verdict.FAILS})
    assert found.contradictions() == [((1,), (3,))]
    assert found.verdict((2,)) == Verdict.UNDECIDED


def test_corners_tell_the_direction_and_a_guess_where_they_are_equal():
    corners = {(x, y): margin_of([50.0 - 5 * x, 51.0 - 5 * x], 50.0, ACCURACY) for x in (0, 4) for y in (0, 2)}
    assert directions((5, 3), corners, (1, 1)) == (-1, 1)
    assert directions((5, 3), corners, (1, -1)) == (-1, -1)


@pytest.mark.parametrize("spread", [(1.0, 0.0), (0.0, 1.0)], ids=["chips alike", "points independent"])
def test_boundary_lies_in_its_interval_in_95_of_100_repetitions(spread):
    """It lies between the last level that fails and the first that holds; both are right. Five chips a point."""
    draw, right, repetitions, exact = np.random.default_rng(0), 0, 200, 0
    for _ in range(repetitions):
        at, offsets = draw.uniform(3, 17), draw.normal(0, spread[0], 5)

        def verdict(cell, at=at, offsets=offsets):
            noise = offsets + draw.normal(0, spread[1], 5)
            return margin_of(list(50 + 0.3 * (cell[0] - at) + noise), 50.0, ACCURACY).verdict

        crossing = searched((21,), (1,), verdict).boundary((0,), 0)
        fails, holds = (-1, 99) if crossing.fails is None else (crossing.fails, 99)
        holds = holds if crossing.holds is None else crossing.holds
        right += fails < at <= holds
        exact += holds - fails == 1
    assert right >= 0.93 * repetitions
    assert exact < 0.5 * repetitions  # an interval of one step cannot be right so often


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The options of the small network for `explore`, as a mapping."""
    folder = tmp_path_factory.mktemp("small")
    options = small_options(folder, images=60, tested=40)
    kept = ("checkpoint", "model", "data", "batch_size", "threads")
    return {name: getattr(options, name) for name in kept} | {"instances": 3}


@pytest.fixture(scope="module")
def explored(given, tmp_path_factory):
    out = tmp_path_factory.mktemp("map")
    vary = ("programming.scale=0.5..32", "read.scale=0.5..2")
    options = ExploreOptions(**given, preset=PCM, vary=vary, points=4, keep="digital * 0.8")
    return options, out, explore(options, out, Pool(workers=1, threads_each=1))


def test_point_is_the_simulation_of_its_preset_on_the_same_chips(explored, given, tmp_path):
    options, out, found = explored
    assert found.own_cell is not None
    name = "pcm_nandakumar_2019_programming_scale_0p5_read_scale_0p5"
    preset = with_leaves(load_preset(PCM), {"programming.scale": 0.5, "read.scale": 0.5}, name)
    assert load_preset(out / "presets" / f"{name}.toml").fingerprint == preset.fingerprint
    alone = SimulateOptions(**given, preset=str(out / "presets" / f"{name}.toml"), times=(options.at,), sigmas=())
    with run_simulation(alone, tmp_path / "run") as run, open_run(out / "points" / name) as point:
        assert [r.value for r in run.records()] == [r.value for r in point.records()]


def test_map_is_consistent_and_less_demanding_points_fail_or_are_undecided(explored):
    _, _, found = explored
    assert found.found.better == (-1, -1) or found.found.better == (-1, 1)
    assert found.cheapest is not None
    assert found.verdict(found.cheapest) == Verdict.HOLDS
    worse = (found.cheapest[0] + 1, found.cheapest[1])
    assert found.verdict(worse) != Verdict.HOLDS
    assert found.threshold == pytest.approx(0.8 * found.digital)
    assert all(margin.value.n == 3 for margin in found.measured.values())


def test_finished_points_are_used_again_also_for_another_threshold(explored):
    options, out, found = explored
    before = {file: file.stat().st_mtime_ns for file in out.glob("points/*/run.toml")}
    told = []
    again = explore(options.replace(keep="30"), out, Pool(workers=1, threads_each=1), say=told.append)
    assert again.threshold == 30
    assert {cell: again.measured[cell].value for cell in found.measured if cell in again.measured} == {
        cell: margin.value for cell, margin in found.measured.items() if cell in again.measured
    }
    assert all(file.stat().st_mtime_ns == time for file, time in before.items())
    assert len(told) == len(again.measured)


def arguments(given, **options):
    words = []
    for name, value in ({**given, **options}).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def test_command_writes_page_figure_and_numbers(given, tmp_path):
    out = tmp_path / "out"
    text = output_of(
        app, *arguments(given, preset=PCM, vary="programming.scale=0.5..40", points=3, keep="digital * 0.7", out=out)
    )
    rows = list(csv.DictReader((out / "explore.csv").read_text().splitlines()))
    assert [row["programming.scale"] for row in rows] == ["0.5", "1.0", "40.0"]
    assert rows[0]["verdict"] == "holds"
    assert rows[2]["verdict"] != "holds"
    simulated = sum(row["simulated"] == "true" for row in rows)
    assert f"took {simulated} of the 3 points" in text
    page = (out / "report.html").read_text()
    assert "programming error" in page
    assert "<svg" in page
    assert (out / "figures/map.svg").is_file()
    assert {path.name for path in (out / "points").iterdir()} == {
        row["folder"].removeprefix("points/") for row in rows if row["folder"]
    }


def test_threshold_that_nothing_holds_ends_with_the_best_found(given, tmp_path):
    out = tmp_path / "out"
    words = arguments(given, preset=PCM, vary="programming.scale=30..40", points=2, keep="99.5 %", out=out)
    with pytest.raises(RunError) as caught:
        output_of(app, *words)
    assert "99.5 %" in str(caught.value)
    assert "programming error 30x" in str(caught.value) or "programming error 40x" in str(caught.value)
    assert (out / "report.html").is_file()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"vary": "programming.scal=0.5..2"}, "programming.scale"),
        ({"vary": "programming.scale=0.5.."}, "two ends"),
        ({"vary": "periphery.adc_bits=0..3", "preset": CONVERTERS}, "got 1"),
        ({}, "--vary"),
        ({"vary": "read.scale=1..2", "instances": 1}, "instances"),
        ({"vary": "read.scale=1..2", "keep": "digital"}, "--keep"),
        ({"vary": "read.scale=1..2", "keep": "120"}, "0 to 100 %"),
        ({"vary": "read.scale=1..2", "checkpoint": "none.pt"}, "none.pt"),
    ],
)
def test_mistakes_end_before_anything_is_written(given, options, part, tmp_path):
    message = error_of(app, *arguments(given, **{"preset": PCM, **options}, out=tmp_path / "out"))
    assert part in message
    assert not (tmp_path / "out").exists()


def test_fewest_layers_that_hold_are_found_and_none_can_be_left_out(given, tmp_path):
    preset = tmp_path / "noisy.toml"
    noisy = with_leaves(load_preset(PCM), {"programming.scale": 12.0}, "noisy")
    preset.write_text(tomli_w.dumps(noisy.model_dump(mode="json")))
    options = ExploreOptions(**given, preset=str(preset), layers=True, keep="digital * 0.8")
    found = explore_layers(options, tmp_path / "out", Pool(workers=1, threads_each=1))
    assert found.layers == 2
    assert {path for path, _ in found.ranking} == {"body.0", "head"}
    assert found.ranking[0][1] >= found.ranking[1][1]
    as_is, one = found.measured
    assert as_is.layers == ()
    assert one.layers == (found.ranking[0][0],)
    assert one.parameters_percent > as_is.parameters_percent
    assert (found.chosen is not None) == (one.margin.verdict == Verdict.HOLDS)
    assert found.chosen != as_is
