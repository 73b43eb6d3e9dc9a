"""Measures a trained network of the study on chips, each on its own part of the images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from analog_samson import plan_conversion
from analog_samson.chip.calibration import calibrated
from analog_samson.chip.input_ranges import choose_input_ranges, needs_calibration
from analog_samson.crossbar.plan import crossbar_placements
from analog_samson.data import NORMALIZATIONS, ImageSet, open_data
from analog_samson.data.augment import as_in_training
from analog_samson.data.batches import Batches
from analog_samson.data.held_out import hold_out
from analog_samson.presets.schema import Preset
from analog_samson.results.condition import DRIFT, Condition
from analog_samson.simulation.device import SimulatedDevice
from analog_samson.simulation.gaussian import noisy_weights
from analog_samson.tasks.batch import few_inputs
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.scoring import score

HELD_OUT, CALIBRATION = 0.1, 1000
TASK = Classification(classes=10)


@dataclass(frozen=True)
class Images:
    """CIFAR-10 as the study divides it; the test images are opened by what reads them."""

    train: ImageSet
    held_out: ImageSet
    device: str = "cpu"

    @classmethod
    def open(cls, spec: str, device: str) -> "Images":
        held_out, train = hold_out(open_data(spec, "train"), HELD_OUT)
        return cls(train, held_out, device)

    def calibration(self) -> Batches:
        """The first training images, augmented."""
        return batches(as_in_training(self.train.take(CALIBRATION), seed=0), self.device)

    def for_rises(self) -> list[Any]:
        """Four batches of 256 training images."""
        return list(batches(self.train.take(1024), self.device, size=256))


def batches(images: ImageSet, device: torch.device | str, size: int = 250) -> Batches:
    """As the networks of the study take them."""
    return Batches(images, NORMALIZATIONS["cifar10"], batch_size=size, device=device, channels_last=True)


@dataclass(frozen=True)
class Reading:
    """What one chip made of its part of the images in one condition; chip is None for the digital network."""

    condition: str
    chip: int | None
    index: np.ndarray
    right: np.ndarray

    @staticmethod
    def key_of(condition: str, chip: int | None) -> str:
        """The name under which the outcomes are stored."""
        return f"{condition}, chip {chip}"


@dataclass(frozen=True)
class Chips:
    """Which chips read which images.

    Attributes:
        seed: Of the chips.
        instances: Their numbers.
        parts: Chip k reads the images i with (i + k) mod parts = 0.
    """

    seed: int
    instances: Sequence[int]
    parts: int

    def share(self, images: Any, chip: int) -> tuple[np.ndarray, Any]:
        """The positions that this chip reads, and those images."""
        index = self.places(len(images), chip)
        return index, images.pick(torch.from_numpy(index))

    def places(self, images: int, chip: int) -> np.ndarray:
        """The positions that this chip reads of so many images."""
        return np.flatnonzero((np.arange(images) + chip) % self.parts == 0)


def which_are_right(model: nn.Module, images: ImageSet) -> np.ndarray:
    """Whether the network is right about each image."""
    found = score(model, batches(images, next(model.parameters()).device), TASK).outcomes
    assert found is not None
    return found.numpy()


Outcome = Callable[[nn.Module, Any], np.ndarray]  # what a network makes of a part of the data


def read_digital(model: nn.Module, images: Any, outcome: Outcome = which_are_right) -> Reading:
    """The network without any hardware."""
    return Reading("digital", None, np.arange(len(images)), outcome(model, images))


def read_generic(
    model: nn.Module,
    images: Any,
    chips: Chips,
    sigma: float,
    calibration: str,
    calibrating: Any,
    outcome: Outcome = which_are_right,
) -> Iterator[Reading]:
    """Under the generic Gaussian model."""
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    placements = crossbar_placements(model)
    for chip in chips.instances:
        index, part = chips.share(images, chip)
        adapted: AbstractContextManager[None] = calibrated(calibration, model, calibrating, TASK.run)
        with noisy_weights(model, placements, sigma, chips.seed, chip), adapted:
            yield Reading(generic(sigma, calibration), chip, index, outcome(model, part))


def read_preset(
    model: nn.Module,
    images: Any,
    chips: Chips,
    preset: Preset,
    conditions: Mapping[str, Condition],
    calibrating: Any,
    ranges: Mapping[str, float] | None = None,
    outcome: Outcome = which_are_right,
) -> Iterator[Reading]:
    """On chips of a preset under each of the conditions, by name; ranges: learned ones, else by output error."""
    plan = plan_conversion(model, preset)
    if not needs_calibration(plan):
        chosen = {}
    elif ranges is None:
        chosen = choose_input_ranges(model, preset, calibrating, seed=chips.seed, plan=plan)
    else:
        chosen = choose_input_ranges(model, preset, calibrating, seed=chips.seed, plan=plan, method=ranges)
    device = SimulatedDevice(
        model, plan, calibration=calibrating, input_ranges=chosen, sample=few_inputs(calibrating, 2)
    )
    for number in chips.instances:
        index, part = chips.share(images, number)
        chip = device.program(chips.seed, number)
        for name, condition in conditions.items():
            with chip.at(condition) as network:
                yield Reading(name, number, index, outcome(network, part))


def generic(sigma: float, calibration: str) -> str:
    """The name of a condition of the generic Gaussian model."""
    return f"sigma_c {sigma:g}, {calibration}"


def aged(preset: Preset, time: float, calibration: str) -> tuple[str, Condition]:
    """A condition of a preset with its name."""
    return f"{preset.name}, {time:g} s, {calibration}", Condition(
        stage=DRIFT, time_seconds=time, calibration=calibration
    )
