"""Lifetime, yield, studies and budgets as numbers: against obvious twins and made-up runs with known answers."""

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from synthetic_error_budgets import COSTS, LOSSES, synthetic_error_budget
from synthetic_runs import META, PRESET, TIMES, synthetic_records, synthetic_run

from analog_samson.analysis.comparison import compare, interval_count, refuse_unequal
from analog_samson.analysis.error_budget import ErrorBudget
from analog_samson.analysis.lifetime import Fate, find_crossing, lifetime, lifetimes
from analog_samson.analysis.ranking import rank_networks
from analog_samson.analysis.runs import Run, read_runs
from analog_samson.analysis.summary import results_of
from analog_samson.analysis.unequal_options import unequal_options
from analog_samson.analysis.yields import share_interval, yield_at, yield_curve
from analog_samson.errors import RunError
from analog_samson.presets.search import list_presets
from analog_samson.presets.validity import Validity, validity_of
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
    return read_runs([open_run(path) for path in paths])


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


def test_single_chips_have_no_interval(tmp_path: Path) -> None:
    paths = [run_on(tmp_path, p, c, instances=1, fall=f) for p in PRESETS for c, f in (("a", 12), ("b", 4))]
    runs = read(*paths)
    assert {step.difference.significant for one in compare(runs) for step in one.steps} == {None}
    assert [entry.best_rank for entry in rank_networks(runs).entries] == [1] * 4
    assert [entry.worst_rank for entry in rank_networks(runs).entries] == [2] * 4


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


ADABS = {"calibrate": ["adabs"], "calibration_data": None, "calibration_limit": 50, "calibration_augment": True}


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
    unused = ADABS | {"calibrate": []}
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
    assert unequal_options(read(paths[0])) == []


# Studies


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=6))
def test_frontier_agrees_with_its_definition(points: list[tuple[int, int]]) -> None:
    runs = []
    for place, (digital, last) in enumerate(points):
        records = [
            replace(r, checkpoint=f"net{place}", value=90.0 + (digital if r.stage == "digital" else last))
            for r in synthetic_records(instances=1)
            if r.metric == "accuracy_percent" and r.stage in ("digital", "drift")
        ]
        meta = META | {"checkpoint": {}, "preset": PRESET, "layer_presets": None}
        results = results_of(records, validity=validity_of(PRESET))
        runs.append(Run(name=f"net{place}", options={}, meta=meta, records=tuple(records), results=results))
    found = [entry.on_frontier for entry in rank_networks(runs).entries]
    beaten = [any(x >= a and y >= b and (x, y) != (a, b) for x, y in points) for a, b in points]
    assert found == [not one for one in beaten]


def test_ranks_shift_as_far_as_the_intervals_leave_open(four: tuple[Run, ...]) -> None:
    places = {(e.network, e.preset): (e.rank, e.best_rank, e.worst_rank) for e in rank_networks(four).entries}
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
    assert find_crossing(points, 90.0, ACCURACY, Validity(max_seconds=50.0)).coverage == "extrapolated"
    assert find_crossing(points, 90.0, ACCURACY, Validity(max_seconds=200.0)).coverage == ""
    assert (
        find_crossing(points, 90.0, ACCURACY, Validity(max_seconds=1e9, published_seconds=(1.0, 1e3))).coverage
        == "interpolated"
    )
    assert find_crossing(points, 90.0, ACCURACY, Validity(max_seconds=0.0)).coverage == "extrapolated"


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


# Validity


def test_everything_is_extrapolated_on_a_preset_whose_conductances_are_not_covered(tmp_path: Path) -> None:
    preset = PRESET | {"validity": {"max_seconds": 1e9, "max_g_microsiemens": 20.0}}
    (run,) = read(synthetic_run(tmp_path / "run", meta={"preset": preset}))
    assert {state.coverage for state in run.results[0].states} == {"extrapolated"}


def test_times_between_published_ones_are_interpolated_before_them_extrapolated() -> None:
    validity = Validity(max_seconds=1e9, published_seconds=(10.0, 100.0))
    assert [validity.coverage(t) for t in (None, 0.0, 1.0, 10.0, 50.0, 1000.0)] == [
        "", "", "extrapolated", "", "interpolated", "extrapolated"
    ]  # fmt: skip


def test_presets_that_come_with_the_package_cover_their_own_conductances() -> None:
    for preset in list_presets():
        assert (validity_of(preset.model_dump(mode="json")).max_seconds == 0) == (
            preset.device.g_max_microsiemens > preset.validity.max_g_microsiemens
        )


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
