"""SAM, ASAM and SAMSON as optimizers: one contract for all of them over two base optimizers and three selections."""

import copy
import inspect
import io
import itertools
import logging
import math

import pytest
import torch
from torch import nn

from analog_samson.chip.batchnorm import frozen_statistics
from analog_samson.errors import OptionError
from analog_samson.sharpness.optimizers import ASAM, SAM, SAMSON
from analog_samson.sharpness.perturb import perturbed

OPTIMIZERS = {"sam": SAM, "asam": ASAM, "samson": SAMSON}
BASES = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": True}),
    "adam": (torch.optim.Adam, {"lr": 1e-2}),
}
SELECTIONS = ("weights_only", "paper", "name_contains_weight")
every_kind = pytest.mark.parametrize(
    ("kind", "base", "selection"), list(itertools.product(OPTIMIZERS, BASES, SELECTIONS))
)
every_optimizer = pytest.mark.parametrize("kind", OPTIMIZERS)


def network(seed=0, dropout=0.0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))


def data(step=0):
    draws = torch.Generator().manual_seed(100 + step)
    return torch.randn(16, 4, generator=draws), torch.randint(3, (16,), generator=draws)


def loss_of(model, step=0):
    x, y = data(step)
    return nn.functional.cross_entropy(model(x), y)


def closure_for(model, optimizer, step=0, calls=None):
    def closure():
        if calls is not None:
            calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = loss_of(model, step)
        loss.backward()
        return loss

    return closure


def make(kind, base, model, **options):
    cls, base_options = BASES[base]
    return OPTIMIZERS[kind](model, cls, **{**base_options, **options})


def equal(first, second):
    a, b = first.state_dict(), second.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


def test_signature_is_the_agreed_one():
    parameters = inspect.signature(SAMSON).parameters
    assert list(parameters)[:5] == ["params", "base_optimizer", "rho", "p", "eta"]
    assert parameters["base_optimizer"].default is torch.optim.SGD
    assert (parameters["rho"].default, parameters["p"].default) == (0.5, math.inf)
    assert parameters["selection"].default == "weights_only"


@every_kind
def test_radius_zero_is_the_base_optimizer_bit_for_bit(kind, base, selection):
    """Weights, batch-norm statistics and the dropout stream: the second pass is not run at all."""
    ours, plain = network(dropout=0.5), network(dropout=0.5)
    optimizer = make(kind, base, ours, rho=0.0, selection=selection)
    cls, options = BASES[base]
    reference = cls(plain.parameters(), **options)
    torch.manual_seed(7)
    for step in range(4):
        optimizer.step(closure_for(ours, optimizer, step))
    torch.manual_seed(7)
    for step in range(4):
        reference.step(closure_for(plain, reference, step))
    assert equal(ours, plain)


@every_kind
def test_step_is_the_base_update_with_the_gradient_of_the_climbed_weights(kind, base, selection):
    ours, theirs = network(), network()
    optimizer = make(kind, base, ours, rho=0.3, selection=selection)
    cls, options = BASES[base]
    reference = cls(theirs.parameters(), **options)
    calls = []
    for step in range(3):
        first = optimizer.step(closure_for(ours, optimizer, step, calls))
        expected = closure_for(theirs, reference, step)()
        with perturbed(theirs, method=kind, rho=0.3, selection=selection):
            closure_for(theirs, reference, step)()
        reference.step()
        assert torch.equal(first, expected)
    assert calls == [True] * 6
    assert equal(ours, theirs)
    assert ours[1].num_batches_tracked.item() == 3


@every_kind
def test_two_calls_equal_the_closure(kind, base, selection):
    one, two = network(), network()
    by_closure, by_calls = (make(kind, base, model, rho=0.3, selection=selection) for model in (one, two))
    for step in range(3):
        by_closure.step(closure_for(one, by_closure, step))
        loss_of(two, step).backward()
        by_calls.first_step(zero_grad=True)
        assert all(p.grad is None for p in two.parameters())
        loss_of(two, step).backward()
        by_calls.second_step(zero_grad=True)
        assert all(p.grad is None for p in two.parameters())
    assert equal(one, two)


@every_kind
def test_resumed_training_continues_bit_for_bit(kind, base, selection):
    straight = network()
    optimizer = make(kind, base, straight, rho=0.3, selection=selection)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
    for step in range(3):
        optimizer.step(closure_for(straight, optimizer, step))
        schedule.step()
    file = io.BytesIO()
    torch.save([straight.state_dict(), optimizer.state_dict(), schedule.state_dict()], file)

    resumed = network(seed=9)
    again = make(kind, base, resumed, rho=0.9, selection=selection, lr=1.0)
    later = torch.optim.lr_scheduler.CosineAnnealingLR(again, 6)
    file.seek(0)
    for target, saved in zip((resumed, again, later), torch.load(file, weights_only=True), strict=True):
        target.load_state_dict(saved)
    assert again.param_groups is again.base_optimizer.param_groups
    assert again.param_groups[0]["rho"] == 0.3
    for step in range(3, 6):
        for model, opt, sched in ((straight, optimizer, schedule), (resumed, again, later)):
            opt.step(closure_for(model, opt, step))
            sched.step()
    assert equal(straight, resumed)


def test_state_of_a_bare_base_optimizer_can_be_taken_over():
    model = network()
    plain = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    plain.step(closure_for(model, plain))
    optimizer = SAMSON(model, torch.optim.SGD, rho=0.2, lr=0.5, momentum=0.9)
    optimizer.load_state_dict(plain.state_dict())
    assert (optimizer.param_groups[0]["rho"], optimizer.param_groups[0]["lr"]) == (0.2, 0.1)
    assert optimizer.state[model[0].weight]["momentum_buffer"].any()
    optimizer.step(closure_for(model, optimizer))


def test_state_of_another_method_is_refused():
    model = network()
    with pytest.raises(OptionError, match="saved by sam, this optimizer does samson"):
        SAMSON(model, lr=0.1).load_state_dict(SAM(model, lr=0.1).state_dict())


@every_optimizer
@pytest.mark.parametrize("scheduler", ["step", "cosine", "one_cycle"])
@pytest.mark.parametrize("two_calls", [False, True])
def test_schedulers_drive_the_base_optimizer_without_warning(kind, scheduler, two_calls):
    model = network()
    optimizer = make(kind, "sgd", model)
    schedule = {
        "step": lambda: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4),
        "one_cycle": lambda: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=4),
    }[scheduler]()
    plain = torch.optim.SGD(network().parameters(), **BASES["sgd"][1])
    reference = type(schedule)(
        plain,
        **{"step": {"step_size": 1, "gamma": 0.5}, "cosine": {"T_max": 4}}.get(
            scheduler, {"max_lr": 0.1, "total_steps": 4}
        ),
    )
    for step in range(3):
        if two_calls:
            loss_of(model, step).backward()
            optimizer.first_step(zero_grad=True)
            loss_of(model, step).backward()
            optimizer.second_step(zero_grad=True)
        else:
            optimizer.step(closure_for(model, optimizer, step))
        plain.step()
        schedule.step()
        reference.step()
        assert optimizer.base_optimizer.param_groups[0]["lr"] == plain.param_groups[0]["lr"]


@every_optimizer
@pytest.mark.parametrize("base", BASES)
def test_grad_scaler_gives_the_same_step(kind, base):
    """Scales are powers of two, so the two runs have to agree to the last bits of float32."""
    plain, scaled = network(), network()
    one, two = make(kind, base, plain), make(kind, base, scaled)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for step in range(3):
        one.step(closure_for(plain, one, step))
        two.zero_grad()
        scaler.scale(loss_of(scaled, step)).backward()
        two.first_step(zero_grad=True)
        scaler.scale(loss_of(scaled, step)).backward()
        scaler.step(two)
        scaler.update()
    for a, b in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert two.skipped_steps == 0


def test_grad_scaler_may_unscale_to_clip_before_the_update():
    one, two = network(), network()
    plain, scaled = SAMSON(one, lr=0.1), SAMSON(two, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for model, optimizer, scale in ((one, plain, 1.0), (two, scaled, 1024.0)):
        (loss_of(model) * scale).backward()
        optimizer.first_step(zero_grad=True)
        if scale == 1:
            loss_of(model).backward()
        else:
            scaler.scale(loss_of(model)).backward()
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        scaler.step(optimizer) if scale > 1 else optimizer.second_step()
    torch.testing.assert_close(one[0].weight, two[0].weight, rtol=1e-6, atol=1e-8)
    assert torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in two.parameters()])).item() < 1.001e-3


@pytest.mark.parametrize("overflow_in", ["first pass", "second pass"])
def test_grad_scaler_skips_on_overflow_and_the_weights_come_back(overflow_in):
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    saved = copy.deepcopy(dict(model.named_parameters()))
    for current in ("first pass", "second pass"):
        scaler.scale(loss_of(model)).backward()
        if current == overflow_in:
            model[0].weight.grad[0, 0] = math.inf
        if current == "first pass":
            optimizer.first_step(zero_grad=True)
    scaler.step(optimizer)
    scaler.update()
    assert all(torch.equal(parameter, saved[name]) for name, parameter in model.named_parameters())
    assert optimizer.skipped_steps == 1
    if overflow_in == "second pass":
        assert scaler.get_scale() == 512.0
    optimizer.zero_grad()
    optimizer.step(closure_for(model, optimizer))
    assert not torch.equal(model[0].weight, saved["0.weight"])


def test_disabled_grad_scaler_is_no_scaler():
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    scaler.scale(loss_of(model)).backward()
    optimizer.first_step(zero_grad=True)
    scaler.scale(loss_of(model)).backward()
    scaler.step(optimizer)
    assert optimizer.skipped_steps == 0


def test_grad_scaler_with_a_closure_is_refused():
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(loss_of(model)).backward()
    with pytest.raises(OptionError, match="a GradScaler cannot drive a closure"):
        scaler.step(optimizer, closure_for(model, optimizer))


@every_kind
@pytest.mark.parametrize("bad_pass", [1, 2])
def test_non_finite_gradient_changes_nothing_and_is_said_once(kind, base, selection, bad_pass, caplog):
    model = network()
    optimizer = make(kind, base, model, selection=selection)
    optimizer.step(closure_for(model, optimizer))
    weights = copy.deepcopy(dict(model.named_parameters()))
    momenta = copy.deepcopy(optimizer.state_dict()["state"])
    passes = []

    def closure():
        passes.append(len(passes) + 1)
        loss = closure_for(model, optimizer)()
        if passes[-1] == bad_pass:
            model[4].weight.grad[0, 0] = math.nan
        return loss

    with caplog.at_level(logging.WARNING):
        assert torch.isfinite(optimizer.step(closure))
        passes.clear()
        optimizer.step(closure)
    assert len(passes) == bad_pass
    assert optimizer.skipped_steps == 2
    assert [record.message.split(";")[0] for record in caplog.records] == [
        f"{OPTIMIZERS[kind].__name__}: the gradient, or its norm, is not finite"
    ]
    assert all(torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters())
    now = optimizer.state_dict()["state"]
    assert all(torch.equal(now[i][key], old) for i, entry in momenta.items() for key, old in entry.items())


def test_non_finite_gradient_outside_the_selection_stops_the_update_too():
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    saved = model[0].weight.detach().clone()

    def closure():
        loss = closure_for(model, optimizer)()
        model[4].bias.grad[0] = math.nan
        return loss

    optimizer.step(closure)
    assert optimizer.skipped_steps == 1
    assert torch.equal(model[0].weight, saved)


def test_zero_gradient_is_a_step_of_the_base_optimizer():
    ours, plain = network(), network()
    optimizer = SAMSON(ours, torch.optim.SGD, lr=0.1, weight_decay=0.1)
    reference = torch.optim.SGD(plain.parameters(), lr=0.1, weight_decay=0.1)
    for model, opt in ((ours, optimizer), (plain, reference)):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        opt.step(lambda: torch.tensor(0.0))
    assert equal(ours, plain)
    assert optimizer.skipped_steps == 0


def test_exception_in_the_second_pass_leaves_the_weights_as_they_were():
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    saved = copy.deepcopy(dict(model.named_parameters()))
    passes = []

    def closure():
        if passes:
            raise ZeroDivisionError
        passes.append(1)
        return closure_for(model, optimizer)()

    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure)
    assert all(torch.equal(parameter, saved[name]) for name, parameter in model.named_parameters())
    assert model[1].track_running_stats
    optimizer.step(closure_for(model, optimizer))


def test_restore_puts_the_weights_back_between_the_calls():
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    saved = model[0].weight.detach().clone()
    loss_of(model).backward()
    optimizer.first_step()
    assert not torch.equal(model[0].weight, saved)
    optimizer.restore()
    optimizer.restore()
    assert torch.equal(model[0].weight, saved)


def test_calls_out_of_order_are_refused_in_words():
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    with pytest.raises(OptionError, match=r"SAMSON\.step\(\) needs a closure that clears the gradients"):
        optimizer.step()
    with pytest.raises(OptionError, match="without one call first_step"):
        optimizer.second_step()
    loss_of(model).backward()
    optimizer.first_step()
    with pytest.raises(OptionError, match=r"first_step\(\) twice"):
        optimizer.first_step()
    with pytest.raises(OptionError, match=r"step\(closure\) after first_step"):
        optimizer.step(closure_for(model, optimizer))
    optimizer.second_step()


def test_batch_norm_moves_in_the_first_pass_only_for_every_momentum():
    for momentum in (0.1, None, 0.9):
        ours, once = network(), network()
        for model in (ours, once):
            model[1].momentum = momentum
        optimizer = SAMSON(ours, lr=0.0)
        for step in range(3):
            optimizer.step(closure_for(ours, optimizer, step))
            loss_of(once, step)
        assert equal(ours, once)


def test_batch_norm_moves_twice_where_the_model_is_not_known():
    model = network()
    optimizer = SAMSON(model.named_parameters(), lr=0.1)
    optimizer.step(closure_for(model, optimizer))
    assert model[1].num_batches_tracked.item() == 2
    told = SAMSON(model.named_parameters(), lr=0.1, model=model)
    told.step(closure_for(model, told))
    assert model[1].num_batches_tracked.item() == 3


def test_frozen_statistics_around_the_second_call_does_no_harm():
    model = network()
    optimizer = SAMSON(model, lr=0.1)
    loss_of(model).backward()
    optimizer.first_step(zero_grad=True)
    with frozen_statistics(model):
        loss_of(model).backward()
    optimizer.second_step()
    assert model[1].track_running_stats
    assert model[1].num_batches_tracked.item() == 1


def test_groups_keep_their_own_radius_norm_and_method():
    model = network()
    groups = [
        {"params": model[0].named_parameters("0"), "rho": 0.1, "p": 2.0, "eta": 0.0, "lr": 0.5},
        {"params": model[4].named_parameters("4"), "method": "sam", "rho": 0.05, "selection": "paper"},
        {"params": model[1].named_parameters("1"), "rho": 0.0},
    ]
    optimizer = SAMSON(groups, torch.optim.SGD, lr=0.1, model=model)
    own = [{key: group[key] for key in ("method", "rho", "p", "eta", "lr")} for group in optimizer.param_groups]
    assert own == [
        {"method": "samson", "rho": 0.1, "p": 2.0, "eta": 0.0, "lr": 0.5},
        {"method": "sam", "rho": 0.05, "p": math.inf, "eta": None, "lr": 0.1},  # sam has no p and no eta
        {"method": "samson", "rho": 0.0, "p": math.inf, "eta": 0.01, "lr": 0.1},
    ]
    loss_of(model).backward()
    w, g = model[0].weight.detach().clone(), model[0].weight.grad
    t = w.abs() / torch.linalg.vector_norm(w)
    rest = torch.cat([p.grad.flatten() for p in model[4].parameters()])
    norm = ((t * g).square().sum() + rest.square().sum()).sqrt()
    with perturbed(optimizer):
        torch.testing.assert_close(model[0].weight - w, 0.1 * t * t * g / norm)
        assert torch.equal(optimizer.param_groups[2]["params"][0], torch.ones(8))


def test_radius_may_follow_a_schedule():
    model = network()
    optimizer = SAM(model, lr=0.1)
    loss_of(model).backward()
    before = model[0].weight.detach().clone(), model[4].weight.detach().clone()
    for rho in (0.01, 0.5):
        optimizer.param_groups[0]["rho"] = rho
        with perturbed(optimizer):
            moved = torch.cat([(model[i].weight.detach() - w).flatten() for i, w in zip((0, 4), before, strict=True)])
            assert moved.norm().item() == pytest.approx(rho, rel=1e-5)


def test_group_added_later_is_perturbed_and_updated():
    model = network()
    optimizer = SAMSON(model[0].named_parameters("0"), torch.optim.SGD, lr=0.1, momentum=0.9)
    optimizer.add_param_group({"params": model[4].named_parameters("4"), "rho": 0.2})
    assert [group["rho"] for group in optimizer.base_optimizer.param_groups] == [0.5, 0.2]
    before = model[4].weight.detach().clone()
    loss_of(model).backward()
    with perturbed(optimizer):
        assert not torch.equal(model[4].weight, before)
    optimizer.step(closure_for(model, optimizer))
    assert not torch.equal(model[4].weight, before)


def test_bad_group_is_refused_before_it_is_added():
    model = network()
    optimizer = SAMSON(model[0].parameters(), lr=0.1)
    with pytest.raises(OptionError, match="rho: expected a finite number >= 0, got -1"):
        optimizer.add_param_group({"params": model[4].parameters(), "rho": -1})
    assert len(optimizer.param_groups) == 1


@every_optimizer
def test_names_make_no_difference_to_plain_parameters_by_default(kind):
    steps = []
    for source in (lambda m: m, lambda m: m.named_parameters(), lambda m: m.parameters()):
        model = network()
        optimizer = OPTIMIZERS[kind](source(model), lr=0.1, model=model)
        optimizer.step(closure_for(model, optimizer))
        steps.append(model)
    assert equal(steps[0], steps[1])
    assert equal(steps[0], steps[2])


def test_plain_parameters_count_as_weights_by_their_dimensions():
    one, two = network(), network()
    known, unknown = SAMSON(one, lr=0.1), SAMSON(two.parameters(), lr=0.1)
    for model, optimizer in ((one, known), (two, unknown)):
        optimizer.step(closure_for(model, optimizer))
    assert torch.equal(one[0].weight, two[0].weight)
    with pytest.raises(OptionError, match=r"pass the model or model\.named_parameters"):
        SAMSON(two.parameters(), lr=0.1, selection="name_contains_weight")


def test_default_eta_is_that_of_the_mode_unless_given():
    model = network()
    found = {mode: SAMSON(model, lr=0.1, selection=mode).param_groups[0]["eta"] for mode in SELECTIONS}
    assert found == {"weights_only": 0.01, "paper": 0.0, "name_contains_weight": 0.01}
    assert SAMSON(model, lr=0.1, selection="paper", eta=0.2).param_groups[0]["eta"] == 0.2
    assert ASAM(model, lr=0.1).param_groups[0]["eta"] == 0.01


def test_share_is_kept_and_logged_once(caplog):
    model = network()
    optimizer = SAMSON(model, lr=0.1, selection="name_contains_weight")
    assert optimizer.share is None
    with caplog.at_level(logging.INFO):
        for step in range(3):
            optimizer.step(closure_for(model, optimizer, step))
    assert sum(optimizer.share.values()) == pytest.approx(1)
    assert 0 < optimizer.share["crossbar weight"] < 1
    assert [record.message for record in caplog.records] == [
        "SAMSON: share of ||eps||^2: " + ", ".join(f"{k} {100 * v:.1f} %" for k, v in optimizer.share.items())
    ]


def test_selection_that_picks_nothing_is_refused():
    norms = nn.BatchNorm1d(3)
    with pytest.raises(OptionError, match="selection 'weights_only' picks none of the 2 parameters"):
        SAMSON(norms, lr=0.1)
    SAMSON(norms, lr=0.1, rho=0.0)
    SAMSON(norms, lr=0.1, selection="paper")


def test_frozen_layers_and_missing_gradients_are_left_out():
    model = network()
    model[0].requires_grad_(False)
    saved = model[0].weight.detach().clone()
    optimizer = SAMSON(model, lr=0.1)
    loss_of(model).backward()
    with perturbed(optimizer) as climb:
        assert climb.moved
        assert torch.equal(model[0].weight, saved)
    optimizer.step(closure_for(model, optimizer))
    assert torch.equal(model[0].weight, saved)


def test_sparse_gradient_is_refused_and_nothing_moves():
    model = nn.Sequential(nn.Embedding(4, 3, sparse=True), nn.Linear(3, 1))
    optimizer = SAMSON(model, torch.optim.SGD, lr=0.1)
    saved = model[1].weight.detach().clone()
    model(torch.tensor([1])).sum().backward()
    with pytest.raises(OptionError, match=r"parameter 0\.weight: its gradient is sparse"):
        optimizer.first_step()
    assert torch.equal(model[1].weight, saved)


def test_base_optimizers_that_cannot_serve_are_refused():
    model = network()
    with pytest.raises(OptionError, match="expected an optimizer class such as"):
        SAMSON(model, torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(OptionError, match="LBFGS evaluates a closure of its own"):
        SAMSON(model, torch.optim.LBFGS)
    with pytest.raises(OptionError, match="Adadelta has an option rho of its own"):
        SAMSON(model, torch.optim.Adadelta)


def test_base_optimizer_need_not_take_a_closure():
    class Plain(torch.optim.SGD):
        @torch.no_grad()
        def step(self):
            return super().step()

    models = [network(), network()]
    for model, base in zip(models, (Plain, torch.optim.SGD), strict=True):
        optimizer = SAMSON(model, base, lr=0.1)
        for _ in range(2):
            model(data()[0]).square().sum().backward()
            optimizer.first_step(zero_grad=True)
            model(data()[0]).square().sum().backward()
            optimizer.second_step(zero_grad=True)
    assert all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in models), strict=True))


@every_optimizer
def test_bad_options_are_refused(kind):
    for options, words in (
        ({"rho": -0.1}, "rho: expected"),
        ({"rho": math.nan}, "rho: expected"),
        ({"selection": "weights"}, "did you mean 'weights_only'"),
    ):
        with pytest.raises(OptionError, match=words):
            OPTIMIZERS[kind](network(), lr=0.1, **options)
    for options, words in (({"p": 0.9}, "p: expected"), ({"eta": -1.0}, "eta: expected")):
        with pytest.raises(OptionError, match=words):
            SAMSON(network(), lr=0.1, **options)


def test_copy_of_model_and_optimizer_goes_on_alike():
    model = network()
    optimizer = SAMSON(model, torch.optim.SGD, lr=0.1, momentum=0.9)
    optimizer.step(closure_for(model, optimizer))
    other, again = copy.deepcopy((model, optimizer))
    for net, opt in ((model, optimizer), (other, again)):
        opt.step(closure_for(net, opt, 1))
    assert equal(model, other)


def test_accumulated_gradients_equal_one_large_batch():
    one, two = (nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)) for _ in range(2))
    two.load_state_dict(one.state_dict())
    whole, parts = SAMSON(one, lr=0.1), SAMSON(two, lr=0.1)
    x, y = data()
    for model, optimizer, size in ((one, whole, 16), (two, parts, 4)):
        for finish in (optimizer.first_step, optimizer.second_step):
            for a, b in zip(x.split(size), y.split(size), strict=True):
                (nn.functional.cross_entropy(model(a), b) * (size / 16)).backward()
            finish(zero_grad=True)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.gpu
@every_optimizer
@pytest.mark.parametrize("selection", SELECTIONS)
def test_cuda_step_agrees_with_the_cpu(kind, selection):
    one, two = network(), network().cuda()
    for model, device in ((one, "cpu"), (two, "cuda")):
        optimizer = make(kind, "sgd", model, rho=0.3, selection=selection)
        x, y = (t.to(device) for t in data())

        def closure(model=model, optimizer=optimizer, x=x, y=y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        for _ in range(2):
            optimizer.step(closure)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-3, atol=1e-4)


def test_maximizing_base_optimizer_is_refused():
    for given in ({"maximize": True}, {}):
        model = network()
        groups = model if given else [{"params": model.parameters(), "maximize": True}]
        with pytest.raises(OptionError, match="negate the loss instead"):
            SAM(groups, lr=0.1, **given)


def test_group_of_sam_with_another_method_has_the_eta_of_its_selection():
    model = network()
    optimizer = SAM([{"params": model[0].parameters(), "method": "samson"}], lr=0.1, model=model)
    assert optimizer.param_groups[0]["eta"] == 0.01


def test_forgotten_first_step_under_a_scaler_leaves_no_verdict_behind():
    model = network()
    optimizer = SAM(model, lr=0.1)
    optimizer.found_inf, optimizer.grad_scale = torch.zeros(1), torch.ones(1)
    with pytest.raises(OptionError, match="needs a closure"):
        optimizer.step()
    assert optimizer.found_inf is None
    x, y = data()
    optimizer.step(lambda: nn.functional.cross_entropy(model(x), y).backward())


def test_parameters_in_one_memory_are_refused_and_stay():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight.data = first.weight.data
    model = nn.Sequential(first, second)
    before = first.weight.detach().clone()
    model(torch.randn(2, 4)).square().mean().backward()
    with pytest.raises(OptionError, match="hold the same memory"), perturbed(model, rho=1.0):
        pass
    assert torch.equal(first.weight, before)


def test_model_without_anything_to_perturb_is_refused():
    with pytest.raises(OptionError, match="nothing would ever be perturbed"), perturbed(nn.LayerNorm(3), rho=0.5):
        pass
