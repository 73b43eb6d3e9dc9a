"""Damaged files of every format are read, or refused with one message: never a traceback of somebody's parser."""

import math
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from fuzz.files import FEW, change_database
from fuzz.guard import ran
from fuzz.judge import judge
from fuzz.kinds import KINDS
from networks import seeded
from small import SMALL, Small
from synthetic_runs import synthetic_run

from analog_samson.data import image_set, open_data
from analog_samson.errors import CheckpointError, DataError, OptionError, PresetError, RunError
from analog_samson.experiments.catalogue import load_experiment
from analog_samson.models.checkpoint import load_checkpoint, save_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.presets.search import read_preset
from analog_samson.results.runfile import MARK
from analog_samson.results.store import RunFolder, open_run
from analog_samson.runtime.older_python import tomllib
from analog_samson.simulation.stored_options import read_config
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions

HERE = Path(__file__).parent
FEW_CASES = 40  # of each kind; `make fuzz` tries thousands


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_input_is_read_or_refused(kind, tmp_path):
    found = judge(KINDS[kind](tmp_path, 1 if kind == "pages" else FEW_CASES))
    assert not found.failures
    assert found.refused or kind == "pages"  # whose names are shown, whatever they are
    assert found.cases
    assert not ran


def test_harness_sees_errors_that_are_no_message_and_cases_that_do_not_end():
    def hang() -> None:
        while True:
            pass

    cases = [("a", lambda: int("x")), ("b", lambda: 1), ("c", hang)]
    found = judge(cases, seconds=0.05)
    assert (found.read, found.refused, found.failures.total()) == (1, 0, 2)


def test_guard_sees_programs_and_files_outside_its_folder(tmp_path):
    code = (
        "import os, pathlib, sys; from fuzz.guard import Guard; guard = Guard(pathlib.Path('inside').absolute()); "
        "open('inside/a', 'w').close(); assert not guard.seen; open('outside', 'w').close(); os.system('true'); "
        "assert len(guard.seen) == 2, guard.seen"
    )
    (tmp_path / "inside").mkdir()
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths}, check=True)


@pytest.mark.parametrize(
    ("name", "read", "kind"),
    [
        ("x.toml", read_preset, PresetError),
        ("x.toml", load_experiment, OptionError),
        ("x.toml", read_config, RunError),
    ],
)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"x = {'[' * 20_000}", "inside each other"),
        (f"x = {'9' * 10_000}", "digits"),
        (f"x{'.x' * 200} = 1", "each other"),
    ],
)
def test_hostile_toml_names_file_and_reason(name, read, kind, text, words, tmp_path):
    (tmp_path / name).write_text(f"{MARK}\n{text}\n")
    with pytest.raises(kind, match=words) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_experiment_method_without_its_method_is_named(tmp_path):
    text = (resources.files("analog_samson.experiments") / "table1.toml").read_text("utf-8")
    tree = tomllib.loads(text)
    del tree["networks"]["methods"][0]["options"]["method"]
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(tree))
    with pytest.raises(OptionError, match=r"networks\.methods\[0\]\.options\.method: missing"):
        load_experiment(tmp_path / "mine.toml")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("num_classes", "ten", "num_classes: expected a valid integer, got 'ten'"),
        ("model", ["resnet20"], r"model: expected a valid string, got \['resnet20'\]"),
        ("held_out", {"share": 0.1}, "held_out.images: missing"),
        ("normalization", {"mean": [], "std": [1.0]}, "normalization.mean: "),
    ],
)
def test_checkpoint_metadata_of_the_wrong_kind_is_named(key, value, told, tmp_path):
    save_checkpoint(tmp_path / "net.safetensors", seeded(Small), SMALL | {key: value})
    with pytest.raises(CheckpointError, match=told) as caught:
        load_checkpoint(tmp_path / "net.safetensors")
    assert str(tmp_path / "net.safetensors") in str(caught.value)


@pytest.mark.parametrize("odd", ["empty", "sparse", "quantized", "complex64"])
def test_tensor_that_holds_no_dense_floats_is_refused(odd, tmp_path):
    state = dict(seeded(Small).state_dict())
    weight = state["head.weight"]
    state["head.weight"] = {
        "empty": lambda: weight.to("meta"),
        "sparse": weight.to_sparse,
        "quantized": lambda: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        "complex64": lambda: weight.to(torch.complex64),
    }[odd]()
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"kind: head\.weight is "):
        restore_model(load_checkpoint(tmp_path / "net.pt"), SMALL["model"])


def test_record_of_another_kind_is_named(tmp_path):
    run = synthetic_run(tmp_path / "run", instances=2)
    change_database(run / "results.sqlite", "UPDATE record SET value = ? WHERE rowid = 3", "nothing")
    with open_run(run) as opened, pytest.raises(RunError, match="value 'nothing'") as caught:
        opened.records()
    assert "results.sqlite" in str(caught.value)


def test_meta_of_another_kind_names_key_and_file(tmp_path):
    with RunFolder.create(tmp_path, {}) as run:
        run.set_meta("data", {"count": "many"})
        run.set_meta("seed", math.nan)
        with pytest.raises(RunError, match=r"data\.count: expected a valid integer, got 'many'") as caught:
            run.meta("data")
        assert "results.sqlite" in str(caught.value)
        with pytest.raises(RunError, match="seed: expected a valid integer"):
            run.meta("seed")


def test_state_of_another_shape_is_not_taken_up(tmp_path):
    images = image_set(**FEW, name="few", where="few")
    options = TrainOptions(seed=0, epochs=1, batch_size=6)
    fit(seeded(Small), images, images, options, folder=tmp_path)
    file = tmp_path / "resume.pt"
    state = torch.load(file, weights_only=True)
    for change, told in (
        (lambda s: s["model"].update({"head.weight": torch.ones(3, 65)}), "expected float32 3x64, got float32 3x65"),
        (lambda s: s["optimizer"]["state"][0].update(momentum_buffer=torch.ones(5)), "optimizer: momentum_buffer"),
        (lambda s: s.update(history=[]), "history: "),
    ):
        changed = torch.load(file, weights_only=True)
        change(changed)
        torch.save(changed, file)
        with pytest.raises(RunError, match=told) as caught:
            fit(seeded(Small), images, images, options, folder=tmp_path)
        assert str(file) in str(caught.value)
        torch.save(state, file)


def test_one_changed_bit_of_a_stored_weight_is_noticed(tmp_path):
    images = image_set(**FEW, name="few", where="few")
    options = TrainOptions(seed=0, epochs=1, batch_size=6)
    fit(seeded(Small), images, images, options, folder=tmp_path)
    content = bytearray((tmp_path / "resume.pt").read_bytes())
    buffer = torch.load(tmp_path / "resume.pt", weights_only=True)["optimizer"]["state"][0]["momentum_buffer"]
    at = content.find(buffer.numpy().tobytes())
    assert at > 0
    content[at] ^= 1
    (tmp_path / "resume.pt").write_bytes(content)
    with pytest.raises(RunError, match="damaged"):
        fit(seeded(Small), images, images, options, folder=tmp_path)


def test_npz_with_a_broken_array_names_the_file(tmp_path):
    np.savez(tmp_path / "data.npz", **FEW)
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[200] ^= 0xFF
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"data\.npz: cannot be read"):
        open_data(f"npz:{tmp_path / 'data.npz'}", "test")
