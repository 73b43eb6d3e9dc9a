"""A network of 243 parameters, right about its images, and a simulation of it that takes a second."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from networks import seeded
from torch import nn

from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.simulation.options import SimulateOptions

SMALL = {"model": "small:Small"}


class Small(nn.Module):
    """Three classes of 1 x 4 x 4 images."""

    def __init__(self, num_classes: int = 3, in_channels: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(64, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).reshape(len(x), -1))


def small_classifier(images: int) -> tuple[nn.Module, np.ndarray, np.ndarray]:
    """The network, images, and labels: what it says of them, so that it is right digitally."""
    model = seeded(Small)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 4, 4), dtype=np.uint8)
    with torch.no_grad():
        outputs = model((torch.from_numpy(pixels)[:, None] / 255 - 0.5) / 0.5)
        model.head.bias -= outputs.mean(0)
    return model, pixels, (outputs - outputs.mean(0)).argmax(1).numpy()


def small_options(folder: Path, *, images: int, tested: int, **options: Any) -> SimulateOptions:
    """A checkpoint and two npz files in `folder`: the first `tested` images to test on, the others to calibrate."""
    model, pixels, labels = small_classifier(images)
    np.savez(folder / "test.npz", images=pixels[:tested], labels=labels[:tested])
    np.savez(folder / "train.npz", images=pixels[tested:], labels=labels[tested:])
    save_checkpoint(folder / "net.safetensors", model, SMALL)
    return SimulateOptions(
        sigmas=options.pop("sigmas", ()),
        checkpoint=str(folder / "net.safetensors"),
        model=SMALL["model"],
        data=f"npz:{folder / 'test.npz'}",
        calibration_data=f"npz:{folder / 'train.npz'}",
        preset="pcm_nandakumar_2019",
        times=(1.0, 31536000.0),
        batch_size=50,
        threads=1,
        **options,
    )
