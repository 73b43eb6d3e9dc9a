"""Summaries against scipy, and the equivalent sigma_c against slow obvious twins, known curves and coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analog_samson.analysis.equivalent_sigma import (
    EquivalentSigma,
    Verdict,
    equivalent_sigma_c,
    first_as_low,
    gaussian_curve,
)
from analog_samson.analysis.statistics import (
    difference_interval,
    paired_difference,
    rounding_std,
    sampling_half_width,
    summarize,
    t_quantile,
    value_interval,
)
from analog_samson.results.metric import ACCURACY

ACCURACIES = st.lists(st.floats(0, 100), min_size=2, max_size=12)


def line(slope: float = -100.0, spread: float = 1.0, instances: int = 5) -> dict[float, dict[int, float]]:
    """A sweep with accuracy 90 + slope * sigma_c, the same spread around it at each point."""
    luck = np.linspace(-spread, spread, instances) if instances > 1 else np.zeros(1)
    sigmas = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    return {
        at: {i: 90 + slope * at + float(one) * (at > 0) for i, one in enumerate(luck if at else luck[:1])}
        for at in sigmas
    }


def equivalent(accuracies: list[float], sweep: dict[float, dict[int, float]] | None = None) -> EquivalentSigma:
    return equivalent_sigma_c(accuracies, gaussian_curve(sweep or line(), ACCURACY))


@given(ACCURACIES)
def test_summary_agrees_with_scipy(values: list[float]) -> None:
    summary = summarize(values)
    assert summary.mean == pytest.approx(np.mean(values))
    assert summary.std == pytest.approx(np.std(values, ddof=1))
    assert summary.n == len(values)
    assert summary.low is not None
    assert summary.high is not None
    if summary.std:
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert (summary.low, summary.high) == (pytest.approx(low), pytest.approx(high))
    else:
        assert summary.low == summary.high == summary.mean


def test_summary_has_no_interval_when_there_is_one_value() -> None:
    summary = summarize([80.0])
    assert (summary.mean, summary.n) == (80.0, 1)
    assert summary.std is summary.low is summary.high is None


def test_summary_is_refused_when_there_is_no_value() -> None:
    with pytest.raises(ValueError, match="no values"):
        summarize([])


def test_difference_is_seen_when_instances_agree_though_their_spread_is_larger() -> None:
    luck = {0: -5.0, 1: 0.0, 2: 5.0}
    difference = paired_difference(luck, {i: value + 1 + 0.1 * i for i, value in luck.items()})
    assert difference is not None
    assert difference.significant is True
    assert difference.mean == pytest.approx(1.1)
    low, high = stats.ttest_rel([-4.0, 1.1, 6.2], [-5.0, 0.0, 5.0]).confidence_interval(0.95)
    assert (difference.low, difference.high) == (pytest.approx(low), pytest.approx(high))


def test_difference_is_not_seen_when_its_interval_covers_zero() -> None:
    difference = paired_difference({0: 80.0, 1: 81.0, 2: 82.0}, {0: 81.0, 1: 80.0, 2: 82.5})
    assert difference is not None
    assert difference.significant is False


def test_difference_is_not_seen_when_values_differ_in_the_last_bit_only() -> None:
    first = {i: 91.7 for i in range(5)}
    difference = paired_difference(first, {i: math.nextafter(value, 100) for i, value in first.items()})
    assert difference is not None
    assert difference.significant is False


def test_equal_differences_have_no_interval_when_the_number_of_images_is_not_known() -> None:
    difference = paired_difference({0: 80.0, 1: 81.0}, {0: 83.0, 1: 84.0})
    assert difference is not None
    assert (difference.mean, difference.low, difference.high, difference.significant) == (3.0, None, None, False)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=6), st.sampled_from([100, 2000]))
def test_spread_of_counted_accuracies_is_at_least_that_of_rounding(steps: list[int], images: int) -> None:
    step = 100 / images
    second = {chip: 50 + step * count for chip, count in enumerate(steps)}
    found = paired_difference(dict.fromkeys(range(len(steps)), 50.0), second, step)
    assert found is not None
    spread = max(np.std(steps, ddof=1), 1 / math.sqrt(12)) * step
    reach = stats.t.ppf(0.975, len(steps) - 1) * spread / math.sqrt(len(steps))
    assert found.low == pytest.approx(np.mean(steps) * step - reach, abs=1e-9)
    assert found.high == pytest.approx(np.mean(steps) * step + reach, abs=1e-9)
    assert rounding_std(step) == pytest.approx(np.std(np.linspace(-step / 2, step / 2, 100_001)), rel=1e-4)


@pytest.mark.parametrize(("chips", "unfloored"), [(2, 300), (3, 0), (5, 0)])
@pytest.mark.parametrize("images_changed", [0.5, 2.0])
def test_false_alarms_of_counted_accuracies_stay_below_the_nominal_rate(
    chips: int, unfloored: int, images_changed: float
) -> None:
    """4000 comparisons of equal networks, of which each decides some of 500 images otherwise, anew on every chip.

    unfloored: false alarms that there are at least without the floor, so that the test can fail. Binomial with
    the nominal rate: 4 standard deviations above its mean happen once in 30,000 tries.
    """
    draws = np.random.default_rng(11)
    lost, won = draws.poisson(images_changed, (2, 4000, chips))
    rate, alarms, plain = 0.05, 0, 0
    for row in 0.2 * (won - lost):
        first, second = dict.fromkeys(range(chips), 80.0), {chip: 80 + float(d) for chip, d in enumerate(row)}
        found = paired_difference(first, second, 0.2)
        alarms += found is not None and bool(found.significant)
        interval = summarize(list(row))
        assert interval.low is not None
        assert interval.high is not None
        plain += interval.low > 1e-9 or interval.high < -1e-9
    assert alarms <= 4000 * rate + 4 * math.sqrt(4000 * rate * (1 - rate))
    assert plain >= unfloored


def test_what_is_shown_of_an_interval_is_what_an_accuracy_can_be() -> None:
    """The raw interval stays what it is."""
    summary = summarize([88.0, 91.5])
    assert summary.high is not None
    assert summary.high > 100
    assert value_interval(summary, ACCURACY) == (summary.low, 100.0)
    assert value_interval(summarize([2.0, 40.0]), ACCURACY)[0] == 0.0
    assert value_interval(summarize([80.0]), ACCURACY) == (None, None)
    difference = paired_difference({0: 0.0, 1: 0.0}, {0: 20.0, 1: 60.0})
    assert difference is not None
    assert difference.low is not None
    assert difference.low < -100
    assert difference_interval(difference, ACCURACY) == (-100.0, 100.0)


def test_interval_of_equal_counts_is_as_wide_as_rounding_to_whole_images():
    plain, counted = summarize([80.0] * 4), summarize([80.0] * 4, step=0.5)
    assert (plain.low, plain.high, counted.std) == (80.0, 80.0, 0.0)
    assert counted.high - counted.mean == pytest.approx(t_quantile(4) * rounding_std(0.5) / 2)
    wide = [78.0, 80.0, 82.0]
    assert summarize(wide, step=0.5) == summarize(wide)


def test_difference_takes_shared_instances_only() -> None:
    difference = paired_difference({0: 1.0, 1: 2.0, 2: 3.0}, {1: 4.0, 2: 6.0, 9: 100.0})
    assert difference is not None
    assert (difference.n, difference.mean) == (2, 2.5)


def test_difference_is_unknown_when_there_is_one_instance_and_absent_when_none() -> None:
    alone = paired_difference({0: 1.0}, {0: 2.0})
    assert alone is not None
    assert (alone.mean, alone.low, alone.significant) == (1.0, None, None)
    assert paired_difference({0: 1.0}, {1: 2.0}) is None


def test_sampling_error_of_the_test_set_agrees_with_the_binomial() -> None:
    for right, count in ((1800, 2000), (200, 200), (0, 7)):
        ends = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
        farther = 100 * max(ends.high - right / count, right / count - ends.low)
        assert sampling_half_width(100 * right / count, count, ACCURACY) == pytest.approx(farther)


@given(ACCURACIES, st.floats(0, 100))
def test_first_sigma_as_low_as_a_value_lies_on_the_curve(values: list[float], accuracy: float) -> None:
    fit = np.sort(np.array(values))[::-1]
    sigma = np.linspace(0, 0.5, len(fit))
    found = first_as_low(sigma, fit, accuracy)
    if math.isinf(found):
        assert fit[-1] > accuracy
        return
    assert np.interp(found, sigma, fit) == pytest.approx(accuracy, abs=1e-6) or (found == 0 and fit[0] <= accuracy)
    before = sigma[sigma < found - 1e-6]
    assert (np.interp(before, sigma, fit) > accuracy - 1e-6).all()


@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.1, 0.234, 0.5])
def test_equivalent_is_the_noise_that_was_put_in_when_the_curve_is_known(sigma: float) -> None:
    found = equivalent([90 - 100 * sigma - 0.5, 90 - 100 * sigma + 0.5])
    assert found.verdict is Verdict.ON_CURVE
    assert found.value == pytest.approx(sigma, abs=1e-9)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


def test_equivalent_is_marked_when_the_accuracy_is_above_the_curve() -> None:
    found = equivalent([90.5, 91.5])
    assert (found.verdict, found.value, found.low) == (Verdict.ABOVE, 0.0, 0.0)


def test_equivalent_is_a_bound_when_the_accuracy_is_below_the_sweep() -> None:
    found = equivalent([20.0, 21.0])
    assert (found.verdict, found.value, found.largest) == (Verdict.BEYOND, 0.5, 0.5)
    assert found.high == math.inf


def test_interval_leaves_the_sweep_when_only_some_resamples_do() -> None:
    found = equivalent([35.0, 41.5, 45.0])
    assert found.verdict is Verdict.ON_CURVE
    assert found.low is not None
    assert found.low < 0.5
    assert found.high == math.inf


def test_equivalent_is_zero_on_the_curve_when_nothing_is_lost() -> None:
    found = equivalent([90.0] * 5)
    assert (found.verdict, found.value, found.low, found.high) == (Verdict.ON_CURVE, 0.0, 0.0, 0.0)


def test_equivalent_takes_the_smallest_sigma_when_the_curve_is_flat() -> None:
    flat = {0.0: {0: 90.0}, 0.1: {0: 80.0, 1: 80.0}, 0.2: {0: 80.0, 1: 80.0}, 0.3: {0: 70.0, 1: 70.0}}
    assert equivalent([80.0, 80.0], flat).value == pytest.approx(0.1)


@pytest.mark.parametrize("alone", ["drift", "sweep"])
def test_equivalent_has_no_interval_when_either_side_has_one_instance(alone: str) -> None:
    found = equivalent([80.0], line()) if alone == "drift" else equivalent([79.0, 81.0], line(instances=1))
    assert found.value == pytest.approx(0.1)
    assert found.low is found.high is None


def test_equivalent_is_the_same_at_each_call_and_whatever_was_drawn_before() -> None:
    first = equivalent([79.0, 80.5, 81.0])
    np.random.default_rng(0).normal()
    assert equivalent([79.0, 80.5, 81.0]) == first


def test_interval_is_wider_when_the_instances_spread_more() -> None:
    narrow, wide = equivalent([79.9, 80.0, 80.1]), equivalent([77.0, 80.0, 83.0])
    assert None not in (narrow.low, narrow.high, wide.low, wide.high)
    assert wide.high - wide.low > narrow.high - narrow.low  # type: ignore[operator]


def test_luck_of_an_instance_cancels_in_the_curve_only_when_points_share_instances() -> None:
    """On a curve that falls little, independent resamples are often not monotone: the fit pools neighbours then."""
    flat = line(slope=-5.0)
    renamed = {at: {i + round(1000 * at): value for i, value in row.items()} for at, row in flat.items()}
    shared, apart = (gaussian_curve(sweep, ACCURACY) for sweep in (flat, renamed))
    assert shared.error[1:] == pytest.approx(np.std(list(flat[0.5].values()), ddof=1) / math.sqrt(5), rel=0.1)
    assert (apart.error[1:] < 0.95 * shared.error[1:]).all()


def test_interval_holds_the_true_sigma_as_often_as_it_says() -> None:
    generator, hits, trials = np.random.default_rng(7), 0, 150
    for _ in range(trials):
        luck = generator.normal(size=5)
        sweep = {at: {i: 90 - 100 * at + 10 * at * float(luck[i]) for i in range(5)} for at in (0.1, 0.2, 0.3)}
        found = equivalent_sigma_c(
            list(70 + generator.normal(size=5)), gaussian_curve({0.0: {0: 90.0}, **sweep}, ACCURACY)
        )
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.2 <= found.high
    # 95 % is promised. 150 trials: fewer than 132 hits (88 %) happens once in about 5,000 tries with a right interval.
    assert hits >= 132
    assert hits < trials  # an interval that never misses is too wide
