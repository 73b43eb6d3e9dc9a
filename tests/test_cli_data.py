"""Data of every kind through the command line: batches of the user's own, recordings, segmented images."""

from collections import namedtuple

import pytest
import torch
from helpers.samples import write_segmented, write_wave
from torch import Tensor, nn

from analog_samson.cli.main import main
from analog_samson.data.arrays import load_callable
from analog_samson.data.sources import open_data
from analog_samson.errors import DataError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.results.store import open_run

Pair = namedtuple("Pair", ["x", "labels"])


class Tokens(nn.Module):
    """Token ids (N, T) -> logits (N, T, 7) for every token, or of all together (N, 3)."""

    def __init__(self, outputs: int = 7) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(7, 6), nn.Linear(6, outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> dict[str, Tensor]:
        x = self.table(input_ids)
        return {"logits": self.head(x if self.head.out_features == 7 else x.mean(1))}


class Classes(Tokens):
    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)["logits"]


class Waves(nn.Module):
    """Recordings (N, 100) -> (N, outputs), or recordings again."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(100, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Cleaned(Waves):
    def __init__(self) -> None:
        super().__init__(100)


class Pixels(nn.Module):
    """Images (N, 3, H, W) -> {"out": logits (N, 4, H, W)}."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.layer(x)}


def _ids(split: str) -> Tensor:
    return torch.randint(7, (4, 6), generator=torch.Generator().manual_seed(len(split)))


def language(split):
    """Mappings, as a collator of Hugging Face makes them."""
    from transformers import BatchEncoding

    ids = _ids(split)
    return [BatchEncoding({"input_ids": part, "labels": part}) for part in ids.split(3)]


def mappings(split):
    ids = _ids(split)
    return [{"input_ids": part, "labels": part, "attention_mask": torch.ones_like(part)} for part in ids.split(3)]


def tuples(split):
    return ((part, part[:, 0] % 3) for part in _ids(split).split(3))


def named(split):
    return [Pair(part, part[:, 0] % 3) for part in _ids(split).split(3)]


def loaders(split):
    ids = _ids(split)
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(ids, ids[:, 0] % 3), batch_size=3)


def empty():
    return []


def without_targets():
    return [{"input_ids": torch.zeros(2, 3, dtype=torch.long)}]


def texts():
    return [["a", "b"]]


def outside():
    return [(torch.zeros(2, 3).long(), torch.arange(2)), (torch.zeros(2, 3).long(), torch.tensor([0, 7]))]


def failing():
    yield torch.zeros(2, 3), torch.zeros(2).long()
    raise KeyError("there is no second file")


def simulate(tmp_path, network, data, *more):
    name = f"test_cli_data:{network.__name__}"
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "net.safetensors", network(), {"model": name})
    common = ["simulate", "--checkpoint", str(tmp_path / "net.safetensors"), "--model", name, "--data", data]
    short = ["--times", "1d", "--instances", "1", "--sigmas", "none", "--no-html", "--out", str(tmp_path / "run")]
    return main([*common, *short, *more])


def facts(tmp_path):
    with open_run(tmp_path / "run") as run:
        return run.meta("task")["name"], run.meta("data")["count"], {record.stage for record in run.records()}


@pytest.mark.parametrize(
    ("data", "network", "task"),
    [
        ("language", Tokens, "language_modeling"),
        ("mappings", Tokens, "language_modeling"),
        ("tuples", Classes, "classification"),
        ("named", Classes, "classification"),
        ("loaders", Classes, "classification"),
    ],
)
def test_batches_of_ones_own_of_any_form_are_simulated(tmp_path, data, network, task):
    if data == "language":
        pytest.importorskip("transformers")
    assert simulate(tmp_path, network, f"test_cli_data:{data}", "--task", task, "--calibrate", "affine") == 0
    assert facts(tmp_path) == (task, 4, {"digital", "drift"})


def test_batches_are_limited_by_their_samples():
    found = load_callable("test_cli_data:mappings", "test", 2)
    assert (len(found), found.batches[0]["labels"].shape) == (2, (2, 6))
    assert load_callable("test_cli_data:named", "test", 2).batches[0].labels.shape == (2,)
    assert found.fingerprint != load_callable("test_cli_data:mappings", "train", 2).fingerprint
    with pytest.raises(DataError, match=r"test_cli_data:mappings: gives batches, which simulate alone takes"):
        open_data("test_cli_data:mappings", "test")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("empty", ["gives no batches"]),
        ("without_targets", ["input_ids", "labels"]),
        ("texts", ["batch 0 is a list", "tensor"]),
        ("outside", ["label 7", "3 outputs"]),
        ("failing", ["its batches raised KeyError", "no second file"]),
    ],
)
def test_batches_that_no_task_can_score_are_refused(tmp_path, capsys, data, words):
    assert simulate(tmp_path, Classes, f"test_cli_data:{data}", "--task", "classification") == 1
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


class Features(Classes):
    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"features": super().forward(x)}


class Unused(nn.Module):
    """No weight of it is in a product."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.scale = nn.Embedding(7, 3), nn.Parameter(torch.ones(6, 3))

    def forward(self, x: Tensor) -> Tensor:
        return (self.table(x) * self.scale).sum(1)


@pytest.mark.parametrize(
    ("network", "task", "words"),
    [
        (Features, "classification", ["features", "logits"]),
        (Classes, "regression", ["regression", "(3, 3)", "(3,)"]),
        (Classes, "segmentation", ["classes", "package.module:callable"]),
        (Classes, "question_answering", ["context", "answers"]),
        (Unused, "classification", ["no weight", "scale (Unused): used in mul", "table (Embedding): a lookup table"]),
    ],
)
def test_networks_that_the_task_cannot_score_are_refused(tmp_path, capsys, network, task, words):
    assert simulate(tmp_path, network, "test_cli_data:named", "--task", task) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_calibration_on_the_batches_of_the_test_is_refused(tmp_path, capsys):
    same = ["--calibration-data", "test_cli_data:without_split"]
    assert simulate(tmp_path, Classes, "test_cli_data:without_split", "--calibrate", "affine", *same) == 1
    assert "must not be tested on" in capsys.readouterr().err


def without_split():
    return list(tuples("test"))


@pytest.mark.parametrize(("columns", "network", "task"), [
    ("", Waves, "classification"),
    ("path,label", Waves, "classification"),
    ("noisy,clean", Cleaned, "speech_enhancement"),
    ("first,second,same", Waves, "speaker_verification"),
])  # fmt: skip
def test_recordings_are_simulated(tmp_path, columns, network, task):
    for name in ("yes/a.wav", "yes/b.wav", "no/a.wav", "no/b.wav"):
        write_wave(tmp_path / "data" / name)
    rows = {
        "path,label": ["yes/a.wav,yes", "no/a.wav,no"],
        "noisy,clean": ["yes/a.wav,no/a.wav", "yes/b.wav,no/b.wav"],
        "first,second,same": ["yes/a.wav,yes/b.wav,1", "yes/a.wav,no/b.wav,0", "no/a.wav,yes/b.wav,0"],
    }
    where = tmp_path / "data"
    if columns:
        (where / "list.csv").write_text("\n".join([columns, *rows[columns]]))
        where = where / "list.csv"
    assert simulate(tmp_path, network, f"audio:{where}") == 0
    assert facts(tmp_path) == (task, len(rows.get(columns, range(4))), {"digital", "drift"})


def test_segmented_images_are_simulated(tmp_path):
    write_segmented(tmp_path / "data", [(8, 10), (8, 10), (8, 10)])
    assert simulate(tmp_path, Pixels, f"segmentation:{tmp_path / 'data'},classes=4") == 0
    assert facts(tmp_path) == ("segmentation", 3, {"digital", "drift"})
