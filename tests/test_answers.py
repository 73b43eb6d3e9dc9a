"""Lifetime, yield, studies and budgets as numbers: against obvious twins and made-up runs with known answers."""

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import synthetic_error_budgets
from golden_files import assert_golden
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from synthetic_error_budgets import COSTS, LOSSES, VARIANTS, synthetic_error_budget
from synthetic_runs import META, PRESET, TIMES, synthetic_records, synthetic_run

from analog_samson.analysis.comparison import compare, interval_count, refuse_unequal, unequal_options
from analog_samson.analysis.error_budget import ErrorBudget
from analog_samson.analysis.frames import cell_rows
from analog_samson.analysis.lifetime import Fate, find_crossing, lifetime, lifetimes
from analog_samson.analysis.ranking import study
from analog_samson.analysis.runs import Run, digest
from analog_samson.analysis.summary import results_of
from analog_samson.analysis.yields import share_interval, yield_at, yield_curve
from analog_samson.errors import OptionError, RunError
from analog_samson.presets.search import list_presets
from analog_samson.presets.validity import Validity, validity_of
from analog_samson.report.answer_tables import lifetime_grid
from analog_samson.report.blocks import TABLES, all_grids, error_budget_blocks, pick_tables, report_blocks
from analog_samson.report.command import make_report
from analog_samson.report.explanation_tables import layers_grid
from analog_samson.report.exports import render_json, render_marked_csv
from analog_samson.report.grid import Data, data_csv, render_text
from analog_samson.report.headline import headline
from analog_samson.report.pictures import pictures
from analog_samson.report.sentences import (
    helps_sentence,
    hurts_sentence,
    lifetime_sentence,
    where_sentence,
    yield_sentence,
)
from analog_samson.report.study_tables import differences_grid
from analog_samson.report.tables import comparison_row, notes
from analog_samson.results.metric import ACCURACY
from analog_samson.results.records import Record
from analog_samson.results.store import open_run

PRESETS = ("pcm_nandakumar_2019", "reram_wan_2022")


def on(preset: str, records: list[Record]) -> list[Record]:
    return [replace(record, preset=preset) for record in records if record.stage != "gaussian"]


def run_on(folder: Path, preset: str, checkpoint: str, **numbers: float) -> Path:
    """A synthetic run on a preset of that name."""
    own = {"preset": PRESET | {"name": preset}, "preset_sha256": f"{preset:0<64}"}
    records = on(preset, synthetic_records(checkpoint, **numbers))
    return synthetic_run(folder / checkpoint / preset, checkpoint, records=records, meta=own)


def read(*paths: Path) -> tuple[Run, ...]:
    return digest([open_run(path) for path in paths])


@pytest.fixture
def four(tmp_path: Path) -> tuple[Run, ...]:
    """Two networks on two presets; on the second they are the same but for a shift that alternates between chips."""
    paths = [run_on(tmp_path, PRESETS[0], "sgd"), run_on(tmp_path, PRESETS[0], "samson", fall=4.0)]
    twins = on(PRESETS[1], synthetic_records("sgd"))
    other = [replace(r, checkpoint="samson", value=r.value + 0.3 * (-1) ** r.instance) for r in twins]
    own = {"preset": PRESET | {"name": PRESETS[1]}, "preset_sha256": f"{PRESETS[1]:0<64}"}
    for name, records in (("sgd", twins), ("samson", other)):
        paths.append(synthetic_run(tmp_path / name / PRESETS[1], name, records=records, meta=own))
    return read(*(paths[i] for i in (0, 2, 1, 3)))


@pytest.fixture
def budget(tmp_path: Path) -> ErrorBudget:
    path = synthetic_run(tmp_path / "run")
    synthetic_error_budget(path)
    (run,) = read(path)
    assert run.error_budget is not None
    return run.error_budget


# Intervals


def test_every_pair_is_compared_and_has_its_own_interval(four: tuple[Run, ...], tmp_path: Path) -> None:
    third = [run_on(tmp_path, preset, "third", fall=8.0) for preset in PRESETS]
    found = compare([*four, *read(*third)])
    assert len(found) == 6
    assert [comparison.leading for comparison in found] == [True, True, False] * 2
    moments = len(TIMES) + 1
    assert interval_count(found) == 2 * (2 * moments + 1), "those that do not lead are compared at the last moment only"
    assert interval_count(compare(four)) == 2 * moments


def test_what_is_said_of_two_networks_does_not_depend_on_what_stands_beside_them(tmp_path: Path) -> None:
    pair = [run_on(tmp_path, PRESETS[0], name, fall=fall) for name, fall in (("sgd", 12.0), ("samson", 11.7))]
    others = [run_on(tmp_path, preset, f"net{i}", fall=i) for preset in PRESETS for i in range(5, 9)]
    few, many = read(*pair), read(*pair, *others)
    assert interval_count(compare(many)) > 10 * interval_count(compare(few))

    def said(runs: Sequence[Run]) -> list[tuple[str, ...]]:
        (one,) = [c for c in compare(runs) if (c.first.checkpoint, c.second.checkpoint) == ("sgd", "samson")]
        rows = [comparison_row(one, step, "sgd", "samson") for step in one.steps]
        return [*rows, *(row for row in differences_grid(study(runs)).rows if {"sgd", "samson"} <= {*row})]

    assert said(few) == said(many)
    assert len({row[-1] for row in said(few)}) > 1


def test_what_is_said_of_a_layer_does_not_depend_on_how_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for count in (1, 20):
        losses = {"stem": 0.5} | {f"net.{place}": 0.1 for place in range(1, count)}
        variants = [row | {"subject": path, "label": f"only layer {path}"} for path in losses for row in VARIANTS[:1]]
        monkeypatch.setattr(synthetic_error_budgets, "LOSSES", losses)
        monkeypatch.setattr(synthetic_error_budgets, "VARIANTS", variants)
        path = synthetic_run(tmp_path / f"run{count}")
        synthetic_error_budget(path)
        (run,) = read(path)
        assert run.error_budget is not None
        assert len(run.error_budget.layers) == count
        rows += [row[:6] + row[-1:] for row in layers_grid(run.error_budget).rows if row[0] == "stem"]
    assert rows[0] == rows[1]


def test_single_chips_have_no_interval_and_that_is_said(tmp_path: Path) -> None:
    paths = [run_on(tmp_path, p, c, instances=1, fall=f) for p in PRESETS for c, f in (("a", 12), ("b", 4))]
    runs = read(*paths)
    assert {step.difference.significant for one in compare(runs) for step in one.steps} == {None}
    assert "b scores highest on 2 of 2 presets (one chip each: no interval)." in headline(runs).plain
    assert [entry.best_rank for entry in study(runs).entries] == [1] * 4
    assert [entry.worst_rank for entry in study(runs).entries] == [2] * 4


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"data": META["data"] | {"fingerprint": "x"}}, {"limit": 100}, "data differs: digits test and digits test, "),
        ({"seed": 1}, {}, "seed differs: 0 and 1"),
        (
            {"preset_sha256": "1" * 64},
            {},
            "preset differs: pcm_nandakumar_2019 and ",
        ),
    ],
)
def test_unequal_runs_are_refused_with_every_difference(
    tmp_path: Path, change: dict[str, object], options: dict[str, object], said: str
) -> None:
    paths = [synthetic_run(tmp_path / name, name) for name in ("a", "b")]
    paths.append(synthetic_run(tmp_path / "c", "c", meta=change, options=options))
    with pytest.raises(RunError, match="these runs cannot be compared: ") as caught:
        refuse_unequal(read(*paths))
    assert f"c and a: {said}" in str(caught.value)
    assert "b and a" not in str(caught.value)
    refuse_unequal(read(*paths[:2]))


ADABS = {"adabs": True, "calibration_data": None, "calibration_limit": 50, "calibration_augment": True}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calibration_limit": 500}, "b and a: calibration limit differs: 50 and 500"),
        ({"calibration_limit": None}, "b and a: calibration limit differs: 50 and None"),
        ({"calibration_data": "npz:x"}, "b and a: calibration data differs: training part of the data and npz:x"),
        ({"calibration_augment": False}, "b and a: augmentation of calibration samples differs: True and False"),
    ],
)
def test_runs_with_other_calibration_are_refused_where_it_is_used(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    def pair(folder: str, options: dict[str, object], meta: dict[str, object]) -> tuple[Run, ...]:
        changed = {"a": options, "b": options | change}
        return read(*(synthetic_run(tmp_path / folder / n, n, options=o, meta=meta) for n, o in changed.items()))

    converters = {"preset": PRESET | {"periphery": {"model": "converters"}}}
    unused = ADABS | {"adabs": False}
    for folder, options, meta in (("adabs", ADABS, {}), ("ranges", unused, converters)):
        runs = pair(folder, options, meta)
        with pytest.raises(RunError, match=re.escape(said)):
            refuse_unequal(runs)
        assert not any(one.steps for one in compare(runs))
    refuse_unequal(pair("unused", unused, {}))
    same = [
        synthetic_run(tmp_path / n, n, options=ADABS | {"calibration_data": d})
        for n, d in (("c", "digits"), ("d", None))
    ]
    refuse_unequal(read(*same))


def test_options_that_may_be_what_is_compared_are_named(tmp_path: Path) -> None:
    paths = [
        synthetic_run(
            tmp_path / name, name, options={"keep_digital": keep_digital, "engine": "fast", "bf16": name == "b"}
        )
        for name, keep_digital in (("a", []), ("b", ["head", "stem"]))
    ]
    assert unequal_options(read(*paths)) == [
        "keep_digital differs: nothing (a), head, stem (b)",
        "bf16 differs: no (a), yes (b)",
    ]
    assert "bf16 differs: no (a), yes (b)" in notes(read(*paths))
    assert unequal_options(read(paths[0])) == []


# Studies


def test_study_says_which_network_is_best_and_where_no_difference_is_significant(four: tuple[Run, ...]) -> None:
    seen = study(four)
    assert (seen.methods, seen.presets) == (("sgd", "samson"), PRESETS)
    ahead = [entry and entry.method for entry in map(seen.ahead, PRESETS)]
    assert ahead == ["samson", None]
    said = headline(four)
    assert said.plain == (
        "After 1 year, samson is significantly better than every other network on 1 of 2 presets; on the other no "
        "network is."
    )
    assert said.mark == "extrapolated"
    assert "samson has 87.9 % after 1y (extrapolated), significantly more than sgd." in said.second
    assert "not significantly different from sgd." in said.second
    assert "Each of the 2 differences has its own 95 % interval (Student's t over chips)" in said.second


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6))
def test_frontier_agrees_with_its_definition(points: list[tuple[int, int]]) -> None:
    runs = []
    for place, (digital, last) in enumerate(points):
        records = [
            replace(r, checkpoint=f"net{place}", value=90.0 + (digital if r.stage == "digital" else last))
            for r in synthetic_records(instances=1)
            if r.metric == "accuracy_percent" and r.stage in ("digital", "drift")
        ]
        meta = META | {"checkpoint": {}, "preset": PRESET}
        results = results_of(records, validity=validity_of(PRESET))
        runs.append(Run(name=f"net{place}", options={}, meta=meta, records=tuple(records), results=results))
    found = [entry.on_frontier for entry in study(runs).entries]
    beaten = [any(x >= a and y >= b and (x, y) != (a, b) for x, y in points) for a, b in points]
    assert found == [not one for one in beaten]


def test_ranks_shift_as_far_as_the_intervals_leave_open(four: tuple[Run, ...]) -> None:
    places = {(e.method, e.preset): (e.rank, e.best_rank, e.worst_rank) for e in study(four).entries}
    assert places["samson", PRESETS[0]] == (1, 1, 1)
    assert places["sgd", PRESETS[0]] == (2, 2, 2)
    assert {places[method, PRESETS[1]][1:] for method in ("sgd", "samson")} == {(1, 2)}


# Lifetime


def test_crossing_is_interpolated_in_the_logarithm_of_time() -> None:
    found = find_crossing([(1.0, 92.0), (10.0, 91.0), (1000.0, 89.0)], 90.0, ACCURACY)
    assert (found.fate, found.seconds, found.extrapolated) == (Fate.WITHIN, pytest.approx(100.0), False)


@given(
    st.lists(st.floats(50, 100), min_size=2, max_size=6),
    st.floats(50, 100),
)
def test_crossing_agrees_with_a_fine_grid(accuracies: list[float], threshold: float) -> None:
    """The first time on a fine grid at which the interpolated line is below the threshold."""
    assume(min(abs(accuracy - threshold) for accuracy in accuracies) > 1e-6)  # not on the edge of rounding
    decades = np.arange(len(accuracies), dtype=float)
    found = find_crossing(list(zip(10.0**decades, accuracies, strict=True)), threshold, ACCURACY)
    grid = np.linspace(0, decades[-1], 20001)
    below = np.interp(grid, decades, accuracies) < threshold - 1e-9
    if not below.any():
        assert found.fate in (Fate.NEVER, Fate.BEYOND, Fate.WITHIN)
        assert found.fate is not Fate.WITHIN or min(accuracies) > threshold - 1e-6
    elif below[0]:
        assert found.fate is Fate.BEFORE
    else:
        step = decades[-1] / 20000
        assert math.log10(found.seconds) == pytest.approx(grid[below.argmax()], abs=2 * step + 1e-6)


@pytest.mark.parametrize(
    ("points", "fate", "seconds"),
    [
        ([(1.0, 92.0), (10.0, 91.0)], Fate.BEYOND, 100.0),  # one point a decade, one more point to lose
        ([(1.0, 92.0), (10.0, 91.9)], Fate.NEVER, 10.0),  # 19 decades ahead: out of reach
        ([(1.0, 91.0), (10.0, 92.0)], Fate.NEVER, 10.0),  # rises
        ([(10.0, 92.0)], Fate.NEVER, 10.0),  # no line through one point
        ([(1.0, 80.0), (10.0, 95.0)], Fate.BEFORE, 1.0),
    ],
)
def test_crossing_beyond_the_simulated_times(points: list[tuple[float, float]], fate: Fate, seconds: float) -> None:
    found = find_crossing(points, 90.0, ACCURACY)
    assert (found.fate, found.seconds) == (fate, pytest.approx(seconds))
    assert found.extrapolated == (fate is Fate.BEYOND)


def test_crossing_later_than_the_preset_is_valid_is_marked() -> None:
    points = [(1.0, 92.0), (1000.0, 89.0)]
    assert find_crossing(points, 90.0, ACCURACY, Validity(max_seconds=50.0)).mark == "extrapolated"
    assert find_crossing(points, 90.0, ACCURACY, Validity(max_seconds=200.0)).mark == ""
    assert (
        find_crossing(points, 90.0, ACCURACY, Validity(max_seconds=1e9, published_seconds=(1.0, 1e3))).mark
        == "interpolated"
    )
    assert find_crossing(points, 90.0, ACCURACY, Validity(max_seconds=0.0)).mark == "extrapolated"


def test_every_crossing_of_a_lifetime_has_a_mark_of_its_own(tmp_path: Path) -> None:
    """The preset is valid until between the crossings of the mean and of the upper end of its interval."""
    (run,) = read(synthetic_run(tmp_path / "run", meta={"preset": PRESET | {"validity": {}}}))
    found = lifetime(run.results[0], 86.0)
    assert found is not None
    assert found.high is not None
    until = math.sqrt(found.mean.seconds * found.high.seconds)
    grid = lifetime_grid([replace(run.results[0], validity=Validity(max_seconds=until))], 86.0)
    assert grid is not None
    assert grid.data is not None
    (row,) = (dict(zip(grid.data.columns, row, strict=True)) for row in grid.data.rows)
    marks = [row[f"{part}_mark"] for part in ("mean", "low", "high", "weakest")]
    assert marks == ["", "", "extrapolated", ""]
    assert "extrapolated" not in grid.data.columns


def test_lifetime_between_published_times_is_marked_in_table_and_data(tmp_path: Path) -> None:
    preset = PRESET | {"validity": {"max_seconds": 1e9, "published_seconds": TIMES}}
    (run,) = read(synthetic_run(tmp_path / "run", meta={"preset": preset}))
    grid = lifetime_grid(run.results, 86.7)
    assert grid is not None
    assert grid.rows[0][2].endswith(" (interpolated)")
    assert "interpolated" in data_csv(grid.data or Data(columns=(), rows=()))


def test_lifetime_interval_that_says_nothing_is_put_in_words(tmp_path: Path) -> None:
    """Two chips, one below the threshold from the start and one never: nothing is known of the mean."""
    records = [
        replace(r, value=80.0 if r.instance else 95.0) if r.stage == "drift" else r
        for r in synthetic_records(instances=2)
    ]
    (run,) = read(synthetic_run(tmp_path / "run", records=records))
    grid = lifetime_grid(run.results, 86.0)
    assert grid is not None
    assert grid.rows[0][3] == "anything from <1 second on"


def test_lifetime_of_mean_lies_between_those_of_its_interval_and_after_the_weakest_chips(tmp_path: Path) -> None:
    (run,) = read(synthetic_run(tmp_path / "run"))
    found = lifetime(run.results[0], 86.7)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.weakest is not None
    assert found.low.seconds < found.mean.seconds < found.high.seconds
    assert found.weakest.seconds < found.mean.seconds
    assert found.loss == pytest.approx(5.0)
    assert [round(one.loss or 0, 6) for one in lifetimes(run.results[0])] == [1.0, 2.0, 5.0, 10.0]


def test_threshold_never_crossed_is_an_answer(tmp_path: Path) -> None:
    (run,) = read(synthetic_run(tmp_path / "run"))
    said = lifetime_sentence(run.results[0], 10.0)
    assert said == (
        "Threshold 10.0 % (81.7 points below digital): the mean does not fall below it within 1 year (extrapolated); "
        "the 5th percentile of chips (no interval: n = 5) does not fall below it within 1 year (extrapolated)."
    )


@pytest.mark.parametrize("threshold", [-1.0, 100.5, math.nan])
def test_threshold_that_no_accuracy_has_is_refused(tmp_path: Path, threshold: float) -> None:
    path = synthetic_run(tmp_path / "run")
    with pytest.raises(OptionError, match="expected an accuracy in percent"):
        make_report([path], "text", out=None, html=False, say=print, threshold=threshold)


# Yield


@given(st.integers(1, 40), st.data())
def test_share_interval_agrees_with_the_binomial_test_of_scipy(n: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, n))
    exact = stats.binomtest(passed, n).proportion_ci(0.95, method="exact")
    assert share_interval(passed, n) == (pytest.approx(exact.low), pytest.approx(exact.high))


@given(st.lists(st.floats(0, 100).map(lambda value: round(value, 4)), min_size=1, max_size=12))
def test_yield_curve_falls_from_all_chips_to_the_best_one(accuracies: list[float]) -> None:
    curve = yield_curve(accuracies, ACCURACY)
    assert curve[0] == (min(accuracies), 1.0)
    assert curve[-1][0] == max(accuracies)
    assert all(a[0] < b[0] and a[1] > b[1] for a, b in pairwise(curve))
    assert all(yield_at(accuracies, at, ACCURACY).share == share for at, share in curve)


def test_chip_as_far_below_digital_as_allowed_passes_whatever_the_last_bit_says() -> None:
    assert 63.4 < 64.4 - 1.0
    assert yield_at([63.4, 63.3], 64.4 - 1.0, ACCURACY).passed == 1
    assert find_crossing([(1.0, 63.4), (10.0, 63.4)], 64.4 - 1.0, ACCURACY).fate is Fate.NEVER


def test_losses_that_are_not_finite_are_told_below_the_tables(tmp_path: Path) -> None:
    found = synthetic_records("sgd")
    at = [place for place, record in enumerate(found) if record.metric == "loss"][1:3]
    for place in at:
        found[place] = replace(found[place], value=float("nan"))
    (run,) = read(synthetic_run(tmp_path / "run", records=found))
    assert "2 of the losses measured are not finite: an image answered with NaN counts as wrong." in notes([run])
    (run,) = read(synthetic_run(tmp_path / "whole"))
    assert not any("finite" in note for note in notes([run]))


def test_yield_of_one_chip_has_no_interval(tmp_path: Path) -> None:
    (run,) = read(synthetic_run(tmp_path / "run", instances=1))
    assert yield_at([80.0], 70.0, ACCURACY).low is None
    assert yield_sentence(run.results[0], None) == "The one chip is below 90.7 % after 1y (extrapolated)."


# Validity


def test_everything_is_extrapolated_on_a_preset_whose_conductances_are_not_covered(tmp_path: Path) -> None:
    preset = PRESET | {"validity": {"max_seconds": 1e9, "max_g_microsiemens": 20.0}}
    (run,) = read(synthetic_run(tmp_path / "run", meta={"preset": preset}))
    assert {state.mark for state in run.results[0].states} == {"extrapolated"}


def test_times_between_published_ones_are_interpolated_before_them_extrapolated() -> None:
    validity = Validity(max_seconds=1e9, published_seconds=(10.0, 100.0))
    assert [validity.mark(t) for t in (None, 0.0, 1.0, 10.0, 50.0, 1000.0)] == [
        "", "", "extrapolated", "", "interpolated", "extrapolated"
    ]  # fmt: skip


def test_presets_that_come_with_the_package_cover_their_own_conductances() -> None:
    for preset in list_presets():
        assert (validity_of(preset.model_dump(mode="json")).max_seconds == 0) == (
            preset.device.g_max_microsiemens > preset.validity.max_g_microsiemens
        )


def test_raw_rows_and_rows_of_cells_are_marked_like_the_tables(tmp_path: Path) -> None:
    (run,) = read(synthetic_run(tmp_path / "run", meta={"preset": PRESET | {"validity": {"max_seconds": 1e5}}}))
    rows = list(csv.DictReader(io.StringIO(render_marked_csv([run]))))
    assert len(rows) == len(run.records)
    expected = {"31536000.0": "extrapolated"}
    assert all(row["mark"] == expected.get(row["time_seconds"], "") for row in rows)
    (stored,) = json.loads(render_json([run]))["runs"]
    found = [dict(zip(stored["columns"], row, strict=True)) for row in stored["records"]]
    assert all(row["mark"] == expected.get(str(row["time_seconds"]), "") for row in found)
    cells = cell_rows(run.records, run.results[0].validity)
    assert all(cell["mark"] == expected.get(str(cell["time_seconds"]), "") for cell in cells)


PUBLISHED = {"max_seconds": 3600.0, "published_seconds": [1.0, 100.0, 1e4]}  # 1 h is interpolated, what follows not


def test_pictures_mark_every_number_in_words_and_say_what_fillings_mean(tmp_path: Path) -> None:
    """Every alternative text names the mark as often as it names a time that has one."""
    paths = [
        synthetic_run(tmp_path / name, name, meta={"preset": PRESET | {"validity": PUBLISHED}}) for name in ("a", "b")
    ]
    drawn = pictures(read(*paths))
    for name in ("accuracy_over_time", "gaussian_equivalent", "difference_over_time"):
        words = drawn[name].alternative
        assert words.count("1h (interpolated)") == words.count("1h") > 0, name
        assert words.count("1y (extrapolated)") == words.count("1y") > 0, name
        assert re.search(r"[Hh]ollow.*extrapolated", drawn[name].caption), name
        assert re.search(r"[Hh]alf-filled.*interpolated", drawn[name].caption), name
    assert "a after 1y, extrapolated: worst" in drawn["yield"].alternative


def test_pictures_of_a_study_mark_every_number_in_words(four: tuple[Run, ...]) -> None:
    drawn = pictures(four)
    for name in ("differences", "frontier", "heat_map"):
        assert drawn[name].alternative.count("(extrapolated)") == len(drawn[name].alternative.split("; ")), name
    assert "Extrapolated where the table below says so." in drawn["yield"].caption


# Error budgets


def test_error_budget_orders_effects_and_layers_by_what_they_cost(budget: ErrorBudget) -> None:
    assert [effect.name for effect in budget.effects] == sorted(COSTS, key=lambda name: -COSTS[name])
    assert [layer.path for layer in budget.layers] == sorted(LOSSES, key=lambda path: -LOSSES[path])
    for effect in budget.effects:
        assert effect.gain_without is not None
        assert effect.loss_alone is not None
        assert effect.gain_without.mean == pytest.approx(COSTS[effect.name], abs=0.3)
        assert effect.gain_without.significant == (effect.name != "read noise")
    assert budget.layers[0].nats is not None
    assert budget.layers[0].nats.mean == pytest.approx(budget.layers[0].lost.mean / 30)
    assert budget.unfinished == 0


def test_error_budget_sums_up_margins_and_confusions(budget: ErrorBudget) -> None:
    outcomes = budget.outcomes
    assert outcomes is not None
    assert sum(outcomes.digital_shares) == pytest.approx(1)
    assert sum(outcomes.aged_shares) == pytest.approx(1)
    assert outcomes.digital_confusion[0, 1] == 5
    assert outcomes.aged_confusion[0, 1] == 11 + 10 + 11 + 10 + 11
    assert outcomes.aged_median < outcomes.digital_median == 2.0
    assert outcomes.changed.mean == pytest.approx(5.6 / 400)


def test_error_budget_names_what_is_significant(budget: ErrorBudget) -> None:
    assert "Taking drift away gains 4.0 points (95 % interval [" in hurts_sentence(budget)
    assert ", taking programming noise away gains " in hurts_sentence(budget)
    assert "read noise away" not in hurts_sentence(budget).replace("programming noise away", "")
    assert str(where_sentence(budget)).startswith("The most sensitive layer is stem: alone on the device it costs ")
    assert "most sensitive layer digital (digital: 25.0 % of the MACs)" in str(helps_sentence(budget))


def test_error_budget_says_that_nothing_is_significant_and_what_is_missing(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    skip = ("without drift", "without programming noise", "only layer stem")
    synthetic_error_budget(path, skip=skip, alone=dict.fromkeys(COSTS, 0.0))
    (run,) = read(path)
    assert run.error_budget is not None
    assert run.error_budget.unfinished == 15
    assert "No single effect costs accuracy significantly after 1y (extrapolated); taking read" in hurts_sentence(
        run.error_budget
    )
    assert "Not finished: 15 evaluations are missing." in str(error_budget_blocks(run.error_budget)[0])


def test_error_budget_of_one_chip_says_that_there_is_no_interval(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    synthetic_error_budget(path, instances=1)
    text = render_text(report_blocks(read(path)))
    assert "one chip: no intervals" in text
    assert "Taking drift away changes most, +4" in text
    assert text.count("n = 1: no interval") >= 8


def test_report_of_a_run_with_an_error_budget_reads_as_expected(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    synthetic_error_budget(path)
    (run,) = read(path)
    assert run.error_budget is not None
    assert_golden("error_budget.txt", render_text(error_budget_blocks(run.error_budget)))


def test_report_of_a_study_reads_as_expected(four: tuple[Run, ...]) -> None:
    assert_golden("study.txt", render_text(report_blocks(four)))


# Tables by name


@pytest.mark.parametrize("format", ["text", "md", "csv", "json", "tex"])
@pytest.mark.parametrize("name", TABLES)
def test_every_table_comes_in_every_format(tmp_path: Path, name: str, format: str) -> None:
    paths = [synthetic_run(tmp_path / "sgd"), synthetic_run(tmp_path / "samson", "samson", fall=4.0)]
    synthetic_error_budget(paths[1])
    text = make_report(paths, format, out=None, html=False, say=print, table=name)
    if format == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert rows
        assert all(None not in row and None not in row.values() for row in rows)
    elif format == "json":
        assert json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    else:
        assert len(text.splitlines()) > 3


def test_table_that_is_unknown_or_absent_is_refused_with_a_remedy(tmp_path: Path) -> None:
    runs = read(synthetic_run(tmp_path / "run"))
    with pytest.raises(OptionError, match=r"expected one of .*did you mean 'lifetime'"):
        pick_tables(runs, "lifetimes")
    with pytest.raises(OptionError, match=r"no such table; run `analog-samson simulate \.\.\. --error-budget`"):
        pick_tables(runs, "hurts")


def test_json_report_holds_every_table(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "run")
    synthetic_error_budget(path)
    document = json.loads(make_report([path], "json", out=None, html=False, say=print))
    names = {grid.name for grid in all_grids(read(path))}
    assert set(document["tables"]) == names
    assert {"lifetime", "yield", "hurts", "where", "helps", "margins", "confusion"} <= names


def test_data_of_tables_is_stable_and_exact(tmp_path: Path) -> None:
    runs = read(synthetic_run(tmp_path / "run"))
    (grid,) = pick_tables(runs, "lifetime")
    assert grid.data is not None
    rows = list(csv.DictReader(io.StringIO(data_csv(grid.data))))
    found = lifetimes(runs[0].results[0])
    assert [float(row["mean_seconds"]) for row in rows] == [one.mean.seconds for one in found]
    assert [float(row["threshold_percent"]) for row in rows] == [one.threshold for one in found]
