"""From readings of devices to estimates: power laws, separated spreads, intervals, and what data cannot tell."""

import numpy as np
import pytest
from scipy import optimize, stats

from analog_samson.analysis.device_fit.exponents import Curve, Curves, ExponentData, fit_exponents
from analog_samson.analysis.device_fit.held_out import compare_held_out, held_out_devices
from analog_samson.analysis.device_fit.likelihood import maximize, profile_interval, sandwich
from analog_samson.analysis.device_fit.measurements import from_readings
from analog_samson.analysis.device_fit.model import clock_of, fit_devices
from analog_samson.analysis.device_fit.power_law import Clock, fit_power_laws
from analog_samson.analysis.device_fit.programming import ProgrammingData
from analog_samson.analysis.device_fit.sections import estimates, preset_values
from analog_samson.chip.device.held_out import check_held_out
from analog_samson.chip.device.readings import simulated_readings
from analog_samson.errors import DataError, OptionError
from analog_samson.presets import load_preset, parse_preset

PCM, CONSTANT = load_preset("pcm_nandakumar_2019"), load_preset("generic_rasch_2021_state_independent")
TARGETS = np.repeat([2.0, 4.0, 6.0, 10.0, 16.0, 25.0], 50)
TIMES = np.array([1.0, 600.0, 86400.0, 31536000.0])
PULSE = 250e-9


def measured(preset, *, targets=TARGETS, times=TIMES, reads=3, seed=0):
    return from_readings(targets, times, simulated_readings(preset, targets, times.tolist(), seed=seed, reads=reads))


def fitted(data, *, t0=20.0, drift=True, **options):
    return fit_devices(data, clock_of(data, t0 if drift else None, PULSE, drift=drift), **options)


def by_key(model):
    return {one.key: one for one in estimates(model)}


def test_readings_without_noise_give_back_every_power_law():
    g, nu = np.linspace(1.0, 25.0, 40), np.linspace(0.01, 0.12, 40)
    readings = g[:, None] * (1 + TIMES / 20.0) ** -nu[:, None]
    laws = fit_power_laws(
        from_readings(g, TIMES, readings[:, :, None]), Clock(t0_seconds=20.0, seconds=TIMES, t_read_seconds=PULSE)
    )
    np.testing.assert_allclose(laws.conductance, g, rtol=1e-7)
    np.testing.assert_allclose(laws.exponent, nu, rtol=1e-6)
    assert laws.noise.max() < 1e-12


def test_exponents_of_noisy_readings_are_unbiased():
    """20,000 devices with 21 % of noise: 4.9 standard errors, a chance of 1e-6. Without its correction, about 6."""
    times = np.array([1.0, 60.0, 600.0, 3600.0, 86400.0, 604800.0])
    clock = Clock(t0_seconds=20.0, seconds=times, t_read_seconds=PULSE)
    noise = np.random.default_rng(0).standard_normal((20000, 6, 2))
    readings = 10 * np.exp(-0.1 * clock.elapsed)[:, None] * (1 + 0.05 * clock.growth[:, None] * noise)
    laws = fit_power_laws(from_readings(np.full(20000, 10.0), times, np.maximum(readings, 0.0)), clock)
    error = laws.exponent.mean() - 0.1
    assert abs(error) < 4.9 * laws.exponent.std() / np.sqrt(20000)


def test_without_t0_times_count_from_the_first_reading():
    """g(t) = g_1 (t / t_1)^-nu is the preset's law exactly, with t0 = t_1 and t counted from there."""
    times = np.array([10.0, 100.0, 1e4, 1e6])
    readings = np.linspace(2, 25, 40)[:, None] * (times / 10.0) ** -0.05
    data = from_readings(np.linspace(2, 25, 40), times, readings[:, :, None])
    model = fit_devices(data, clock_of(data, None, PULSE, drift=True))
    drift = preset_values(model, data, name="mine")["drift"]
    assert (drift["model"], drift["t0_seconds"]) == ("constant_exponent", 10.0)
    assert drift["nu_mean"] == pytest.approx(0.05, rel=1e-6)
    assert preset_values(model, data, name="mine")["validity"]["max_seconds"] == 1e6


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_derivatives_of_the_exponents_are_those_of_the_likelihood(noise):
    generator = np.random.default_rng(0)
    targets = generator.uniform(1, 25, 30)
    data = ExponentData(targets=targets, exponent=generator.normal(0.05, 0.03, 30))
    curves = Curves(mean=Curve(form="log_linear_with_floor", g_max=25.0), spread=Curve(form="log_linear", g_max=25.0))
    values, error = np.array([-0.0155, 0.0244, 0.049, -0.0125, 0.01]), noise * generator.uniform(1e-5, 1e-4, 30)
    numeric = optimize.approx_fprime(values, lambda at: data.likelihood(at, curves, error)[0], 1e-8)
    np.testing.assert_allclose(data.likelihood(values, curves, error)[1], numeric, rtol=1e-4, atol=0.02)


def test_lower_bound_is_found_where_most_targets_are_above_the_knee():
    """A line alone gains nothing there, and a spread without the bound of the mean would take the difference."""
    generator = np.random.default_rng(0)
    targets = generator.uniform(1.5, 25.0, 1500)
    log_relative = np.log(targets / 25.0)
    mean, spread = np.maximum(-0.0155 * log_relative + 0.0244, 0.049), np.maximum(-0.0125 * log_relative - 0.006, 0.008)
    data = ExponentData(targets=targets, exponent=np.abs(generator.normal(mean, spread)))
    found = fit_exponents(data, np.full(1500, 1e-6), 25.0, "auto")
    assert (found.curves.mean.form, found.curves.spread.form) == ("log_linear_with_floor",) * 2
    np.testing.assert_allclose(found.curves.at(found.maximum.values, targets)[0], mean, atol=0.008)


def test_derivatives_of_the_programming_error_are_those_of_the_likelihood():
    """Also of devices that ended at 0, far from it and near it."""
    data = ProgrammingData(
        targets=np.array([0.0, 0.1, 20.0, 0.5, 20.0]), conductance=np.array([0.0, 0.0, 0.0, 0.3, 19.0]), g_max=25.0
    )
    values, error = np.array([0.26, 1.9, -1.1]), np.array([0.0, 0.0, 0.0, 0.01, 0.2])
    numeric = optimize.approx_fprime(values, lambda at: data.likelihood(at, error)[0], 1e-8)
    np.testing.assert_allclose(data.likelihood(values, error)[1], numeric, rtol=1e-4, atol=1e-4)


def test_intervals_of_a_normal_mean_are_the_textbook_ones():
    values = np.random.default_rng(1).normal(3.0, 2.0, 400)

    def likelihood(at):
        return stats.norm.logpdf(values, at[0], at[1]), np.stack(
            [(values - at[0]) / at[1] ** 2, ((values - at[0]) ** 2 / at[1] ** 2 - 1) / at[1]], 1
        )

    found = maximize(likelihood, [np.array([2.0, 1.0])], np.ones(2))
    deviations = np.sqrt(np.diag(sandwich(lambda at: likelihood(at)[1], found.values, found.scale)))
    assert found.values == pytest.approx([values.mean(), values.std()], abs=1e-4)
    assert deviations[0] == pytest.approx(values.std() / 20, rel=0.05)  # HC3 enlarges it by the leverage
    low, high = profile_interval(found, 0, deviations[0])
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.03)


def test_intervals_hold_the_true_values():
    """20 fits of 4 numbers. With 95 % each, more than 14 misses of 80 have a probability of 1e-5.

    Intervals of half the width would miss about 26.
    """
    true = {
        "programming.coefficients_microsiemens[0]": 0.2,
        "drift.nu_mean": 0.1,
        "drift.nu_std": 0.05,
        "read.strength_microsiemens": 1.0,
    }
    targets = np.repeat([0.5, 1.0, 2.0, 6.0, 25.0], 60)  # the programming error shows at small conductances alone
    misses = 0
    for seed in range(20):
        found = by_key(fitted(measured(CONSTANT, targets=targets, seed=seed), drift_model="constant_exponent"))
        misses += sum(key not in found or not found[key].low <= value <= found[key].high for key, value in true.items())
    assert misses <= 14


def test_fit_finds_the_models_of_pcm_and_its_numbers():
    """Every interval of the preset's numbers, widened to 4.9 standard errors (1 in 10^6 each), has the true value."""
    targets = np.repeat([1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.5, 8.0, 10.0, 13.0, 18.0, 25.0], 100)
    times = np.array([1.0, 60.0, 3600.0, 604800.0])
    found = by_key(fitted(measured(PCM, targets=targets, times=times)))
    true = {f"drift.{name}": value for name, value in PCM.drift if name.startswith("nu_") and "max" not in name}
    true |= {"read.q_coefficient": 0.0088, "read.q_exponent": 0.65}
    true |= {
        f"programming.coefficients_microsiemens[{k}]": value
        for k, value in enumerate(PCM.programming.coefficients_microsiemens)
    }
    assert set(found) == set(true)
    for key, value in true.items():
        reach = 2.5 * (found[key].high - found[key].low) / 2
        assert abs(found[key].value - value) < reach, key
        assert reach < 3 * abs(value), f"{key}: the interval says something"


def test_read_noise_comes_from_repeated_reads_or_from_three_times():
    strengths = {}
    for reads, count in ((3, 2), (1, 3), (1, 2)):
        data = measured(CONSTANT, times=TIMES[:count], reads=reads)
        strengths[reads, count] = by_key(fitted(data, drift_model="constant_exponent")).get(
            "read.strength_microsiemens"
        )
    assert strengths[1, 2] is None
    assert strengths[3, 2].low < 1.0 < strengths[3, 2].high
    assert strengths[1, 3].value == pytest.approx(1.0, abs=0.2)  # 300 degrees of freedom: 5 standard errors


def test_spread_of_drift_without_read_noise_is_not_inflated_by_it():
    """Two readings a device: with the noise of a reading known, the spread between devices comes out right."""
    repeated = by_key(fitted(measured(CONSTANT, times=TIMES[:2], reads=3), drift_model="constant_exponent"))
    single = by_key(fitted(measured(CONSTANT, times=TIMES[:2], reads=1), drift_model="constant_exponent"))
    assert repeated["drift.nu_std"].low < 0.05 < repeated["drift.nu_std"].high
    assert single["drift.nu_std"].low > 0.055


def test_one_time_is_refused_unless_drift_is_left_out():
    data = measured(CONSTANT, times=TIMES[2:3])
    with pytest.raises(DataError, match=r"one time \(1d\).*--no-drift"):
        fitted(data)
    values = preset_values(fitted(data, drift=False), data, name="mine")
    assert [values[section]["model"] for section in ("drift", "read")] == ["none", "proportional_flicker"]
    assert values["compensation"]["kind"] == "none"
    with pytest.raises(OptionError, match="--no-drift: the measurements have 4 times"):
        fitted(measured(CONSTANT), drift=False)


def test_readings_from_0_s_need_a_t0():
    with pytest.raises(OptionError, match="--t0: missing"):
        clock_of(measured(CONSTANT, times=np.array([0.0, 10.0])), None, PULSE, drift=True)


@pytest.mark.parametrize("model", ["log_linear_exponent", "tabulated_exponent"])
def test_drift_against_conductance_needs_several_targets(model):
    with pytest.raises(OptionError, match=f"--drift-model {model}: needs several targets"):
        fitted(measured(CONSTANT, targets=np.full(60, 10.0)), drift_model=model)


def test_table_needs_devices_at_each_target():
    targets = np.concatenate([TARGETS, [20.0]])
    with pytest.raises(OptionError, match=r"expected 10 devices at each target .* got 1 at 20 uS"):
        fitted(measured(CONSTANT, targets=targets), drift_model="tabulated_exponent")


@pytest.mark.parametrize("name", ["ideal", "pcm_nandakumar_2019", "pcm_li_2023_example"])
@pytest.mark.parametrize("drift_model", ["auto", "log_linear_exponent", "tabulated_exponent"])
def test_fit_makes_a_valid_preset(name, drift_model):
    data = measured(load_preset(name), times=TIMES[:3], reads=2)
    preset = parse_preset(preset_values(fitted(data, drift_model=drift_model), data, name="mine"), "the fit")
    assert preset.source.kind == "fitted"
    assert preset.validity.max_g_microsiemens >= preset.device.g_max_microsiemens == 25.0
    if name == "ideal":
        assert (preset.programming.model, preset.read.model) == ("none", "none")


def test_readings_of_a_seed_are_the_same_and_of_another_are_not():
    one, again, other = (simulated_readings(PCM, [5.0, 20.0], [1.0, 10.0], seed=s, reads=2) for s in (0, 0, 1))
    assert one.shape == (2, 2, 2)
    assert np.array_equal(one, again)
    assert not np.isclose(one, other).any()


def test_held_out_devices_are_a_fifth_of_each_target():
    chosen = held_out_devices(TARGETS, np.random.default_rng(0))
    assert {int(chosen[target == TARGETS].sum()) for target in np.unique(TARGETS)} == {10}


def test_ranks_of_devices_of_the_same_distribution_are_uniform():
    """KS at a level of 1e-4; devices of twice the spread are recognised; equal readings do not matter."""
    generator = np.random.default_rng(0)
    draws = np.maximum(generator.normal(0.5, 1.0, (300, 200, 1)), 0.0)
    same = np.maximum(generator.normal(0.5, 1.0, (300, 1)), 0.0)
    (found,) = compare_held_out(same, draws, [1.0], generator)
    assert found.p_value > 1e-4
    assert found.low < 0.9 < found.high
    (wide,) = compare_held_out(2 * same - 0.5, draws, [1.0], generator)
    assert wide.p_value < 1e-6


def test_held_out_check_accepts_pcm_and_refuses_stuck_devices():
    """A quarter of the devices is stuck at g_max, which no preset with these models says."""
    clock = Clock(t0_seconds=20.0, seconds=TIMES, t_read_seconds=PULSE)
    readings = simulated_readings(PCM, TARGETS, TIMES.tolist(), seed=0, reads=2)
    right = check_held_out(from_readings(TARGETS, TIMES, readings), clock, seed=0)
    assert [one.time_seconds for one in right] == TIMES.tolist()
    assert min(one.p_value for one in right) > 1e-4
    readings[::4] = 25.0
    wrong = check_held_out(from_readings(TARGETS, TIMES, readings), clock, seed=0)
    assert min(one.p_value for one in wrong) < 1e-3


def test_few_devices_have_no_held_out_check():
    data = measured(CONSTANT, targets=np.repeat([5.0, 25.0], 20))
    assert check_held_out(data, clock_of(data, 20.0, PULSE, drift=True), seed=0) == []
