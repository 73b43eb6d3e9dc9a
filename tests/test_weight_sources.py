"""Weights in shards, in folders of frameworks, as one of several copies in a file, and as adapters of a base."""

import json
import logging
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small import SMALL, small_options
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from analog_samson.errors import AnalogSamsonError, CheckpointError, ModelError
from analog_samson.models.checkpoint import load_checkpoint, load_into
from analog_samson.simulation.inputs import checkpoint_label
from analog_samson.simulation.jobs import plan_jobs
from analog_samson.simulation.many_options import CompareOptions
from analog_samson.simulation.paths import files_of

# peft asks transformers 5 for a name that it is going to remove
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def net() -> nn.Module:
    return nn.Sequential(OrderedDict(body=nn.Linear(3, 4), act=nn.Tanh(), head=nn.Linear(4, 2)))


def same(state: dict, other: dict) -> bool:
    return list(state) == list(other) and all(torch.equal(state[name], other[name]) for name in state)


def shards(folder: Path, state: dict, end: str) -> Path:
    """Two shards and their index, named as transformers names them."""
    stem = "model" if end == "safetensors" else "pytorch_model"
    files = [f"{stem}-0000{place}-of-00002.{end}" for place in (1, 2)]
    parts = [{name: value for name, value in state.items() if (name < "c") == first} for first in (True, False)]
    for file, part in zip(files, parts, strict=True):
        save_file(part, folder / file) if end == "safetensors" else torch.save(part, folder / file)
    mapping = {name: file for file, part in zip(files, parts, strict=True) for name in part}
    index = folder / f"{stem}.{end}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": mapping}))
    return index


@pytest.mark.parametrize("end", ["safetensors", "bin"])
def test_shards_are_read_from_their_index_or_folder(tmp_path, end):
    model = net()
    index = shards(tmp_path, model.state_dict(), end)
    one, other = load_checkpoint(index), load_checkpoint(tmp_path)
    assert same(dict(sorted(one.state.items())), dict(sorted(model.state_dict().items())))
    assert one.sha256 == other.sha256
    restored = net()
    load_into(restored, one)
    assert same(restored.state_dict(), model.state_dict())
    first = sorted(tmp_path.glob(f"*00001-of*.{end}"))[0]
    changed = {name: value + 1 for name, value in one.state.items() if name < "c"}
    save_file(changed, first) if end == "safetensors" else torch.save(changed, first)
    assert load_checkpoint(index).sha256 != one.sha256


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "model-00002-of-00002.safetensors").unlink(), "00002.safetensors: missing, with 2 w"),
        (lambda folder: save_file({"x": torch.ones(1)}, folder / "model-00001-of-00002.safetensors"), "lacks body"),
        (lambda folder: (folder / "model.safetensors.index.json").write_text("{}"), "no index of shards"),
        (lambda folder: (folder / "model-00001-of-00002.safetensors").write_bytes(b"no"), "00001.*not a checkpoint"),
    ],
    ids=["missing", "other weights", "no map", "damaged"],
)
def test_incomplete_shards_are_refused_by_name(tmp_path, spoil, words):
    index = shards(tmp_path, net().state_dict(), "safetensors")
    spoil(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(index)


def test_folder_without_weights_and_folder_of_adapters_are_explained(tmp_path):
    with pytest.raises(CheckpointError, match="is a folder, not a checkpoint"):
        load_checkpoint(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=f"--model hf:{tmp_path}"):
        load_checkpoint(tmp_path)


def averaged(model: nn.Module) -> AveragedModel:
    made = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    made.update_parameters(model)
    made.module.body.weight.data += 1
    return made


def test_moving_average_of_each_framework_is_taken_by_name(tmp_path, caplog):
    model = net()
    state, ema = model.state_dict(), averaged(model)
    average = ema.module.state_dict()
    momenta = {"state": {0: torch.ones(3)}}
    files = {
        "timm": ({"state_dict": state, "optimizer": momenta, "state_dict_ema": average}, "state_dict_ema"),
        "torchvision": ({"model": state, "model_ema": ema.state_dict(), "epoch": 3}, "model_ema"),
        "lightning": (
            {"state_dict": {f"net.{n}": v for n, v in average.items()}, "current_model_state": state},
            "current_model_state",
        ),
    }
    for name, (content, copy) in files.items():
        path = tmp_path / f"{name}.pt"
        torch.save(content, path)
        caplog.clear()
        with caplog.at_level(logging.INFO):
            plain = load_checkpoint(path)
        assert any(f"holds {copy} too" in message for message in caplog.messages)
        named = load_checkpoint(f"{path}:{copy}")
        assert same(named.state, state if name == "lightning" else average)
        assert named.sha256 != plain.sha256
        load_into(net(), plain)
    assert same(load_checkpoint(f"{tmp_path / 'timm.pt'}:ema").state, average)
    torch.save(ema.state_dict(), tmp_path / "alone.pt")
    assert same(load_checkpoint(tmp_path / "alone.pt").state, average)


def test_copy_may_be_what_its_names_begin_with(tmp_path):
    state = net().state_dict()
    content = {f"{part}.{name}": value + (part == "ema") for name, value in state.items() for part in ("model", "ema")}
    save_file(content, tmp_path / "both.safetensors")
    torch.save(content, tmp_path / "both.pt")
    for file in ("both.safetensors", "both.pt"):
        found = load_checkpoint(f"{tmp_path / file}:ema").state
        assert {name: value - 1 for name, value in found.items()}.keys() == state.keys()
        assert torch.allclose(found["body.bias"], state["body.bias"] + 1)


@pytest.mark.parametrize(
    ("copy", "words"),
    [("emma", "no copy.*'emma'.*the file has state_dict, state_dict_ema"), ("state", "several copies of that name")],
)
def test_unknown_copy_is_refused_with_those_that_are_there(tmp_path, copy, words):
    state = net().state_dict()
    torch.save({"state_dict": state, "state_dict_ema": state}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(f"{tmp_path / 'net.pt'}:{copy}")
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(f"{tmp_path / 'other.pt'}:{copy}")


def test_compiled_parts_are_read_back(tmp_path):
    state = {name.replace(".", "._orig_mod.", 1): value for name, value in net().state_dict().items()}
    torch.save(state, tmp_path / "net.pt")
    load_into(net(), load_checkpoint(tmp_path / "net.pt"))


def test_copy_is_named_on_the_command_line_and_in_labels(tmp_path):
    options = small_options(tmp_path, images=60, tested=40)
    state = load_checkpoint(options.checkpoint).state
    torch.save({"state_dict": state, "state_dict_ema": state}, tmp_path / "both.pt")
    named = f"{tmp_path / 'both.pt'}:ema"
    assert checkpoint_label(options.replace(checkpoint=named)) == "both-ema"
    assert tmp_path / "both.pt" in files_of(dict(options) | {"checkpoint": named})
    given = {"data": options.data, "model": (SMALL["model"],), "checkpoint": (str(tmp_path / "both.pt"), named)}
    jobs = plan_jobs(CompareOptions(**given), tmp_path / "out")
    assert [job.options.label for job in jobs] == ["both", "both-ema"]
    assert jobs[1].options.checkpoint == named


# Folders of Hugging Face

transformers = pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base")
    config = transformers.BertConfig(
        vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(path)
    return path


def network(folder: Path) -> nn.Module:
    from analog_samson.models.huggingface import load_huggingface, parse_huggingface

    return load_huggingface(parse_huggingface(f"hf:{folder}"))


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
def test_folder_of_hugging_face_in_shards_is_read_and_a_missing_shard_named(base, tmp_path, safe):
    model = network(base)
    model.save_pretrained(tmp_path, max_shard_size="4KB", safe_serialization=safe)
    files = sorted(tmp_path.glob("*-of-*"))
    assert len(files) > 1
    assert same(network(tmp_path).state_dict(), model.state_dict())
    files[-1].unlink()
    with pytest.raises(CheckpointError, match=rf"{files[-1].name}: missing"):
        network(tmp_path)


@pytest.fixture
def adapter(base, tmp_path):
    """Adapters of a classifier with three labels on the base, whose head the base lacks."""
    peft = pytest.importorskip("peft", reason="peft is not installed")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
        config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"], init_lora_weights=False)
        made = peft.get_peft_model(model, config)
    made.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter", made.eval()


def test_adapters_are_loaded_on_their_base(adapter, base):
    from analog_samson import load_preset, plan_conversion
    from analog_samson.models.huggingface import parse_huggingface, weights_fingerprint

    folder, trained = adapter
    model, ids = network(folder), torch.tensor([[2, 3, 4]])
    assert type(model).__name__ == "BertForSequenceClassification"
    assert torch.allclose(model(ids).logits, trained(ids).logits, atol=1e-6)
    rows = plan_conversion(model, load_preset("ideal"), example={"input_ids": ids}).rows
    assert {row.action for row in rows if ".lora_" in row.path} == {"digital"}
    assert any(row.action == "analog" and row.path.endswith("query.base_layer") for row in rows)
    spec = parse_huggingface(f"hf:{folder}")
    before = weights_fingerprint(spec)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({name: value * 2 for name, value in weights.items()}, folder / "adapter_model.safetensors")
    assert weights_fingerprint(spec) != before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"base_model_name_or_path": "/no/such/base"}, "names /no/such/base, which is not there"),
        ({"base_model_name_or_path": None}, "names none"),
        ({"peft_type": "PROMPT_TUNING"}, "kind PROMPT_TUNING are not read.*merge_and_unload"),
        ({"peft_type": None}, "kind None"),
    ],
)
def test_adapters_without_base_or_of_another_kind_are_refused(adapter, change, words):
    folder, _ = adapter
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=words):
        network(folder)


def test_adapters_when_peft_is_missing_say_what_to_install(adapter, monkeypatch):
    folder, _ = adapter
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(AnalogSamsonError, match="pip install peft"):
        network(folder)
