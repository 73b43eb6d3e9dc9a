"""Damaged data, run folders, checkpoints, trainings and TOML files, made from whole ones."""

import json
import random
import sqlite3
from contextlib import closing, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from networks import seeded
from safetensors.torch import save
from small import SMALL, Small
from synthetic_error_budgets import synthetic_error_budget
from synthetic_runs import synthetic_run

from analog_samson.data import image_set, open_data
from analog_samson.data.held_out import find_held_out
from analog_samson.data.normalization import choose_normalization
from analog_samson.experiments.catalogue import load_experiment, networks_of
from analog_samson.experiments.cost import estimate_seconds
from analog_samson.experiments.plan import Overrides, plan_candidates, plan_cells, plan_pretrainings
from analog_samson.experiments.runner import check_training
from analog_samson.experiments.schema import NoNetworks
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.presets.search import read_preset
from analog_samson.report.command import make_report
from analog_samson.results.records import COLUMNS
from analog_samson.results.runfile import MARK, plain_options
from analog_samson.runtime.older_python import tomllib
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.stored_options import read_config
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions
from fuzz.judge import Attempts
from fuzz.mutations import ODD, damaged_bytes, damaged_tree, odd_tensors

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
        model = draw.choice((SMALL["model"], None))
        yield "safetensors", lambda model=model: use_checkpoint(file, model, f"npz:{folder / 'few.npz'}")


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
