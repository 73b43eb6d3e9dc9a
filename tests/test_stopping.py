"""Stein's two-stage rule."""

import math

import numpy as np
import pytest

from analog_samson.analysis.stopping import stein_halfwidth, stein_total


def test_total_when_pilot_is_narrow_enough_is_the_pilot():
    assert stein_total([90.0, 90.1, 89.9, 90.0], 5.0) == 4


def test_halfwidth_at_the_total_meets_the_target_and_one_less_does_not():
    pilot = [90.0, 91.5, 92.0, 90.5, 91.0]
    total = stein_total(pilot, 0.4)
    assert stein_halfwidth(pilot, total) <= 0.4 < stein_halfwidth(pilot, total - 1)


def test_pilot_of_equal_counts_promises_no_more_than_its_images_can_tell():
    """On 50 images a hidden spread of 0.5 points gives equal counts nearly always: the interval has to cover it."""
    assert stein_halfwidth([100.0] * 5, 5) == 0.0
    assert stein_halfwidth([100.0] * 5, 5, step=2.0) == pytest.approx(
        2.7764 * 100 / 50 / math.sqrt(12) / math.sqrt(5), abs=1e-4
    )
    assert stein_total([100.0] * 5, 0.5, step=2.0) > 5
    assert stein_total([90.0, 94.0, 98.0], 1.0, step=2.0) == stein_total([90.0, 94.0, 98.0], 1.0)


def test_pilot_of_one_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        stein_total([90.0], 0.5)


def test_interval_covers_the_true_mean_as_promised():
    """1500 normal studies, pilot 5: coverage of 95 % or more, |z| < 4.9; stopping when narrow covers less."""
    generator = np.random.default_rng(0)
    covered = naive = 0
    studies, halfwidth = 1500, 0.5
    for _ in range(studies):
        values = generator.normal(0.0, 1.0, 400)
        total = min(stein_total(values[:5], halfwidth), 400)
        covered += abs(values[:total].mean()) <= max(halfwidth, stein_halfwidth(values[:5], total))
        naive += abs(values[: _first_narrow(values, halfwidth)].mean()) <= halfwidth
    assert covered / studies > 0.95 - 4.9 * math.sqrt(0.95 * 0.05 / studies)
    assert naive / studies < 0.95


def _first_narrow(values: np.ndarray, halfwidth: float) -> int:
    """The number at which the ordinary t interval is first narrow enough."""
    n = 5
    while stein_halfwidth(values[:n], n) > halfwidth:
        n += 1
    return n
