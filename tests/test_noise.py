"""Device noise: equal to aihwkit bit for bit where aihwkit has the model, to the formula elsewhere."""

import copy
import math
import pickle

import pytest
import torch
from aihwkit.inference.noise.pcm import PCMLikeNoiseModel
from device_cases import aged, changed, weights
from hypothesis import given, settings
from hypothesis import strategies as st

from analog_samson import rng
from analog_samson.chip.noise import DeviceNoise, noise_model
from analog_samson.presets import list_presets, load_preset

YEAR = 31536000.0
NAMES = [preset.name for preset in list_presets()]
TIMES = (0.0, 1e-7, 1.0, 20.0, 3600.0, 86400.0, YEAR)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 2**32),
    st.sampled_from([25.0, 5.0, 40.0]),
    st.lists(st.one_of(st.sampled_from(TIMES), st.floats(0.0, 1e9)), min_size=1, max_size=3),
)
def test_pcm_noise_when_seeded_alike_equals_aihwkit_bit_for_bit(rows, columns, seed, g_max, times):
    ours = noise_model(changed("pcm_nandakumar_2019", device={"g_max_microsiemens": g_max}))
    matrix = weights(rows, columns, seed)
    programmed, exponents, drifted = aged(ours, matrix, times, seed)
    expected, expected_exponents, expected_drifted = aged(PCMLikeNoiseModel(g_max=g_max), matrix, times, seed)
    assert torch.equal(programmed, expected)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(exponents, expected_exponents, strict=True))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(drifted, expected_drifted, strict=True))


def test_pcm_noise_when_the_weight_is_zero_still_programs_both_devices():
    programmed, _, _ = aged(noise_model(load_preset("pcm_nandakumar_2019")), torch.zeros(1000, 1), ())
    assert (programmed != 0).float().mean() > 0.7


def test_pcm_noise_when_called_leaves_its_input_alone():
    matrix = weights()
    before = matrix.clone()
    programmed, _, _ = aged(noise_model(load_preset("pcm_nandakumar_2019")), matrix, (YEAR,))
    assert torch.equal(matrix, before)
    assert not torch.equal(programmed, before)


def test_ideal_noise_when_programmed_and_drifted_changes_no_bit_and_draws_nothing():
    matrix = weights()
    state = torch.get_rng_state()
    model = noise_model(load_preset("ideal"))
    programmed, exponents = model.apply_programming_noise(matrix)
    assert torch.equal(programmed, matrix)
    assert exponents == [None, None]
    assert all(torch.equal(model.apply_drift_noise(programmed, exponents, t), matrix) for t in TIMES)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("programming", ["none", "polynomial"])
@pytest.mark.parametrize("drift", ["none", "log_linear_exponent"])
@pytest.mark.parametrize("read", ["none", "flicker"])
def test_noise_when_stages_are_switched_off_keeps_the_others(programming, drift, read):
    off = {"programming": programming, "drift": drift, "read": read}
    sections = {section: {"model": "none"} for section, model in off.items() if model == "none"}
    model = noise_model(changed("pcm_nandakumar_2019", **sections))
    matrix = weights()
    programmed, _, (start, later) = aged(model, matrix, (0.0, YEAR))
    assert torch.equal(programmed, matrix) == (programming == "none")
    # With drift the devices are 20 s old at t = 0 and have read noise by then; without, they are new.
    assert torch.allclose(start, programmed, rtol=1e-5, atol=1e-6) == (read == "none" or drift == "none")
    assert torch.equal(later, programmed) == (drift == "none" and read == "none")


def test_drift_when_alone_follows_the_power_law():
    model = noise_model(changed("pcm_nandakumar_2019", programming={"model": "none"}, read={"model": "none"}))
    matrix = weights().abs()
    _, (exponents, _), (later,) = aged(model, matrix, (86400.0,))
    expected = matrix * ((86400.0 + 20.0) / 20.0) ** -exponents
    torch.testing.assert_close(later, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("relative", [1.0, 0.3, 0.05, 1e-6])
def test_drift_exponents_when_drawn_many_times_have_the_formulas_mean_and_spread(relative):
    model, count = noise_model(load_preset("pcm_nandakumar_2019")), 200_000
    with rng.stream(2, "exponents", relative):
        exponents = model.generate_drift_coefficients(torch.full((count,), 25.0 * relative))
    mean = min(max(-0.0155 * math.log(relative) + 0.0244, 0.049), 0.1)
    deviation = min(max(-0.0125 * math.log(relative) - 0.0059, 0.008), 0.045)
    # Folding at 0 shifts the moments where the mean is only 2.2 deviations above it: by 0.4 % and 1.5 %.
    assert exponents.mean().item() == pytest.approx(mean, rel=0.004 + 4.9 * deviation / mean / count**0.5)
    assert exponents.std().item() == pytest.approx(deviation, rel=0.02 + 4.9 / (2 * count) ** 0.5)
    assert (exponents >= 0).all()


@pytest.mark.parametrize("sigma_c", [0.0, 0.1, 0.4])
def test_relative_gaussian_when_drawn_many_times_multiplies_by_n_1_sigma(sigma_c):
    preset = changed("gaussian_joshi_2020", programming={"model": "relative_gaussian", "sigma_c": sigma_c})
    matrix = weights(400, 400)
    programmed, _, (later,) = aged(noise_model(preset), matrix, (YEAR,))
    assert torch.equal(later, programmed)
    assert (programmed[matrix == 0] == 0).all()
    delta = (programmed / matrix)[matrix != 0].double()
    count = len(delta)
    assert delta.mean().item() == pytest.approx(1.0, abs=4.9 * sigma_c / count**0.5 + 1e-6)
    assert delta.std().item() == pytest.approx(sigma_c, rel=4.9 / (2 * count) ** 0.5, abs=1e-6)
    # eq. 8 is not clamped: the sign turns as often as a normal draw lies beyond 1 / sigma_c deviations.
    turned = 0.5 * math.erfc(1 / sigma_c / 2**0.5) if sigma_c else 0.0
    assert (delta < 0).double().mean().item() == pytest.approx(turned, abs=4.9 * (turned / count) ** 0.5 + 1e-6)


def test_relative_gaussian_when_the_zero_device_conducts_makes_it_noisy_too():
    preset = changed("gaussian_joshi_2020", device={"g_min_microsiemens": 5.0})
    programmed, _, _ = aged(noise_model(preset), torch.tensor([[1.0] + [0.0] * 999]), ())
    # Each device of a zero weight deviates by 0.1 * 5 uS, of 20 uS for the largest weight.
    assert programmed[0, 1:].std().item() == pytest.approx(2**0.5 * 0.1 * 5 / 20, rel=4.9 / 2000**0.5)


def test_noise_when_the_time_is_negative_refuses():
    model = noise_model(load_preset("pcm_nandakumar_2019"))
    with pytest.raises(ValueError, match="expected seconds since the end of programming, got -1"):
        model.apply_drift_noise(weights(), [None, None], -1.0)


@pytest.mark.parametrize("name", NAMES)
def test_noise_when_weights_live_on_another_device_stays_there(name):
    programmed, _, (later,) = aged(noise_model(load_preset(name)), torch.ones(3, 2, device="meta"), (YEAR,))
    assert programmed.device.type == later.device.type == "meta"


@pytest.mark.parametrize("name", NAMES)
def test_noise_when_weights_live_on_another_device_draws_the_chips_of_the_cpu(name):
    model, after = noise_model(load_preset(name)), []
    for device in ("cpu", "meta"):
        with rng.stream(5, "chips"):
            programmed, kept = model.apply_programming_noise(torch.ones(3, 2, device=device))
            model.apply_drift_noise(programmed, kept, YEAR)
            after.append(torch.rand(4))
    assert torch.equal(*after)


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_noise_when_on_cuda_is_the_chip_of_the_cpu(name):
    model, found = noise_model(load_preset(name)), []
    for device in ("cpu", "cuda"):
        programmed, _, (later,) = aged(model, weights(400, 400).to(device), (86400.0,))
        assert programmed.device.type == later.device.type == device
        found += [programmed.cpu(), later.cpu()]
    torch.testing.assert_close(found[2:], found[:2], rtol=1e-4, atol=1e-5)


def test_noise_when_compared_or_pickled_is_its_numbers():
    first, second = (noise_model(load_preset(name)) for name in ("pcm_nandakumar_2019", "gaussian_joshi_2020"))
    assert isinstance(first, DeviceNoise)
    assert pickle.loads(pickle.dumps(first)) == first == copy.deepcopy(first)
    assert first != second
    assert "nu_mean_slope=-0.0155" in str(first)
