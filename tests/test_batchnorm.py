"""Batch-norm statistics: frozen, adapted by an exact average, and given back."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from analog_samson.chip.batchnorm import (
    Adaptation,
    adapt_batchnorm,
    batchnorm_layers,
    batchnorm_state,
    frozen_statistics,
    restored_statistics,
)
from analog_samson.errors import DataError, OptionError

LAYERS = {
    "1d": (nn.BatchNorm1d, (9, 3)),
    "1d sequence": (nn.BatchNorm1d, (9, 3, 4)),
    "2d": (nn.BatchNorm2d, (9, 3, 4, 5)),
    "3d": (nn.BatchNorm3d, (9, 3, 2, 4, 5)),
    "sync": (nn.SyncBatchNorm, (9, 3, 4, 5)),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)
every_momentum = pytest.mark.parametrize("momentum", [0.1, 1.0, None])


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)
    )


def images(count=24, seed=1):
    return 3 * torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) + 1


def everything(model):
    """All that an adaptation or a freeze could leave behind."""
    modules = [
        (m.training, getattr(m, "momentum", None), getattr(m, "track_running_stats", None)) for m in model.modules()
    ]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    return modules, hooks, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first, second):
    return first[:2] == second[:2] and all(torch.equal(first[2][name], second[2][name]) for name in first[2])


@every_layer
@every_momentum
def test_frozen_layer_normalises_by_the_batch_and_records_nothing(kind, momentum):
    cls, shape = LAYERS[kind]
    layer = cls(3, momentum=momentum)
    free = copy.deepcopy(layer)
    x = torch.randn(shape)
    with frozen_statistics(layer):
        inside = layer(x)
    assert torch.equal(inside, free(x))
    assert same(everything(layer), everything(cls(3, momentum=momentum)))


def test_frozen_layer_in_eval_mode_uses_its_running_statistics():
    layer = nn.BatchNorm1d(3)
    layer(torch.randn(20, 3) + 5)
    layer.eval()
    x = torch.randn(4, 3)
    expected = layer(x)
    with frozen_statistics(layer):
        assert torch.equal(layer(x), expected)


def test_freezing_nests_and_ends_on_an_exception():
    model = network()
    with frozen_statistics(model):
        with frozen_statistics(model):
            model(images())
        model(images())
        assert model[1].num_batches_tracked.item() == 0
    with pytest.raises(ZeroDivisionError), frozen_statistics(model):
        raise ZeroDivisionError
    model(images())
    assert model[1].num_batches_tracked.item() == 1


def test_layer_that_keeps_no_statistics_stays_so():
    layer = nn.BatchNorm1d(3, track_running_stats=False)
    with frozen_statistics(layer):
        layer(torch.randn(4, 3))
    assert layer.track_running_stats is False
    assert batchnorm_layers(layer) == {}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=5), st.sampled_from(sorted(LAYERS)), st.integers(0, 999))
def test_exact_average_does_not_depend_on_how_the_images_are_batched(sizes, kind, seed):
    cls, shape = LAYERS[kind]
    draws = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(sum(sizes), *shape[1:], generator=draws) + 3
    layer = cls(3).eval()
    used = adapt_batchnorm(layer, x.split(sizes))
    per_channel = x.transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(layer.running_mean.double(), per_channel.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.running_var.double(), per_channel.var(1), rtol=1e-4, atol=1e-6)
    assert used == Adaptation(images=sum(sizes), batches=len(sizes), layers=1)


def test_whole_set_as_one_batch_gives_the_statistics_of_train_mode():
    model, x = network(), images()
    expected = copy.deepcopy(model).train()
    for module in expected.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    expected(x)
    adapt_batchnorm(model, [x])
    for index in (1, 5):
        torch.testing.assert_close(model[index].running_mean, expected[index].running_mean)
        torch.testing.assert_close(model[index].running_var, expected[index].running_var)


def test_momentum_follows_the_running_update_of_torch():
    model, x = network(), images()
    expected = copy.deepcopy(model).eval()
    for index in (1, 5):
        expected[index].train()
        expected[index].momentum = 0.3
    with torch.no_grad():
        for batch in x.split(8):
            expected(batch)
    used = adapt_batchnorm(model, x.split(8), momentum=0.3)
    assert used == Adaptation(images=24, batches=3, layers=2)
    for index in (1, 5):
        assert torch.equal(model[index].running_mean, expected[index].running_mean)
        assert torch.equal(model[index].running_var, expected[index].running_var)


@every_momentum
def test_modes_momenta_counts_and_hooks_are_given_back(momentum):
    model = network()
    model[1].momentum, model[5].momentum = None, 0.25
    model.train()
    model[5].eval()
    model[3].eval()
    model(images())
    before = everything(model)
    adapt_batchnorm(model, images(seed=5).split(8), momentum=momentum)
    after = everything(model)
    assert before[:2] == after[:2]
    changed = {name for name in before[2] if not torch.equal(before[2][name], after[2][name])}
    assert changed == {f"{i}.running_{what}" for i in (1, 5) for what in ("mean", "var")}


def test_adaptation_draws_nothing_and_repeats_itself():
    first, second = network(), network()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    adapt_batchnorm(first, images().split(8))
    assert torch.equal(torch.get_rng_state(), state)
    adapt_batchnorm(second, ((batch, None) for batch in images().split(8)))
    assert same(everything(first), everything(second))


def test_old_statistics_do_not_matter_to_the_exact_average():
    clean, spoilt = network(), network()
    spoilt[1].running_mean.fill_(torch.nan)
    spoilt[5].running_var.fill_(torch.inf)
    for model in (clean, spoilt):
        adapt_batchnorm(model, images().split(8))
    assert same(everything(clean), everything(spoilt))


def test_adaptation_recovers_the_accuracy_of_the_layer_after_a_change_of_the_weights():
    """The point of AdaBS: outputs are standardised again although the weights below have drifted to a third."""
    model, x = network().eval(), images(200)
    adapt_batchnorm(model, [x])
    before = model(x)
    with torch.no_grad():
        model[4].weight /= 3
    drifted = model(x)
    adapt_batchnorm(model, [x])
    assert (drifted - before).abs().mean() > 0.3
    assert (model(x) - before).abs().mean() < 1e-3


def test_unused_layer_keeps_its_statistics():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
            nn.init.constant_(self.spare.running_mean, 7.0)

        def forward(self, x):
            return self.used(x)

    model = Net()
    assert adapt_batchnorm(model, [torch.randn(5, 3)]).layers == 1
    assert model.spare.running_mean.tolist() == [7.0] * 3


def test_layer_called_twice_pools_both_calls():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(1)

        def forward(self, x):
            return self.norm(x) + self.norm(x + 10)

    model, x = Net(), torch.tensor([[0.0], [2.0]])
    adapt_batchnorm(model, [x])
    assert model.norm.running_mean.item() == 6.0
    assert model.norm.running_var.item() == pytest.approx(torch.tensor([0.0, 2.0, 10.0, 12.0]).var().item())


def test_adaptation_works_while_frozen():
    model, other = network(), network()
    with frozen_statistics(model):
        adapt_batchnorm(model, images().split(8))
    adapt_batchnorm(other, images().split(8))
    assert same(everything(model), everything(other))


@pytest.mark.parametrize(
    ("batches", "words"),
    [
        ([], "no calibration images"),
        ([images(4), images(1)[..., :5, :5]], "layer '5' gets one value per channel"),
    ],
)
def test_refused_batches_leave_the_model_as_it_was(batches, words):
    model = network()
    model(images())
    before = everything(model)
    with pytest.raises(OptionError, match=words):
        adapt_batchnorm(model, batches)
    assert same(before, everything(model))


def test_exception_in_the_data_leaves_the_model_as_it_was():
    model = network()
    before = everything(model)

    def broken():
        yield images(4)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        adapt_batchnorm(model, broken())
    assert same(before, everything(model))


@pytest.mark.parametrize("momentum", [0.0, -0.1, 1.5, float("nan")])
def test_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(OptionError, match=r"momentum: expected a number in \(0, 1\]"):
        adapt_batchnorm(network(), [images()], momentum=momentum)


def test_model_without_batch_norm_is_refused_in_words():
    with pytest.raises(OptionError, match="the model has no batch-norm layer with running statistics"):
        adapt_batchnorm(nn.Linear(2, 2), [torch.ones(2, 2)])


def test_restored_statistics_gives_back_the_exact_state():
    model = network()
    model(images())
    before = everything(model)
    with restored_statistics(model):
        adapt_batchnorm(model, images(seed=5).split(8))
        model(images())
        assert not same(before, everything(model))
    assert same(before, everything(model))


def test_restored_statistics_ends_on_an_exception():
    model = network()
    before = everything(model)
    broken = nn.Sequential(model, nn.Linear(3, 1))  # fails after all batch-norm layers have run
    with pytest.raises(RuntimeError, match="cannot be multiplied"), restored_statistics(model):
        broken(images())
    assert same(before, everything(model))


def test_state_is_a_copy():
    model = network()
    saved = batchnorm_state(model)
    model(images())
    assert saved["1.running_mean"].tolist() == [0.0] * 4
    assert set(saved) < set(model.state_dict())


def test_calibration_inputs_that_are_no_numbers_are_refused_and_change_nothing():
    layer, x = nn.BatchNorm1d(2), torch.randn(4, 2)
    x[1, 0] = math.nan
    with pytest.raises(DataError, match="1 NaN among 8 inputs"):
        adapt_batchnorm(layer, [torch.randn(4, 2), x])
    assert layer.running_mean.tolist() == [0.0, 0.0]
