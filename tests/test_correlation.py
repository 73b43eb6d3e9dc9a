"""Correlations: against scipy and by hand, intervals that hold the truth as often as they say, and what is refused."""

import math

import numpy as np
import pytest
from scipy import stats

from analog_samson.analysis.correlation import correlate, fisher_interval

KINDS = ("Pearson", "Spearman", "Kendall")


def pairs(n, r, draws):
    x = draws.standard_normal(n)
    return x, r * x + math.sqrt(1 - r * r) * draws.standard_normal(n)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 5, 20])
def test_coefficients_are_those_of_scipy(n, ties):
    x, y = pairs(n, 0.5, np.random.default_rng(n))
    if ties:
        x, y = np.round(x * 2) / 2, np.round(y * 2) / 2
        x[0], y[-1] = x[1] + 1, y[0] + 1  # neither may be the same everywhere
    found = {one.kind: one for one in correlate(x.tolist(), y.tolist())}
    assert tuple(found) == KINDS
    assert {one.n for one in found.values()} == {n}
    assert found["Pearson"].value == pytest.approx(stats.pearsonr(x, y).statistic)
    assert found["Spearman"].value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found["Kendall"].value == pytest.approx(stats.kendalltau(x, y).statistic)


def test_pearson_interval_is_that_of_scipy():
    x, y = pairs(15, 0.5, np.random.default_rng(0))
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    found = correlate(x, y)[0]
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("r", [0.0, 0.6, 0.9])
@pytest.mark.parametrize("n", [4, 6, 12])
def test_intervals_hold_the_truth_in_95_of_100_sets(n, r):
    """600 sets: a true rate of 94.5 % would fall below 92 % in one run of 250 such tests; the seed is fixed."""
    draws = np.random.default_rng(100 * n + int(10 * r))
    truth = {"Pearson": r, "Spearman": 6 / math.pi * math.asin(r / 2), "Kendall": 2 / math.pi * math.asin(r)}
    hits = dict.fromkeys(KINDS, 0)
    for _ in range(600):
        for one in correlate(*pairs(n, r, draws)):
            hits[one.kind] += one.low <= truth[one.kind] <= one.high
    assert min(hits.values()) >= 0.92 * 600, hits


def test_intervals_narrow_with_more_checkpoints_and_hold_the_value():
    for kind in KINDS:
        widths = []
        for n in (5, 10, 40, 1000):
            low, high = fisher_interval(kind, 0.7, n)
            assert -1 <= low <= 0.7 <= high <= 1
            widths.append(high - low)
        assert widths == sorted(widths, reverse=True)
        assert widths[-1] < 0.1


def test_pearson_interval_is_fishers():
    x, y = pairs(12, 0.5, np.random.default_rng(5))
    r = float(np.corrcoef(x, y)[0, 1])
    reach = stats.norm.ppf(0.975) / math.sqrt(12 - 3)
    pearson = correlate(x, y)[0]
    assert (pearson.low, pearson.high) == pytest.approx(
        (math.tanh(math.atanh(r) - reach), math.tanh(math.atanh(r) + reach))
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_perfect_order_of_few_checkpoints_has_a_wide_interval(sign):
    x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    _, spearman, kendall = correlate(x, [sign * value**3 for value in x])
    for one in (spearman, kendall):
        assert one.value == pytest.approx(sign)
        assert one.high - one.low > 0.2
        assert one.low * one.high > 0


def test_sign_turns_with_one_of_the_two():
    x, y = pairs(9, 0.5, np.random.default_rng(3))
    for there, back in zip(correlate(x, y), correlate(x, -y), strict=True):
        assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


def test_rank_coefficients_do_not_change_under_a_rising_function():
    x, y = pairs(9, 0.5, np.random.default_rng(4))
    plain, bent = correlate(x, y), correlate(np.exp(3 * x), y)
    assert plain[1:] == bent[1:]
    assert plain[0] != bent[0]


@pytest.mark.parametrize(("n", "note"), [(0, "needs at least 3"), (1, "needs at least 3"), (2, "needs at least 3")])
def test_two_checkpoints_have_no_correlation(n, note):
    for one in correlate([1.0, 2.0][:n], [3.0, 5.0][:n]):
        assert (one.value, one.low, one.high, one.n) == (None, None, None, n)
        assert note in one.note


def test_three_checkpoints_have_a_value_and_no_interval():
    for one in correlate([1.0, 2.0, 4.0], [3.0, 5.0, 4.0]):
        assert one.value == pytest.approx({"Pearson": 0.327, "Spearman": 0.5, "Kendall": 1 / 3}[one.kind], abs=1e-3)
        assert (one.low, one.high) == (None, None)
        assert one.note == "fewer than 4 checkpoints: no interval"


def test_measure_that_is_the_same_everywhere_has_none():
    for one in correlate([2.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]):
        assert one.value is None
        assert one.note == "one of the two is the same for all checkpoints"


def test_infinite_sharpness_counts_by_its_rank():
    pearson, spearman, kendall = correlate([1.0, 2.0, 3.0, math.inf], [1.0, 2.0, 3.0, 4.0])
    assert (pearson.value, pearson.note) == (None, "one of the values is infinite")
    assert spearman.value == pytest.approx(1)
    assert kendall.value == pytest.approx(1)


def test_nan_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="not a number"):
        correlate([1.0, math.nan, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="one length"):
        correlate([1.0, 2.0], [1.0])
