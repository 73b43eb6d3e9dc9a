"""Files that claim or unpack to more than there is memory are refused before the memory is claimed."""

import gzip
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import seeded
from small import SMALL, Small

from analog_samson.data import open_data
from analog_samson.data.plain_pickle import load_plain_pickle
from analog_samson.errors import CheckpointError, DataError, ModelError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_checkpoint, save_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.runtime import size_limit as limits

HERE = Path(__file__).parent
LARGE = 2**28  # bytes that a few hundred kB unpack to; the process below may take 0.1 GiB for a file
VAST = 10**9


def npy(shape: tuple[int, ...], values: bytes, *, kind: str = "|u1", version: int = 1) -> bytes:
    """An npy file with a header that claims what it likes."""
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes((version, 0)) + length + text + values


def write_npz(path: Path, *, claimed: int | None = None, **members: bytes) -> Path:
    """An archive of these members; claimed: what its directory says the images take."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
        if claimed is not None:
            next(entry for entry in archive.filelist if entry.filename == "images.npy").file_size = claimed
    return path


def write_large_npz(path: Path) -> None:
    """Black images that take half a GiB, in half a MB."""
    count = LARGE // 2**16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as file:
            file.write(npy((count, 256, 256), b""))
            for _ in range(LARGE // 2**20):
                file.write(bytes(2**20))
        archive.writestr("labels.npy", npy((count,), bytes(range(5)) * (count // 5) + bytes(count % 5)))


LABELS = npy((3,), bytes(range(3)))


def write_data(folder: Path) -> None:
    write_large_npz(folder / "npz-large.npz")
    (folder / "npz-limit.npz").write_bytes((folder / "npz-large.npz").read_bytes())
    vast = (VAST, 256, 256)
    write_npz(folder / "npz-header.npz", images=npy(vast, b"abc"), labels=LABELS)
    images = npy(vast, b"abc")
    claimed = len(images) - 3 + VAST * 2**16
    write_npz(folder / "npz-directory.npz", claimed=claimed, images=images, labels=LABELS)
    long = b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1) + bytes(LARGE // 8)
    write_npz(folder / "npz-long.npz", images=long, labels=LABELS)
    write_npz(
        folder / "npz-classes.npz", images=npy((3, 4, 4), bytes(48)), labels=LABELS, num_classes=npy((VAST,), b"")
    )
    few = {"images": npy((3, 8, 8), bytes(192)), "labels": npy((3,), struct.pack("<3q", 0, 1, VAST), kind="<i8")}
    write_npz(folder / "train-label.npz", **few)
    for name, start, shape in (("vast", b"", (2**32 - 1,) * 3), ("tail", bytes(LARGE // 8), (3, 4, 4))):
        idx = folder / f"idx-{name}"
        idx.mkdir()
        content = struct.pack(">HBB3I", 0, 8, 3, *shape) + start
        (idx / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(content, 1))
        (idx / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 3) + bytes(3))
    for name, content in {
        "memo": b"\x80\x02}r\xff\xff\xff\x7f.",
        "array": pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}, protocol=2).replace(
            b"K\x02M\x00\x0c\x86", b"J\xff\xff\xff\x7fM\x00\x0c\x86"
        ),
    }.items():
        batch = folder / f"cifar10-{name}" / "cifar-10-batches-py" / "test_batch"
        batch.parent.mkdir(parents=True)
        batch.write_bytes(content)
    for name, side in (("bomb", 60000), ("large", 13000)):
        image = folder / f"folder-{name}" / "class" / "0.png"
        image.parent.mkdir(parents=True)
        image.write_bytes(png_header(side))


def png_header(side: int) -> bytes:
    """A PNG that claims side x side pixels in colour and holds a few."""
    chunks = (
        b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0),
        b"IDAT" + zlib.compress(bytes(2**16)),
        b"IEND",
    )
    framed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def write_checkpoints(folder: Path) -> None:
    model = seeded(Small)
    state = model.state_dict()
    torch.save(state | {"extra": torch.zeros(1).expand(10 * VAST)}, folder / "net-expanded.pt")
    torch.save(state | {"head.weight": torch.zeros(1, 64).expand(VAST, 64)}, folder / "net-head.pt")
    sparse = torch.sparse_coo_tensor(
        torch.zeros(2, 1, dtype=torch.long), torch.ones(1), (VAST, 64), check_invariants=True
    )
    torch.save(state | {"head.weight": sparse}, folder / "net-sparse.pt")
    torch.save({"a": torch.zeros(LARGE // 4)}, folder / "plain.pt")
    with zipfile.ZipFile(folder / "plain.pt") as plain, zipfile.ZipFile(folder / "net-packed.pt", "w", 8) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry), zipfile.ZIP_DEFLATED, 1)
    (folder / "plain.pt").unlink()
    torch.save(state, folder / "net-legacy.pt", _use_new_zipfile_serialization=False)
    legacy = (folder / "net-legacy.pt").read_bytes()
    many = legacy.replace(b"K\x24", b"J\xff\xff\xff\x7f", 1)  # numbers in the first weight's storage
    assert many != legacy
    (folder / "net-legacy.pt").write_bytes(many)
    header = json.dumps({"a": {"dtype": "F32", "shape": [VAST], "data_offsets": [0, 4 * VAST]}}).encode()
    (folder / "net-header.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    (folder / "net-length.safetensors").write_bytes(struct.pack("<Q", 2**62) + header)
    save_checkpoint(folder / "net-classes.safetensors", model, SMALL | {"num_classes": VAST})
    with (folder / "net-sparsefile.pt").open("wb") as file:
        file.write(b"PK")
        file.truncate(2**40)


SAID = {
    "npz-large.npz": "images of shape (4096, 256, 256) needs 0.2 GiB of memory, the limit is 0.1 GiB; take fewer",
    "npz-limit.npz": "read 3",
    "npz-header.npz": "images: its header states uint8 of shape (1000000000, 256, 256), the file holds 3 bytes",
    "npz-directory.npz": "images of shape (1000000000, 256, 256) needs 61035.2 GiB of memory",
    "npz-long.npz": "cannot be read",
    "npz-classes.npz": "num_classes: its header states uint8 of shape (1000000000,), the file holds 0 bytes",
    "train-label.npz": "model 'digits_cnn' with num_classes=1000000001, in_channels=1: a tensor of 1000000001x",
    "idx-vast": "an array of shape (4294967295, 4294967295, 4294967295) needs",
    "idx-tail": "65 bytes, its header promises 64",
    "cifar10-memo": "it remembers a value under the number 2147483647",
    "cifar10-array": "an array states uint8 of shape (2147483647, 3072) and has 6144 bytes",
    "folder-bomb": "not an image that can be read (Image size (3600000000 pixels) exceeds limit",
    "folder-large": "an image of 13000 x 13000 pixels needs 0.5 GiB of memory",
    "net-expanded.pt": "extra: claims 10000000000 values, 40000000000 bytes; the file has",
    "net-head.pt": "head.weight: claims 1000000000x64 values",
    "net-sparse.pt": "a tensor of 1000000000x64 values; at most 26843545 are expected here",
    "net-packed.pt": "which torch.save does not do",
    "net-legacy.pt": "damaged or not a checkpoint",
    "net-header.safetensors": "damaged safetensors file",
    "net-length.safetensors": "damaged safetensors file",
    "net-classes.safetensors": "a tensor of 1000000000x64 values; at most 26843545 are expected here",
    "net-sparsefile.pt": "reading it needs 1024.0 GiB of memory",
}


def test_files_beyond_memory_are_refused_in_a_process_that_has_little(tmp_path: Path) -> None:
    write_data(tmp_path)
    write_checkpoints(tmp_path)
    paths = os.pathsep.join([str(HERE.parent), str(HERE)])
    environment = os.environ | {"PYTHONPATH": paths, limits.VARIABLE: "0.1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "oversized.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wrong = {name: said for name, said in found["said"].items() if SAID[name] not in said}
    assert not wrong
    assert found["said"].keys() == SAID.keys()
    assert found["grown_kib"] < 120 * 1024


def test_limit_is_half_of_what_the_process_may_use(tmp_path, monkeypatch):
    monkeypatch.delenv(limits.VARIABLE, raising=False)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(limits, "_CGROUP", tmp_path / "memory.max")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert limits.size_limit() == machine // 2
    for content, expected in (("max\n", machine // 2), ("1000000\n", 500000)):
        (tmp_path / "memory.max").write_text(content)
        assert limits.size_limit() == expected
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (4000, 4000))
    assert limits.size_limit() == 2000
    monkeypatch.setenv(limits.VARIABLE, "1.5")
    assert limits.size_limit() == 3 * 2**29


def test_refused_size_says_how_to_raise_the_limit(monkeypatch):
    monkeypatch.setenv(limits.VARIABLE, "1")
    limits.refuse_size(2**30, "x", "y", DataError)
    with pytest.raises(DataError, match=rf"^a\.npz needs 2\.5 GiB .*limit is 1\.0 GiB; take few.*{limits.VARIABLE}=3$"):
        limits.refuse_size(5 * 2**29, "a.npz", "take few", DataError)
    with pytest.raises(ModelError, match="model 'digits_cnn' with num_classes=1000000000: a tensor of 1000000000x"):
        build_model("digits_cnn", num_classes=VAST)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_limited_npz_is_the_start_of_the_whole(order, kind, tmp_path):
    images = np.random.default_rng(0).random((7, 4, 4, 3)) * (1 if kind is np.float32 else 255)
    labels = np.arange(7)[:, None]
    np.savez_compressed(tmp_path / "a.npz", images=np.asarray(images.astype(kind), order=order), labels=labels)
    whole, few = (open_data(f"npz:{tmp_path / 'a.npz'}", "test", limit=limit) for limit in (None, 2))
    assert torch.equal(few.images, whole.images[:2])
    assert (len(few), few.num_classes, whole.num_classes) == (2, 7, 7), "classes are those of all labels"
    assert few.fingerprint == whole.take(2).fingerprint
    assert open_data(f"npz:{tmp_path / 'a.npz'}", "test", limit=99).fingerprint == whole.fingerprint


def test_limited_npz_with_labels_of_another_number_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((5, 4, 4), np.uint8), labels=np.zeros(4, int))
    with pytest.raises(DataError, match="labels: 4 labels for 2 images"):
        open_data(f"npz:{tmp_path / 'a.npz'}", "test", limit=2)


def test_npz_with_a_changed_byte_is_refused_by_its_checksum(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((5, 4, 4), np.uint8), labels=np.zeros(5, int))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content.replace(bytes(60), bytes(59) + b"x", 1))
    with pytest.raises(DataError, match="Bad CRC-32"):
        open_data(f"npz:{tmp_path / 'a.npz'}", "test")


def test_plain_pickle_gives_what_numpy_gives():
    arrays = {kind: np.arange(12, dtype=kind).reshape(3, 4) for kind in ("u1", "<i8", ">u4", "i2")}
    arrays["columns"] = np.asfortranarray(arrays["u1"])
    for protocol in (2, 3, 4):
        found = load_plain_pickle(pickle.dumps(arrays | {"list": [1, 2]}, protocol))
        assert found.pop("list") == [1, 2]
        for array, expected in zip(found.values(), arrays.values(), strict=True):
            np.testing.assert_array_equal(array, expected)
            assert array.dtype == expected.dtype


@pytest.mark.parametrize("array", [np.array([{}], dtype=object), np.zeros(2), np.zeros(2, "u1,O"), np.array(["x"])])
def test_plain_pickle_takes_arrays_of_whole_numbers_alone(array):
    with pytest.raises(pickle.UnpicklingError, match=r"expected whole numbers|without bytes"):
        load_plain_pickle(pickle.dumps({b"data": array}, 2))


def test_labels_that_are_lists_of_lists_are_not_unfolded(tmp_path):
    nested = [0]
    for _ in range(40):
        nested = [nested, nested]  # 2 ** 40 numbers, in 40 lists
    batch = tmp_path / "cifar-10-batches-py" / "test_batch"
    batch.parent.mkdir()
    batch.write_bytes(pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": nested}, 2))
    with pytest.raises(DataError, match="labels holds values that are no whole numbers"):
        open_data(f"cifar10:{tmp_path}", "test")


def test_weights_that_the_network_lacks_are_not_looked_through(tmp_path):
    """They are named as extra; that there are NaN among them is of no interest."""
    state = seeded(Small).state_dict() | {"other": torch.full((3,), float("nan"))}
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="extra: other 3 is not in the model") as caught:
        restore_model(load_checkpoint(tmp_path / "net.pt"), SMALL["model"])
    assert "not finite" not in str(caught.value)


def test_device_or_pipe_is_no_checkpoint(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(CheckpointError, match="is not a file, but a device or pipe"):
            load_checkpoint(path)
