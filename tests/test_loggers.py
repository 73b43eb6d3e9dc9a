"""The loggers of docs/examples/loggers.py with the real libraries: what was logged is what can be read back."""

import json
import runpy
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

LOGGERS = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "examples" / "loggers.py"))["LOGGERS"]
MARKED = [
    ("train_loss", "update", 1, 2.5),
    ("train_loss", "update", 2, 1.25),
    ("chips_x", "age_seconds", 31536000, 91.0),
]


def log_into(name: str, folder: Path) -> None:
    with LOGGERS[name](folder) as log:
        for number, axis, at, value in MARKED:
            log({number: value}, axis, at)


def records_of(stored: bytes) -> Iterator[bytes]:
    """The records of a short file of W&B: a header of 7 bytes; before each record its checksum, length and kind."""
    at = 7
    while at < len(stored):
        _, length, kind = struct.unpack_from("<IHB", stored, at)
        assert kind == 1, "a record in one piece"
        yield stored[at + 7 : at + 7 + length]
        at += 7 + length


# The libraries import a great deal, not all of which is free of warnings.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_tensorboard_holds_what_was_logged(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log_into("tensorboard", tmp_path)
    read = EventAccumulator(str(tmp_path)).Reload()
    stored = {name: [(one.step, one.value) for one in read.Scalars(name)] for name in read.Tags()["scalars"]}
    assert stored == {"train_loss": [(1, 2.5), (2, 1.25)], "chips_x": [(31536000, 91.0)]}


def test_mlflow_holds_what_was_logged(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.chdir(tmp_path)
    log_into("mlflow", tmp_path)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(["0"])
    history = client.get_metric_history(run.info.run_id, "train_loss")
    assert sorted((one.step, one.value) for one in history) == [(1, 2.5), (2, 1.25)]
    assert run.data.metrics["chips_x"] == 91.0


def test_weights_and_biases_holds_what_was_logged_offline(tmp_path):
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    from wandb.proto.wandb_internal_pb2 import Record

    log_into("wandb", tmp_path)
    wandb.teardown()  # its process writes the file
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    rows = [Record.FromString(packed).history.item for packed in records_of(file.read_bytes())]
    read = [{one.key or one.nested_key[0]: json.loads(one.value_json) for one in row} for row in rows if row]
    wanted = [{number: value, axis: at} for number, axis, at, value in MARKED]
    found = [{name: row.get(name) for name in want} for row, want in zip(read, wanted, strict=True)]
    assert found == wanted
