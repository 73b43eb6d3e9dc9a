"""Differences of methods with a pooled spread: the textbook's sums of squares, missing seeds, the rate of misses."""

import numpy as np
import pytest
from scipy import stats

from analog_samson.experiments.pooled import PooledSpread, pooled_difference, pooled_spread

MEANS = {"a": 80.0, "b": 70.0, "c": 85.0, "d": 80.5}


def trainings(draws: np.random.Generator, seeds: dict[str, int]) -> dict[str, dict[int, float]]:
    """Accuracies of so many trainings of each method, which spread by 1 about the means of method and seed."""
    luck = draws.normal(0, 5, 10)
    return {
        name: {seed: MEANS[name] + luck[seed] + draws.normal() for seed in range(count)}
        for name, count in seeds.items()
    }


def test_spread_is_that_of_the_analysis_of_variance_where_all_methods_have_all_seeds():
    values = trainings(np.random.default_rng(0), dict.fromkeys("abcd", 3))
    table = np.array([list(found.values()) for found in values.values()])
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    spread = pooled_spread(values)
    assert spread.freedom == 3 * 2
    assert spread.std == pytest.approx(np.sqrt((rest**2).sum() / 6))


def test_two_methods_give_the_paired_interval():
    values = trainings(np.random.default_rng(1), dict.fromkeys("ab", 4))
    differences = np.array(list(values["b"].values())) - np.array(list(values["a"].values()))
    found = pooled_difference(values["a"], values["b"], pooled_spread(values), family=1)
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert (found.low, found.mean, found.high) == pytest.approx((low, differences.mean(), high))
    assert found.n == 4


def test_seeds_that_only_one_method_has_tell_nothing():
    values = trainings(np.random.default_rng(2), {"a": 3, "b": 3, "c": 1})
    spread = pooled_spread(values)
    assert spread == PooledSpread(
        std=pytest.approx(pooled_spread(values | {"a": values["a"] | {9: 5.0}}).std), freedom=2
    )
    assert spread.std == pytest.approx(pooled_spread({name: values[name] for name in "ab"}).std)


@pytest.mark.parametrize("seeds", [{"a": 1, "b": 1, "c": 1}, {"a": 3}])
def test_nothing_is_known_without_two_methods_that_share_two_seeds(seeds):
    assert pooled_spread(trainings(np.random.default_rng(3), seeds)) is None


def test_equal_values_are_no_finding():
    values = {"a": {0: 80.0, 1: 81.0}, "b": {0: 82.0, 1: 83.0}}
    found = pooled_difference(values["a"], values["b"], pooled_spread(values), family=1)
    assert not found.seen


@pytest.mark.parametrize("pair", ["ab", "ad"])
def test_intervals_cover_as_often_as_they_say(pair):
    """2000 studies with missing seeds; a 95 % interval misses 100 times, and outside [68, 136] once in a thousand."""
    draws, missed = np.random.default_rng(4), 0
    first, second = pair
    for _ in range(2000):
        values = trainings(draws, {"a": 3, "b": 2, "c": 3, "d": 1})
        found = pooled_difference(values[first], values[second], pooled_spread(values), family=1)
        missed += not found.low <= MEANS[second] - MEANS[first] <= found.high
    assert 68 <= missed <= 136
