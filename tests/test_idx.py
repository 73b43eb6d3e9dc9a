"""IDX files: MNIST's format, plain or packed, wherever the usual sources put it."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from analog_samson.data import NORMALIZATIONS, normalization_for, open_data
from analog_samson.errors import DataError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_set(folder: Path, *, packed: bool = False, classes: int = 3) -> dict[str, np.ndarray]:
    """Both parts, four and six images of 5 x 4; returns the pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = {}
    for prefix, count in (("train", 6), ("t10k", 4)):
        pixels[prefix] = np.random.default_rng(count).integers(0, 256, (count, 5, 4), dtype=np.uint8)
        arrays = {"images-idx3": pixels[prefix], "labels-idx1": np.arange(count) % classes}
        for part, array in arrays.items():
            content = gzip.compress(idx(array)) if packed else idx(array)
            (folder / f"{prefix}-{part}-ubyte{'.gz' if packed else ''}").write_bytes(content)
    return pixels


def fault(spec: str, split: str = "test") -> str:
    with pytest.raises(DataError) as caught:
        open_data(spec, split)
    return str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("below", ["", "fashion-mnist", "raw", "FashionMNIST/raw"])
def test_fashion_mnist_is_found_in_every_usual_layout(tmp_path, below, packed):
    pixels = write_set(tmp_path / below, packed=packed)
    train, test = (open_data(f"fashion_mnist:{tmp_path}", split) for split in ("train", "test"))
    assert torch.equal(train.images, torch.from_numpy(pixels["train"])[:, None])
    assert torch.equal(test.images, torch.from_numpy(pixels["t10k"])[:, None])
    assert test.labels.tolist() == [0, 1, 2, 0]
    assert (train.num_classes, train.name) == (10, "fashion_mnist")
    assert normalization_for(train.name) == NORMALIZATIONS["fashion_mnist"]


def test_other_sets_of_the_same_format_are_read_by_idx(tmp_path):
    write_set(tmp_path / "kmnist")
    assert open_data(f"idx:{tmp_path}/kmnist", "test").num_classes == 3
    opened = open_data(f"idx:{tmp_path}/kmnist,classes=47", "train", limit=2)
    assert (len(opened), opened.num_classes, opened.name) == (2, 47, "idx:kmnist")


def test_missing_files_name_the_package_and_the_layout(tmp_path):
    text = fault(f"fashion_mnist:{tmp_path}/none")
    assert "no file t10k-images-idx3-ubyte or t10k-labels-idx1-ubyte; " in text
    assert "install the Debian package dataset-fashion-mnist" in text
    assert "fashion_mnist:/usr/share/datasets/fashion-mnist" in text
    write_set(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert fault(f"idx:{tmp_path}", "train").startswith(f"{tmp_path}: no file train-labels-idx1-ubyte; expected DIR/")


def damage(whole: bytes) -> dict[str, bytes]:
    packed = gzip.compress(whole)
    return {
        "": b"",
        ".gz": packed[: len(packed) // 2],
        "short": whole[:-1],
        "long": whole + b"x",
        "floats": b"\0\0\x0d" + whole[3:],
        "vast": whole[:4] + b"\xff" * 12 + whole[16:],
        "text": b"<html>not found</html>",
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("", "(it starts with nothing); fetch it again"),
        (".gz", "cannot be read (Compressed file ended"),
        ("short", "95 bytes, its header promises 96; fetch it again"),
        ("long", "97 bytes, its header promises 96"),
        ("floats", "not an IDX file of unsigned bytes in 3 dimensions (it starts with 00 00 0d 03)"),
        ("vast", "its header promises 792281"),
        ("text", "(it starts with 3c 68 74 6d)"),
    ],
)
def test_damaged_file_is_named_with_the_reason(tmp_path, kind, expected):
    write_set(tmp_path)
    file = tmp_path / "t10k-images-idx3-ubyte"
    content = damage(file.read_bytes())[kind]
    file.unlink()
    (file.with_name(f"{file.name}.gz") if kind == ".gz" else file).write_bytes(content)
    text = fault(f"idx:{tmp_path}")
    assert "t10k-images-idx3-ubyte" in text
    assert expected in text


def test_file_that_only_claims_to_be_packed_is_named(tmp_path):
    write_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").rename(tmp_path / "t10k-labels-idx1-ubyte.gz")
    assert "t10k-labels-idx1-ubyte.gz: cannot be read (Not a gzipped file" in fault(f"idx:{tmp_path}")


def test_label_beyond_the_classes_is_refused(tmp_path):
    write_set(tmp_path, classes=12)
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    labels.write_bytes(idx(np.array([0, 1, 11, 3])))
    assert "at position 2 is 11; expected 0 to 9" in fault(f"fashion_mnist:{tmp_path}")


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed")
def test_real_fashion_mnist_has_its_published_size_and_our_constants():
    train, test = (open_data(f"fashion_mnist:{DEBIAN}", split) for split in ("train", "test"))
    assert (train.images.shape, test.images.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert train.labels.bincount().tolist() == [6000] * 10
    pixels = train.images.float() / 255
    assert pixels.mean().item() == pytest.approx(NORMALIZATIONS["fashion_mnist"].mean[0], abs=1e-4)
    assert pixels.std().item() == pytest.approx(NORMALIZATIONS["fashion_mnist"].std[0], abs=1e-4)
