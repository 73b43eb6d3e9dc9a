"""Samples drawn from strata: known rates, no bias, and intervals over chips that cover as promised."""

import numpy as np
import pytest
from scipy import stats

from analog_samson.analysis.image_sample import LEAST, MOST, STRATA, ImageSample, even_sample, neyman_sample
from analog_samson.analysis.statistics import t_quantile

SAMPLES = 400


def chances(chip, margins):
    """How probably each sample is right on a chip whose decisions are shifted and blurred."""
    return stats.norm.cdf(margins + chip)


@pytest.fixture(scope="module")
def margins():
    """Most samples are safe, a few wrong, as in a good classifier."""
    return np.random.default_rng(0).gamma(3.0, 1.2, SAMPLES) - 1.0


@pytest.fixture(scope="module")
def sample(margins):
    pilot = even_sample(margins)
    places = pilot.places(np.random.default_rng(1).random(SAMPLES))
    right = np.random.default_rng(2).random(len(places)) < chances(0.0, margins[places])
    return neyman_sample(pilot, pilot.variances(places, 100.0 * right)[None])


def test_pilot_takes_as_many_of_each_stratum_in_the_order_of_the_scores(margins):
    pilot = even_sample(margins)
    assert set(pilot.sizes) == {SAMPLES // STRATA}
    assert set(pilot.each) == {LEAST // STRATA}
    highest = [margins[pilot.strata == stratum].max() for stratum in range(STRATA)]
    lowest = [margins[pilot.strata == stratum].min() for stratum in range(STRATA)]
    assert all(low >= high for high, low in zip(highest, lowest[1:], strict=False))


@pytest.mark.parametrize(("count", "size"), [(200, 100), (400, 100), (5000, 500), (60_000, 1000)])
def test_a_tenth_is_taken_within_bounds(count, size):
    assert even_sample(np.arange(float(count))).size == size
    assert LEAST <= size <= MOST


def test_more_are_taken_where_values_vary_and_some_everywhere():
    pilot = even_sample(np.arange(4000.0))
    variances = np.where(np.arange(STRATA) < 5, 0.25, 0.0)
    found = neyman_sample(pilot, variances[None])
    assert found.size == pilot.size
    assert min(found.each[:5]) > 3 * max(found.each[5:])
    assert min(found.each[5:]) >= pilot.each[0] // 4
    assert neyman_sample(pilot, np.zeros((1, STRATA))).each == pilot.each


def test_a_stratum_is_never_asked_for_more_than_it_holds():
    pilot = even_sample(np.arange(200.0))
    found = neyman_sample(pilot, np.where(np.arange(STRATA) == 3, 1.0, 0.0)[None])
    assert found.each[3] == found.sizes[3] == 10
    assert found.size == pilot.size


def test_every_sample_is_drawn_at_the_rate_that_its_weight_states(sample):
    """4,000 draws: a rate is off by 4.5 standard errors in one of 300 such tests of 400 samples."""
    draws, keys = 4000, np.random.default_rng(3)
    counts = np.zeros(SAMPLES)
    for _ in range(draws):
        places = sample.places(keys.random(SAMPLES))
        assert len(set(places)) == sample.size
        counts[places] += 1
    rates = 1 / sample.weights[sample.strata]
    assert np.all(np.abs(counts / draws - rates) <= 4.5 * np.sqrt(rates * (1 - rates) / draws) + 1e-12)


def test_estimate_of_everything_is_the_mean_and_of_some_is_unbiased(sample):
    values = np.random.default_rng(4).random(SAMPLES)
    everything = ImageSample(sample.strata, tuple(sample.sizes))
    assert everything.estimate(np.arange(SAMPLES), values) == pytest.approx(values.mean())
    keys = np.random.default_rng(5)
    found = [
        sample.estimate(places, values[places]) for places in (sample.places(keys.random(SAMPLES)) for _ in range(2000))
    ]
    assert abs(np.mean(found) - values.mean()) <= 4 * np.std(found) / np.sqrt(
        2000
    )  # one test in 15,000 fails by chance


def test_intervals_over_chips_cover_the_value_on_all_samples(margins, sample):
    """3,000 studies: a true 95 % lies outside 94 to 96 % in one of 80."""
    generator, chips, spread, hits, studies = np.random.default_rng(6), 5, 0.3, 0, 3000
    truth = 100 * stats.norm.cdf(margins / np.sqrt(1 + spread**2)).mean()
    for _ in range(studies):
        values = []
        for chip in generator.normal(0, spread, chips):
            places = sample.places(generator.random(SAMPLES))
            right = generator.normal(size=sample.size) < margins[places] + chip
            values.append(sample.estimate(places, 100.0 * right))
        reach = t_quantile(chips) * np.std(values, ddof=1) / np.sqrt(chips)
        hits += abs(np.mean(values) - truth) <= reach
    assert 0.94 * studies <= hits <= 0.96 * studies


def test_differences_of_networks_that_share_keys_are_narrower_and_unbiased(margins, sample):
    """Another network orders the samples otherwise; equal keys let both draw many samples in common."""
    generator = np.random.default_rng(7)
    other = neyman_sample(even_sample(margins + generator.normal(0, 0.3, SAMPLES)), np.array([sample.each]) ** 2.0)
    right = generator.random(SAMPLES) < chances(0.0, margins)
    worse = right & (generator.random(SAMPLES) < 0.98)
    differences = {True: [], False: []}
    for shared, found in differences.items():
        for _ in range(500):
            keys = generator.random(SAMPLES)
            first, second = sample.places(keys), other.places(keys if shared else generator.random(SAMPLES))
            found.append(other.estimate(second, 100.0 * worse[second]) - sample.estimate(first, 100.0 * right[first]))
    assert np.std(differences[True]) < 0.8 * np.std(differences[False])
    truth = 100.0 * (worse.mean() - right.mean())
    assert abs(np.mean(differences[True]) - truth) <= 4 * np.std(differences[True]) / np.sqrt(500)


def test_a_wide_target_takes_fewer_samples_and_a_narrow_one_no_more():
    pilot = even_sample(np.arange(10_000.0))
    variances = 100.0**2 * np.linspace(0.25, 0.01, STRATA)[None]
    sizes = [neyman_sample(pilot, variances, halfwidth=h, instances=10).size for h in (0.01, 1.0, 1.5, 50.0)]
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == (pilot.size, LEAST)
    assert LEAST < sizes[2] < pilot.size


def test_stored_sample_draws_the_same(sample):
    keys = np.random.default_rng(8).random(SAMPLES)
    assert np.array_equal(ImageSample.of(sample.plain()).places(keys), sample.places(keys))
