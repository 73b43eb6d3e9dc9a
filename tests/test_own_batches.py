"""Batches of the user's own code that take too much memory: the loader is iterated anew in each pass."""

import numpy as np
import pytest
import torch
from small import SMALL, small_classifier
from torch.utils.data import DataLoader, Dataset

from analog_samson.data.arrays import load_callable
from analog_samson.data.own_batches import RepeatedBatches
from analog_samson.errors import DataError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.runtime import size_limit
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation

COUNT = 60
_MODEL, _PIXELS, _LABELS = small_classifier(COUNT)


class Samples(Dataset):
    """Reads its samples one by one, as from files."""

    read = 0
    broken = False

    def __init__(self, start: int, stop: int) -> None:
        self._start, self._stop = start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, place: int):
        Samples.read += 1
        if place == 7 and Samples.broken:
            raise OSError("img7.jpg: unexpected end")
        image = torch.from_numpy(_PIXELS[self._start + place])[None]
        return image / 127.5 - 1, int(_LABELS[self._start + place])


def loader(split):
    return DataLoader(Samples(*((0, 20) if split == "train" else (20, COUNT))), batch_size=8)


def shuffled(split):
    return DataLoader(Samples(0, COUNT), batch_size=8, shuffle=True)


def once(split):
    yield from loader(split)


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(size_limit, "KEPT_IN_MEMORY", 0)
    monkeypatch.setattr(Samples, "read", 0)


def simulated(out):
    save_checkpoint(out / "net.safetensors", _MODEL, SMALL)
    options = SimulateOptions(
        checkpoint=str(out / "net.safetensors"),
        model=SMALL["model"],
        data="test_own_batches:loader",
        preset="pcm_nandakumar_2019",
        times=(86400.0,),
        sigmas=(),
        instances=2,
        calibrate=("adabs", "affine"),
    )
    with run_simulation(options, out / "run") as run:
        return run.records(), run.meta("data"), run.meta("calibration")


def test_simulation_of_a_loader_that_is_read_again_is_that_of_kept_batches(tmp_path, little_memory, monkeypatch):
    for name in ("repeated", "kept"):
        (tmp_path / name).mkdir()
    repeated = simulated(tmp_path / "repeated")
    assert Samples.read > 500, "each pass reads all samples"
    monkeypatch.undo()
    Samples.read = 0
    assert simulated(tmp_path / "kept") == repeated
    assert Samples.read == COUNT


def test_batches_that_cannot_be_read_again_are_kept_as_far_as_memory_allows(little_memory, monkeypatch):
    again = load_callable("test_own_batches:loader", "test", None)
    assert isinstance(again.batches, RepeatedBatches)
    for name in ("shuffled", "once"):
        kept = load_callable(f"test_own_batches:{name}", "test", None)
        assert isinstance(kept.batches, list)
        assert [x.tolist() for x, _ in kept.batches] == [x.tolist() for x, _ in kept.batches]
    assert load_callable("test_own_batches:once", "test", None).fingerprint == again.fingerprint
    monkeypatch.setenv(size_limit.VARIABLE, str(1000 / 2**30))
    for name in ("shuffled", "once"):
        with pytest.raises(DataError, match=r"keeping 2 batches needs .*return a DataLoader.*shuffle=False"):
            load_callable(f"test_own_batches:{name}", "test", None)


def test_limited_loader_reads_no_more_than_it_gives(little_memory):
    few = load_callable("test_own_batches:loader", "test", 11)
    assert (len(few), len(few.take(3))) == (11, 3)
    Samples.read = 0
    assert [len(y) for _, y in few.batches] == [8, 3]
    assert Samples.read == 16
    assert np.array_equal(torch.cat([y for _, y in few.batches]), _LABELS[20:31])


def test_loader_that_changes_or_fails_in_a_later_pass_is_named(little_memory, monkeypatch):
    found = load_callable("test_own_batches:loader", "test", None)
    monkeypatch.setattr(Samples, "broken", True)
    with pytest.raises(DataError, match=r"test_own_batches:loader: its batches raised OSError: img7\.jpg"):
        list(found.batches)
    monkeypatch.setattr(Samples, "broken", False)
    found.batches.loader.dataset._start -= 1
    with pytest.raises(DataError, match=r"begins with another batch in another pass.*shuffle=False"):
        list(found.batches)


def test_pass_over_a_loader_shifts_no_other_draws(little_memory):
    found = load_callable("test_own_batches:loader", "test", None)
    before = torch.get_rng_state()
    list(found.batches)
    assert torch.equal(torch.get_rng_state(), before)
