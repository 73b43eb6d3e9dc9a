"""Closures that accumulate: one step equals that of the whole batch, or is refused; nothing is mixed in silence."""

import copy

import pytest
import torch
from torch import nn

from analog_samson.errors import OptionError
from analog_samson.sharpness.optimizers import ASAM, SAM, SAMSON

OPTIMIZERS = {"sam": SAM, "asam": ASAM, "samson": SAMSON}
BASES = {
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": True}),
    "adam": (torch.optim.Adam, {"lr": 1e-2}),
}
every_optimizer = pytest.mark.parametrize("kind", OPTIMIZERS)
every_base = pytest.mark.parametrize("base", BASES)


def network() -> nn.Module:
    """Without batch-norm, whose statistics depend on the micro-batches; float64, so that only rounding is left."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def data(step=0):
    draws = torch.Generator().manual_seed(100 + step)
    return torch.randn(16, 4, generator=draws, dtype=torch.float64), torch.randint(3, (16,), generator=draws)


def run(model, x, y, whole=16):
    loss = nn.functional.cross_entropy(model(x), y) * (len(y) / whole)
    loss.backward()
    return loss.detach()


def make(kind, base, model, **options):
    cls, base_options = BASES[base]
    return OPTIMIZERS[kind](model, cls, rho=0.3, **{**base_options, **options})


def accumulating(model, step, size, clear=lambda: None):
    """A closure over micro-batches of `size`."""

    def closure():
        clear()
        x, y = data(step)
        return sum(run(model, *part) for part in zip(x.split(size), y.split(size), strict=True))

    return closure


def snapshot(model, optimizer):
    return copy.deepcopy((model.state_dict(), optimizer.state_dict()["state"]))


def assert_same(one, two):
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@every_optimizer
@every_base
@pytest.mark.parametrize("size", [16, 8, 5])
@pytest.mark.parametrize("to_none", [True, False])
def test_closure_that_does_not_clear_equals_one_step_of_the_whole_batch(kind, base, size, to_none):
    """The caller clears between steps. Micro-batches of 5 leave a last one of a single sample."""
    whole, parts = network(), network()
    one, two = make(kind, base, whole), make(kind, base, parts)
    for step in range(4):
        expected = one.step(accumulating(whole, step, 16, one.zero_grad))
        found = two.step(accumulating(parts, step, size))
        two.zero_grad(set_to_none=to_none)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    assert_same(whole, parts)


@every_optimizer
@every_base
def test_closures_that_clear_agree_whatever_gradients_they_find(kind, base):
    """By None, by zeros or by the model; after an earlier backward pass; after torch.autograd.grad."""
    models = [network() for _ in range(5)]
    optimizers = [make(kind, base, model) for model in models]

    def by_autograd():
        loss = nn.functional.cross_entropy(models[4](data()[0]), data()[1])
        torch.autograd.grad(loss, list(models[4].parameters()))
        optimizers[4].zero_grad(set_to_none=False)

    clears = [
        optimizers[0].zero_grad,
        lambda: optimizers[1].zero_grad(set_to_none=False),
        models[2].zero_grad,
        optimizers[3].zero_grad,
        by_autograd,
    ]
    for step in range(3):
        run(models[3], *data(9))  # thrown away by the closure
        for model, optimizer, clear in zip(models, optimizers, clears, strict=True):
            optimizer.step(accumulating(model, step, 8, clear))
    for model in models[1:]:
        assert_same(models[0], model)


@every_optimizer
@pytest.mark.parametrize("earlier", ["another micro-batch", "the last step"])
def test_closure_that_adds_to_earlier_gradients_is_refused_and_nothing_changes(kind, earlier):
    """What Lightning does with accumulate_grad_batches=2, and a loop in which nobody clears."""
    model = network()
    optimizer = make(kind, "momentum", model)
    optimizer.step(accumulating(model, 0, 16))
    if earlier == "another micro-batch":
        optimizer.zero_grad()
        run(model, *data(1), whole=32)
    before = snapshot(model, optimizer)
    with pytest.raises(OptionError) as raised:
        optimizer.step(accumulating(model, 2, 16))
    for words in (
        f"{type(optimizer).__name__}.step(closure)",
        "earlier backward pass",
        "clear the gradients inside the closure",
        "run all micro-batches inside the closure (Lightning: accumulate_grad_batches=1)",
        "first_step() and second_step()",
        '"Accumulated gradients"',
    ):
        assert words in str(raised.value)
    torch.testing.assert_close(snapshot(model, optimizer), before, rtol=0, atol=0)
    optimizer.step(accumulating(model, 2, 16, optimizer.zero_grad))


def test_earlier_gradient_is_seen_where_only_one_parameter_has_it():
    """As in LoRA, where half of the gradients begin as zeros: which parameter comes first must not matter."""
    for holder in range(4):
        model = network()
        optimizer = SAMSON(model, lr=0.1)
        run(model, *data())
        for index, parameter in enumerate(model.parameters()):
            if index != holder:
                parameter.grad.zero_()
        with pytest.raises(OptionError, match="earlier backward pass"):
            optimizer.step(accumulating(model, 1, 8))


def test_no_hook_stays_behind_after_a_step():
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    for step in range(3):
        optimizer.step(accumulating(model, step, 8, optimizer.zero_grad))
    run(model, *data())
    run(model, *data())  # adds to gradients outside of a step: nobody watches

    def fails():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        optimizer.step(fails)
    run(model, *data())


def test_closure_without_a_backward_pass_is_refused_and_the_weights_come_back():
    model = network()
    optimizer = SAMSON(model, torch.optim.SGD, lr=0.1, momentum=0.9)
    loss = run(model, *data())
    before = snapshot(model, optimizer)
    with pytest.raises(OptionError, match="computed no gradient; expected a closure that computes the loss and calls"):
        optimizer.step(lambda: loss)
    torch.testing.assert_close(snapshot(model, optimizer), before, rtol=0, atol=0)
    optimizer.step(accumulating(model, 0, 16, optimizer.zero_grad))


@every_optimizer
@every_base
def test_micro_batches_at_both_points_equal_one_step_of_the_whole_batch(kind, base):
    whole, parts = network(), network()
    one, two = make(kind, base, whole), make(kind, base, parts)
    for step in range(4):
        one.step(accumulating(whole, step, 16, one.zero_grad))
        for finish in (two.first_step, two.second_step):
            accumulating(parts, step, 5)()
            finish(zero_grad=True)
    assert_same(whole, parts)
