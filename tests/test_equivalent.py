"""The interval of the equivalent sigma_c holds the true one as often as it says, for few instances too."""

import numpy as np
import pytest

from analog_samson.analysis.equivalent_sigma import Verdict, equivalent_sigma_c, gaussian_curve
from analog_samson.results.metric import ACCURACY

TRUE = 0.2
TRIALS = 200


def one_study(n: int, generator: np.random.Generator) -> tuple[list[float], dict[float, dict[int, float]]]:
    """Accuracies after drift and a sweep of which the true curve is 90 - 100 sigma_c; chips differ as networks do."""
    luck = generator.normal(size=n)
    sweep = {at: {i: 90 - 100 * at + 10 * at * float(luck[i]) for i in range(n)} for at in (0.1, 0.2, 0.3)}
    return list(90 - 100 * TRUE + generator.normal(size=n)), {0.0: {0: 90.0}, **sweep}


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_interval_holds_the_true_sigma_in_95_of_100_studies(n: int) -> None:
    """With 95 %, fewer than 180 hits of 200 happen once in 1000 studies; a bootstrap has 66 % for two instances."""
    generator, hits, widths = np.random.default_rng(11), 0, []
    for _ in range(TRIALS):
        accuracies, sweep = one_study(n, generator)
        found = equivalent_sigma_c(accuracies, gaussian_curve(sweep, ACCURACY))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= TRUE <= found.high
        widths.append(min(found.high, 0.3) - found.low)
    assert hits >= 180
    if n > 3:
        assert np.median(widths) < 0.1, "an interval as wide as the sweep would always hit"


def test_interval_is_a_point_where_nothing_is_random() -> None:
    """Without spread the ends are the value; on a flat part of the curve they are the ends of that part."""
    steep = {at: {0: 90 - 100 * at, 1: 90 - 100 * at} for at in (0.0, 0.1, 0.2)}
    found = equivalent_sigma_c([75.0, 75.0], gaussian_curve(steep, ACCURACY))
    assert (found.low, found.value, found.high) == pytest.approx((0.15, 0.15, 0.15))
    flat = {0.0: {0: 90.0}, 0.1: {0: 80.0, 1: 80.0}, 0.2: {0: 80.0, 1: 80.0}, 0.3: {0: 70.0, 1: 70.0}}
    found = equivalent_sigma_c([80.0, 80.0], gaussian_curve(flat, ACCURACY))
    assert (found.low, found.value, found.high) == pytest.approx((0.1, 0.1, 0.2))


def test_interval_is_at_the_ends_of_the_sweep_where_the_accuracy_is_far_outside_it() -> None:
    sweep = {at: {i: 90 - 100 * at + 0.1 * i for i in range(5)} for at in (0.0, 0.1, 0.2)}
    above = equivalent_sigma_c([95.0, 95.1, 95.2, 95.0, 95.1], gaussian_curve(sweep, ACCURACY))
    assert (above.verdict, above.low, above.high) == (Verdict.ABOVE, 0.0, 0.0)
    below = equivalent_sigma_c([50.0, 50.1, 50.2, 50.0, 50.1], gaussian_curve(sweep, ACCURACY))
    assert (below.verdict, below.low, below.high) == (Verdict.BEYOND, np.inf, np.inf)
