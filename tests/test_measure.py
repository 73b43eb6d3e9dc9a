"""Sharpness of trained weights: closed forms on a quadratic, bounds, and a model that is left alone."""

import math

import pytest
import torch
from torch import nn

from analog_samson.errors import DataError, ModelError, OptionError
from analog_samson.sharpness.measure import measure_sharpness
from analog_samson.sharpness.methods import measuring_methods
from analog_samson.sharpness.perturb import perturbed

every_method = pytest.mark.parametrize("method", measuring_methods())


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3))
    model(torch.randn(64, 4))
    return model


def batches(sizes=(16, 16, 8), seed=1):
    draws = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, 4, generator=draws), torch.randint(3, (n,), generator=draws)) for n in sizes]


def total(outputs, _):
    """A loss that is linear in the weights, so that every maximum is known."""
    return outputs.mean(0).sum() + 10.0


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize(
    ("method", "eta"), [("sam", 0.0), ("asam", 0.0), ("asam", 0.01), ("samson", 0.0), ("samson", 0.1)]
)
def test_linear_loss_has_the_known_maximum(method, eta, p):
    """max g.eps over ||eps / T|| <= rho is rho ||T g||; here g is the mean input, in every row."""
    model = nn.Linear(4, 3, bias=False).double()
    x = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = model.weight.detach()
    scale = {"sam": torch.ones_like(w), "asam": w.abs() + eta}.get(
        method, (w.abs() + eta) / torch.linalg.vector_norm(w, p)
    )
    expected = 0.3 * (scale * x.mean(0)).norm().item()
    for steps in (1, 4):
        found = measure_sharpness(model, [(x, x)], method=method, rho=0.3, p=p, eta=eta, steps=steps, loss=total)
        assert found.value == pytest.approx(expected, rel=1e-6)


def test_box_of_a_linear_loss_has_the_known_maximum():
    model = nn.Linear(4, 3, bias=False).double()
    x = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rise = (1e-3 * (model.weight.detach().abs() + 1) * x.mean(0).abs()).sum().item()
    base = total(model(x), x).item()
    for steps in (1, 3):
        found = measure_sharpness(model, [(x, x)], method="keskar", steps=steps, loss=total)
        assert found.value == pytest.approx(100 * rise / (1 + base), rel=1e-6)
        assert found.loss == pytest.approx(base)


@every_method
@pytest.mark.parametrize("selection", ["weights_only", "paper", "name_contains_weight"])
def test_model_is_left_as_it_was(method, selection):
    model = network().train()
    model[4].eval()
    model[0].weight.requires_grad_(False)
    model[4].weight.grad = torch.ones_like(model[4].weight)
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = measure_sharpness(model, batches(), method=method, selection=selection, steps=2)
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())
    assert [m.training for m in model] == [True, True, True, True, False]
    assert not model[0].weight.requires_grad
    assert torch.equal(model[4].weight.grad, torch.ones_like(model[4].weight))
    assert (found.images, found.batches) == (40, 3)
    assert found.value > 0


@pytest.mark.parametrize("method", ["sam", "asam", "samson"])
@pytest.mark.parametrize("selection", ["weights_only", "paper", "name_contains_weight"])
def test_one_step_is_the_climb_of_training(method, selection):
    model = network().eval()
    ((x, y),) = batches((16,))
    base = nn.functional.cross_entropy(model(x), y)
    base.backward()
    with perturbed(model, method=method, rho=0.2, selection=selection):
        climbed = nn.functional.cross_entropy(model(x), y)
    found = measure_sharpness(model, [(x, y)], method=method, rho=0.2, selection=selection)
    assert found.value == pytest.approx((climbed - base).item(), abs=1e-6)
    assert found.loss == pytest.approx(base.item())


@every_method
def test_more_steps_never_measure_less(method):
    values = [
        measure_sharpness(
            network(), batches(), method=method, rho=1.0 if method != "keskar" else 0.1, steps=steps
        ).value
        for steps in (1, 2, 4, 8)
    ]
    assert values == sorted(values)
    assert values[-1] > values[0]


@every_method
def test_climb_that_overshoots_measures_no_less_than_the_weights_themselves(method):
    model, x = nn.Linear(4, 3), torch.ones(5, 4)

    def hill(outputs, _):
        return 10 - outputs.square().mean()

    assert measure_sharpness(model, [(x, x)], method=method, rho=100.0, steps=1, loss=hill).value == 0


@every_method
def test_radius_zero_and_a_wider_radius(method):
    values = [measure_sharpness(network(), batches(), method=method, rho=r, steps=3).value for r in (0.0, 1e-3, 1e-2)]
    assert values[0] == 0
    assert values == sorted(values)


@every_method
def test_batches_count_by_their_images(method):
    whole = measure_sharpness(network(), batches(), method=method)
    parts = [measure_sharpness(network(), [batch], method=method) for batch in batches()]
    for name in ("value", "loss"):
        weighted = sum(getattr(part, name) * part.images for part in parts) / 40
        assert getattr(whole, name) == pytest.approx(weighted)


def test_repeats_itself_and_draws_nothing():
    torch.manual_seed(4)
    before = torch.get_rng_state()
    model = network()
    state = torch.get_rng_state()
    first = measure_sharpness(model, batches(), steps=2)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        assert measure_sharpness(model, iter(batches()), steps=2) == first
    assert not torch.equal(before, state)


def test_bad_arguments_are_refused_in_words():
    model = network()
    for options, words in (
        ({"method": "kesker"}, "did you mean 'keskar'"),
        ({"steps": 0}, "steps: expected a whole number >= 1, got 0"),
        ({"rho": -1.0}, "rho: expected a finite number >= 0"),
        ({"selection": "all"}, "selection: expected one of"),
    ):
        with pytest.raises(OptionError, match=words):
            measure_sharpness(model, batches(), **options)
    with pytest.raises(DataError, match="no images"):
        measure_sharpness(model, [])
    with pytest.raises(OptionError, match="picks no parameter"):
        measure_sharpness(nn.BatchNorm1d(4), batches())


def test_weights_with_a_non_finite_loss_are_refused():
    model = network()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    with pytest.raises(ModelError, match="the loss at the weights is nan"):
        measure_sharpness(model, batches())
