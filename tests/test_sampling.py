"""Intervals over chips and samples cover the mean over all of both, where intervals over chips alone do not."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from scipy import stats

from analog_samson.analysis.comparison import compare
from analog_samson.analysis.runs import META_KEYS, Run, read_runs
from analog_samson.analysis.sampling import sampled_difference, sampled_share
from analog_samson.analysis.statistics import summarize
from analog_samson.analysis.summary import results_of
from analog_samson.results.condition import Condition
from analog_samson.results.metric import ACCURACY
from analog_samson.results.outcomes import pack
from analog_samson.results.records import Record
from analog_samson.results.store import RunFolder, open_run
from analog_samson.simulation.result import SimulationResult

TRIALS = 300


def outcomes(generator, chips, samples, chip, sample, rest, mean=3.0):
    """Right where a normal score is above zero: the sum of a mean, a chip, a sample and a rest of these deviations."""
    score = mean + generator.normal(0, chip, (chips, 1)) + generator.normal(0, sample, (1, samples))
    return score + generator.normal(0, rest, (chips, samples)) > 0


@pytest.mark.parametrize("chips", [2, 3, 10])
def test_interval_covers_other_chips_and_other_samples(chips):
    """Fewer than 273 hits of 300 happen once in 1,000 tries if 95 % are covered."""
    generator, hits, over_chips = np.random.default_rng(chips), 0, 0
    truth = stats.norm.cdf(3 / np.sqrt(0.1**2 + 2**2 + 1))
    for _ in range(TRIALS):
        right = outcomes(generator, chips, 200, chip=0.1, sample=2.0, rest=1.0)
        found, alone = sampled_share(right), summarize(list(right.mean(axis=1)))
        hits += found.low <= truth <= found.high
        over_chips += alone.low <= truth <= alone.high
        assert (found.mean, found.std) == (pytest.approx(alone.mean), pytest.approx(alone.std))
    assert hits >= 273
    assert over_chips < hits
    if chips == 10:
        assert over_chips < 250, "the samples would not matter here"


def test_equal_networks_seldom_differ_significantly_although_samples_do():
    """Two networks of equal quality that err on other samples: what chips share must not count as evidence."""
    generator, alarms, naive = np.random.default_rng(5), 0, 0
    for _ in range(TRIALS):
        pair = [outcomes(generator, 5, 200, chip=0.05, sample=2.0, rest=0.5) for _ in range(2)]
        alarms += bool(sampled_difference(*pair).significant)
        difference = summarize(list(pair[1].mean(axis=1) - pair[0].mean(axis=1)))
        naive += not difference.low <= 0 <= difference.high
    assert alarms <= 30  # 5 % are 15; more than 30 happen once in 10,000 tries
    assert naive > 100, "chips alone would decide"


def test_real_difference_is_significant_and_has_the_sign_of_second_minus_first():
    generator = np.random.default_rng(3)
    first = outcomes(generator, 5, 2000, chip=0.05, sample=2.0, rest=0.5)
    second = first.copy()
    second[:, :100] = True
    found = sampled_difference(first, second)
    assert found.mean == pytest.approx(second.mean() - first.mean())
    assert found.mean > 0
    assert found.significant
    back = sampled_difference(second, first)
    assert (back.low, back.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_outcomes_without_spread_and_single_chips():
    whole = sampled_share(np.ones((3, 50), bool))
    assert (whole.low, whole.high) == (pytest.approx(0.025 ** (1 / 50)), 1.0)
    assert sampled_share(np.ones((1, 50), bool)).low is None
    same = outcomes(np.random.default_rng(0), 3, 50, 0.1, 2.0, 1.0)
    assert (sampled_difference(same, same).low, sampled_difference(same, same).significant) == (None, False)
    assert sampled_difference(same[:1], same[:1]).significant is None


def measured(name, generator, wrong=0):
    """A run in memory of three chips whose records are the shares of its outcomes; `wrong` samples are always so."""
    moment = Condition(stage="drift", time_seconds=1.0)
    right = outcomes(generator, 3, 400, chip=0.05, sample=2.0, rest=0.5)
    right[:, :wrong] = False
    cell = {"checkpoint": name, "preset": "p", "metric": ACCURACY.name, **asdict(moment)}
    records = [Record(**cell, instance=chip, value=100 * row.mean()) for chip, row in enumerate(right)]
    known = {(chip, moment): row for chip, row in enumerate(right)}
    results = results_of(records, samples=400, outcomes=known)
    meta = dict.fromkeys(META_KEYS) | {"seed": 0, "preset_sha256": "p", "data": {"fingerprint": "d", "count": 400}}
    return Run(name=name, options={}, meta=meta, records=tuple(records), results=results), right


def test_states_and_differences_have_intervals_over_chips_and_samples_in_the_unit_of_the_metric():
    (one, right), (two, worse) = (measured(name, np.random.default_rng(4), n) for name, n in (("a", 0), ("b", 60)))
    state = one.results[0].states[0]
    share = sampled_share(right)
    assert state.sampled == (pytest.approx(100 * share.low), pytest.approx(min(100 * share.high, 100.0)))
    (comparison,) = compare([one, two])
    expected = sampled_difference(right, worse)
    found = comparison.sampled(comparison.steps[0])
    points = (100 * expected.mean, 100 * expected.low, 100 * expected.high)
    assert (found.mean, found.low, found.high) == pytest.approx(points)
    assert found.mean == pytest.approx(comparison.steps[0].difference.mean)
    assert found.significant


def test_outcomes_of_another_metric_or_of_some_chips_give_no_interval_over_samples():
    run, right = measured("a", np.random.default_rng(4))
    moment = run.records[0].condition
    known = {(chip, moment): row for chip, row in enumerate(right)}
    other = [replace(record, value=record.value + 1) for record in run.records]
    for records, outcomes_known in ((other, known), (run.records, {(0, moment): right[0]}), (run.records, {})):
        state = results_of(records, samples=400, outcomes=outcomes_known)[0].states[0]
        assert (state.sampled, state.outcomes) == (None, None)


def test_outcomes_are_read_from_run_folders_and_given_back_by_simulations(tmp_path):
    run, right = measured("a", np.random.default_rng(4))
    moment = run.records[0].condition
    with RunFolder.create(tmp_path / "run", {}) as folder:
        folder.commit(run.records, [pack("a", "p", chip, moment, row) for chip, row in enumerate(right)])
        folder.set_meta("data", {"name": "d", "fingerprint": "d", "count": 400})
    (found,) = read_runs([open_run(tmp_path / "run")])
    assert found.results[0].states[0].sampled == run.results[0].states[0].sampled
    packed = {(chip, moment): pack("a", "p", chip, moment, row) for chip, row in enumerate(right)}
    result = SimulationResult(records=run.records, samples=400, packed=packed)
    assert result.results()[0].states[0].sampled == run.results[0].states[0].sampled
