"""Ingredients of robust training: perturbations and their price, averages, teachers, noise of a chip."""

import copy
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.trainings import few, made_set, network, same_weights, stop_at, train, weights_and_history
from torch import nn

from analog_samson import rng
from analog_samson.data import NORMALIZATIONS, Normalization
from analog_samson.data.batches import Batches
from analog_samson.errors import DataError, OptionError, RunError
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.presets import load_preset
from analog_samson.sharpness.perturb import perturbed, plan_ascent
from analog_samson.sharpness.reuse import ReusedAscent, scaled
from analog_samson.sharpness.selection import crossbar_weights
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.evaluation import evaluate
from analog_samson.training import Teacher, TrainOptions, fit
from analog_samson.training.average import WeightAverage
from analog_samson.training.batch import Batch, Shard
from analog_samson.training.distill import TeacherOnDevice, distillation_loss
from analog_samson.training.job import TrainJob, prepare_training
from analog_samson.training.step import EpochGenerators, StepIndex, TrainStep
from analog_samson.training.weight_noise import clip_to_std

HALF = Normalization((0.5,), (0.5,))
PCM, GAUSSIAN = "pcm_nandakumar_2019", "gaussian_joshi_2020"


def teacher(seed: int = 5, normalization: Normalization = HALF) -> Teacher:
    return Teacher(model=network(seed).eval(), normalization=normalization)


def updater(model: nn.Module, rate: float = 0.1, **options) -> TrainStep:
    """Steps of plain SGD without momentum, so that an update is rate * gradient."""
    chosen = TrainOptions(**{"seed": 0, "epochs": 10, "momentum": 0.0, "weight_decay": 0.0} | options)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    ascent = chosen.ascent(model)
    return TrainStep(model=model, optimizer=optimizer, task=Classification(), ascent=ascent, options=chosen)


def batch(count: int = 12, seed: int = 3) -> Batch:
    data = made_set(count, seed=seed)
    return Batch(((data.images.float() / 255 - 0.5) / 0.5, data.labels), Shard(count))


def place(step: int = 0, epoch: int = 0, steps: int = 100) -> StepIndex:
    return StepIndex(epoch=epoch, step=step, steps=steps)


def draws(seed: int = 0) -> EpochGenerators:
    return EpochGenerators.of(seed, 0, torch.device("cpu"))


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def statistics(model: nn.Module) -> list[torch.Tensor]:
    return [buffer.clone() for name, buffer in model.named_buffers() if "running" in name]


def gradients(model: nn.Module, data: Batch) -> dict[str, torch.Tensor]:
    """Of the mean cross-entropy in train mode; statistics are recorded as usual."""
    model.zero_grad()
    x, y = data.prepared
    F.cross_entropy(model.train()(x), y).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def passes(model: nn.Module) -> list[int]:
    """Images of every forward pass from now on."""
    seen: list[int] = []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    return seen


def assert_moved_by(model: nn.Module, before: dict[str, torch.Tensor], gradient: dict[str, torch.Tensor]) -> None:
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] - 0.1 * gradient[name], rtol=1e-5, atol=1e-6)


# ---- every option moves the weights, and is part of what is resumed and stored

MOVING = [
    {"method": "rwp"},
    {"method": "rwp", "sigma": 0.05},
    {"method": "rwp", "rho": 1.0},
    {"method": "rwp", "selection": "paper"},
    {"method": "rwp", "perturbed_share": 0.5},
    {"method": "rwp", "ramp_epochs": 2.0},
    {"method": "samson", "ramp_epochs": 1.5},
    {"method": "samson", "ascent_every": 2},
    {"method": "samson", "ascent_fraction": 0.5},
    {"method": "asam", "ascent_every": 2, "ascent_fraction": 0.5},
    {"noise_sigma_c": 0.1},
    {"noise_preset": PCM},
    {"noise_preset": PCM, "noise_time": 1.0},
    {"ema_decay": 0.9},
]


def with_presets(options: dict) -> dict:
    """The options with presets in place of their names."""
    return {name: load_preset(value) if value in (PCM, GAUSSIAN, "ideal") else value for name, value in options.items()}


@pytest.mark.parametrize("options", MOVING, ids=str)
def test_every_ingredient_moves_the_weights(options):
    *rest, _ = options.items()
    base = {"method": "sgd"} | dict(rest)
    assert not same_weights(train(**with_presets(base))[0], train(**with_presets(options))[0])


@pytest.mark.parametrize("options", [*MOVING, {"teacher": True}], ids=str)
def test_training_with_an_ingredient_resumes_bit_for_bit_and_tells_of_it(tmp_path, options):
    chosen = with_presets(options)
    taught = {"teacher": teacher()} if chosen.pop("teacher", None) else {}

    def run(folder: Path, progress=None):
        model, data = network(), made_set()
        result = fit(
            model, data, made_set(20, seed=1), few(clip=0.3, **chosen), folder=folder, progress=progress, **taught
        )
        return model, result

    whole, result = run(tmp_path / "whole")
    for stop in ((2, 2), (3, 1)):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", stop_at(*stop))
    parts, resumed = run(tmp_path / "parts")
    assert same_weights(whole, parts)
    assert resumed.evaluation == result.evaluation
    assert resumed.resumed_after == 2
    assert weights_and_history(tmp_path / "whole") == weights_and_history(tmp_path / "parts")
    finished, again = run(tmp_path / "whole")
    assert same_weights(whole, finished)
    assert again.resumed_after == 3
    told = load_checkpoint(result.checkpoint).metadata["training"]
    expected = options if not taught else {"distill_weight": 0.5, "distill_temperature": 4.0}
    assert told.items() >= expected.items()


def test_other_ingredients_in_the_folder_are_refused_with_what_differs(tmp_path):
    train(tmp_path / "run", noise_preset=load_preset(PCM), ema_decay=0.9)
    other = load_preset(PCM).model_copy(update={"summary": "another one"})
    with pytest.raises(RunError) as caught:
        train(tmp_path / "run", noise_preset=other, noise_time=1.0, ema_decay=0.99)
    text = str(caught.value)
    assert "ema_decay: the run there has 0.9, this one 0.99" in text
    assert "noise_time: the run there has 86400" in text
    assert "noise_preset_sha256" in text


# ---- random weight perturbation


@pytest.mark.parametrize(("options", "count"), [({}, 1), ({"perturbed_share": 0.5}, 2)], ids=["one", "mixed"])
def test_rwp_without_a_perturbation_is_sgd(options, count):
    sgd, rwp = network(), network()
    seen = passes(rwp)
    updater(sgd)(batch(), draws(), place())
    updater(rwp, method="rwp", sigma=0.0, **options)(batch(), draws(), place())
    assert len(seen) == count
    for a, b in zip(sgd.state_dict().values(), rwp.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-7)


@pytest.mark.parametrize(("size", "factor"), [({"rho": 2.0}, 1.0), ({"sigma": 0.03}, 1.0), ({"sigma": 0.03}, 0.25)])
def test_rwp_steps_along_the_gradient_of_the_perturbed_weights(size, factor):
    model, data = network(), batch()
    before, noise = weights(model), draws(7).perturbation
    crossbar = crossbar_weights(model)
    z = {name: torch.empty(weight.shape).normal_(generator=noise) for name, weight in crossbar.items()}
    length = math.sqrt(sum(one.square().sum().item() for one in z.values()))
    scale = factor * (size["rho"] / length if "rho" in size else size["sigma"])
    reference = network()
    with torch.no_grad():
        for name, weight in crossbar_weights(reference).items():
            weight.add_(scale * z[name])
    expected = gradients(reference, data)
    ramp = {} if factor == 1 else {"ramp_epochs": 4.0}
    updater(model.train(), method="rwp", **size, **ramp)(data, draws(7), place(epoch=1))
    assert_moved_by(model, before, expected)


def test_rwp_mixes_in_the_clean_gradient_and_records_clean_statistics():
    data, clean, full, mixed = batch(), network(), network(), network()
    before = weights(mixed)
    updater(clean.train())(data, draws(), place())
    updater(full.train(), method="rwp", sigma=0.1)(data, draws(), place())
    updater(mixed.train(), method="rwp", sigma=0.1, perturbed_share=0.25)(data, draws(), place())
    for name, parameter in mixed.named_parameters():
        steps = [weights(model)[name] - before[name] for model in (clean, full)]
        torch.testing.assert_close(parameter - before[name], 0.75 * steps[0] + 0.25 * steps[1], rtol=1e-4, atol=1e-6)
    assert all(map(torch.equal, statistics(clean), statistics(mixed)))
    assert not all(map(torch.equal, statistics(clean), statistics(full)))


def test_rwp_draws_another_perturbation_in_every_step_and_epoch():
    steps = []
    stream = draws()
    for source in (stream, stream, EpochGenerators.of(0, 1, torch.device("cpu"))):
        model = network().train()
        updater(model, method="rwp", sigma=0.1)(batch(), source, place())
        steps.append(model.head.weight.detach().clone())
    assert not any(torch.equal(a, b) for a, b in zip(steps, [*steps[1:], steps[0]], strict=True))


# ---- growing radius


def test_ramp_grows_linearly_to_the_full_radius_and_stays():
    options = TrainOptions(seed=0, epochs=8, method="samson", ramp_epochs=4.0)
    assert [options.ramp(now) for now in (0.0, 1.0, 2.5, 4.0, 7.5)] == [0.0, 0.25, 0.625, 1.0, 1.0]
    assert TrainOptions(seed=0, method="samson").ramp(0.0) == 1.0


@pytest.mark.parametrize("method", ["sam", "asam", "samson"])
def test_ramp_scales_the_radius_of_a_step(method):
    ramped, fixed = network().train(), network().train()
    rho = 0.8
    updater(ramped, method=method, rho=rho, ramp_epochs=4.0)(batch(), draws(), place(epoch=1))
    updater(fixed, method=method, rho=rho / 4)(batch(), draws(), place(epoch=1))
    assert same_weights(ramped, fixed)


def test_ramp_begins_with_a_plain_step_and_changes_nothing_once_it_is_over():
    sgd, start = network().train(), network().train()
    updater(sgd)(batch(), draws(), place())
    updater(start, method="samson", ramp_epochs=2.0)(batch(), draws(), place())
    assert same_weights(sgd, start)
    late, full = network().train(), network().train()
    updater(late, method="samson", ramp_epochs=2.0)(batch(), draws(), place(epoch=2))
    updater(full, method="samson")(batch(), draws(), place(epoch=2))
    assert same_weights(late, full)


def test_scaled_by_one_is_the_same_ascent():
    ascent = plan_ascent(network())
    assert scaled(ascent, 1.0) is ascent
    assert scaled(ascent, 0.5).buffers is ascent.buffers


# ---- SAMSON at the price of SGD


@pytest.mark.parametrize("method", ["sam", "asam", "samson"])
@pytest.mark.parametrize("options", [{"ascent_every": 1}, {"ascent_fraction": 1.0}, {"ascent_every": 1, "noise": 0.02}])
def test_every_step_from_the_whole_batch_is_the_usual_path_bit_for_bit(method, options):
    noise = {"noise": options["noise"]} if "noise" in options else {}
    usual, result = train(method=method, **noise)
    stated, same = train(method=method, **options)
    assert same_weights(usual, stated)
    assert [record.train_loss for record in result.history] == [record.train_loss for record in same.history]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [12, 12] * 5),
        ({"ascent_every": 4}, [12] * 7),
        ({"ascent_fraction": 0.25}, [3, 12] * 5),
        ({"ascent_every": 2, "ascent_fraction": 0.5}, [6, 12, 12] * 2 + [6, 12]),
        ({"ascent_fraction": 0.17, "ascent_every": 5}, [2, 12, 12, 12, 12, 12]),
    ],
    ids=str,
)
def test_passes_of_five_steps(options, expected):
    model = network().train()
    steps, seen = updater(model, method="samson", **options), passes(model)
    for step in range(5):
        steps(batch(), draws(), place(step))
    assert seen == expected


def test_step_between_ascents_is_taken_at_the_weights_plus_the_old_eps():
    model, data = network().train(), batch()
    first, second = batch(seed=4), data
    before = weights(model)
    gradients(reference := network(), first)
    with perturbed(reference, rho=0.7):
        eps = {name: weight - before[name] for name, weight in weights(reference).items()}
    steps = updater(model, method="samson", rho=0.7, ascent_every=3)
    steps(first, draws(), place(0))
    middle = copy.deepcopy(model)
    start = weights(model)
    with torch.no_grad():
        for name, parameter in middle.named_parameters():
            parameter.add_(eps[name])
    expected = gradients(middle, second)
    recorded = statistics(model)
    steps(second, draws(), place(1))
    assert_moved_by(model, start, expected)
    assert all(map(torch.equal, statistics(model), recorded))


def test_first_step_of_a_reused_ascent_is_that_of_the_usual_path_to_rounding():
    usual, reused = network().train(), network().train()
    updater(usual, method="samson")(batch(), draws(), place())
    updater(reused, method="samson", ascent_every=7)(batch(), draws(), place())
    for a, b in zip(usual.state_dict().values(), reused.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_reused_eps_follows_a_growing_radius():
    model = network().train()
    gradients(model, batch())
    clean, ascent = weights(model), ReusedAscent(plan_ascent(model, rho=1.0))
    ascent.update_direction()
    lengths = []
    for factor in (0.0, 0.5, 1.0):
        with ascent.applied(factor):
            moved = {name: weight - clean[name] for name, weight in weights(model).items()}
        lengths.append(math.sqrt(sum(step.square().sum().item() for step in moved.values())))
    assert lengths[0] == 0
    assert lengths[1] == pytest.approx(lengths[2] / 2, rel=1e-4)
    assert all(torch.equal(weight, clean[name]) for name, weight in weights(model).items())


@pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
def test_reused_ascent_without_a_direction_leaves_the_weights_and_forgets_the_old_one(bad, caplog):
    model = network().train()
    gradients(model, batch())
    clean, ascent = weights(model), ReusedAscent(plan_ascent(model))
    assert ascent.update_direction().moved
    for parameter in model.parameters():
        parameter.grad.fill_(bad)
    assert not ascent.update_direction().moved
    with ascent.applied():
        assert all(torch.equal(weight, clean[name]) for name, weight in weights(model).items())
    assert ("not finite" in caplog.text) == (bad != 0)


def test_ascent_from_a_part_climbs_along_the_gradient_of_the_first_images():
    whole, part = network().train(), network().train()
    data = batch()
    start = weights(whole)
    gradients(whole, Batch(tuple(part[:3] for part in data.prepared), Shard(3)))
    with perturbed(whole):
        at_worst = gradients(whole, data)
    updater(part, method="samson", ascent_fraction=0.25)(data, draws(), place())
    assert_moved_by(part, start, at_worst)


# ---- average of weights


def test_average_is_the_mean_with_decaying_weights():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average, history = WeightAverage(model, decay=0.8), []
    for value in (1.0, -2.0, 5.0, 0.5):
        with torch.no_grad():
            for tensor in (*model.parameters(), model[1].running_mean):
                tensor.fill_(value)
        average.add()
        history.append(value)
    shares = [0.8 ** (len(history) - 1 - step) for step in range(len(history))]
    expected = sum(s * value for s, value in zip(shares, history, strict=True)) / sum(shares)
    with average.in_model():
        for tensor in (*model.parameters(), model[1].running_mean):
            assert tensor.flatten()[0].item() == pytest.approx(expected, rel=1e-6)
    assert model[0].weight[0, 0].item() == 0.5


def test_averaged_weights_are_evaluated_saved_and_left_while_the_own_ones_go_on(tmp_path):
    plain, _ = train(tmp_path / "plain")
    model, result = train(tmp_path / "run", ema_decay=0.7)
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)
    assert all(torch.equal(state["model"][name], tensor) for name, tensor in plain.state_dict().items())
    assert same_weights(restore_model(load_checkpoint(result.checkpoint), "digits_cnn"), model)
    assert not same_weights(model, plain)
    found = evaluate(model, Batches(made_set(20, seed=1), HALF, batch_size=500, device="cpu"))
    assert result.evaluation == found
    assert not model.training


def test_average_of_the_last_step_alone_is_the_plain_training():
    plain, result = train()
    model, averaged = train(ema_decay=1e-12)
    for a, b in zip(plain.state_dict().values(), model.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert averaged.evaluation.accuracy_percent == result.evaluation.accuracy_percent


def test_average_is_clipped_as_the_weights_are(tmp_path):
    clipped, _ = train(clip=0.05, ema_decay=0.9)
    largest = [weight.abs().max().item() for weight in crossbar_weights(clipped).values()]
    assert max(largest) == pytest.approx(0.05)
    model, _ = train(tmp_path / "run", clip_std=1.5, ema_decay=0.9)
    averaged = network()
    mean = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["average"]["mean"]
    averaged.load_state_dict(mean, strict=False)
    assert not torch.equal(averaged.head.weight, model.head.weight)
    clip_to_std(averaged, 1.5)
    assert all(map(torch.equal, averaged.parameters(), model.parameters()))


# ---- teacher


def test_distillation_loss_is_the_divergence_of_the_softened_answers():
    logits, soft = (
        torch.randn(5, 7, generator=rng.generator(0, "a")),
        torch.randn(5, 7, generator=rng.generator(0, "b")),
    )
    found = distillation_loss(logits, soft, 3.0).item()
    p, q = torch.softmax(soft / 3, 1), torch.softmax(logits / 3, 1)
    assert found == pytest.approx(9 * (p * (p / q).log()).sum(1).mean().item(), rel=1e-5)
    assert distillation_loss(soft, soft, 3.0).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_step_with_a_teacher_follows_both_losses(weight):
    model, data, soft = network().train(), batch(), torch.randn(12, 10, generator=rng.generator(0, "soft"))
    before, reference = weights(model), network().train()
    x, y = data.prepared
    logits = reference(x)
    loss = (1 - weight) * F.cross_entropy(logits, y) + weight * distillation_loss(logits, soft, 2.0)
    loss.backward()
    options = {"distill_weight": weight, "distill_temperature": 2.0}
    updater(model, **options)(data._replace(teacher=soft), draws(), place())
    expected = {name: parameter.grad for name, parameter in reference.named_parameters()}
    assert_moved_by(model, before, expected)


def test_teacher_sees_the_images_in_its_own_normalization():
    data, own = made_set(6, channels=1), NORMALIZATIONS["digits"]
    master = teacher(normalization=own)
    ready = TeacherOnDevice(master, HALF, device=torch.device("cpu"), channels_last=False, bf16=False)
    x, _ = next(iter(Batches(data, HALF, batch_size=6, device="cpu")))
    expected, _ = next(iter(Batches(data, own, batch_size=6, device="cpu")))
    torch.testing.assert_close(ready(x), master.model.eval()(expected).detach(), rtol=1e-4, atol=1e-5)
    assert not ready(x).requires_grad


def test_teacher_is_not_changed_and_its_mode_is_kept():
    master = teacher()
    master.model.train()
    before = copy.deepcopy(master.model)
    fit(network(), made_set(), made_set(20, seed=1), few(method="samson", epochs=1), teacher=master)
    assert master.model.training
    assert same_weights(master.model, before)


def test_network_learns_its_teachers_answers():
    master = teacher()
    options = few(distill_weight=1.0, distill_temperature=1.0, epochs=30, weight_decay=0.0)
    data, model = made_set(64), network()
    fit(model, data, made_set(20, seed=1), options, teacher=master)
    x, _ = next(iter(Batches(data, HALF, batch_size=64, device="cpu")))
    with torch.no_grad():
        untaught = distillation_loss(network().eval()(x), master.model(x), 1.0).item()
        taught = distillation_loss(model.eval()(x), master.model(x), 1.0).item()
    assert taught < untaught / 3


def test_other_teacher_in_the_folder_is_refused(tmp_path):
    arguments = (made_set(), made_set(20, seed=1), few(epochs=1))
    fit(network(), *arguments, folder=tmp_path / "run", teacher=teacher())
    with pytest.raises(RunError, match="teacher_weights_sha256"):
        fit(network(), *arguments, folder=tmp_path / "run", teacher=teacher(6))


@pytest.mark.parametrize(
    ("master", "options", "error", "expected"),
    [
        (None, {"distill_weight": 0.5}, OptionError, "distill_weight: has no effect without a teacher"),
        (None, {"distill_temperature": 2.0}, OptionError, "distill_temperature: has no effect without a teacher"),
        ("self", {}, OptionError, "the teacher is the network that is trained"),
        ("small", {}, DataError, "the teacher: the network has 5 outputs but the data has 10 classes"),
    ],
)
def test_teacher_that_does_not_fit_is_refused_before_anything_is_written(tmp_path, master, options, error, expected):
    model = network()
    found = {"self": model, "small": network(num_classes=5)}.get(master)
    given = None if master is None else Teacher(model=found, normalization=HALF)
    with pytest.raises(error, match=expected):
        fit(model, made_set(), made_set(20), few(**options), folder=tmp_path / "run", teacher=given)
    assert not (tmp_path / "run").exists()


# ---- noise of a chip


def test_noise_of_a_preset_is_that_of_another_chip_in_every_pass():
    seen = []
    model = network().train()
    steps = updater(model, rate=1e-12, noise_preset=load_preset(PCM), method="sam", rho=0.0)
    model.register_forward_pre_hook(lambda module, inputs: seen.append(module.head.weight.detach().clone()))
    clean, source = weights(model), draws()
    for step in range(2):
        steps(batch(), source, place(step))
    assert len(seen) == 4
    errors = [(weight - clean["head.weight"]) for weight in seen]
    assert all(0.02 < (error.std() / clean["head.weight"].std()).item() < 0.5 for error in errors)
    assert not any(torch.equal(a, b) for a, b in zip(seen, [*seen[1:], seen[0]], strict=True))
    torch.testing.assert_close(model.head.weight.detach(), clean["head.weight"], rtol=0, atol=1e-9)


def test_gradient_of_a_noisy_pass_is_used_for_the_clean_weights():
    model, data = network().train(), batch()
    before = weights(model)
    noisy: list[dict[str, torch.Tensor]] = []
    hook = model.register_forward_pre_hook(lambda module, inputs: noisy.append(weights(module)))
    updater(model, noise_preset=load_preset(PCM), noise_time=3600.0)(data, draws(), place())
    hook.remove()
    reference = network()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            parameter.copy_(noisy[0][name])
    assert_moved_by(model, before, gradients(reference, data))


# ---- jobs from Python


def test_job_takes_texts_as_the_command_line_does():
    options = {"noise_preset": PCM, "noise_time": "1h", "method": "rwp", "epochs": 1}
    prepared = prepare_training(TrainJob(data="digits", seed=0, model="digits_cnn", limit=64, **options))
    assert prepared.options.noise_preset == load_preset(PCM)
    assert prepared.options.noise_time == 3600.0
    with pytest.raises(OptionError, match=r"duration '1 hour'"):
        prepare_training(TrainJob(data="digits", seed=0, model="digits_cnn", **options | {"noise_time": "1 hour"}))


def test_holdout_never_touches_the_test_data_and_is_the_same_for_every_setting_of_a_grid(tmp_path, monkeypatch):
    from analog_samson.training import job

    opened: list[str] = []

    def open_data(spec, split, **limits):
        opened.append(split)
        return job_open(spec, split, **limits)

    job_open = job.open_data
    monkeypatch.setattr(job, "open_data", open_data)
    results, tested = {}, set()
    for rho in (0.1, 2.0):
        for seed in (0, 1):
            options = {"method": "samson", "rho": rho, "epochs": 1}
            prepared = prepare_training(
                TrainJob(data="digits", seed=seed, model="digits_cnn", limit=200, holdout=0.1, **options)
            )
            tested.add(prepared.test_set.fingerprint)
            assert (len(prepared.train_set), len(prepared.test_set)) == (180, 20)
            results[rho, seed] = prepared.run(tmp_path / f"{rho}-{seed}").evaluation.loss
    assert set(opened) == {"train"}
    assert len(tested) == 1
    assert len(set(results.values())) == 4


def test_job_with_a_foreign_teacher_takes_the_students_network_for_it(tmp_path):
    torch.save(network(3).state_dict(), tmp_path / "teacher.pt")
    job = TrainJob(data="digits", seed=0, model="digits_cnn", limit=64, distill=tmp_path / "teacher.pt")
    prepared = prepare_training(job.replace(epochs=1))
    assert prepared.metadata["distilled_from"]["model"] == "digits_cnn"
    assert prepared.metadata["distilled_from"]["file"] == "teacher.pt"
    assert (prepared.options.distill_weight, prepared.options.distill_temperature) == (0.5, 4.0)
    result = prepared.run(tmp_path / "run")
    metadata = load_checkpoint(result.checkpoint).metadata
    assert metadata["distilled_from"]["sha256"] == load_checkpoint(tmp_path / "teacher.pt").sha256
    assert metadata["training"]["distill_weight"] == 0.5
    with pytest.raises(OptionError, match="distill_model: has no effect without distill"):
        job.replace(distill=None, distill_model="digits_cnn")


@pytest.mark.gpu
@pytest.mark.parametrize("options", MOVING, ids=str)
def test_ingredient_runs_on_a_gpu(options):
    model = network(in_channels=3).cuda()
    data = made_set(channels=3)
    master = Teacher(model=network(5, in_channels=3), normalization=HALF)
    chosen = few(bf16=True, channels_last=True, clip=0.2, **with_presets(options))
    assert math.isfinite(fit(model, data, data.take(20), chosen, teacher=master).evaluation.loss)
