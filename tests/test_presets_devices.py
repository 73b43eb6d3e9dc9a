"""The devices of the presets: equal to aihwkit's models bit for bit where it has them, to the formula elsewhere."""

import math

import numpy
import pytest
import torch
from aihwkit.inference.converter.conductance import (
    NPairConductanceConverter,
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
)
from aihwkit.inference.noise.custom import StateIndependentNoiseModel
from aihwkit.inference.noise.hermes import HermesNoiseModel
from aihwkit.inference.noise.pcm import CustomDriftPCMLikeNoiseModel, PCMLikeNoiseModel
from aihwkit.inference.noise.reram import ReRamCMONoiseModel, ReRamWan2022NoiseModel
from device_cases import aged, changed, weights
from hypothesis import given, settings
from hypothesis import strategies as st

from analog_samson import rng
from analog_samson.chip.device import changes_with_time, weight_on_chip
from analog_samson.chip.device.curves import interpolated
from analog_samson.chip.device.drift import coefficients_at, exponent_moments
from analog_samson.chip.device.stored_weight import _aged, _aged_without_zeros, _zero_stays
from analog_samson.chip.device.unit_cell import to_conductances, to_weights
from analog_samson.chip.noise import noise_model
from analog_samson.presets import list_presets, load_preset

HOUR, DAY, YEAR = 3600.0, 86400.0, 31536000.0
TIMES = (0.0, 1e-7, 1.0, 20.0, HOUR, DAY, YEAR)
NAMES = [preset.name for preset in list_presets()]
LI = {"g_lst": [0.0, 10.0, 25.0], "nu_mean_lst": [0.08, 0.05, 0.03], "nu_std_lst": [0.03, 0.02, 0.01]}
MACKIN = NPairConductanceConverter([1.0, 3.0], 15.0, 0.1)
# Each as aihwkit is told to build the same hardware.
TWINS = {
    "pcm_nandakumar_2019": PCMLikeNoiseModel(g_max=25.0),
    "pcm_rasch_2023_perfect_io": PCMLikeNoiseModel(g_max=25.0),
    "pcm_li_2023_example": CustomDriftPCMLikeNoiseModel(LI, g_max=25.0),
    "pcm_hermes_2023_one_device": HermesNoiseModel(num_devices=1),
    "pcm_hermes_2023_two_devices": HermesNoiseModel(num_devices=2),
    "pcm_mackin_2022_two_pairs": PCMLikeNoiseModel(g_converter=MACKIN),
    "generic_rasch_2021_state_independent": StateIndependentNoiseModel(),
}


# aihwkit's Hermes model indexes with a list of masks, which torch warns about.
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize("name", TWINS)
@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 2**32),
    st.lists(st.one_of(st.sampled_from(TIMES), st.floats(0.0, 1e9)), min_size=1, max_size=3),
)
def test_device_noise_when_seeded_alike_equals_aihwkits_model_bit_for_bit(name, rows, columns, seed, times):
    matrix = weights(rows, columns, seed)
    programmed, kept, drifted = aged(noise_model(load_preset(name)), matrix, times, seed)
    expected, expected_kept, expected_drifted = aged(TWINS[name], matrix.clone(), times, seed)
    assert torch.equal(programmed, expected)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(kept, expected_kept, strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(drifted, expected_drifted, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 30, width=32), min_size=1, max_size=40), st.integers(0, 2**32))
def test_tabulated_exponent_when_between_points_equals_numpys_interpolation(conductances, seed):
    draw = numpy.random.default_rng(seed)
    places = tuple(numpy.cumsum(draw.uniform(0.1, 5, 6)).tolist())
    heights = tuple(draw.uniform(0, 0.2, 6).tolist())
    single = [numpy.asarray(values, dtype=numpy.float32) for values in (conductances, places, heights)]
    expected = numpy.interp(*single).astype(numpy.float32)
    assert interpolated(torch.tensor(conductances), places, heights).tolist() == expected.tolist()


def test_tabulated_exponent_when_drawn_leaves_the_targets_alone():
    targets = torch.tensor([0.0, 10.0, 25.0, 30.0])
    before = targets.clone()
    noise_model(load_preset("pcm_li_2023_example")).generate_drift_coefficients(targets)
    assert torch.equal(targets, before)


def test_hermes_curves_when_at_a_knee_take_the_upper_piece():
    preset = load_preset("pcm_hermes_2023_one_device")
    x = torch.tensor([0.0945, 0.09449])
    mean, _ = exponent_moments(x * preset.device.g_max_microsiemens, preset.drift, preset.device)
    expected = [0.0736 - 0.0126 * 0.0945 - 0.0436 * 0.0945**2, -0.0387 * math.log(0.09449) - 0.0182]
    torch.testing.assert_close(mean, torch.tensor(expected))


# ReRAM, Wan et al. 2022 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [1.0, DAY, 2 * DAY])
def test_reram_wan_when_at_a_published_time_has_the_conductances_of_aihwkit_at_40_microsiemens(t):
    ours, theirs = noise_model(load_preset("reram_wan_2022")), ReRamWan2022NoiseModel(g_max=40.0)
    targets = torch.linspace(0, 40, 500)
    results = []
    for model in (ours, theirs):
        with rng.stream(0, "wan"):
            programmed = model.apply_programming_noise_to_conductance(targets)
            kept = model.generate_drift_coefficients(targets)
            results.append((programmed, model.apply_drift_noise_to_conductance(kept, kept, t)))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_reram_wan_when_aged_keeps_the_scale_that_aihwkit_takes_from_the_noisy_weights():
    matrix = weights(60, 60)
    _, _, (ours,) = aged(noise_model(load_preset("reram_wan_2022")), matrix, (DAY,))
    programmed, _, (theirs,) = aged(ReRamWan2022NoiseModel(g_max=40.0), matrix, (DAY,))
    excess = (programmed.abs().max() / matrix.abs().max()).item()
    torch.testing.assert_close(theirs, ours * excess)


@pytest.mark.parametrize("g_max", [10.0, 25.0, 40.0])
def test_reram_wan_when_g_max_is_not_40_scales_its_noise_and_aihwkit_does_not(g_max):
    target, results = torch.full((100_000,), 0.75 * g_max), []
    preset = changed("reram_wan_2022", device={"g_max_microsiemens": g_max})
    for model in (noise_model(preset), ReRamWan2022NoiseModel(g_max=g_max)):
        with rng.stream(0, "spread"):
            results.append((model.apply_programming_noise_to_conductance(target) - target).std().item() / g_max)
    published = sum(c * 0.75**power for power, c in enumerate(preset.programming.coefficients_microsiemens)) / 40
    assert results[0] == pytest.approx(published, rel=0.012)  # 4.9 standard errors are 1.1 %
    assert results[1] / results[0] == pytest.approx(40.0 / g_max, rel=0.02)  # clipped at 0 where the noise is large


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 1e12))
def test_reram_wan_when_at_any_time_has_a_spread_between_the_published_ones(t):
    preset = load_preset("reram_wan_2022")
    coefficients = coefficients_at(preset.drift, t)
    table = preset.drift.coefficients_microsiemens
    for c, *published in zip(coefficients, *table, strict=True):
        assert min(published) <= c <= max(published)
    model, matrix = noise_model(preset), weights(5, 4)
    _, _, (later,) = aged(model, matrix, (t,))
    assert torch.isfinite(later).all()


def test_reram_wan_when_halfway_in_log_time_has_the_mean_spread():
    drift = load_preset("reram_wan_2022").drift
    first, second, last = drift.coefficients_microsiemens
    halfway = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    assert coefficients_at(drift, DAY**0.5) == pytest.approx(halfway)
    assert [coefficients_at(drift, t) for t in (0.0, 0.5, 1.0)] == [first] * 3
    assert [coefficients_at(drift, t) for t in (2 * DAY, YEAR)] == [last] * 2
    assert coefficients_at(drift, DAY) == second


# ReRAM, CMO/HfOx -------------------------------------------------------------------------------------------------


# aihwkit hands a tensor to numpy here, which numpy warns about.
@pytest.mark.filterwarnings("ignore:__array_wrap__")
@pytest.mark.parametrize(("name", "acceptance"), [("reram_cmo_2024_accept_0p2", 0.2), ("reram_cmo_2024_accept_2", 2)])
def test_reram_cmo_when_a_tile_has_one_row_equals_aihwkit(name, acceptance):
    theirs = ReRamCMONoiseModel(g_max=88.2, g_min=9.0, acceptance_range=acceptance)
    matrix = weights(1, 400)
    programmed, _, drifted = aged(noise_model(load_preset(name)), matrix, (0.0, 1.0, HOUR, DAY, 10 * YEAR))
    expected, _, expected_drifted = aged(theirs, matrix, (0.0, 1.0, HOUR, DAY, 10 * YEAR))
    torch.testing.assert_close(programmed[None], expected[None].view(1, 1, -1), rtol=1e-6, atol=1e-6)
    for ours, his in zip(drifted, expected_drifted, strict=True):
        torch.testing.assert_close(ours, his.view(1, -1), rtol=1e-5, atol=1e-5)  # its log10 is numpy's


@pytest.mark.filterwarnings("ignore:__array_wrap__")
def test_reram_cmo_when_a_tile_has_many_rows_has_the_moments_of_aihwkit():
    theirs = ReRamCMONoiseModel(g_max=88.2, g_min=9.0, acceptance_range=2)
    matrix = torch.linspace(-1, 1, 300).expand(300, 300).contiguous()
    _, _, (ours,) = aged(noise_model(load_preset("reram_cmo_2024_accept_2")), matrix, (HOUR,))
    _, _, (expected,) = aged(theirs, matrix, (HOUR,), seed=2)
    # 90,000 devices each; the means differ by less than 4.9 sqrt(2) / 300 of the spread, the spreads by 1.2 %.
    spread = (expected - matrix).std().item()
    assert (ours - expected).mean().item() == pytest.approx(0, abs=4.9 * 2**0.5 / 300 * spread)
    assert (ours - matrix).std().item() == pytest.approx(spread, rel=0.025)


def test_reram_cmo_when_relaxing_shifts_by_the_published_amount_in_an_hour():
    preset = changed("reram_cmo_2024_accept_0p2", read={"model": "none"})
    model = noise_model(preset)
    targets = torch.full((200_000,), 50.0)
    with rng.stream(0, "relaxation"):
        later = model.apply_drift_noise_to_conductance(targets, None, HOUR) - 50.0
        early = model.apply_drift_noise_to_conductance(targets, None, 0.01) - 50.0
    # The publication's figure has -0.68 uS on average after one hour.
    assert later.mean().item() == pytest.approx(-0.08900206 * math.log(HOUR), abs=0.01)
    assert later.mean().item() == pytest.approx(-0.68, abs=0.06)
    assert later.std().item() == pytest.approx(0.04201137 * math.log(HOUR) + 0.41183342, rel=0.01)
    assert early.mean().item() == pytest.approx(0.0, abs=0.006)
    assert early.std().item() == pytest.approx(0.41183342, rel=0.01)
    assert model.apply_drift_noise_to_conductance(targets, None, 0.0) is targets


# Joshi et al. 2020 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 0.3, -1.0])
def test_joshi_when_programmed_adds_the_noise_of_equation_9_to_every_weight(weight):
    matrix = torch.full((1, 200_000), weight)
    matrix[0, 0] = 1.0
    programmed, _, (later,) = aged(noise_model(load_preset("pcm_joshi_2020")), matrix, (YEAR,))
    error = (programmed - matrix)[0, 1:].double()
    assert torch.equal(programmed, later)
    assert error.mean().item() == pytest.approx(0.0, abs=4.9 * 0.0376 / 200_000**0.5)
    assert error.std().item() == pytest.approx(0.94 / 25, rel=4.9 / 400_000**0.5)
    assert (error**4).mean().item() == pytest.approx(3 * (0.94 / 25) ** 4, rel=0.05)  # Gaussian, not clipped


# Several devices a weight ----------------------------------------------------------------------------------------


def cell(pairs, sharing, significance, g_min=0.0):
    values = {"pairs": pairs, "sharing": sharing, "significance": significance, "g_min_microsiemens": g_min}
    return changed("pcm_nandakumar_2019", device=values).device


CELLS = [
    cell(1, "none", []),
    cell(1, "none", [], g_min=2.0),
    cell(2, "averaged", [1.0, 1.0]),
    cell(3, "averaged", [1.0, 2.0, 0.5], g_min=0.5),
    cell(2, "filled", [1.0, 3.0], g_min=0.1),
    cell(4, "filled", [1.0, 1.0, 1.0, 1.0]),
    cell(0, "none", [], g_min=9.0),
]


@pytest.mark.parametrize("device", CELLS)
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32), st.sampled_from([1e-3, 1.0, 50.0]))
def test_conductances_when_turned_back_are_the_weights_and_lie_within_the_device(device, rows, columns, seed, size):
    matrix = size * weights(rows, columns, seed)
    conductances, scale = to_conductances(matrix, device)
    assert conductances.shape == (device.per_weight, rows, columns)
    assert conductances.min() >= device.g_min_microsiemens * (1 - 1e-6)
    assert conductances.max() <= device.g_max_microsiemens * (1 + 1e-6)
    atol = 1e-6 * matrix.abs().max().item()  # of a single device: its weights are differences from the smallest
    torch.testing.assert_close(to_weights(conductances, device, scale), matrix, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("device", CELLS)
@pytest.mark.parametrize("value", [0.0, 2.0, -3.0])
def test_conductances_when_all_weights_are_equal_are_finite_and_turn_back(device, value):
    matrix = torch.full((3, 2), value)
    conductances, scale = to_conductances(matrix, device)
    assert torch.isfinite(conductances).all()
    torch.testing.assert_close(to_weights(conductances, device, scale), matrix, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("device", "theirs"),
    [
        (CELLS[1], SinglePairConductanceConverter(25.0, 2.0)),
        (CELLS[4], NPairConductanceConverter([1.0, 3.0], 25.0, 0.1)),
        (CELLS[5], NPairConductanceConverter([1.0] * 4, 25.0, 0.0)),
    ],
)
def test_conductances_when_aihwkit_has_the_scheme_equal_its_own(device, theirs):
    matrix = weights()
    expected, _ = theirs.convert_to_conductances(matrix)
    ours, scale = to_conductances(matrix, device)
    torch.testing.assert_close(ours, torch.stack(expected), rtol=2e-6, atol=2e-6)
    torch.testing.assert_close(to_weights(ours, device, scale), matrix, rtol=1e-5, atol=1e-6)


def test_single_device_when_mapped_equals_aihwkits_converter():
    matrix = weights()
    expected, _ = SingleDeviceConductanceConverter(25.0, 9.0).convert_to_conductances(matrix)
    torch.testing.assert_close(to_conductances(matrix, CELLS[6])[0][0], expected, rtol=1e-6, atol=1e-6)


def test_filled_pairs_when_weights_are_small_leave_the_later_pairs_at_zero():
    matrix = torch.tensor([[1.0, -1.0, 0.25, 0.1, -0.2]])
    conductances, _ = to_conductances(matrix, cell(2, "filled", [1.0, 3.0]))
    torch.testing.assert_close(conductances[0], torch.tensor([[25.0, 0.0, 25.0, 10.0, 0.0]]))
    torch.testing.assert_close(conductances[1], torch.tensor([[0.0, 25.0, 0.0, 0.0, 20.0]]))
    torch.testing.assert_close(conductances[2:], torch.tensor([[[25.0, 0, 0, 0, 0]], [[0, 25.0, 0, 0, 0]]]))


@pytest.mark.parametrize(("name", "pairs"), [("two_pairs", 2), ("four_pairs", 4)])
def test_averaged_pairs_when_programmed_and_aged_divide_the_variance_of_a_weight(name, pairs):
    matrix = torch.full((1, 100_000), 0.6)
    matrix[0, 0] = 1.0
    spreads = []
    for preset in ("pcm_nandakumar_2019", f"pcm_nandakumar_2019_{name}"):
        programmed, _, (later,) = aged(noise_model(load_preset(preset)), matrix, (DAY,))
        # The device at zero adds a mean; a multiple of the largest weight's error is common to all.
        spreads.append((programmed[0, 1:].std().item(), later[0, 1:].std().item()))
    for single, several in zip(*spreads, strict=True):
        assert several / single == pytest.approx(pairs**-0.5, rel=0.03)


def test_averaged_pairs_when_of_different_significance_weigh_their_errors_by_it():
    matrix = torch.full((1, 100_000), 0.6)
    matrix[0, 0] = 1.0
    single = aged(noise_model(load_preset("pcm_nandakumar_2019")), matrix, ())[0][0, 1:].std().item()
    device = {"pairs": 2, "sharing": "averaged", "significance": [1.0, 3.0]}
    both = aged(noise_model(changed("pcm_nandakumar_2019", device=device)), matrix, ())[0][0, 1:].std().item()
    assert both / single == pytest.approx((1 + 9) ** 0.5 / 4, rel=0.02)


# Training noise: the same chip without tiles -----------------------------------------------------------------------


def relative_error(got, wanted):
    """What drift compensation cannot mend, over the size of the weights."""
    fit = (got * wanted).sum() / got.square().sum()
    return ((fit * got - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("t", [0.0, DAY])
def test_weight_on_chip_when_compared_with_the_noise_model_has_its_error(name, t):
    preset = changed(name, tile={"max_rows": 0, "max_columns": 0, "weight_scaling": "per_layer"})
    matrix = torch.randn(200, 300, generator=rng.generator(0, "layer"))
    matrix /= matrix.abs().max()
    programmed, kept, _ = aged(noise_model(preset), matrix, ())
    with rng.stream(3, "later"):
        model = noise_model(preset)
        expected = model.apply_drift_noise(programmed, kept, t) if t and changes_with_time(preset) else programmed
    chip = weight_on_chip(matrix, preset, t, generator=rng.generator(4, "chip"))
    assert relative_error(chip, matrix) == pytest.approx(relative_error(expected, matrix), rel=0.03, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if _zero_stays(load_preset(name))])
def test_weight_on_chip_when_zeros_are_left_out_has_the_same_distribution(name):
    preset = load_preset(name)
    matrix = torch.randn(100, 300, generator=rng.generator(0, "layer"))
    matrix /= matrix.abs().max()
    targets, _ = to_conductances(matrix, preset.device)
    short = _aged_without_zeros(matrix, targets, preset, DAY, rng.generator(1, "short"))
    long = _aged(matrix, targets, preset, DAY, rng.generator(2, "long"))
    assert short.std().item() == pytest.approx(long.std().item(), rel=0.02)
    assert relative_error(short, matrix) == pytest.approx(relative_error(long, matrix), rel=0.03, abs=1e-6)
