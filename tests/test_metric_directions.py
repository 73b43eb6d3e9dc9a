"""Every analysis treats a metric whose lower values are better as the mirror image of one whose higher ones are.

Values of an unbounded metric are negated and its direction turned round: whatever is said of the networks stays.
"""

from dataclasses import replace
from math import inf, isfinite, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_runs import META, PRESET, synthetic_records, synthetic_run

from analog_samson.analysis.comparison import compare
from analog_samson.analysis.equivalent_sigma import equivalent_sigma_c, gaussian_curve
from analog_samson.analysis.lifetime import Fate, default_losses, find_crossing, lifetimes, thresholds
from analog_samson.analysis.ranking import rank_networks
from analog_samson.analysis.robustness import robustness_of
from analog_samson.analysis.runs import Run, read_runs
from analog_samson.analysis.statistics import (
    at_least_as_good,
    difference_interval,
    improvement,
    paired_difference,
    sampling_half_width,
    summarize,
    value_interval,
)
from analog_samson.analysis.stopping import stein_total
from analog_samson.analysis.summary import results_of
from analog_samson.analysis.yields import yield_at, yield_curve
from analog_samson.errors import RunError
from analog_samson.presets.validity import validity_of
from analog_samson.results.metric import ACCURACY, Metric, stored_task
from analog_samson.results.records import Record
from analog_samson.results.store import open_run

GAIN = Metric(name="gain", title="gain", unit="dB")
COST = replace(GAIN, name="cost", title="cost", higher_is_better=False)
RMSE = Metric(name="rmse", title="RMSE", unit="mm", lower=0.0, higher_is_better=False)
VALUES = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=2, max_size=8)


def measured(metric: Metric, sign: int, fall: float = 8.0, name: str = "net") -> list[Record]:
    """Records of a run in another metric: the accuracies of a made-up network with a sign."""
    return [
        replace(record, metric=metric.name, value=sign * record.value) if record.metric == ACCURACY.name else record
        for record in synthetic_records(name, fall=fall)
    ]


def runs_of(tmp_path, metric: Metric, sign: int) -> tuple[Run, ...]:
    """Three networks, of which two hardly differ."""
    task = {"task": stored_task("test", [metric])}
    paths = [
        synthetic_run(tmp_path / f"{metric.name}-{name}", name, records=measured(metric, sign, fall, name), meta=task)
        for name, fall in (("a", 8.0), ("b", 7.9), ("c", 4.0))
    ]
    return read_runs([open_run(path) for path in paths])


@pytest.fixture
def pair(tmp_path) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    return runs_of(tmp_path, GAIN, 1), runs_of(tmp_path, COST, -1)


def test_states_lifetimes_and_equivalents_mirror(pair) -> None:
    for run, mirrored in zip(*pair, strict=True):
        (one,), (other,) = run.results, mirrored.results
        assert (one.metric, other.metric) == (GAIN, COST)
        for state, twin in zip((one.digital, *one.states), (other.digital, *other.states), strict=True):
            assert (twin.value.mean, twin.value.low, twin.value.high) == (
                -state.value.mean,
                -state.value.high if state.value.high is not None else None,
                -state.value.low if state.value.low is not None else None,
            )
            assert (twin.drop, twin.equivalent) == (state.drop, state.equivalent)
        assert one.states[-1].drop > 0
        assert [lost.mean for lost in lifetimes(one)] == [lost.mean for lost in lifetimes(other)]
        assert [(x.low, x.high, x.weakest, x.loss) for x in lifetimes(one)] == [
            (x.low, x.high, x.weakest, x.loss) for x in lifetimes(other)
        ]
        assert thresholds(other) == tuple(-at for at in thresholds(one))
        last, twin = list(one.states[-1].values.values()), list(other.states[-1].values.values())
        for at in (*last, one.states[-1].value.mean):
            assert yield_at(twin, -at, COST).passed == yield_at(last, at, GAIN).passed
        assert yield_curve(twin, COST) == [(-at, share) for at, share in yield_curve(last, GAIN)]


def test_comparison_and_ranking_mirror(pair) -> None:
    winners = []
    for runs in pair:
        found = compare(runs)
        winners.append([(w.checkpoint if (w := c.winner(s)) else None) for c in found for s in c.steps])
    assert winners[0] == winners[1]
    assert {None, "c"} <= {*winners[0]}
    for comparison, twin in zip(*(compare(runs) for runs in pair), strict=True):
        for step, other in zip(comparison.steps, twin.steps, strict=True):
            assert (other.difference.mean, other.difference.significant) == (
                -step.difference.mean,
                step.difference.significant,
            )
    places = [
        [(e.network, e.rank, e.best_rank, e.worst_rank, e.on_frontier) for e in rank_networks(runs).entries]
        for runs in pair
    ]
    assert places[0] == places[1]
    assert [rank for _, rank, *_ in places[0]] == [3, 2, 1]


@given(VALUES, st.floats(-100, 100))
def test_crossing_mirrors(values: list[float], threshold: float) -> None:
    points = [(10.0**i, value) for i, value in enumerate(values)]
    mirrored = [(at, -value) for at, value in points]
    assert find_crossing(mirrored, -threshold, COST) == find_crossing(points, threshold, GAIN)


@given(VALUES, VALUES)
def test_improvement_is_positive_where_the_metric_gets_better(before: list[float], after: list[float]) -> None:
    first, second = dict(enumerate(before)), dict(enumerate(after))
    mirrored = [{chip: -value for chip, value in values.items()} for values in (first, second)]
    assert improvement(first, second, GAIN) == paired_difference(first, second)
    assert improvement(*mirrored, COST) == improvement(first, second, GAIN)


def test_metric_without_bounds_keeps_its_interval_and_one_with_a_bound_is_cut_there() -> None:
    summary = summarize([1.0, 9.0])
    assert summary.low < 0
    assert value_interval(summary, COST) == (summary.low, summary.high)
    assert value_interval(summary, RMSE) == (0.0, summary.high)
    difference = paired_difference({0: 0.0, 1: 0.0}, {0: 1.0, 1: 9.0})
    assert difference_interval(difference, RMSE) == (difference.low, difference.high)
    assert sampling_half_width(1.0, 100, RMSE) is None


def test_losses_are_points_of_a_bounded_metric_and_percent_of_the_digital_value_of_another() -> None:
    assert default_losses(ACCURACY, 91.0) == (1.0, 2.0, 5.0, 10.0)
    assert default_losses(RMSE, 50.0) == (0.5, 1.0, 2.5, 5.0)
    assert default_losses(RMSE, 0.0) == default_losses(RMSE, nan) == ()


@pytest.mark.parametrize("bad", [nan, inf])
def test_values_that_are_not_finite_are_the_worst_and_give_no_interval(bad: float) -> None:
    """As a regression gives whose outputs overflow on some chips."""
    assert not at_least_as_good(bad, 5.0, RMSE)
    assert (summarize([1.0, bad]).low, summarize([1.0, bad]).std) == (None, None)
    assert not isfinite(summarize([1.0, bad]).mean)
    assert yield_at([1.0, bad], 2.0, RMSE).passed == 1
    crossing = find_crossing([(1.0, 1.0), (10.0, 1.1), (100.0, bad)], 2.0, RMSE)
    assert (crossing.fate, crossing.seconds) == (Fate.WITHIN, 10.0)
    assert gaussian_curve({0.0: {0: 1.0}, 0.1: {0: bad, 1: 2.0}}, RMSE) is None
    curve = gaussian_curve({0.0: {0: 1.0}, 0.1: {0: 2.0, 1: 2.1}}, RMSE)
    assert curve is not None
    assert equivalent_sigma_c([1.5, bad], curve) is None
    assert stein_total([1.0, bad], 0.1) == 2


def test_whole_run_with_values_that_are_not_finite_is_read(tmp_path) -> None:
    records = [
        replace(record, value=nan) if record.stage == "drift" and record.instance == 1 else record
        for record in measured(RMSE, 1)
    ]
    (result,) = results_of(records, RMSE, validity_of(PRESET), pilot=2, samples=50)
    assert all(state.value.low is None for state in result.times)
    assert {life.mean.fate for life in lifetimes(result)} == {Fate.BEFORE}
    assert {life.low for life in lifetimes(result)} == {None}


def test_runs_of_different_metrics_are_refused_and_another_stored_metric_can_be_chosen(tmp_path) -> None:
    two = {"task": stored_task("test", [GAIN, COST])}
    records = [*measured(GAIN, 1), *measured(COST, -1)]
    both = synthetic_run(tmp_path / "both", records=records, meta=two)
    other = synthetic_run(tmp_path / "other", records=measured(RMSE, 1), meta={"task": stored_task("test", [RMSE])})
    assert read_runs([open_run(both)])[0].results[0].metric == GAIN
    assert read_runs([open_run(both)], "cost")[0].results[0].metric == COST
    with pytest.raises(RunError, match="different metrics") as raised:
        read_runs([open_run(both), open_run(other)])
    assert "gain dB" in str(raised.value)
    assert "rmse mm" in str(raised.value)
    with pytest.raises(RunError, match="gain, cost"):
        read_runs([open_run(both)], "f1")


def test_robustness_speaks_of_the_metric() -> None:
    records = [
        Record(
            checkpoint="net", preset="p", stage="gaussian", calibration="none", instance=0, time_seconds=None,
            sigma_c=sigma, metric="rmse", value=value,
        )
        for sigma, value in ((0.0, 50.0), (0.4, 58.0))
    ]  # fmt: skip
    assert robustness_of(records, RMSE) == {"RMSE gained at sigma_c 0.4 [mm]": 8.0}


def test_comparison_of_a_metric_that_is_not_counted_ignores_the_number_of_samples(tmp_path) -> None:
    """Two networks that differ by the same on all chips: accuracies may be rounded, errors are not."""
    assert META["data"]["count"]
    records = {name: measured(RMSE, 1, name=name) for name in ("a", "b")}
    records["b"] = [replace(r, value=r.value + 1.0) if r.metric == "rmse" else r for r in records["b"]]
    task = {"task": stored_task("test", [RMSE])}
    paths = [synthetic_run(tmp_path / name, name, records=rows, meta=task) for name, rows in records.items()]
    (comparison,) = compare(read_runs([open_run(path) for path in paths]))
    assert comparison.first.step is None
    assert {(s.difference.low, s.difference.significant) for s in comparison.hardware_steps} == {(None, False)}
