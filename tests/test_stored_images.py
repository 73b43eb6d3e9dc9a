"""Image sets that are too large for memory: the same numbers as in memory, from a file that is read in parts."""

import errno
import io
import os
import tarfile
import time
from collections import namedtuple

import numpy as np
import pytest
import torch
from networks import seeded
from PIL import Image
from small import SMALL, small_classifier

from analog_samson.analysis.image_sample import LEAST
from analog_samson.data import count_overlap, open_data
from analog_samson.data import stored as stored_module
from analog_samson.data.augment import as_in_training
from analog_samson.data.batches import Batches
from analog_samson.data.cache import cached_images
from analog_samson.data.normalization import parse_normalization
from analog_samson.data.stored import StoredImages
from analog_samson.errors import DataError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.results.lock import FolderLock
from analog_samson.runtime import size_limit
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions

HALF = parse_normalization("half")


@pytest.fixture
def little_memory(monkeypatch, tmp_path):
    """Every image set stays in a file, whose images are read three at a time where all are gone through."""
    monkeypatch.setattr(size_limit, "KEPT_IN_MEMORY", 0)
    monkeypatch.setattr(stored_module, "_PART", 3 * 4 * 5 * 3)
    monkeypatch.setenv("ANALOG_SAMSON_CACHE", str(tmp_path / "cache"))


def pixels(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *(shape or (4, 5, 3))), dtype=np.uint8)


def encoded(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def write_folder(root, images, labels) -> None:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = root / f"class{label}" / f"{number:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(image))


def write_shard(path, members) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def samples(images, labels, start=0):
    for number, (image, label) in enumerate(zip(images, labels, strict=True), start):
        yield f"{number:03}.png", encoded(image)
        yield f"{number:03}.cls", f"{label}\n".encode()


def write_folder_data(root, images, labels):
    write_folder(root / "val", images, labels)
    write_folder(root / "train", images[:1], [labels[0]])
    (root / "train" / "class1").mkdir(exist_ok=True)
    return f"folder:{root},resize=4"


def write_shards_data(root, images, labels):
    write_shard(root / "val" / "0.tar", samples(images[:6], labels[:6]))
    write_shard(root / "val" / "1.tar", samples(images[6:], labels[6:]))
    return f"shards:{root}"


def write_npz_data(root, images, labels):
    np.savez(root / "a.npz", images=images, labels=labels)
    return f"npz:{root / 'a.npz'}"


def write_npy_data(root, images, labels):
    np.save(root / "test_images.npy", images)
    np.save(root / "test_labels.npy", labels)
    return f"npz:{root}"


KINDS = {"folder": write_folder_data, "shards": write_shards_data, "npz": write_npz_data, "npy": write_npy_data}


@pytest.mark.parametrize("kind", KINDS)
def test_set_in_a_file_is_the_set_in_memory(kind, tmp_path, little_memory, monkeypatch):
    spec = KINDS[kind](tmp_path, pixels(11), np.arange(11) % 2)
    stored, few = open_data(spec, "test"), open_data(spec, "test", limit=4)
    monkeypatch.undo()
    memory = open_data(spec, "test")
    assert isinstance(stored.images, StoredImages)
    assert not isinstance(memory.images, StoredImages)
    assert (stored.images.shape, stored.num_classes, stored.divided) == (memory.images.shape, 2, memory.divided)
    places = torch.tensor([7, 2, 3])
    for one, other in ((stored, memory), (few, memory.take(4)), (stored.pick(places), memory.pick(places))):
        assert torch.equal(one.images[:], other.images)
        assert torch.equal(one.labels, other.labels)
        assert one.fingerprint == other.fingerprint
    assert count_overlap(few, memory) == count_overlap(memory, few) == 4
    batches = [Batches(one, HALF, batch_size=4, device="cpu") for one in (stored, memory)]
    for pair in (batches, [one.pick(torch.tensor([1, 5, 6, 9, 10])) for one in batches]):
        for (x, y), (same_x, same_y) in zip(*pair, strict=True):
            assert torch.equal(x, same_x)
            assert torch.equal(y, same_y)
    halves = stored.split(0.5, 0), memory.split(0.5, 0)
    assert [half.fingerprint for half in halves[0]] == [half.fingerprint for half in halves[1]]


def test_npz_in_a_file_takes_grey_images_and_leaves_others_to_memory(tmp_path, little_memory):
    labels = np.arange(5) % 2
    for name, images in (
        ("grey", pixels(5, 4, 4)),
        ("float", pixels(5) / 255),
        ("columns", np.asfortranarray(pixels(5))),
    ):
        np.savez(tmp_path / f"{name}.npz", images=images, labels=labels)
        found = open_data(f"npz:{tmp_path / name}.npz", "test").images
        assert isinstance(found, StoredImages) == (name == "grey")
        wanted = images[..., None] if images.ndim == 3 else images
        assert np.array_equal(found[:].permute(0, 2, 3, 1), np.round(wanted * 255) if name == "float" else wanted)
    np.savez_compressed(tmp_path / "packed.npz", images=pixels(5), labels=labels)
    assert not isinstance(open_data(f"npz:{tmp_path / 'packed.npz'}", "test").images, StoredImages)


def test_calibration_images_cropped_and_flipped_are_those_in_memory(tmp_path, little_memory, monkeypatch):
    spec = write_npz_data(tmp_path, pixels(11, 9, 9, 3), np.arange(11) % 2)
    stored = as_in_training(open_data(spec, "test"), seed=3)
    assert isinstance(stored.images, StoredImages)
    monkeypatch.undo()
    assert torch.equal(stored.images[:], as_in_training(open_data(spec, "test"), seed=3).images)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A network of 4 x 4 grey images, and a folder of them to test and to calibrate on."""
    root = tmp_path_factory.mktemp("pictures")
    model, images, labels = small_classifier(2 * LEAST + 40)
    write_folder(root / "data" / "test", images[40:], labels[40:])
    write_folder(root / "data" / "train", images[:40], labels[:40])
    save_checkpoint(root / "net.safetensors", model, SMALL)
    return root


def simulated(root, out):
    options = SimulateOptions(
        checkpoint=str(root / "net.safetensors"),
        model=SMALL["model"],
        data=f"folder:{root / 'data'}",
        preset="pcm_rasch_2023",
        times=(86400.0,),
        sigmas=(0.1,),
        instances=2,
        calibrate=("adabs", "affine"),
        images="adaptive",
        batch_size=50,
    )
    with run_simulation(options, out) as run:
        kept = {key: run.meta(key) for key in ("data", "calibration", "outputs", "input_ranges", "images")}
        return run.records(), kept


def test_simulation_of_images_in_files_is_that_in_memory_and_reads_them_in_batches(
    pictures, tmp_path, little_memory, monkeypatch
):
    sizes, read = [], StoredImages.__getitem__

    def noted(images, where):
        found = read(images, where)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(StoredImages, "__getitem__", noted)
    stored = simulated(pictures, tmp_path / "stored")
    monkeypatch.undo()
    assert simulated(pictures, tmp_path / "memory") == stored
    assert max(sizes) == 50
    assert sum(sizes) > 1000


def test_training_on_images_in_files_is_that_in_memory(tmp_path, little_memory, monkeypatch):
    spec = write_npz_data(tmp_path, pixels(11, 8, 8, 3), np.arange(11) % 2)

    def trained(images):
        model = seeded(lambda: torch.nn.Sequential(torch.nn.Conv2d(3, 2, 8), torch.nn.Flatten()))
        options = TrainOptions(seed=0, epochs=2, batch_size=4, augment=True, normalization=HALF)
        fit(model, images, images.take(5), options)
        return model.state_dict()

    stored = open_data(spec, "train")
    assert isinstance(stored.images, StoredImages)
    found = trained(stored)
    monkeypatch.undo()
    for name, value in trained(open_data(spec, "train")).items():
        assert torch.equal(found[name], value)


def test_images_are_decoded_once_until_a_file_or_an_option_changes(tmp_path, little_memory, monkeypatch):
    write_folder(tmp_path / "a", pixels(6), np.arange(6) % 2)
    spec = f"folder:{tmp_path / 'a'}"
    first = open_data(spec, "test")
    calls, convert_mode = [], Image.Image.convert
    monkeypatch.setattr(Image.Image, "convert", lambda image, mode: calls.append(mode) or convert_mode(image, mode))
    assert open_data(spec, "test").images.path == first.images.path
    assert len(calls) == 1, "of the first image, for its size"
    assert open_data(f"{spec},crop=3", "test").images.path != first.images.path
    assert len(calls) == 1 + 6
    changed = tmp_path / "a" / "class0" / "000.png"
    changed.write_bytes(encoded(255 - pixels(6)[0]))
    os.utime(changed, (1, 1))
    assert open_data(spec, "test").fingerprint != first.fingerprint
    array = np.load(first.images.path)
    assert np.array_equal(array.transpose(0, 3, 1, 2), first.images[:]), "other programs can read the file"


def test_threads_decode_the_same_images_in_the_same_order(tmp_path):
    write_folder(tmp_path, pixels(30), np.arange(30) % 2)
    alone = open_data(f"folder:{tmp_path}", "test").fingerprint
    torch.set_num_threads(3)
    try:
        assert open_data(f"folder:{tmp_path}", "test").fingerprint == alone
    finally:
        torch.set_num_threads(1)


def refusal(spec: str) -> str:
    with pytest.raises(DataError) as caught:
        open_data(spec, "test")
    return str(caught.value)


def cached_files(tmp_path) -> list[str]:
    return [file.name for file in (tmp_path / "cache").rglob("*") if file.is_file() and file.name != ".lock"]


def test_damaged_image_in_the_middle_is_named_and_leaves_no_file(tmp_path, little_memory):
    write_folder(tmp_path / "a", pixels(9), [0] * 9)
    damaged = tmp_path / "a" / "class0" / "004.png"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    assert f"{damaged}: damaged image" in refusal(f"folder:{tmp_path / 'a'}")
    damaged.write_bytes(encoded(pixels(1, 6, 5, 3)[0]))
    assert "5 x 6 pixels" in (found := refusal(f"folder:{tmp_path / 'a'}"))
    assert "resize=256,crop=224" in found
    assert cached_files(tmp_path) == []


def test_cache_without_room_or_permission_is_refused_with_a_remedy(tmp_path, little_memory, monkeypatch):
    write_folder(tmp_path / "a", pixels(4), [0] * 4)
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patched:
        patched.setattr("shutil.disk_usage", lambda path: usage(10, 10, 100))
        found = refusal(f"folder:{tmp_path / 'a'}")
        assert all(part in found for part in ("disk space", "ANALOG_SAMSON_CACHE=DIR", "--limit N"))
    with monkeypatch.context() as patched:

        def full(descriptor):
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(os, "fsync", full)
        assert "No space left on device" in refusal(f"folder:{tmp_path / 'a'}")
    assert cached_files(tmp_path) == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANALOG_SAMSON_CACHE", str(tmp_path / "file"))
    assert "ANALOG_SAMSON_CACHE=DIR" in refusal(f"folder:{tmp_path / 'a'}")


def test_file_that_changes_while_it_is_used_is_named(tmp_path, little_memory):
    found = open_data(write_npy_data(tmp_path, pixels(5), np.arange(5) % 2), "test")
    path = tmp_path / "test_images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(found.images[:4]) == 4
    with pytest.raises(DataError, match=r"test_images\.npy: ends before image 4"):
        found.images[3:]
    path.unlink()
    with pytest.raises(DataError, match=r"test_images\.npy: images cannot be read"):
        found.images[:1]


def test_npz_with_a_changed_byte_is_refused_although_it_stays_in_its_file(tmp_path, little_memory):
    spec = write_npz_data(tmp_path, pixels(5), np.arange(5) % 2)
    content = (tmp_path / "a.npz").read_bytes()
    at = content.index(pixels(5).tobytes())
    (tmp_path / "a.npz").write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert "Bad CRC-32" in refusal(spec)


def test_faulty_shards_are_explained(tmp_path):
    images, shard = pixels(4), tmp_path / "a.tar"
    write_shard(shard, samples(images, [0, 1, 2, 0]))
    whole = shard.read_bytes()
    end = whole.rindex(b"0\n") + 510 + 2
    assert whole[end:].strip(b"\0") == b""
    for content, expected in (
        (whole[:end], "ends early"),
        (whole[: end - 600], "a.tar"),
        (whole[:1600], "a.tar"),
        (b"x" * 2000, "not a whole tar file"),
        (b"", "not a whole tar file"),
    ):
        shard.write_bytes(content)
        assert expected in refusal(f"shards:{shard}")
    one = encoded(images[0])
    for members, expected in (
        ([("0.png", one)], "0 has no label"),
        ([("0.cls", b"1")], "0 has no image"),
        ([("0.png", one), ("0.cls", b"cat")], "0.cls: expected the number of a class, 0 or more, got 'cat'"),
        ([("0.png", one), ("0.cls", b"9" * 30)], "expected the number of a class"),
        ([("0.png", one), ("0.cls", b"9" * 15)], "number the classes from 0"),
        ([("0.png", one), ("0.png", one), ("0.cls", b"0")], "a second image of this name"),
        ([("0.png", one[:-30]), ("0.cls", b"0")], "a.tar: 0.png: damaged image"),
        ([("0.txt", b"")], "no images in 1 shards"),
    ):
        write_shard(shard, members)
        assert expected in refusal(f"shards:{shard}")
    with tarfile.open(tmp_path / "b.tar", "w:gz") as archive:
        archive.add(shard, "0.png")
    assert "gunzip" in refusal(f"shards:{tmp_path / 'b.tar'}")
    assert "no tar files" in refusal(f"shards:{tmp_path / 'c-*.tar'}")


def test_shards_of_a_pattern_are_read_in_the_order_of_their_names(tmp_path):
    write_shard(tmp_path / "val-1.tar", samples(pixels(5)[3:], [1, 0], start=3))
    write_shard(tmp_path / "val-0.tar", samples(pixels(5)[:3], [0, 1, 0]))
    write_shard(tmp_path / "whole.tar", samples(pixels(5), [0, 1, 0, 1, 0]))
    pattern, whole = (open_data(f"shards:{tmp_path / name}", "test") for name in ("val-*.tar", "whole.tar"))
    assert pattern.fingerprint == whole.fingerprint


def test_second_process_waits_for_the_images_that_another_decodes(tmp_path, little_memory):
    shape = (2, 4, 5, 3)
    first = cached_images("a", ("key",), shape, iter(pixels(2)))
    folder, whole = first.path.parent, first.path.read_bytes()
    first.path.unlink()
    ready, write = os.pipe()
    child = os.fork()
    if child == 0:
        lock = FolderLock(folder)
        os.write(write, b"x")
        time.sleep(0.1)
        first.path.write_bytes(whole)
        lock.release()
        os._exit(0)
    os.read(ready, 1)
    again = cached_images("a", ("key",), shape, iter(()))
    assert os.waitpid(child, 0)[1] == 0
    assert torch.equal(again[:], first[:])
