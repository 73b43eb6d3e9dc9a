"""The climb that gives everything back, the selection modes, and where a perturbation goes."""

import copy
import logging
import math
from contextlib import ExitStack

import numpy as np
import pytest
import torch
from reference import ascent as twin
from torch import nn

from analog_samson.errors import OptionError
from analog_samson.models.build import build_model
from analog_samson.sharpness.optimizers import SAMSON
from analog_samson.sharpness.perturb import Ascent, perturb_on, perturbed, plan_ascent
from analog_samson.sharpness.perturbation_breakdown import format_breakdown, perturbation_breakdown
from analog_samson.sharpness.selection import SELECTIONS, crossbar_weights, describe_parameters, describe_tensors

METHODS = ("sam", "asam", "samson")


def network(dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    layers = (
        nn.Conv2d(2, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.LayerNorm(16),
        nn.Linear(16, 3),
    )
    model = nn.Sequential(*layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.to(dtype)


def backward(model, seed=1):
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 2, 4, 4, generator=draws).to(next(model.parameters()).dtype)
    model.zero_grad()
    loss = model(x).float().square().mean()
    loss.backward()
    return loss.detach()


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(model, saved):
    now = model.state_dict()
    return now.keys() == saved.keys() and all(torch.equal(now[name], saved[name]) for name in saved)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_weights_and_statistics_come_back_exactly_after_the_block(method, selection, dtype):
    model = network(dtype)
    backward(model)
    saved = state(model)
    with perturbed(model, method=method, rho=0.5, selection=selection) as result:
        assert result.moved
        assert not same(model, saved)
        backward(model, seed=2)
    assert same(model, saved)


def test_weights_come_back_exactly_after_an_exception():
    model = network(torch.bfloat16)
    backward(model)
    saved = state(model)
    with pytest.raises(ZeroDivisionError), perturbed(model):
        raise ZeroDivisionError
    assert same(model, saved)
    assert all(module.track_running_stats for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def test_minus_zero_comes_back_as_minus_zero():
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.fill_(-0.0)
    layer(torch.ones(1, 2)).sum().backward()
    with perturbed(layer, method="sam", rho=0.1):
        assert layer.weight.abs().min() > 0
    assert torch.signbit(layer.weight).all()


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_radius_is_rho_over_the_tensors_of_the_selection(method, selection):
    model = network(torch.float64)
    backward(model)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with perturbed(model, method=method, rho=0.7, p=2.0, eta=0.02, selection=selection):
        after = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    squares = 0.0
    for name, old in before.items():
        rule = method if selection != "name_contains_weight" or "weight" in name else "sam"
        scale = torch.tensor(twin.scale(rule, old.flatten().tolist(), 2.0, 0.02)).double()
        squares += ((after[name] - old).flatten() / scale).square().sum().item()
    assert math.sqrt(squares) == pytest.approx(0.7, rel=1e-5)


def test_reference_mode_equals_the_slow_twin():
    model = network(torch.float64)
    backward(model)
    flat = {
        name: (parameter.detach().flatten().tolist(), parameter.grad.flatten().tolist())
        for name, parameter in model.named_parameters()
    }
    expected = twin.reference_rule(flat, 0.5, math.inf, 0.01)
    with perturbed(model, rho=0.5, selection="name_contains_weight"):
        for name, parameter in model.named_parameters():
            moved = (parameter.detach().flatten() - torch.tensor(flat[name][0]).double()).tolist()
            assert moved == pytest.approx(expected[name], rel=1e-6, abs=1e-12)


def test_selection_decides_which_tensors_move():
    model = network()
    backward(model)
    saved = state(model)
    moved = {}
    for selection in SELECTIONS:
        with perturbed(model, selection=selection):
            moved[selection] = [n for n, p in model.named_parameters() if not torch.equal(p, saved[n])]
    everything = [name for name, _ in model.named_parameters()]
    assert moved == {"weights_only": ["0.weight", "5.weight"], "paper": everything, "name_contains_weight": everything}


def test_default_eta_is_that_of_the_selection_mode():
    etas = {name: plan_ascent(network(), selection=name).groups[0].perturbation.eta for name in SELECTIONS}
    assert etas == {"weights_only": 0.01, "paper": 0.0, "name_contains_weight": 0.01}
    assert plan_ascent(network(), selection="paper", eta=0.3).groups[0].perturbation.eta == 0.3


def test_batch_norm_uses_batch_statistics_but_records_nothing_inside():
    model = network()
    backward(model)
    counted = state(model)["1.num_batches_tracked"].item()
    with perturbed(model):
        assert model[1].training
        inside = backward(model, seed=5)
        assert model[1].num_batches_tracked.item() == counted
    model.eval()
    assert backward(model, seed=5) != inside


def test_parameters_without_gradient_and_frozen_ones_stay_put():
    model = network()
    model[0].weight.requires_grad_(False)
    backward(model)
    model[0].weight.grad = torch.ones_like(model[0].weight)  # left from before it was frozen
    model[5].bias.grad = None
    saved = state(model)
    with perturbed(model, selection="paper"):
        still = [name for name, p in model.named_parameters() if torch.equal(p, saved[name])]
    assert still == ["0.weight", "5.bias"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_gradient_moves_nothing_and_is_said(bad, caplog):
    model = network()
    backward(model)
    model[5].weight.grad[0, 0] = bad
    saved = state(model)
    with caplog.at_level(logging.WARNING), perturbed(model) as result:
        assert same(model, saved)
    assert not result.moved
    assert not result.finite
    assert "gradient is not finite" in caplog.text


def test_zero_gradient_moves_nothing_and_is_finite():
    model = network()
    backward(model)
    for parameter in model.parameters():
        parameter.grad.zero_()
    with perturbed(model) as result:
        assert result == (0.0, False)
        assert result.finite


def test_radius_zero_moves_nothing():
    model = network()
    backward(model)
    with perturbed(model, rho=0.0) as result:
        assert not result.moved


def test_second_pass_in_one_autocast_block_meets_the_moved_weights():
    """Autocast caches the cast weights; a stale cache would silently turn SAM into the base optimizer."""
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 4), torch.randn(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        before = layer(x)
        before.float().square().mean().backward()
        with perturbed(layer, method="sam", rho=1.0):
            assert not torch.equal(layer(x), before)
        assert torch.equal(layer(x), before)


def test_perturbed_takes_the_options_of_an_optimizer():
    model = network()
    optimizer = SAMSON(model, torch.optim.SGD, rho=0.3, p=2.0, lr=0.1)
    backward(model)
    with perturbed(model, rho=0.3, p=2.0):
        expected = state(model)
    with perturbed(optimizer):
        assert same(model, expected)
    with perturbed(plan_ascent(model, rho=0.3, p=2.0)):
        assert same(model, expected)


def test_perturbed_refuses_what_it_cannot_climb():
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    with pytest.raises(OptionError, match="rho given, but the options come from SAMSON"), perturbed(optimizer, rho=1.0):
        pass
    with (
        pytest.raises(OptionError, match="with another optimizer pass the model"),
        perturbed(torch.optim.SGD(model.parameters(), lr=0.1)),
    ):
        pass


def test_unknown_selection_is_refused_with_the_nearest_name():
    with pytest.raises(OptionError, match="got 'weights-only'; did you mean 'weights_only'"):
        plan_ascent(network(), selection="weights-only")


def test_unknown_method_is_refused_with_the_nearest_name():
    with pytest.raises(OptionError, match="got 'samsn'; did you mean 'samson'"):
        plan_ascent(network(), method="samsn")


def test_sparse_gradient_is_refused_by_name():
    model = nn.Sequential(nn.Embedding(4, 3, sparse=True), nn.Linear(3, 1))
    model(torch.tensor([1])).sum().backward()
    with (
        pytest.raises(OptionError, match=r"parameter 0\.weight: its gradient is sparse"),
        perturbed(model, selection="paper"),
    ):
        pass


def test_failure_while_climbing_leaves_the_weights_alone():
    model = network()
    backward(model)
    saved = state(model)

    def fail(moving, steps):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), ExitStack() as stack:
        perturb_on(stack, plan_ascent(model), watch=fail)
    assert same(model, saved)


def test_tied_layers_count_once_and_as_crossbar_weight():
    embedding, head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
    head.weight = embedding.weight
    model = nn.ModuleDict({"embedding": embedding, "head": head})
    assert [(m.name, m.kind) for m in describe_parameters(model)] == [("embedding.weight", "crossbar weight")]
    assert list(crossbar_weights(model)) == ["embedding.weight"]


def test_kinds_follow_the_layers_where_the_model_is_known():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 4))
            self.table = nn.Embedding(3, 4)
            self.up = nn.ConvTranspose2d(2, 2, 2)
            self.norm = nn.GroupNorm(2, 4)
            self.attention = nn.MultiheadAttention(4, 2)

    assert {member.name: member.kind for member in describe_parameters(Net())} == {
        "token": "other",
        "table.weight": "other",
        "up.weight": "crossbar weight",
        "up.bias": "bias",
        "norm.weight": "normalisation weight",
        "norm.bias": "bias",
        "attention.in_proj_weight": "crossbar weight",
        "attention.in_proj_bias": "bias",
        "attention.out_proj.weight": "crossbar weight",
        "attention.out_proj.bias": "bias",
    }


def test_kinds_follow_name_and_shape_where_it_is_not():
    model = network()
    names, tensors = zip(*model.named_parameters(), strict=True)
    assert [m.kind for m in describe_tensors(tensors, names)] == [m.kind for m in describe_parameters(model)]
    unnamed = [member.kind for member in describe_tensors(tensors)]
    assert unnamed == ["crossbar weight" if tensor.ndim > 1 else "other" for tensor in tensors]


def test_share_by_kind_equals_the_moved_squares():
    model = network(torch.float64)
    backward(model)
    saved = state(model)
    share = perturbation_breakdown(plan_ascent(model, selection="name_contains_weight"))
    assert same(model, saved)
    with perturbed(model, selection="name_contains_weight"):
        squares = {n: (p.detach() - saved[n]).square().sum().item() for n, p in model.named_parameters()}
    total = sum(squares.values())
    assert share == pytest.approx(
        {
            "crossbar weight": (squares["0.weight"] + squares["5.weight"]) / total,
            "normalisation weight": (squares["1.weight"] + squares["4.weight"]) / total,
            "bias": sum(squares[f"{i}.bias"] for i in (1, 4, 5)) / total,
            "other": 0.0,
        },
        abs=1e-9,
    )
    assert sum(share.values()) == pytest.approx(1)


def test_reference_rule_with_p_2_perturbs_a_trained_resnet_almost_only_by_its_biases(shared):
    """Why `weights_only` is the default: only the weights are programmed, and here they get next to nothing."""
    model = build_model("resnet32").train()
    saved = torch.load(shared / "checkpoints" / "resnet32-d509ac18.th", map_location="cpu", weights_only=True)
    model.load_state_dict({k.removeprefix("module."): v for k, v in saved["state_dict"].items()})
    with np.load(shared / "data" / "cifar10_test.npz") as data:
        images, labels = (torch.tensor(data[name][:64]) for name in ("images", "labels"))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((images / 255 - mean) / std).permute(0, 3, 1, 2)
    nn.functional.cross_entropy(model(x), labels.long()).backward()
    share = perturbation_breakdown(plan_ascent(model, p=2.0, selection="name_contains_weight"))
    assert share["bias"] > 0.98
    assert share["crossbar weight"] < 0.001


def test_share_is_all_on_weights_by_default_and_zero_without_a_direction():
    model = network()
    backward(model)
    assert perturbation_breakdown(plan_ascent(model))["crossbar weight"] == 1.0
    model.zero_grad()
    share = perturbation_breakdown(plan_ascent(model))
    assert set(share.values()) == {0.0}
    assert format_breakdown({"bias": 0.125}) == "share of ||eps||^2: bias 12.5 %"


def test_parts_with_radius_zero_do_not_enter_the_norm():
    model = network()
    backward(model)
    head = copy.deepcopy(model)
    for mine, theirs in zip(head.parameters(), model.parameters(), strict=True):
        mine.grad = theirs.grad.clone()
    for name, parameter in head.named_parameters():
        if not name.startswith("5."):
            parameter.grad = None
    optimizer = SAMSON(
        [{"params": list(model[:5].parameters()), "rho": 0.0}, {"params": list(model[5].parameters())}], lr=1
    )
    with perturbed(optimizer), perturbed(head):
        assert torch.equal(model[5].weight, head[5].weight)


def test_empty_ascent_moves_nothing():
    with perturbed(Ascent([])) as result:
        assert result == (0.0, False)
