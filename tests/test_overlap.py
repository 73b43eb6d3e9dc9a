"""Images that calibration and test share."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from analog_samson.data import ImageSet, count_overlap, image_set, refuse_overlap
from analog_samson.errors import DataError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation


def make_set(values: list[int], *, name: str = "made", size: int = 3) -> ImageSet:
    """One image a value, all its pixels the same."""
    pixels = np.ones((len(values), size, size), np.uint8) * np.array(values, np.uint8)[:, None, None]
    return image_set(pixels, np.zeros(len(values), int), name=name, where=name, num_classes=2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_overlap_is_the_number_of_images_found_in_the_other_set(first, second):
    expected = sum(value in second for value in first)
    assert count_overlap(make_set(first), make_set(second)) == expected


def test_overlap_ignores_labels_and_sees_single_pixels():
    images = make_set([1, 2, 3])
    other = ImageSet(images=images.images, labels=images.labels + 1, num_classes=2, name="x")
    assert count_overlap(images, other) == 3
    changed = images.images.clone()
    changed[0, 0, 2, 2] += 1
    assert count_overlap(images, ImageSet(images=changed, labels=images.labels, num_classes=2, name="x")) == 2


def test_overlap_of_other_shapes_is_none_even_for_the_same_bytes():
    flat = ImageSet(images=torch.zeros(1, 1, 1, 9, dtype=torch.uint8), labels=torch.zeros(1), num_classes=2, name="x")
    assert count_overlap(make_set([0]), flat) == 0


def test_overlap_reads_images_that_are_views():
    images = make_set([1, 2, 3])
    turned = ImageSet(images=images.images.transpose(2, 3), labels=images.labels, num_classes=2, name="x")
    assert count_overlap(images, turned) == 3


def test_disjoint_sets_are_accepted_and_others_are_counted():
    refuse_overlap(make_set([1, 2]), make_set([3, 4]), chosen=True)
    with pytest.raises(DataError) as caught:
        refuse_overlap(make_set([1, 2, 3], name="a"), make_set([3, 1, 5, 6], name="b"), chosen=True)
    assert str(caught.value) == (
        "calibration set a: 2 of its 3 images are also among the 4 test images, so results would come out too good; "
        "name data without them by --calibration-data"
    )


@pytest.fixture
def options(tmp_path):
    """A network with batch-norm and a file that has no part for training."""
    model = build()
    save_checkpoint(tmp_path / "net.safetensors", model, {"model": "test_overlap:build"})
    rng = np.random.default_rng(0)
    for name in ("whole", "other"):
        pixels = rng.integers(0, 256, (12, 3, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", images=pixels, labels=np.arange(12) % 2)
    return {
        "checkpoint": str(tmp_path / "net.safetensors"),
        "model": "test_overlap:build",
        "data": f"npz:{tmp_path / 'whole.npz'}",
        "preset": "pcm_nandakumar_2019",
        "times": (1.0,),
        "sigmas": (),
        "instances": 1,
    }


def build() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))


def test_simulation_when_data_has_one_part_refuses_to_calibrate_on_it(options, tmp_path):
    with pytest.raises(DataError) as caught:
        run_simulation(SimulateOptions(**options, calibrate=("adabs",), limit=5), tmp_path / "run")
    assert str(caught.value) == (
        "calibration set npz:whole.npz: 5 of its 12 images are also among the 5 test images, so results would come "
        "out too good; the training part of npz:whole.npz was taken (a file without parts serves for both); name data "
        "without them by --calibration-data"
    )
    assert not (tmp_path / "run").exists()


def test_simulation_when_input_ranges_need_calibration_refuses_too(options, tmp_path):
    with pytest.raises(DataError, match="12 of its 12 images are also among the 12 test images"):
        run_simulation(SimulateOptions(**options | {"preset": "pcm_rasch_2023"}), tmp_path / "run")


def test_simulation_when_named_calibration_data_overlaps_is_refused_and_runs_on_others(options, tmp_path):
    same, other = (options | {"calibration_data": f"npz:{tmp_path}/{name}.npz"} for name in ("whole", "other"))
    with pytest.raises(DataError, match=r"too good; name data without them by --calibration-data"):
        run_simulation(SimulateOptions(**same, calibrate=("adabs",)), tmp_path / "run")
    with run_simulation(SimulateOptions(**other, calibrate=("adabs",)), tmp_path / "run") as run:
        assert any(record.adabs for record in run.records())


def test_simulation_when_nothing_is_calibrated_takes_data_of_one_part(options, tmp_path):
    with run_simulation(SimulateOptions(**options), tmp_path / "run") as run:
        assert run.records()


def test_official_parts_of_cifar10_share_no_image(shared):
    """Otherwise the default calibration, on the first training images, would be refused."""
    with np.load(shared / "data" / "cifar10_test.npz") as arrays:
        test = image_set(arrays["images"], arrays["labels"], name="test", where="test")
    sheet = np.asarray(Image.open(shared / "data" / "train_1.webp"))  # 100 x 100 images
    pixels = sheet.reshape(100, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)
    train = image_set(pixels, np.zeros(len(pixels), int), name="train", where="train")
    assert (count_overlap(train, test), count_overlap(test, train)) == (0, 0)
    assert count_overlap(test.take(50), test) == 50
