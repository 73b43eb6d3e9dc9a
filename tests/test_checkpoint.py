"""Checkpoints: round trips, files from elsewhere, and files that must be refused."""

import logging
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Stateful
from torch import nn

from analog_samson.cli.main import main
from analog_samson.errors import AnalogSamsonError, CheckpointError, ModelError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import Checkpoint, load_checkpoint, load_into, save_checkpoint
from analog_samson.runtime.state_check import check_storable


def net() -> nn.Module:
    return nn.Sequential(
        OrderedDict(conv=nn.Conv2d(1, 4, 3), norm=nn.BatchNorm2d(4), flat=nn.Flatten(), head=nn.Linear(4, 3))
    )


def message(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    return str(caught.value)


def fit_message(model: nn.Module, state: dict) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_into(model, Checkpoint(Path("net.pt"), state, {}, ""))
    return str(caught.value)


def test_own_file_returns_weights_and_metadata(tmp_path):
    model, path = net(), tmp_path / "new" / "net.safetensors"
    normalization = {"mean": [0.5], "std": [0.25]}
    save_checkpoint(path, model, {"model": "net", "accuracy_percent": 91.5, "normalization": normalization})
    checkpoint = load_checkpoint(path)
    assert checkpoint.metadata["model"] == "net"
    assert checkpoint.metadata["accuracy_percent"] == 91.5
    assert checkpoint.metadata["normalization"] == normalization
    assert checkpoint.metadata["versions"]["torch"] == torch.__version__
    other = net()
    load_into(other, checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


def test_equal_content_gives_equal_bytes_and_hash(tmp_path):
    model = net()
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, model, {"model": "net", "epochs": 3, "data": "digits"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert load_checkpoint(tmp_path / "a").sha256 == load_checkpoint(tmp_path / "b").sha256
    with torch.no_grad():
        model.head.bias[0] += 1
    save_checkpoint(tmp_path / "b", model, {"model": "net", "epochs": 3, "data": "digits"})
    assert load_checkpoint(tmp_path / "a").sha256 != load_checkpoint(tmp_path / "b").sha256


@settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(1, 4), max_size=4), min_size=1, max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.bool]),
)
def test_any_tensors_survive_a_round_trip(tmp_path_factory, shapes, dtype):
    state = {f"t{i}": torch.randint(0, 2, shape).to(dtype) for i, shape in enumerate(shapes)}
    path = tmp_path_factory.mktemp("states") / "state"
    save_checkpoint(path, state, {})
    loaded = load_checkpoint(path).state
    assert set(loaded) == set(state)
    assert all(torch.equal(loaded[name], state[name]) and loaded[name].dtype == dtype for name in state)


def test_tied_and_strided_weights_are_written_whole(tmp_path):
    shared = torch.arange(12.0).reshape(3, 4)
    save_checkpoint(tmp_path / "t", {"a": shared, "b": shared, "c": shared.t()}, {})
    state = load_checkpoint(tmp_path / "t").state
    assert torch.equal(state["a"], shared)
    assert torch.equal(state["b"], shared)
    assert torch.equal(state["c"], shared.t())


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, net(), {"epochs": 1})
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AnalogSamsonError, match=r"net\.safetensors: cannot be written \(No space left on device\)"):
        save_checkpoint(path, net(), {"epochs": 2})
    assert path.read_bytes() == before
    assert [child.name for child in tmp_path.iterdir()] == ["net.safetensors"]


def test_impossible_folder_is_explained(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AnalogSamsonError, match="cannot be made"):
        save_checkpoint(tmp_path / "file" / "net.safetensors", net(), {})


@pytest.mark.parametrize("nesting", ["", "state_dict", "model_state_dict", "model", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("legacy", [False, True])
def test_foreign_forms_load_key_for_key(tmp_path, nesting, prefix, legacy):
    model, path = net(), tmp_path / "net.th"
    state = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    content = {nesting: state, "epoch": 7, "best_prec1": 91.5, "optimizer": {"lr": 0.1}} if nesting else state
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    checkpoint = load_checkpoint(path)
    assert list(checkpoint.state) == list(model.state_dict())
    assert checkpoint.metadata == ({"foreign": {"epoch": 7, "best_prec1": 91.5}} if nesting else {})
    load_into(net(), checkpoint)


class Wrapped(nn.Module):
    """A network that calls its only part as DataParallel does."""

    def __init__(self) -> None:
        super().__init__()
        self.module = net()


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
@pytest.mark.parametrize("own", [True, False])
def test_part_that_is_called_as_a_wrapper_does_is_read_back(tmp_path, prefix, own):
    model, path = Wrapped(), tmp_path / "net.pt"
    state = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    save_checkpoint(path, state, {}) if own else torch.save(state, path)
    other = Wrapped()
    load_into(other, load_checkpoint(path))
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
def test_pickle_with_code_is_refused_and_not_executed(tmp_path, legacy):
    path, mark = tmp_path / "bomb.pth", tmp_path / "executed"
    torch.save({"state_dict": net().state_dict(), "args": Bomb(mark)}, path, _use_new_zipfile_serialization=not legacy)
    text = message(path)
    assert not mark.exists()
    assert text.startswith(f"{path}: refused, nothing in it was executed")
    assert "mkdir" in text
    assert "torch.save(model.state_dict(), 'weights.pt')" in text


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bare_pickle_with_code_is_refused_and_not_executed(tmp_path, protocol):
    path, mark = tmp_path / "bomb.pt", tmp_path / "executed"
    path.write_bytes(pickle.dumps(Bomb(mark), protocol=protocol))
    text = message(path)
    assert f"{path}: refused" in text
    assert f"asks for {os.mkdir.__module__}.mkdir" in text
    assert not mark.exists()


def test_whole_pickled_module_is_refused_with_its_class(tmp_path):
    torch.save(net(), tmp_path / "net.pt")
    text = message(tmp_path / "net.pt")
    assert "refused" in text
    assert "torch.nn.modules" in text


def test_scripted_archive_is_refused(tmp_path):
    path = tmp_path / "scripted.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("scripted/data.pkl", b"\x80\x02}.")
        archive.writestr("scripted/constants.pkl", b"\x80\x02).")
        archive.writestr("scripted/code/__torch__.py", b"op_version_set = 1\n")
    assert f"{path}: " in message(path)


def truncated(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_checkpoint(path, net(), {})
    else:
        torch.save(net().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    return path


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pt"])
def test_truncated_file_is_called_damaged(tmp_path, name):
    assert "damaged" in message(truncated(tmp_path, name))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the file is empty; copy or download it again"),
        (b"hello, I am a text file", "not a checkpoint (its first bytes are b'hello, I')"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a checkpoint"),
        (b"\x80" + bytes(range(200)), "damaged or not a checkpoint"),
        (b"\x80\x04", "damaged or not a checkpoint"),
        (b"PK\x03\x04" + bytes(100), "damaged or not a checkpoint"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "damaged safetensors file"),
    ],
)
def test_file_that_is_no_checkpoint_is_explained(tmp_path, content, expected):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    text = message(path)
    assert text.startswith(f"{path}: ")
    assert expected in text


def test_missing_file_and_folder_are_explained(tmp_path):
    assert "no such file; expected a .safetensors" in message(tmp_path / "none.pt")
    assert f"{tmp_path}: is a folder, not a checkpoint; expected" in message(tmp_path)
    save_checkpoint(tmp_path / "checkpoint.safetensors", net(), {})
    assert f"did you mean {tmp_path / 'checkpoint.safetensors'}?" in message(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([1, 2], "holds a list, not a mapping of weights"),
        ({"epoch": 3, "loss": 0.1}, "no weights found (keys: epoch, loss)"),
        ({}, "no weights found (keys: none)"),
        ({"a": torch.zeros(2), "rate": 0.1}, "entries that are no tensors: rate (float)"),
        ({"a": torch.zeros(2), "b._packed_params.dtype": torch.qint8}, "quantised by torch.ao; load the float"),
        ({"state_dict": {"a": torch.zeros(2), "b": "x"}}, "entries under 'state_dict' that are no tensors: b (str)"),
    ],
)
def test_pickle_without_weights_is_explained(tmp_path, content, expected):
    torch.save(content, tmp_path / "x.pt")
    assert expected in message(tmp_path / "x.pt")


def test_other_schema_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("analog_samson.models.checkpoint.SCHEMA", 99)
    save_checkpoint(tmp_path / "new", net(), {})
    monkeypatch.undo()
    assert "metadata of schema 99, this version reads schema 1" in message(tmp_path / "new")


def test_safetensors_from_elsewhere_has_no_metadata(tmp_path):
    from safetensors.torch import save_file

    save_file(net().state_dict(), tmp_path / "hub.safetensors", {"format": "pt"})
    checkpoint = load_checkpoint(tmp_path / "hub.safetensors")
    assert checkpoint.metadata == {}
    load_into(net(), checkpoint)


def test_all_faults_of_keys_and_values_are_reported_at_once_and_nothing_is_loaded():
    model = net()
    state = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    state["conv1.weight"] = state.pop("conv.weight")
    del state["norm.bias"], state["norm.num_batches_tracked"]
    state["norm.weight"] = torch.zeros(5)
    state["conv.bias"][1:3] = torch.tensor([float("nan"), float("inf")])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert fit_message(model, state).splitlines() == [
        "net.pt: does not fit the model",
        "  missing: conv.weight 4x1x3x3; the file has 'conv1.weight'",
        "  missing: norm.bias 4",
        "  extra: conv1.weight 4x1x3x3 is not in the model",
        "  shape: norm.weight is 5 in the file, 4 in the model",
        "  not finite: conv.bias holds 1 NaN and 1 Inf among 4 values",
    ]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda weight: weight.to(torch.int8), "int8"),
        (lambda weight: weight.to(torch.complex64), "complex64"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "qint8"),
        (lambda weight: weight.to_sparse(), "sparse float32"),
    ],
)
def test_weights_that_are_no_dense_floats_are_refused(change, kind):
    state = net().state_dict()
    state["conv.weight"] = change(state["conv.weight"])
    assert fit_message(net(), state).splitlines()[1:] == [
        f"  kind: conv.weight is {kind} in the file, dense float32 in the model; save it as dense floats"
    ]


def masked(mask: torch.Tensor) -> nn.Module:
    model = net()
    model.register_buffer("mask", mask)
    return model


@pytest.mark.parametrize("cast", [torch.float32, torch.float16])
@pytest.mark.parametrize("value", [float("-inf"), float("nan")])
def test_buffer_that_the_network_was_built_with_need_not_be_finite(tmp_path, value, cast):
    mask = torch.full((3, 3), value).triu(1) + 0.1
    save_checkpoint(tmp_path / "net.safetensors", masked(mask).to(cast), {})
    load_into(masked(mask), load_checkpoint(tmp_path / "net.safetensors"))


@pytest.mark.parametrize("mask", [torch.zeros(3), torch.tensor([0.0, float("inf"), float("inf")]), torch.ones(2)])
def test_other_buffer_has_to_be_finite(mask):
    state = masked(torch.tensor([0.0, float("inf"), 1.0])).state_dict()
    assert "not finite: mask holds 0 NaN and 1 Inf among 3 values" in fit_message(masked(mask), state)


def test_buffer_that_became_infinite_in_half_precision_is_refused():
    state = masked(torch.full((2,), -1e9)).half().state_dict()
    assert "not finite: mask holds 0 NaN and 2 Inf" in fit_message(masked(torch.full((2,), -1e9)), state)


def test_parameter_has_to_be_finite_even_if_the_network_has_the_same():
    model = net()
    nn.init.constant_(model.conv.bias, float("inf"))
    assert "not finite: conv.bias holds 0 NaN and 4 Inf" in fit_message(model, model.state_dict())


def test_network_that_no_checkpoint_can_fill_is_told_alone():
    model = nn.Sequential(nn.LazyLinear(2), Stateful())
    assert fit_message(model, net().state_dict()).splitlines() == [
        "net.pt: does not fit the model",
        "  0.weight: a lazy layer whose weights are not made yet; run one batch through the network where it is built",
        "  0.bias: a lazy layer whose weights are not made yet; run one batch through the network where it is built",
        "  1._extra_state: a dict of get_extra_state, which checkpoints do not store; expected tensors alone: keep it "
        "in a buffer, or return a tensor",
    ]
    with pytest.raises(ModelError, match="network Sequential: 3 problems"):
        check_storable(model)


def test_half_precision_weights_fit():
    model = net()
    load_into(model, Checkpoint(Path("half.pt"), {n: t.half() for n, t in net().state_dict().items()}, {}, ""))
    assert model.conv.weight.dtype == torch.float32


def test_class_count_that_disagrees_with_the_head_is_explained():
    state = build_model("digits_cnn", num_classes=100).state_dict()
    text = fit_message(build_model("digits_cnn"), state)
    assert "shape: head.weight is 100x128 in the file, 10x128 in the model" in text
    assert "the head 'head' of the file tells 100 classes apart, that of the model 10" in text


def test_another_network_altogether_is_summarised():
    text = fit_message(build_model("digits_cnn"), build_model("resnet110").state_dict())
    assert len(text.splitlines()) < 100
    assert "more of this kind" in text


def test_missing_batch_counts_are_accepted():
    model = net()
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    load_into(net(), Checkpoint(Path("old.pt"), state, {}, ""))


@pytest.mark.parametrize(
    ("file", "model"),
    [
        ("resnet20-12fca82f.th", "resnet20"),
        ("resnet32-d509ac18.th", "resnet32"),
        ("mlperf_tiny_resnet8.pt", "resnet8_mlperf"),
    ],
)
def test_real_checkpoint_loads_key_for_key(shared, file, model):
    checkpoint = load_checkpoint(shared / "checkpoints" / file)
    built = build_model(model)
    assert set(checkpoint.state) >= {n for n in built.state_dict() if not n.endswith("num_batches_tracked")}
    load_into(built, checkpoint)
    assert all(torch.equal(built.state_dict()[name], tensor) for name, tensor in checkpoint.state.items())


def test_real_checkpoint_in_the_wrong_network_is_refused(shared):
    checkpoint = load_checkpoint(shared / "checkpoints" / "resnet20-12fca82f.th")
    with pytest.raises(CheckpointError, match=r"missing: layer1\.3\.conv1\.weight 16x16x3x3"):
        load_into(build_model("resnet32"), checkpoint)


@pytest.mark.parametrize("prefix", ["model.", "net.", "model._orig_mod.", "module.encoder.", "odd."])
def test_prefix_that_all_names_share_is_removed_and_noted(tmp_path, caplog, prefix):
    model, path = net(), tmp_path / "lightning.pt"
    torch.save({prefix + name: tensor for name, tensor in model.state_dict().items()}, path)
    other = net()
    with caplog.at_level(logging.INFO):
        load_into(other, load_checkpoint(path))
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))
    noted = " ".join(caplog.messages)
    assert str(path) in noted
    assert all(repr(part) in noted for part in ([prefix] if not prefix.startswith("module.") else ["module."]))


def test_prefix_that_some_names_lack_or_the_network_has_too_stays():
    model = net()
    state = {f"model.{name}": tensor for name, tensor in model.state_dict().items()} | {"loss.weight": torch.ones(2)}
    assert "begin with" not in fit_message(net(), state)
    state = {f"body.{name}": torch.zeros(9) for name in model.state_dict()}
    assert "begin with" not in fit_message(nn.ModuleDict({"body": net()}), state)


def test_prefix_is_named_first_where_the_rest_does_not_fit_either():
    state = {f"model.{name}": tensor for name, tensor in net().state_dict().items()}
    state["model.head.weight"] = torch.zeros(7, 7)
    first, second, *others = fit_message(net(), state).splitlines()[0:4]
    assert first == "net.pt: does not fit the model"
    assert "all names of weights begin with 'model.'" in second
    assert "head.weight" in others[0]
    text = fit_message(build_model("digits_cnn"), {f"model.{n}": t for n, t in net().state_dict().items()})
    assert "begin with 'model.'" in text.splitlines()[1]


def test_command_notes_the_prefix_in_one_line(tmp_path, capsys):
    path = tmp_path / "lightning.pt"
    torch.save({f"model.{name}": tensor for name, tensor in build_model("digits_cnn").state_dict().items()}, path)
    assert main(["convert", "--model", "digits_cnn", "--checkpoint", str(path)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: {path}: ")
    assert "'model.'" in line
