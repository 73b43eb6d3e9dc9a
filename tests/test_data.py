"""Image sets, their sources, normalisation and augmentation."""

import os
import pickle
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from analog_samson import data as data_module
from analog_samson.data import (
    NORMALIZATIONS,
    ImageSet,
    Normalization,
    augment,
    choose_normalization,
    default_normalization,
    image_set,
    normalization_for,
    open_data,
    parse_normalization,
)
from analog_samson.data.image_set import stratified
from analog_samson.data.normalization import warn_of_normalization
from analog_samson.data.sources import SOURCES
from analog_samson.errors import CheckpointError, DataError, NormalizationWarning, OptionError
from analog_samson.models.checkpoint import Checkpoint
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions


def make_set(count: int = 12, *, channels: int = 3, size: int = 8, classes: int = 3) -> ImageSet:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return image_set(pixels, np.arange(count) % classes, name="made", where="made", num_classes=classes)


def fault(spec: str, split: str = "test") -> str:
    with pytest.raises(DataError) as caught:
        open_data(spec, split)
    return str(caught.value)


# ---- image sets


def test_arrays_become_channels_first_pixels_and_long_labels():
    pixels = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    made = image_set(pixels, np.array([1, 0], dtype=np.int8), name="n", where="w")
    assert made.images.dtype == torch.uint8
    assert made.images.shape == (2, 3, 2, 2)
    assert made.images[1, 2, 0, 1] == pixels[1, 0, 1, 2]
    assert made.labels.tolist() == [1, 0]
    assert made.labels.dtype == torch.int64
    assert (made.num_classes, made.channels, len(made)) == (2, 3, 2)


def test_grey_images_floats_and_column_labels_are_taken():
    made = image_set(np.full((3, 4, 4), 0.5), np.array([[0], [1], [4]]), name="n", where="w")
    assert made.images.shape == (3, 1, 4, 4)
    assert made.images.unique().tolist() == [128]
    assert made.num_classes == 5


@pytest.mark.parametrize(
    ("images", "labels", "classes", "expected"),
    [
        (np.zeros((0, 4, 4), np.uint8), np.zeros(0, int), None, "images: empty (shape (0, 4, 4))"),
        (np.zeros((2, 4), np.uint8), np.zeros(2, int), None, "images: expected (N, H, W) or (N, H, W, C)"),
        (np.zeros((2, 3, 8, 8), np.uint8), np.zeros(2, int), None, "transpose to (0, 2, 3, 1)"),
        (np.zeros((2, 8, 8, 5), np.uint8), np.zeros(2, int), None, "with 1 or 3 channels, got shape (2, 8, 8, 5)"),
        (
            np.zeros((2, 4, 4), np.int64),
            np.zeros(2, int),
            None,
            "expected uint8 (0..255) or floats in [0, 1], got int64",
        ),
        (np.full((2, 4, 4), np.nan), np.zeros(2, int), None, "32 NaN or Inf among 32 values"),
        (np.full((2, 4, 4), 2.5), np.zeros(2, int), None, "floats must lie in [0, 1], got 2.5 to 2.5"),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(3, int), None, "3 labels for 2 images; expected one for each"),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2), None, "labels: expected integers of shape (N,), got float64"),
        (np.zeros((2, 4, 4), np.uint8), np.array([0, -1]), None, "at position 1 is -1; expected 0 or more"),
        (np.zeros((2, 4, 4), np.uint8), np.array([0, 10]), 10, "at position 1 is 10; expected 0 to 9"),
    ],
)
def test_faulty_arrays_are_refused_with_the_reason(images, labels, classes, expected):
    with pytest.raises(DataError) as caught:
        image_set(images, labels, name="n", where="some/where.npz", num_classes=classes)
    assert str(caught.value).startswith("some/where.npz: 1 problem")
    assert expected in str(caught.value)


def test_all_faults_of_arrays_are_listed_at_once():
    with pytest.raises(DataError, match="2 problems"):
        image_set(np.full((2, 4, 4), np.inf), np.zeros(5, int), name="n", where="w")


def test_fingerprint_follows_pixels_labels_and_shape():
    base = make_set()
    prints = {base.fingerprint}
    for changed in (
        ImageSet(images=base.images ^ 1, labels=base.labels, num_classes=3, name="x"),
        ImageSet(images=base.images, labels=base.labels.flip(0), num_classes=3, name="x"),
        ImageSet(images=base.images.reshape(12, 3, 4, 16), labels=base.labels, num_classes=3, name="x"),
        base.take(11),
    ):
        prints.add(changed.fingerprint)
    assert len(prints) == 5
    assert ImageSet(images=base.images.clone(), labels=base.labels, num_classes=3, name="other").fingerprint in prints


def test_take_gives_the_first_images():
    base = make_set()
    assert torch.equal(base.take(5).images, base.images[:5])
    assert base.take(5).num_classes == 3
    assert base.take(None) is base
    assert base.take(99) is base
    with pytest.raises(OptionError, match="at least 1 image, got 0"):
        base.take(0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.floats(0, 1), st.integers(0, 9))
def test_stratified_choice_has_the_exact_size_and_keeps_proportions(labels, fraction, seed):
    """A class has its count within 1/2 of its size times the quantile of the cut; the cut keeps the total."""
    labels = torch.tensor(labels)
    chosen = stratified(labels, fraction, seed)
    assert len(chosen) == round(fraction * len(labels))
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    classes = labels.unique()
    for value in classes:
        size = (labels == value).sum().item()
        allowed = 0.5 + size * (len(classes) + 1) / (2 * len(labels))
        assert abs((labels[chosen] == value).sum().item() - fraction * size) <= allowed + 1e-9


def test_split_is_disjoint_complete_and_named_by_its_seed():
    base = make_set(30)
    first, rest = base.split(0.3, seed=1)
    assert (len(first), len(rest)) == (9, 21)
    pixels = {image.numpy().tobytes() for part in (first, rest) for image in part.images}
    assert len(pixels) == 30
    assert first.labels.bincount().tolist() == [3, 3, 3]
    assert base.split(0.3, seed=1)[0].fingerprint == first.fingerprint
    assert base.split(0.3, seed=2)[0].fingerprint != first.fingerprint
    with pytest.raises(OptionError, match="leaves one part empty"):
        base.split(0.001, seed=1)


# ---- sources


def test_digits_are_split_the_same_way_always():
    train, test = open_data("digits", "train"), open_data("digits", "test")
    assert (len(train), len(test), train.num_classes, train.channels) == (1297, 500, 10, 1)
    assert train.fingerprint.startswith("546b7374a8a2edb5")
    assert test.fingerprint.startswith("6448293e78a772eb")
    assert train.images.unique().numel() == 17
    assert test.labels.bincount().min() >= 48


def test_limit_takes_the_first_images():
    assert torch.equal(open_data("digits", "test", limit=7).labels, open_data("digits", "test").labels[:7])
    with pytest.raises(OptionError, match="at least 1 image"):
        open_data("digits", "test", limit=0)


def test_npz_with_one_part_is_what_is_asked_for(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(6))
    for split in ("train", "test"):
        opened = open_data(f"npz:{tmp_path}/set.npz", split)
        assert torch.equal(opened.images, torch.from_numpy(images).permute(0, 3, 1, 2))
        assert (opened.name, opened.num_classes) == ("npz:set.npz", 6)


def test_npz_with_two_parts_gives_the_one_asked_for(tmp_path):
    arrays = {}
    for split, count in (("train", 4), ("test", 2)):
        arrays |= {f"{split}_images": np.zeros((count, 4, 4), np.uint8), f"{split}_labels": np.zeros((count, 1), int)}
    np.savez(tmp_path / "set.npz", **arrays)
    assert len(open_data(f"npz:{tmp_path}/set.npz", "train")) == 4
    assert len(open_data(f"npz:{tmp_path}/set.npz", "test")) == 2


def test_npz_states_its_classes_in_the_file_or_the_option(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4), np.uint8), labels=[0, 1], num_classes=7)
    assert open_data(f"npz:{tmp_path}/a.npz", "test").num_classes == 7
    assert open_data(f"npz:{tmp_path}/a.npz,classes=9", "test").num_classes == 9
    assert "is 1; expected 0 to 0" in fault(f"npz:{tmp_path}/a.npz,classes=1")


def test_unusable_npz_is_explained(tmp_path):
    assert "none.npz: no such file; expected arrays" in fault(f"npz:{tmp_path}/none.npz")
    (tmp_path / "text.npz").write_text("hello")
    assert "text.npz: not an npz file" in fault(f"npz:{tmp_path}/text.npz")
    (tmp_path / "empty.npz").write_bytes(b"")
    assert "empty.npz: not an npz file" in fault(f"npz:{tmp_path}/empty.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert "a single array, not an npz file" in fault(f"npz:{tmp_path}/one.npy")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    assert "no array images or labels (it has x)" in fault(f"npz:{tmp_path}/other.npz")
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object), labels=[0])
    assert "cannot be read" in fault(f"npz:{tmp_path}/objects.npz")
    assert "no array images or labels (it has one)" in fault(f"npz:{tmp_path}")


def write_cifar(root, *, fine: bool) -> np.ndarray:
    """Batches as the archive holds them, two images a file; returns the test batch's rows."""
    folder = root / ("cifar-100-python" if fine else "cifar-10-batches-py")
    folder.mkdir()
    names = ["train", "test"] if fine else [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    rows = np.random.default_rng(0).integers(0, 256, (len(names), 2, 3072), dtype=np.uint8)
    for name, planes in zip(names, rows, strict=True):
        labels = {b"fine_labels": [99, 5], b"coarse_labels": [1, 2]} if fine else {b"labels": [9, 5]}
        (folder / name).write_bytes(pickle.dumps({b"batch_label": b"x", b"data": planes, **labels}, protocol=2))
    return rows[-1]


@pytest.mark.parametrize(("kind", "fine"), [("cifar10", False), ("cifar100", True)])
def test_cifar_folder_is_read_plane_by_plane(tmp_path, kind, fine):
    rows = write_cifar(tmp_path, fine=fine)
    test = open_data(f"{kind}:{tmp_path}", "test")
    assert torch.equal(test.images, torch.from_numpy(rows.reshape(2, 3, 32, 32)))
    assert test.labels.tolist() == ([99, 5] if fine else [9, 5])
    assert (test.num_classes, test.name) == ((100, "cifar100") if fine else (10, "cifar10"))
    assert len(open_data(f"{kind}:{tmp_path}", "train")) == (2 if fine else 10)


def test_cifar_folder_itself_may_be_named(tmp_path):
    write_cifar(tmp_path, fine=False)
    assert len(open_data(f"cifar10:{tmp_path}/cifar-10-batches-py", "test")) == 2


def test_missing_cifar_says_where_to_get_it_and_the_layout(tmp_path):
    text = fault(f"cifar10:{tmp_path}", "train")
    assert "no file data_batch_1, data_batch_2" in text
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in text
    assert f"tar xf it in {tmp_path}, which makes cifar-10-batches-py/" in text


class Bomb:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (pickle.dumps({b"data": np.zeros((2, 5), np.uint8), b"labels": [0, 1]}), "data is uint8 (2, 5) for 2 labels"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}), "cannot be read (KeyError"),
        (b"nonsense", "cannot be read"),
        (b"", "cannot be read (ValueError"),
    ],
)
def test_faulty_cifar_batch_is_explained(tmp_path, content, expected):
    write_cifar(tmp_path, fine=False)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    assert expected in fault(f"cifar10:{tmp_path}")


def test_cifar_batch_with_code_is_refused_and_not_executed(tmp_path):
    write_cifar(tmp_path, fine=False)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    assert "mkdir, which is not executed" in fault(f"cifar10:{tmp_path}")
    assert not (tmp_path / "executed").exists()


def write_image(path, value, *, size=(6, 4), mode="RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = value if mode == "L" else (value, 0, 255 - value)
    Image.new(mode, size, colour).save(path)


def write_folder(root) -> None:
    for part, per_class in (("train", 3), ("val", 2)):
        for label, name in enumerate(("bee", "ant", "cat")):
            for number in range(per_class):
                write_image(root / part / name / f"{number}.png", 10 * label + number)


def test_folder_classes_are_numbered_by_name_and_split_by_part(tmp_path):
    write_folder(tmp_path)
    train, test = (open_data(f"folder:{tmp_path}", split) for split in ("train", "test"))
    assert (len(train), len(test), train.num_classes) == (9, 6, 3)
    assert train.images.shape == (9, 3, 4, 6)
    reds = {int(image[0, 0, 0]) // 10: int(label) for image, label in zip(train.images, train.labels, strict=True)}
    assert reds == {0: 1, 1: 0, 2: 2}  # bee, ant, cat were drawn with 0, 10, 20


def test_folder_limit_sees_every_class_and_is_the_start_of_the_whole(tmp_path):
    write_folder(tmp_path)
    whole, few = open_data(f"folder:{tmp_path}", "train"), open_data(f"folder:{tmp_path}", "train", limit=5)
    assert torch.equal(few.images, whole.images[:5])
    assert few.labels.unique().tolist() == [0, 1, 2]
    assert few.num_classes == 3


def test_folder_without_parts_is_what_is_asked_for(tmp_path):
    for name in ("a", "b"):
        write_image(tmp_path / name / "x.png", 3, mode="L")
    train, test = (open_data(f"folder:{tmp_path}", split) for split in ("train", "test"))
    assert train.fingerprint == test.fingerprint
    assert train.channels == 1
    assert not train.divided


def write_nearly_grey_folder(root) -> None:
    """Two classes of grey images in train and test, with one training image in colour."""
    for part, name in (("train", "a"), ("train", "b"), ("test", "a"), ("test", "b")):
        for number in range(8):
            write_image(root / part / name / f"{number}.png", number, mode="L")
    write_image(root / "train" / "b" / "7.png", 7)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("limit", [1, 5, 100, None])
def test_folder_has_the_same_channels_for_every_split_and_limit(tmp_path, split, limit):
    write_nearly_grey_folder(tmp_path)
    assert open_data(f"folder:{tmp_path}", split, limit=limit).channels == 3
    write_image(tmp_path / "train" / "b" / "7.png", 7, mode="L")
    assert open_data(f"folder:{tmp_path}", split, limit=limit).channels == 1


def test_channels_of_a_folder_are_decided_without_decoding_and_no_further_than_needed(tmp_path, monkeypatch):
    write_nearly_grey_folder(tmp_path)
    opened, decoded = [], []
    real_open, real_convert = Image.open, Image.Image.convert
    monkeypatch.setattr(Image, "open", lambda file: opened.append(file) or real_open(file))
    monkeypatch.setattr(Image.Image, "convert", lambda image, mode: decoded.append(mode) or real_convert(image, mode))
    open_data(f"folder:{tmp_path}", "test", limit=2)
    assert decoded == ["RGB", "RGB"]
    assert 16 + 1 + 2 <= len(opened) <= 16 + 16 + 2
    write_image(tmp_path / "test" / "a" / "0.png", 7)
    write_image(tmp_path / "test" / "b" / "0.png", 7)
    opened.clear()
    open_data(f"folder:{tmp_path}", "test", limit=2)
    assert {file.parts[-3] for file in opened} == {"test"}


def test_source_says_whether_it_has_parts(tmp_path):
    write_folder(tmp_path / "parts")
    images, labels = np.zeros((2, 4, 4), np.uint8), [0, 1]
    np.savez(tmp_path / "one.npz", images=images, labels=labels)
    np.savez(tmp_path / "two.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    found = {
        spec: open_data(spec.format(tmp_path), "test").divided
        for spec in ("digits", "folder:{}/parts", "npz:{}/one.npz", "npz:{}/two.npz")
    }
    assert found == {"digits": True, "folder:{}/parts": True, "npz:{}/one.npz": False, "npz:{}/two.npz": True}


def test_class_that_one_part_lacks_does_not_shift_the_others(tmp_path):
    write_folder(tmp_path)
    for file in (tmp_path / "val" / "ant").iterdir():
        file.unlink()
    (tmp_path / "val" / "ant").rmdir()
    test = open_data(f"folder:{tmp_path}", "test")
    assert test.labels.unique().tolist() == [1, 2]
    assert test.num_classes == 3


def test_folder_resizes_the_shorter_side_and_crops_the_middle(tmp_path):
    image = Image.new("RGB", (12, 8), (0, 0, 0))
    image.paste((255, 255, 255), (4, 2, 8, 6))  # a white square in the very middle
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "x.png")
    write_image(tmp_path / "a" / "y.png", 9, size=(30, 40))
    cropped = open_data(f"folder:{tmp_path},resize=8,crop=4", "test").images
    assert cropped.shape == (2, 3, 4, 4)
    assert any(bool((one == 255).all()) for one in cropped)


def test_imagenet_is_a_folder_of_224_pixels(tmp_path):
    write_image(tmp_path / "val" / "a" / "x.png", 3, size=(300, 280))
    assert open_data(f"imagenet:{tmp_path}", "test").images.shape == (1, 3, 224, 224)


def test_unusable_folder_is_explained(tmp_path):
    assert "No such file or directory); expected DIR/CLASS/IMAGE" in fault(f"folder:{tmp_path}/none")
    assert "no images found in 0 class folders" in fault(f"folder:{tmp_path}")
    write_image(tmp_path / "train" / "a" / "x.png", 1)
    assert "has train, but no subfolder test or val" in fault(f"folder:{tmp_path}")
    write_image(tmp_path / "train" / "a" / "y.png", 1, size=(7, 7))
    assert "bring them to one size, for example folder:" in fault(f"folder:{tmp_path}", "train")
    assert "are too few for crop=6; scale up first with resize=6" in fault(f"folder:{tmp_path},crop=6", "train")
    (tmp_path / "train" / "a" / "y.png").write_bytes(b"hello")
    assert "y.png: not an image that can be read" in fault(f"folder:{tmp_path}", "train")


def test_damaged_image_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "a").mkdir()
    Image.fromarray(noise).save(tmp_path / "a" / "x.png")
    whole = (tmp_path / "a" / "x.png").read_bytes()
    (tmp_path / "a" / "x.png").write_bytes(whole[: len(whole) // 2])
    assert "x.png: damaged image" in fault(f"folder:{tmp_path}")


def test_image_beyond_memory_is_refused_before_decoding(tmp_path, monkeypatch):
    write_folder(tmp_path)
    monkeypatch.setenv("ANALOG_SAMSON_MAX_GIB", str(100 / 2**30))
    assert "an image of 100 x 67 pixels needs" in fault(f"folder:{tmp_path},resize=67")
    monkeypatch.setenv("ANALOG_SAMSON_MAX_GIB", "all")
    with pytest.raises(OptionError, match="ANALOG_SAMSON_MAX_GIB=all: expected a number of GiB"):
        open_data(f"folder:{tmp_path}", "test")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("digit", "unknown data 'digit'; did you mean 'digits'"),
        ("cifar:x", "no module 'cifar'"),
        ("cifar10:", "unknown data 'cifar10:'; its path is missing"),
        ("npz", "unknown data 'npz'; its path is missing; expected digits, npz:FILE"),
        ("/some/dir:x", "unknown data"),
        ("folder:x,size=3", "unknown option 'size'; did you mean 'resize'"),
        ("folder:x,crop=0", "crop must be a whole number above 0, got '0'"),
        ("cifar10:x,crop=3", "unknown option 'crop'; known here: none"),
        ("math:gcd", "expected an ImageSet, (images, labels)"),
    ],
)
def test_unusable_spec_is_explained(spec, expected):
    assert expected in fault(spec)


def test_unknown_split_is_refused():
    assert "expected 'train' or 'test'" in fault("digits", "val")


def own_data(split):
    """A user's function."""
    return np.zeros((4 if split == "train" else 2, 5, 5, 3), np.uint8), np.array(
        [0, 1, 0, 1][: 4 if split == "train" else 2]
    )


def own_faulty_data(split):
    return np.full((2, 5, 5), np.nan), np.array([0, 1])


def test_callable_gives_arrays_by_split():
    train = open_data(f"{__name__}:own_data", "train")
    assert (len(train), train.num_classes, train.name) == (4, 2, f"{__name__}:own_data")
    assert len(open_data(f"{__name__}:own_data", "test")) == 2
    assert "NaN or Inf" in fault(f"{__name__}:own_faulty_data")


# ---- normalisation


def test_dataset_constants_are_those_of_the_training_images():
    pixels = open_data("digits", "train").images.double() / 255
    assert pixels.mean().item() == pytest.approx(NORMALIZATIONS["digits"].mean[0], abs=5e-4)
    assert pixels.std().item() == pytest.approx(NORMALIZATIONS["digits"].std[0], abs=5e-4)


def test_cifar_constants_are_near_those_of_the_test_images(shared):
    pixels = open_data(f"npz:{shared}/data/cifar10_test.npz", "test").images.double() / 255
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(NORMALIZATIONS["cifar10"].mean, abs=6e-3)
    assert pixels.std((0, 2, 3)).tolist() == pytest.approx(NORMALIZATIONS["cifar10"].std, abs=3e-3)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalization_survives_text_and_metadata(name):
    normalization = NORMALIZATIONS[name]
    assert parse_normalization(name) == normalization
    assert parse_normalization(normalization.text()) == normalization
    assert parse_normalization(Normalization(normalization.mean, normalization.std).text()) == normalization
    assert Normalization.from_metadata(normalization.metadata()) == normalization


@pytest.mark.parametrize("text", ["imagenot", "0.5", "0.5,x/1,1", "0.5/0", "0.5,0.5/1", "nan/1", "/", "1/inf", ""])
def test_unusable_normalization_is_refused(text):
    with pytest.raises(OptionError, match="normalization"):
        parse_normalization(text)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("digits", "digits"),
        ("cifar10:x", "cifar10"),
        ("cifar100", "cifar100"),
        ("folder:x", "imagenet"),
        ("npz:x", "half"),
        ("a:b", "half"),
    ],
)
def test_normalization_suits_the_data(spec, name):
    assert normalization_for(spec).name == name


def test_normalization_is_chosen_by_user_then_checkpoint_then_model_then_data():
    stored = {"normalization": NORMALIZATIONS["cifar10"].metadata()}

    def chosen(**options) -> tuple[str, str]:
        normalization, origin = choose_normalization(**options)
        return normalization.name, origin

    everything = {"text": "unit", "metadata": stored, "model_name": "resnet20", "data_spec": "npz:x"}
    assert chosen(**everything) == ("unit", "given")
    assert chosen(**everything | {"text": None}) == ("cifar10", "stored in the checkpoint")
    assert chosen(model_name="resnet20", data_spec="npz:x", metadata={"foreign": {}}) == (
        "imagenet",
        "stated by the model resnet20",
    )
    assert chosen(model_name="digits_cnn", data_spec="digits") == ("digits", "usual for the data digits")
    assert chosen(model_name="resnet20", data_spec="digits", channels=1) == ("digits", "usual for the data digits")
    assert chosen(model_name="resnet20", data_spec="folder:x", channels=1) == ("half", "for images of 1 channels")
    assert default_normalization("resnet20", "npz:x").name == "imagenet"
    assert default_normalization("resnet8_mlperf", "npz:x").name == "rgb255"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"data_spec": "npz:x"}, "a.pt: normalization half.* is a guess .usual for the data npz.*--normalization"),
        ({"data_spec": "digits"}, "a.pt: normalization digits.* is a guess"),
        ({"data_spec": "npz:x", "channels": 1, "model_name": "resnet20"}, "normalization half.* is a guess"),
        ({"data_spec": "npz:x", "channels": 3, "model_name": "resnet20"}, None),
        ({"data_spec": "npz:x", "text": "unit"}, None),
        ({"data_spec": "npz:x", "stored": "unit"}, None),
        ({"data_spec": "npz:x", "stored": "unit", "text": "0/1"}, None),
        (
            {"data_spec": "npz:x", "stored": "unit", "text": "half"},
            "half.* .given. replaces .*, unit: mean 0",
        ),
    ],
)
def test_doubtful_normalization_of_a_trained_network_is_warned_of(told, words):
    stored = told.pop("stored", None)
    metadata = {} if stored is None else {"normalization": NORMALIZATIONS[stored].metadata()}
    chosen = choose_normalization(metadata=metadata, **told)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_normalization(Checkpoint(Path("a.pt"), {}, metadata, ""), *chosen)
    assert [one.category for one in caught] == [NormalizationWarning] * (words is not None)
    assert not words or re.search(words, str(caught[0].message))


def test_normalization_that_does_not_fit_the_channels_is_refused():
    with pytest.raises(OptionError, match=r"3 channels .* the data has 1; give one with --normalization"):
        choose_normalization(text="imagenet", data_spec="digits", channels=1)


def test_unreadable_normalization_of_a_checkpoint_is_refused():
    with pytest.raises(CheckpointError, match="unreadable"):
        choose_normalization(metadata={"normalization": {"mean": "x"}}, data_spec="digits")


# ---- augmentation


def naive_augment(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The same draws, one image at a time."""
    count, channels, height, width = images.shape
    a, b = height // 8, width // 8
    tops = torch.randint(2 * a + 1, (count, 1), generator=generator).flatten().tolist()
    lefts = torch.randint(2 * b + 1, (count, 1), generator=generator).flatten().tolist()
    flips = (torch.rand(count, generator=generator) < 0.5).tolist()
    result = []
    for image, top, left, flip in zip(images, tops, lefts, flips, strict=True):
        canvas = torch.zeros(channels, height + 2 * a, width + 2 * b, dtype=images.dtype)
        canvas[:, a : a + height, b : b + width] = image
        crop = canvas[:, top : top + height, left : left + width]
        result.append(crop.flip(2) if flip else crop)
    return torch.stack(result)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 20), st.integers(1, 20), st.integers(0, 1000))
def test_augmentation_equals_the_slow_obvious_way(count, channels, height, width, seed):
    images = torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8)
    before = images.clone()
    fast = augment(images, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(fast, naive_augment(images, torch.Generator().manual_seed(seed)))
    assert torch.equal(images, before)


def test_augmentation_shifts_by_up_to_four_of_32_and_flips_half():
    images = torch.zeros(4000, 1, 32, 32, dtype=torch.uint8)
    images[:, 0, 16, 10] = 255
    moved = augment(images, generator=torch.Generator().manual_seed(0))
    rows, columns = moved[:, 0].flatten(1).argmax(1) // 32, moved[:, 0].flatten(1).argmax(1) % 32
    assert sorted(rows.unique().tolist()) == list(range(12, 21))
    assert sorted(columns.unique().tolist()) == [*range(6, 15), *range(17, 26)]
    flipped = (columns >= 17).double().mean().item()
    assert abs(flipped - 0.5) < 4.9 * 0.5 / 4000**0.5  # false alarm: one in a million


def test_augmentation_cuts_windows_out_of_larger_images():
    """What is at 16 of 40 lies, in windows of 32, at 8 to 16, or mirrored at 15 to 23; no black comes in."""
    images = torch.full((4000, 1, 40, 40), 1, dtype=torch.uint8)
    images[:, 0, 16, 16] = 255
    moved = augment(images, generator=torch.Generator().manual_seed(0), window=(32, 32))
    assert moved.shape == (4000, 1, 32, 32)
    assert moved.min() == 1
    places = moved[:, 0].flatten(1).argmax(1)
    assert sorted((places // 32).unique().tolist()) == list(range(8, 17))
    assert sorted((places % 32).unique().tolist()) == list(range(8, 24))


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 20), st.integers(8, 20), st.integers(1, 24), st.integers(1, 24), st.integers(0, 1000))
def test_augmentation_window_holds_for_each_side_alone(height, width, rows, columns, seed):
    images = torch.randint(0, 256, (3, 2, height, width), dtype=torch.uint8)
    window = augment(images, generator=torch.Generator().manual_seed(seed), window=(rows, columns))
    assert window.shape == (3, 2, min(rows, height), min(columns, width))
    if rows >= height and columns >= width:
        assert torch.equal(window, augment(images, generator=torch.Generator().manual_seed(seed)))


def test_training_cuts_larger_images_to_the_size_that_is_tested():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    seen = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append((model.training, *inputs[0].shape[2:])))
    train, test = make_set(size=12), make_set(size=8)
    fit(model, train, test, TrainOptions(seed=0, epochs=1, batch_size=6))
    fit(model, train, test, TrainOptions(seed=0, epochs=1, batch_size=6, augment=False))
    assert [size for training, *size in seen if training] == [[8, 8]] * 2 + [[12, 12]] * 2
    assert seen[-1] == (False, 8, 8)


def test_public_names_exist():
    assert all(hasattr(data_module, name) for name in data_module.__all__)


def test_documentation_lists_every_kind_of_data_with_its_options():
    table = (
        (Path(__file__).parents[1] / "docs" / "extending.md").read_text().partition("| form |")[2].partition("\n\n")[0]
    )
    for kind, source in SOURCES.items():
        (line,) = (line for line in table.splitlines() if f"`{kind}:" in line)
        assert all(f"`{option}=N`" in line for option in source.options), kind
