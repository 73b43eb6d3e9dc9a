"""Short trainings on made-up images."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from analog_samson import rng
from analog_samson.data import ImageSet, image_set
from analog_samson.models.build import build_model
from analog_samson.training import TrainOptions, TrainProgress, fit


def made_set(count: int = 40, *, channels: int = 1, size: int = 8, seed: int = 0) -> ImageSet:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return image_set(pixels, np.arange(count) % 10, name="made", where="made", num_classes=10)


def network(seed: int = 0, **options) -> nn.Module:
    with rng.stream(seed, "initial weights"):
        return build_model("digits_cnn", **options)


def few(**options) -> TrainOptions:
    return TrainOptions(**{"seed": 0, "epochs": 3, "batch_size": 16, "learning_rate": 0.05} | options)


def train(folder: Path | None = None, *, model: nn.Module | None = None, progress=None, data=None, **options):
    """A short training; the trained network and the result."""
    model = network() if model is None else model
    data = made_set() if data is None else data
    result = fit(
        model, data, made_set(20, seed=1, channels=data.channels), few(**options), folder=folder, progress=progress
    )
    return model, result


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def stop_at(epoch: int, step: int):
    """A progress callback that dies in the middle of an epoch."""

    def progress(now: TrainProgress) -> None:
        if (now.epoch, now.step) == (epoch, step):
            raise KeyboardInterrupt

    return progress


def weights_and_history(folder: Path) -> tuple[bytes, list[list[str]]]:
    rows = [line.split(",")[:-1] for line in (folder / "history.csv").read_text().splitlines()]  # all but the seconds
    return (folder / "checkpoint.safetensors").read_bytes(), rows
