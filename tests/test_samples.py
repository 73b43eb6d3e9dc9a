"""Recordings and segmented images from files."""

import numpy as np
import pytest
import torch
from helpers.samples import write_segmented, write_wave
from torch import nn

from analog_samson import load_preset, simulate_drift
from analog_samson.data.samples import open_samples
from analog_samson.data.tensor_set import TensorBatches
from analog_samson.errors import DataError, OptionError
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.dense import Segmentation


@pytest.mark.parametrize(
    ("dtype", "zero", "scale"), [(np.int16, 0, 2**15), (np.int32, 0, 2**31), (np.uint8, 128, 128), (np.float32, 0, 1)]
)
def test_recordings_of_every_sample_type_are_read(tmp_path, dtype, zero, scale):
    values = write_wave(tmp_path / "yes" / "a.wav", dtype=dtype)
    write_wave(tmp_path / "no" / "b.wav", dtype=dtype)
    found = open_samples(f"audio:{tmp_path}")
    assert (found.classes, found.targets.tolist()) == (["no", "yes"], [0, 1])
    assert found.inputs[1].numpy() == pytest.approx((values.astype(np.float64) - zero) / scale, abs=1e-6)


def test_recordings_are_cut_and_filled_to_one_length(tmp_path):
    long, short = write_wave(tmp_path / "a" / "1.wav", 120), write_wave(tmp_path / "a" / "2.wav", 80)
    with pytest.raises(DataError, match=r"80 to 120 samples.*samples=120"):
        open_samples(f"audio:{tmp_path}")
    found = open_samples(f"audio:{tmp_path},samples=100").inputs.numpy() * 2**15
    assert found[0].tolist() == long[:100].tolist()
    assert found[1].tolist() == [*short.tolist(), *[0] * 20]


@pytest.mark.parametrize("columns", ["path,text", "path,label", "noisy,clean", "first,second,same"])
def test_lists_of_recordings_give_what_their_columns_say(tmp_path, columns):
    for name in ("a", "b"):
        write_wave(tmp_path / f"{name}.wav")
    rows = {"path,text": ["a.wav,hello", "b.wav,you"], "path,label": ["a.wav,x", "b.wav,y"]}
    rows |= {"noisy,clean": ["a.wav,b.wav", "b.wav,a.wav"], "first,second,same": ["a.wav,b.wav,0", "b.wav,b.wav,1"]}
    (tmp_path / "list.csv").write_text("\n".join([columns, *rows[columns]]))
    found = open_samples(f"audio:{tmp_path / 'list.csv'}")
    assert len(found) == 2
    inputs, targets = next(iter(TensorBatches(found, batch_size=1, device="cpu")))
    assert isinstance(inputs, tuple) == (columns == "first,second,same")
    assert len(targets) == 1
    assert found.take(1).fingerprint != found.fingerprint


def test_segmented_images_are_simulated(tmp_path):
    write_segmented(tmp_path, [(8, 10), (8, 10), (8, 10)])
    found = open_samples(f"segmentation:{tmp_path},classes=4")
    assert (tuple(found.inputs.shape), tuple(found.targets.shape), found.num_classes) == ((3, 3, 8, 10), (3, 8, 10), 4)
    data = TensorBatches(found, batch_size=2, device="cpu")
    options = {"times": [1.0], "instances": 1, "seed": 0, "task": Segmentation(classes=4)}
    frame = simulate_drift(nn.Conv2d(3, 4, 3, padding=1), load_preset("ideal"), data, **options).frame()
    assert frame.miou_percent.between(0, 100).all()


def test_a_network_of_recordings_is_simulated(tmp_path):
    for name in ("a", "b"):
        write_wave(tmp_path / name / "1.wav")
    data = TensorBatches(open_samples(f"audio:{tmp_path}"), batch_size=2, device="cpu")
    options = {"times": [1.0], "instances": 1, "seed": 0, "task": Classification()}
    frame = simulate_drift(nn.Linear(100, 2), load_preset("pcm_nandakumar_2019"), data, **options).frame()
    assert frame.accuracy_percent.isin([0, 50, 100]).all()


@pytest.mark.parametrize(
    ("make", "spec", "words"),
    [
        (lambda d: write_wave(d / "x" / "a.wav") is None, "audio:{d}/none", ["no such file or folder"]),
        (lambda d: (d / "x").mkdir(), "audio:{d}", ["no recordings", "CLASS/NAME.wav"]),
        (lambda d: (d / "x.csv").write_text("file\na.wav\n"), "audio:{d}/x.csv", ["columns file", "path,label"]),
        (lambda d: (d / "x.csv").write_text("path,text\na.wav,b\n"), "audio:{d}/x.csv", ["a.wav", "no such recording"]),
        (lambda d: (d / "x.csv").write_text("first,second,same\na,b,2\n"), "audio:{d}/x.csv", ["'same'", "'2'"]),
        (lambda d: ((d / "x").mkdir(), (d / "x/a.wav").write_text("no")), "audio:{d}", ["not a readable WAV"]),
        (lambda d: [write_wave(d / "x" / f"{r}.wav", rate=r) for r in (8000, 16000)], "audio:{d}", ["8000", "16000"]),
        (lambda d: write_wave(d / "x" / "a.wav"), "audio:{d},length=3", ["'length'", "samples"]),
        (lambda d: write_segmented(d, [(8, 8), (8, 9)]), "segmentation:{d}", ["8 x 8 and 8 x 9", "size=256"]),
        (lambda d: (d / "images").mkdir(), "segmentation:{d}", ["images and masks"]),
        (lambda d: (write_segmented(d, [(8, 8)]), (d / "masks/0.png").unlink()), "segmentation:{d}", ["no such mask"]),
        (lambda d: None, "film:{d}", ["unknown data", "text:PATH"]),
    ],
)
def test_data_that_cannot_be_read_is_refused(tmp_path, make, spec, words):
    make(tmp_path)
    with pytest.raises(DataError) as caught:
        open_samples(spec.format(d=tmp_path))
    assert all(word in str(caught.value) for word in words), caught.value


def test_sizes_are_made_equal_and_limits_are_checked(tmp_path):
    write_segmented(tmp_path, [(8, 8), (8, 9)])
    assert open_samples(f"segmentation:{tmp_path},size=6", limit=1).inputs.shape == (1, 3, 6, 6)
    with pytest.raises(OptionError, match="limit"):
        open_samples(f"segmentation:{tmp_path}", limit=0)
    assert torch.equal(*(open_samples(f"segmentation:{tmp_path},size=6").targets for _ in range(2)))
