"""Other frameworks: loops of others, each equal to a plain loop; Optuna; networks of torchao.

The scripts of the docs are the code under test; tests/test_docs.py runs each of them whole.
"""

import copy
import logging
import runpy
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from analog_samson import SAMSON, convert, plan_conversion
from analog_samson.data import open_data
from analog_samson.errors import CheckpointError, OptionError, PlanError
from analog_samson.models.checkpoint import load_checkpoint, load_into
from analog_samson.training.huggingface import SharpnessAwareTrainer
from analog_samson.training.weight_noise import clip_to_std

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def example(name: str) -> dict:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def same(one: nn.Module, other: nn.Module, **tolerance: float) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(a, b, **tolerance) if tolerance else torch.equal(a, b) for a, b in pairs)


# Trainer of Hugging Face


def hugging_face(folder: Path, steps: int, dropout: float = 0.0, **arguments):
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    made = example("huggingface_trainer")["trainer"](folder, steps, **arguments)
    for module in made.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
    return made


@pytest.mark.parametrize("parts", [1, 2])
def test_trainer_with_accumulated_gradients_steps_as_samson_does_on_the_whole_batch(tmp_path, parts, monkeypatch):
    size = {"per_device_train_batch_size": 16 // parts, "gradient_accumulation_steps": parts}
    trainer = hugging_face(tmp_path, 3, lr_scheduler_type="constant", save_strategy="no", **size)
    trainer.model_accepts_loss_kwargs = False  # transformers 5 adds the mean losses of BERT's micro-batches otherwise
    data = trainer.train_dataset
    monkeypatch.setattr(trainer, "_get_train_sampler", lambda *_: torch.utils.data.SequentialSampler(data))
    plain = example("huggingface_trainer")["network"]()
    plain.load_state_dict(trainer.model.state_dict())
    for module in plain.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    trainer.optimizer, optimizer = (  # Adam would make steps of lr out of gradients that are zero but for rounding
        SAMSON(model, torch.optim.SGD, rho=0.05, lr=0.1, momentum=0.9) for model in (trainer.model, plain)
    )
    trainer.train()
    plain.train()
    for start in range(0, 48, 16):
        batch = {key: torch.stack([one[key] for one in data[start : start + 16]]) for key in data[0]}
        plain(**batch).loss.backward()
        optimizer.first_step(zero_grad=True)
        plain(**batch).loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.second_step(zero_grad=True)
        clip_to_std(plain, 3.0)
    assert same(trainer.model, plain, rtol=1e-4, atol=1e-5)
    assert trainer.optimizer.optimizer.perturbation_breakdown["crossbar weight"] == pytest.approx(1.0)


def test_trainer_resumes_to_the_same_weights(tmp_path):
    whole = hugging_face(tmp_path / "whole", 4, save_steps=2, dropout=0.1)
    whole.train()
    parts = hugging_face(tmp_path / "whole", 4, save_steps=2, dropout=0.1)
    parts.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert parts.state.global_step == 4
    assert same(whole.model, parts.model)


def test_trainer_in_bfloat16_moves_the_weights_and_gives_them_back(tmp_path):
    trainer = hugging_face(tmp_path, 2, bf16=True, save_strategy="no")
    before = example("huggingface_trainer")["network"]()
    trainer.train()
    assert not same(trainer.model, before)
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in trainer.model.parameters())
    trainer.optimizer.optimizer.first_step()  # nothing is open: the weights were restored
    trainer.optimizer.optimizer.restore()


def test_trainer_when_a_second_pass_fails_restores_the_weights(tmp_path, monkeypatch):
    trainer = hugging_face(tmp_path, 1, save_strategy="no")
    before = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    compute, calls = trainer.compute_loss, iter(range(10))

    def failing(*arguments, **options):
        if next(calls) == 3:
            raise KeyError("the loss of the user")
        return compute(*arguments, **options)

    monkeypatch.setattr(trainer, "compute_loss", failing)
    with pytest.raises(KeyError):
        trainer.train()
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.model.state_dict().items())


def test_trainer_with_another_optimizer_or_divided_weights_is_refused(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    trainer = hugging_face(tmp_path, 1, save_strategy="no")

    class Analog(SharpnessAwareTrainer, transformers.Trainer):
        pass

    adam = torch.optim.AdamW(trainer.model.parameters())
    other = Analog(trainer.model, trainer.args, train_dataset=trainer.train_dataset, optimizers=(adam, None))
    with pytest.raises(OptionError, match="expected SAM, ASAM or SAMSON as optimizer, got a AdamW"):
        other.train()
    from accelerate.utils import DistributedType

    state, before = trainer.accelerator.state, trainer.accelerator.state.distributed_type
    state.distributed_type = DistributedType.FSDP
    try:
        with pytest.raises(OptionError, match="FSDP divides the weights among processes"):
            trainer._sharpness_aware()
    finally:
        state.distributed_type = before


# Accelerate


def accelerated(precision: str = "no"):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    return example("accelerate_loop")["prepared"](precision)


def test_loop_of_accelerate_steps_as_a_plain_loop_does(monkeypatch):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    script = example("accelerate_loop")
    accelerator, model, optimizer, schedule, loader = script["prepared"]()
    plain = script["build_model"]("digits_cnn")
    plain.load_state_dict(model.state_dict())
    samson = SAMSON(plain, torch.optim.SGD, rho=0.5, lr=0.05, momentum=0.9)
    x, y = next(iter(loader))
    for network in (model, plain):
        network.eval()  # batch-norm of micro-batches is another one than that of a batch
    monkeypatch.setattr(type(plain), "train", lambda network, *_: network)
    script["train_epoch"](accelerator, model, optimizer, schedule, [(x, y)])
    for step in (samson.first_step, samson.second_step):
        nn.functional.cross_entropy(plain(x), y).backward()
        if step == samson.second_step:
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        step(zero_grad=True)
    clip_to_std(plain, 3.0)
    assert same(model, plain, rtol=1e-4, atol=1e-5)


def test_state_of_accelerate_goes_on_to_the_same_weights(tmp_path):
    train_epoch = example("accelerate_loop")["train_epoch"]
    accelerator, *parts = accelerated()
    train_epoch(accelerator, *parts)
    accelerator.save_state(str(tmp_path / "state"))
    train_epoch(accelerator, *parts)
    again, *others = accelerated()
    again.load_state(str(tmp_path / "state"))
    train_epoch(again, *others)
    assert same(parts[0], others[0])
    momenta = [state["momentum_buffer"] for state in others[1].optimizer.state.values()]
    assert momenta
    assert load_checkpoint(tmp_path / "state").state.keys() == parts[0].state_dict().keys()


# PyTorch Lightning


def lightning(folder: Path, epochs: int, **settings):
    pytest.importorskip("lightning", reason="lightning is not installed")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    script = example("lightning_module")
    return script["trainer"](folder, epochs, **settings), script["module"]()


def few(count: int = 64) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(count, 1, 8, 8, generator=generator), torch.randint(10, (count,), generator=generator)
    return DataLoader(TensorDataset(x, y), batch_size=32)


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Lightning, on workers and log steps
        yield


def test_lightning_steps_as_a_plain_loop_does(tmp_path, quiet):
    trainer, module = lightning(tmp_path, 1, enable_checkpointing=False)
    plain = example("lightning_module")["module"]()
    plain.load_state_dict(module.state_dict())
    optimizer = SAMSON(plain, torch.optim.SGD, rho=0.5, lr=0.05, momentum=0.9)
    trainer.fit(module, few())
    plain.train()
    for x, y in few():

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(plain.model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            return loss

        optimizer.step(closure)
        clip_to_std(plain.model, 3.0)
    assert same(module, plain, rtol=1e-4, atol=1e-6)


def test_lightning_resumes_to_the_same_weights_and_its_file_is_a_checkpoint(tmp_path, quiet):
    trainer, module = lightning(tmp_path, 2, enable_checkpointing=False)
    trainer.fit(module, few())
    first, half = lightning(tmp_path, 1)
    first.fit(half, few())
    first.save_checkpoint(tmp_path / "half.ckpt")
    second, other = lightning(tmp_path, 2)
    second.fit(other, few(), ckpt_path=str(tmp_path / "half.ckpt"), weights_only=True)
    assert same(module, other)
    network = example("lightning_module")["build_model"]("digits_cnn")
    load_into(network, load_checkpoint(tmp_path / "half.ckpt"))
    assert same(network, half.model)


def test_lightning_with_accumulated_gradients_is_refused_with_the_remedy(tmp_path, quiet):
    trainer, module = lightning(tmp_path, 1, accumulate_grad_batches=2, enable_checkpointing=False)
    before = {name: weight.clone() for name, weight in module.named_parameters()}
    with pytest.raises(OptionError, match="accumulate_grad_batches=1"):
        trainer.fit(module, few())
    assert all(torch.equal(weight, before[name]) for name, weight in module.named_parameters())


def test_lightning_in_bfloat16_moves_the_weights(tmp_path, quiet):
    trainer, module = lightning(tmp_path, 1, precision="bf16-mixed", enable_checkpointing=False)
    before = {name: weight.clone() for name, weight in module.named_parameters()}
    trainer.fit(module, few())
    moved = [not torch.equal(weight, before[name]) for name, weight in module.named_parameters()]
    assert all(moved)
    assert all(weight.isfinite().all() for weight in module.parameters())


# Optuna


def test_optuna_chooses_by_held_out_images_and_the_same_chips(monkeypatch):
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    script = example("optuna_search")
    search, scope = script["search"], script["search"].__globals__
    opened = []

    def few(data: str, part: str):
        opened.append(part)
        return open_data(data, part, limit=200)

    monkeypatch.setitem(scope, "EPOCHS", 1)
    monkeypatch.setitem(scope, "open_data", few)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = search(2)
    assert opened == ["train"]
    assert {trial.state for trial in study.trials} == {optuna.trial.TrialState.COMPLETE}
    held_out, images = open_data("digits", "train", limit=200).split(0.1, 0)
    again = script["trained"](images, held_out, **study.best_params)
    assert script["after_a_year"](again, held_out, seed=1) == study.best_value == max(t.value for t in study.trials)


# torchao


@pytest.fixture
def torchao_network():
    torchao = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    plain = example("quantised_start")["network"]()
    model = copy.deepcopy(plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchao.quantize_(model, torchao.Int8WeightOnlyConfig())
    return plain, model


@torch.no_grad()
def test_network_of_torchao_is_refused_until_its_weights_are_plain(torchao_network):
    plain, model = torchao_network
    with pytest.raises(PlanError, match=r"1 \(Linear\): .*Int8Tensor.*layer\.weight\.dequantize") as caught:
        plan_conversion(model, "ideal").check()
    assert str(caught.value).count("Int8Tensor") == 2, "once for each layer"
    x = torch.randn(5, 64)
    wanted = model(x)
    analog = convert(example("quantised_start")["dequantise"](model), "ideal")
    assert torch.allclose(analog(x), wanted, atol=1e-5)
    assert not torch.equal(model[1].weight, plain[1].weight), "codes, not the weights before"


def test_file_of_torchao_is_refused_with_what_to_save_there(torchao_network, tmp_path):
    _, model = torchao_network
    torch.save(model.state_dict(), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"quantised by torchao.*\n.*value\.dequantize\(\)"):
        load_checkpoint(tmp_path / "net.pt")
    torch.save({name: value.dequantize() for name, value in model.state_dict().items()}, tmp_path / "plain.pt")
    network = example("quantised_start")["network"]()
    load_into(network, load_checkpoint(tmp_path / "plain.pt"))
    assert torch.equal(network[1].weight, model[1].weight.dequantize())
