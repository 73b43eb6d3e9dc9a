"""Nothing that a file names is run: code has to be named on the command line or in the user's own Python."""

import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from networks import seeded
from small import SMALL, Small

from analog_samson.cli.main import main
from analog_samson.errors import ModelError, OptionError, RunError
from analog_samson.experiments.catalogue import load_experiment
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_checkpoint, save_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.simulation.stored_options import read_config

EVIL = """
from pathlib import Path

Path("ran").touch()  # importing is enough


def build(num_classes=3, in_channels=1):
    from small import Small

    return Small(num_classes, in_channels)


def load(split):
    import numpy as np

    images = np.random.default_rng(split == "test").integers(0, 256, (30, 4, 4), dtype=np.uint8)
    return images, np.arange(30) % 3
"""
QUICK = ["--preset", "ideal", "--times", "1s", "--instances", "1", "--threads", "1"]
PLAIN = [*QUICK, "--sigmas", "none", "--no-html"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a module that leaves a file when it is imported, a checkpoint that names it, data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "evil.py").write_text(EVIL)
    save_checkpoint("evil.safetensors", seeded(Small), {"model": "evil:build"})
    save_checkpoint("good.safetensors", seeded(Small), SMALL)
    np.savez("data.npz", images=np.zeros((6, 4, 4), np.uint8), labels=np.arange(6) % 3)
    yield tmp_path
    sys.modules.pop("evil", None)


DATA = ["--data", "npz:data.npz"]
NAMED_BY_CHECKPOINT = {
    "simulate": ["simulate", "--checkpoint", "evil.safetensors", *DATA, *PLAIN],
    "compare": [
        "compare",
        *["--checkpoint", "a=evil.safetensors", "--checkpoint", "b=evil.safetensors"],
        *DATA,
        *QUICK,
    ],
    "sweep": ["sweep", "evil.safetensors", *DATA, *QUICK],
    "convert": ["convert", "--checkpoint", "evil.safetensors"],
    "sharpness": ["sharpness", "--checkpoint", "evil.safetensors", *DATA],
    "average": ["average", *["--checkpoint", "evil.safetensors"] * 2, *DATA],
    "train": ["train", "--from-checkpoint", "evil.safetensors", *DATA, "--epochs", "1"],
    "teacher": ["train", "--model", "digits_cnn", "--data", "digits", "--distill", "evil.safetensors", "--epochs", "1"],
}


@pytest.mark.parametrize("case", NAMED_BY_CHECKPOINT)
def test_code_that_a_checkpoint_names_is_not_imported(case, here, capsys):
    arguments = NAMED_BY_CHECKPOINT[case]
    out = [] if case in ("convert", "sharpness") else ["--out", "out"]
    assert main([*arguments, *out]) == 1
    said = capsys.readouterr().err
    assert "evil.safetensors: model: 'evil:build' is code" in said
    assert f"{'--distill-model' if case == 'teacher' else '--model'} evil:build" in said
    assert "Traceback" not in said
    assert not (here / "ran").exists()
    left = {path.name for path in (here / "out").rglob("*") if path.is_file()}
    assert left <= ({"failed.csv", "summary.csv", "sweep.sqlite", ".lock"} if case == "sweep" else set())


@pytest.mark.parametrize("name", ["os:abort", "http.server:test", "evil:build", " timm:resnet18", "zoo:x", "a:b:c"])
def test_only_networks_by_name_are_taken_from_a_checkpoint(name, here):
    save_checkpoint("other.safetensors", seeded(Small), {"model": name})
    with pytest.raises(ModelError, match="is code, and code that a file names is never run"):
        restore_model(load_checkpoint("other.safetensors"))
    assert not (here / "ran").exists()


@pytest.mark.parametrize(
    "name", ["torchvision:get_model", "torchvision:_api.get_model", "torchvision:resnet.ResNet", "timm:create_model"]
)
def test_libraries_give_networks_of_their_lists_alone(name):
    pytest.importorskip(name.partition(":")[0])
    with pytest.raises(ModelError, match="no such"):
        build_model(name)


def test_network_of_ones_own_is_trained_simulated_and_repeated_by_naming_it(here, capsys):
    own, data = ["--model", "evil:build"], ["--data", "evil:load"]
    train = ["train", *own, *data, "--epochs", "1", "--batch-size", "10", "--method", "sgd", "--threads", "1"]
    assert main([*train, "--out", "t"]) == 0
    checkpoint = ["--checkpoint", "t/checkpoint.safetensors"]
    assert main(["simulate", *checkpoint, *own, *data, *PLAIN, "--out", "run"]) == 0
    assert main(["simulate", *checkpoint, *own, *data, *PLAIN, "--out", "run"]) == 0
    assert main([*train, "--distill", checkpoint[1], "--out", "student"]) == 0, "the teacher is of the network named"
    again = ["simulate", "--config", "run/run.toml", "--no-html", "--out", "again"]
    sys.modules.pop("evil")
    (here / "ran").unlink()
    capsys.readouterr()
    for given, missing in (([], "--model evil:build --data evil:load"), (own, "--data evil:load")):
        assert main([*again, *given]) == 1
        assert f"if you trust that code, name it yourself: {missing}\n" in capsys.readouterr().err
        assert not (here / "ran").exists()
    assert main([*again, *own, *data]) == 0
    capsys.readouterr()
    assert main([*again, *own, *data, "--calibration-data", "npz:data.npz"]) == 1
    assert "--calibration-data npz:data.npz beside --config, whose run has none" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["model", "data", "calibration_data"])
def test_code_that_a_run_names_is_not_imported(option, here):
    good = ["--checkpoint", "good.safetensors", "--model", SMALL["model"]]
    assert main(["simulate", *good, *DATA, *PLAIN, "--out", "run"]) == 0
    lines = [line for line in Path("run/run.toml").read_text().splitlines() if not line.startswith(f"{option} =")]
    lines = [line.replace("small:Small", "digits_cnn") for line in lines]
    Path("theirs.toml").write_text("\n".join([*lines, f'{option} = "evil:build"']))
    with pytest.raises(
        RunError, match=rf"{option}: 'evil:build' is code(.|\n)*--{option.replace('_', '-')} evil:build"
    ):
        read_config(Path("theirs.toml"))
    assert main(["simulate", "--config", "theirs.toml", "--out", "again"]) == 1
    assert not (here / "ran").exists()


def test_code_that_an_experiment_names_is_not_imported_unless_the_user_names_it_too(here, capsys):
    text = (resources.files("analog_samson.experiments") / "fig2.toml").read_text()
    text = text.replace('network = "digits_cnn"', 'network = "evil:build"')
    assert "evil:build" in text
    Path("theirs.toml").write_text(text)
    assert main(["reproduce", "theirs.toml", "--only", "digits", "--out", "out"]) == 1
    said = capsys.readouterr().err
    assert "network: 'evil:build' is code" in said
    assert "--trust evil:build" in said
    assert not (here / "ran").exists()
    assert not (here / "out").exists()
    load_experiment("theirs.toml", trusted=["evil:build"])
    with pytest.raises(OptionError, match="'evil:build' is code"):
        load_experiment("theirs.toml", trusted=["evil:other"])
