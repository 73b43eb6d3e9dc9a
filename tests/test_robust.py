"""Clipping, additive noise and random weight perturbation."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from analog_samson.errors import OptionError
from analog_samson.presets import load_preset
from analog_samson.sharpness.methods import Asam, RandomWeight, Sam, Samson
from analog_samson.training.weight_noise import (
    additive_noise,
    clip_to_std,
    clip_weights,
    preset_noise,
    random_perturbation,
    relative_noise,
)


def network(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 5), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 40)
    ).to(dtype)


def generator(seed=11):
    """Not the seed of the weights: torch would draw the same numbers again."""
    return torch.Generator().manual_seed(seed)


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(model, saved):
    return all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())


def moved(model, saved):
    return {
        name: tensor - saved[name]
        for name, tensor in model.state_dict().items()
        if not torch.equal(tensor, saved[name])
    }


HOLDERS = {
    "additive": lambda model, g: additive_noise(model, 0.94 / 25, generator=g),
    "relative": lambda model, g: relative_noise(model, 0.2, generator=g),
    "radius": lambda model, g: random_perturbation(model, RandomWeight(rho=0.5), generator=g),
    "sigma": lambda model, g: random_perturbation(model, RandomWeight(sigma=0.1, like=Asam(eta=0.0)), generator=g),
}
every_noise = pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)


def test_clipping_acts_on_convolution_and_linear_weights_alone():
    model = network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(50)
    saved = state(model)
    clip_weights(model, 0.2)
    assert set(moved(model, saved)) == {"0.weight", "5.weight"}
    for index in (0, 5):
        assert torch.equal(model[index].weight, saved[f"{index}.weight"].clamp(-0.2, 0.2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_std_clipping_takes_each_layer_by_itself(dtype):
    model = network(dtype)
    with torch.no_grad():
        model[5].weight.mul_(10)
    saved = state(model)
    clip_to_std(model, 1.0)
    for name in ("0.weight", "5.weight"):
        bound = saved[name].std(correction=0)
        assert torch.equal(dict(model.named_parameters())[name], saved[name].clamp(-bound, bound))
    assert set(moved(model, saved)) == {"0.weight", "5.weight"}


@pytest.mark.parametrize("clip", [lambda m, **k: clip_weights(m, 0.01, **k), lambda m, **k: clip_to_std(m, 0.5, **k)])
def test_frozen_weights_are_clipped_unless_they_are_left_out(clip):
    model = network()
    model[0].weight.requires_grad_(False)
    saved = state(model)
    clip(model, frozen=False)
    assert list(moved(model, saved)) == ["5.weight"]
    clip(model)
    assert list(moved(model, saved)) == ["0.weight", "5.weight"]


@pytest.mark.parametrize("shape", [(1, 1), (64, 576), (10, 7)])
@pytest.mark.parametrize("value", [0.1, 0.3, 1e-3, -7.0, 0.0])
def test_layer_without_spread_is_not_clipped_to_nothing(shape, value):
    model = nn.Linear(*shape)
    nn.init.constant_(model.weight, value)
    before = model.weight.detach().clone()
    clip_to_std(model, 2.0)
    assert torch.equal(model.weight, before)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, "0.1"])
@pytest.mark.parametrize("clip", [clip_weights, clip_to_std])
def test_clipping_range_has_to_be_positive(clip, value):
    with pytest.raises(OptionError, match="expected a finite number above 0"):
        clip(network(), value)


def test_clipping_does_not_disturb_a_pending_backward():
    model = network()
    loss = model(torch.randn(2, 3, 9, 9)).sum()
    clip_weights(model, 0.01)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@every_noise
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_noise_comes_off_exactly_also_after_an_exception(hold, dtype):
    model = network(dtype)
    saved = state(model)
    with hold(model, generator()):
        assert set(moved(model, saved)) == {"0.weight", "5.weight"}
    assert same(model, saved)
    with pytest.raises(ZeroDivisionError), hold(model, generator()):
        raise ZeroDivisionError
    assert same(model, saved)


@every_noise
def test_noise_follows_the_generator_alone(hold):
    model = network()
    saved = state(model)
    torch.manual_seed(5)
    stream = torch.get_rng_state()
    draws = []
    shared = generator(1)
    for source in (generator(1), shared, shared):
        with hold(model, source):
            draws.append(moved(model, saved)["0.weight"])
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])
    assert torch.equal(torch.get_rng_state(), stream)


@every_noise
def test_gradient_is_that_of_the_noisy_weights(hold):
    model, x = network().eval(), torch.randn(4, 3, 9, 9, generator=generator(3))
    with hold(model, generator()):
        noisy = state(model)
        model(x).square().mean().backward()
    other = network().eval()
    other.load_state_dict(noisy)
    other(x).square().mean().backward()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_additive_noise_has_the_size_of_equation_9_in_each_layer():
    """n = 2400 and 20480 weights: the sample std is within 5 standard errors, about 1 false alarm in 10^6."""
    model = network()
    saved = state(model)
    with additive_noise(model, 0.94 / 25, generator=generator()):
        noise = moved(model, saved)
    for name in ("0.weight", "5.weight"):
        sigma = saved[name].abs().max().item() * 0.94 / 25
        n = noise[name].numel()
        assert noise[name].std().item() == pytest.approx(sigma, rel=5 / math.sqrt(2 * n))
        assert abs(noise[name].mean().item()) < 5 * sigma / math.sqrt(n)


def test_no_noise_leaves_the_weights():
    model = network()
    saved = state(model)
    for hold in (additive_noise, relative_noise):
        with hold(model, 0.0, generator=generator()):
            assert same(model, saved)


def test_relative_noise_multiplies_each_weight_by_a_normal_number_around_one():
    """Size and mean: about 1 false alarm in 10^6; shape, and that it does not depend on the weight: 1 in 10^3."""
    model = network()
    model[5].weight.data[0] = 0.0
    saved = state(model)
    with relative_noise(model, 0.3, generator=generator()):
        steps = moved(model, saved)
        assert (model[5].weight[0] == 0).all()
    assert set(steps) == {"0.weight", "5.weight"}
    weight = torch.cat([saved[name].flatten() for name in steps])
    error = (torch.cat([step.flatten() for step in steps.values()]) / weight)[weight != 0].double() / 0.3
    assert error.std().item() == pytest.approx(1, rel=5 / math.sqrt(2 * len(error)))
    assert abs(error.mean().item()) < 5 / math.sqrt(len(error))
    assert stats.kstest(error.numpy(), "norm").pvalue > 1e-3
    assert stats.spearmanr(error.abs().numpy(), weight[weight != 0].abs().numpy()).pvalue > 1e-3


@pytest.mark.parametrize("like", [Sam(), Asam(eta=0.01), Samson(eta=0.01)])
def test_random_point_lies_on_the_border_where_the_ascent_ends(like):
    model = network(torch.float64)
    saved = state(model)
    with random_perturbation(model, RandomWeight(rho=0.7, like=like), generator=generator()):
        steps = moved(model, saved)
    squares = 0.0
    for name, step in steps.items():
        size = saved[name].abs() + 0.01
        scale = {"sam": torch.ones_like(size), "asam": size, "samson": size / saved[name].abs().max()}[like.name]
        squares += (step / scale).square().sum().item()
    assert math.sqrt(squares) == pytest.approx(0.7, rel=1e-5)


def test_sigma_with_asam_is_the_multiplicative_noise_of_equation_8():
    model = network(torch.float64)
    saved = state(model)
    with random_perturbation(model, RandomWeight(sigma=0.2, like=Asam(eta=0.0)), generator=generator()):
        steps = moved(model, saved)
    ratio = torch.cat([(step / saved[name]).flatten() for name, step in steps.items()])
    assert ratio.std().item() == pytest.approx(0.2, rel=5 / math.sqrt(2 * ratio.numel()))
    assert abs(ratio.mean().item()) < 5 * 0.2 / math.sqrt(ratio.numel())


def test_random_perturbation_follows_the_selection_and_needs_no_gradient():
    model = network()
    model.requires_grad_(False)
    saved = state(model)
    found = {}
    for selection in ("weights_only", "paper", "name_contains_weight"):
        with random_perturbation(
            model, RandomWeight(rho=0.5, like=Samson()), selection=selection, generator=generator()
        ):
            found[selection] = set(moved(model, saved))
    everything = {name for name, _ in model.named_parameters()}
    assert found["weights_only"] == {"0.weight", "5.weight"}
    assert found["paper"] == everything - {"1.bias"}  # all zeros, and eq. 6 has no eta
    assert found["name_contains_weight"] == everything


def test_both_sizes_of_a_random_perturbation_are_refused():
    with pytest.raises(OptionError, match="rho and sigma: both say how far weights move"):
        RandomWeight(rho=0.1, sigma=0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda m, g: additive_noise(m, -1.0, generator=g), "sigma_G / G_max: expected a finite number >= 0"),
        (lambda m, g: relative_noise(m, -1.0, generator=g), "sigma_c: expected a finite number >= 0"),
        (
            lambda m, g: random_perturbation(m, RandomWeight(rho=math.nan), generator=g),
            "rho: expected a finite number >= 0",
        ),
        (
            lambda m, g: random_perturbation(m, RandomWeight(sigma=-1.0), generator=g),
            "sigma: expected a finite number >= 0",
        ),
        (lambda m, g: random_perturbation(nn.BatchNorm1d(2), RandomWeight(rho=0.1), generator=g), "picks no parameter"),
        (lambda m, g: additive_noise(nn.BatchNorm1d(2), 0.1, generator=g), "no convolution or linear weights"),
        (lambda m, g: relative_noise(m, "0.1", generator=g), "sigma_c: expected a finite number >= 0, got '0.1'"),
        (lambda m, g: relative_noise(m, 0.1, generator=0), "generator: expected a torch.Generator, got 0"),
        (lambda m, g: preset_noise(m, 1, 1.0, generator=g), "expected the name or file of a preset"),
        (lambda m, g: preset_noise(m, load_preset("ideal"), "1d", generator=g), "time after programming.*got '1d'"),
    ],
)
def test_bad_noise_is_refused_before_anything_moves(make, words):
    model = network()
    saved = state(model)
    with pytest.raises(OptionError, match=words), make(model, generator()):
        pass
    assert same(model, saved)


def test_generator_on_another_device_is_refused_in_words():
    with torch.device("meta"):
        model = nn.Linear(2, 2)
    with (
        pytest.raises(OptionError, match=r"make it with torch\.Generator\(device='meta'\)"),
        additive_noise(model, 0.1, generator=generator()),
    ):
        pass


def test_second_forward_in_one_autocast_block_meets_the_noise():
    layer, x = nn.Linear(4, 4), torch.ones(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        clean = layer(x)
        with additive_noise(layer, 0.5, generator=generator()):
            assert not torch.equal(layer(x), clean)
        assert torch.equal(layer(x), clean)
