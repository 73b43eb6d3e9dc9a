"""Damaged files of every format are read, or refused with one message: never a traceback of somebody's parser."""

import json
import math
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from mutations import ODD, damaged_bytes, damaged_tree, failures, odd_tensors
from networks import seeded
from safetensors.torch import save
from small import SMALL, Small
from synthetic_error_budgets import synthetic_error_budget
from synthetic_runs import synthetic_run

from analog_samson.data import image_set, open_data
from analog_samson.data.held_out import find_held_out
from analog_samson.data.normalization import choose_normalization
from analog_samson.errors import CheckpointError, DataError, OptionError, PresetError, RunError
from analog_samson.experiments.catalogue import load_experiment, networks_of
from analog_samson.experiments.cost import estimate_seconds
from analog_samson.experiments.plan import Overrides, plan_candidates, plan_cells, plan_pretrainings
from analog_samson.experiments.runner import check_training
from analog_samson.experiments.schema import NoNetworks
from analog_samson.models.checkpoint import load_checkpoint, save_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.presets.search import read_preset
from analog_samson.report.command import make_report
from analog_samson.results.records import COLUMNS
from analog_samson.results.runfile import MARK, plain_options
from analog_samson.results.store import RunFolder, open_run
from analog_samson.runtime.older_python import tomllib
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.stored_options import read_config
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions

Attempts = Iterator[tuple[str, Callable[[], object]]]
QUICK, MANY = 40, 3000  # damaged files of one kind, in the fast suite and under the mark `slow`
EXPERIMENTS = ("table1", "table2", "fig4", "fig9")
ODD_VALUES = (None, -1, 2**62, 1e308, "", "x", b"\xff\x00", -0.5, "nan", 0, 1.5, "drift", "gaussian", "loss")
FEW = {"images": np.zeros((6, 4, 4), np.uint8), "labels": np.arange(6) % 3}


def npz_attempts(folder: Path, count: int) -> Attempts:
    draw, file, originals = random.Random(1), folder / "data.npz", []
    for write in (np.savez, np.savez_compressed):
        write(file, **FEW, num_classes=np.array(3))
        originals.append(file.read_bytes())
    for _ in range(count):
        file.write_bytes(damaged_bytes(draw.choice(originals), draw))
        yield "npz", lambda: open_data(f"npz:{file}", "test")


def record_attempts(folder: Path, count: int) -> Attempts:
    draw, run = random.Random(2), synthetic_run(folder / "run", instances=2)
    file = run / "results.sqlite"
    whole = file.read_bytes()
    for turn in range(count):
        file.write_bytes(whole if turn % 2 else damaged_bytes(whole, draw))
        for _ in range(draw.randint(1, 3) if turn % 2 else 0):
            change = f"UPDATE OR IGNORE record SET {draw.choice(COLUMNS)} = ? WHERE rowid = ?"
            with suppress(sqlite3.IntegrityError):
                change_database(file, change, draw.choice(ODD_VALUES), draw.randint(1, 40))
        yield "records", lambda turn=turn: report(run, turn)


def meta_attempts(folder: Path, count: int) -> Attempts:
    draw, run = random.Random(3), synthetic_run(folder / "run", instances=2)
    synthetic_error_budget(run, instances=2)
    whole = {file: file.read_bytes() for file in (run / "results.sqlite", run / "error_budget" / "results.sqlite")}
    for turn in range(count):
        for file, content in whole.items():
            file.write_bytes(content)
        file = draw.choice([*whole, run / "results.sqlite"])
        with closing(sqlite3.connect(file)) as database:
            key, text = draw.choice(database.execute("SELECT key, value FROM meta").fetchall())
        value = json.dumps(damaged_tree(json.loads(text), draw))
        value = value if draw.random() < 0.9 else damaged_bytes(text.encode(), draw)
        change_database(file, "UPDATE meta SET value = ? WHERE key = ?", value, key)
        yield f"meta {key}", lambda turn=turn: report(run, turn)


def safetensors_attempts(folder: Path, count: int) -> Attempts:
    draw, file, state = random.Random(4), folder / "net.safetensors", dict(seeded(Small).state_dict())
    np.savez(folder / "few.npz", **FEW)
    metadata: dict[str, Any] = {
        **(SMALL | {"schema": 1, "versions": {"torch": "2"}, "num_classes": 3, "in_channels": 1}),
        **{"normalization": {"name": "", "mean": [0.5], "std": [0.5]}, "held_out": {"share": 0.2, "images": 6}},
        **{"data_fingerprint": "ab", "training": {"method": "sgd"}, "data": "npz:x", "epochs": 1},
    }
    for turn in range(count):
        content = save(state, {"analog_samson": json.dumps(damaged_tree(metadata, draw) if turn % 3 else metadata)})
        file.write_bytes(content if turn % 3 else damaged_bytes(content[:1500], draw) + content[1500:])
        yield "safetensors", lambda: use_checkpoint(file, None, f"npz:{folder / 'few.npz'}")


def torch_attempts(folder: Path, count: int) -> Attempts:
    draw, file, state = random.Random(5), folder / "net.pt", dict(seeded(Small).state_dict())
    torch.save({"model": state, "epoch": 3}, file)
    content = file.read_bytes()
    for turn in range(count):
        if turn % 2:
            file.write_bytes(damaged_bytes(content, draw))
        else:
            torch.save({"model": damaged_tree(state, draw, odd_tensors()), "epoch": 3}, file)
        yield "pt", lambda: use_checkpoint(file, SMALL["model"], "npz:few.npz")


def resume_attempts(folder: Path, count: int) -> Attempts:
    draw, file = random.Random(6), folder / "resume.pt"
    images = image_set(**FEW, name="few", where="few")
    options = TrainOptions(seed=0, epochs=2, batch_size=6, ema_decay=0.9)

    def train() -> None:
        fit(seeded(Small), images, images, options, folder=folder)

    train()
    state = torch.load(file, weights_only=True)
    state["history"] = state["history"][:1]  # so that an epoch is left to be trained
    content = file.read_bytes()
    for turn in range(count):
        if turn % 2:
            file.write_bytes(damaged_bytes(content, draw))
        else:
            torch.save(damaged_tree(state, draw, [*odd_tensors(), None, 1, "x", [], {}]), file)
        yield "resume.pt", train


def toml_attempts(folder: Path, count: int) -> Attempts:
    draw = random.Random(7)
    options = SimulateOptions(
        checkpoint="a", data="b", preset="ideal", times=(1.0,), sigmas=(0.1,), keep_digital=("x",)
    )
    packaged = {name: ("analog_samson.experiments", use_experiment) for name in EXPERIMENTS}
    packaged["pcm_rasch_2023"] = ("analog_samson.hw_presets", read_preset)
    files = [(folder / f"{name}.toml", read) for name, (_, read) in packaged.items()]
    texts = [(resources.files(room) / f"{name}.toml").read_text("utf-8") for name, (room, _) in packaged.items()]
    files.append((folder / "options.toml", read_config))
    texts.append(f"{MARK}\n" + tomli_w.dumps(plain_options(dict(options))))
    odd = [value for value in ODD if value is not None and value not in ([None], {"": None}, "\ud800")]
    for turn in range(count):
        (file, read), text = draw.choice(list(zip(files, texts, strict=True)))
        hostile = f"{MARK}\nx = {'[' * 20000}", f"{MARK}\nx = {'9' * 10000}", f"{MARK}\nx{'.x' * 3000} = 1"
        content = draw.choice([damaged_bytes(text.encode(), draw), *(each.encode() for each in hostile)])
        tree = damaged_tree(tomllib.loads(text), draw, odd)
        if turn % 3 and isinstance(tree, dict):
            content = (f"{MARK}\n" + tomli_w.dumps(tree)).encode()
        file.write_bytes(content)
        yield file.name, lambda file=file, read=read: read(file)


def change_database(file: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(statement, values)


def report(run: Path, turn: int) -> None:
    make_report([run], ("text", "csv", "json", "md", "tex")[turn % 5], out=None, html=False, say=print)


def use_checkpoint(file: Path, model: str | None, data: str) -> None:
    """All that a command reads in a checkpoint before it computes."""
    checkpoint = load_checkpoint(file)
    find_held_out(data, checkpoint.metadata)
    choose_normalization(metadata=checkpoint.metadata, data_spec=data, channels=1)
    restore_model(checkpoint, model)


def use_experiment(file: Path) -> None:
    """All that `reproduce` does before it trains."""
    experiment = load_experiment(file)
    if isinstance(experiment.networks, NoNetworks):
        return
    networks = networks_of(experiment)
    for name in networks.own.scales:
        scale = networks.scale(name)
        cells = [*plan_pretrainings(networks, scale, Overrides()), *plan_candidates(networks, scale, Overrides())]
        cells += plan_cells(networks, scale, Overrides(), {})
        check_training([cell for cell in cells if cell.training])
        estimate_seconds(cells, scale, experiment.shows, None, networks.own.tuning)


FORMATS = [
    *(npz_attempts, record_attempts, meta_attempts, safetensors_attempts, torch_attempts, resume_attempts),
    toml_attempts,
]


@pytest.mark.parametrize("count", [QUICK, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("attempts", FORMATS)
def test_damaged_file_is_read_or_refused(attempts, count, tmp_path):
    assert not failures(attempts(tmp_path, count))


def test_harness_sees_an_error_that_is_no_message():
    assert failures([("a file", lambda: int("x")), ("a file", lambda: 1)]).total() == 1


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
