"""Methods that adapt a network to the noisy weights of its chip, each registered once.

A method's name is the `calibration` of a condition and of every record that was measured with it.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch import nn

from analog_samson.chip.affine import affine_corrected
from analog_samson.chip.batchnorm import adapted_statistics, expect_batchnorm
from analog_samson.errors import OptionError, did_you_mean
from analog_samson.results.condition import ADABS, AFFINE, UNCALIBRATED
from analog_samson.tasks.batch import Run, feed


@dataclass(frozen=True, kw_only=True)
class CalibrationMethod:
    """How a network is adapted to its chip.

    Attributes:
        title: What reports call the method.
        within: Takes the network on its chip, calibration batches, and how a batch is fed to the network. Inside the
            context that it returns the network is adapted; after it, the network is as before.
        check: Takes the digital network and raises OptionError where it has nothing to adapt.
        chips_only: It corrects tiles, so that it cannot adapt a network under the generic Gaussian model.
    """

    title: str
    within: Callable[[nn.Module, Iterable[Any], Run], AbstractContextManager[None]]
    check: Callable[[nn.Module], object] = lambda model: None
    chips_only: bool = False


CALIBRATIONS: dict[str, CalibrationMethod] = {
    ADABS: CalibrationMethod(title="AdaBS", within=adapted_statistics, check=expect_batchnorm),
    AFFINE: CalibrationMethod(title="affine correction", within=affine_corrected, chips_only=True),
}


def calibrated(
    name: str, network: nn.Module, batches: Iterable[Any] | None, run: Run = feed
) -> AbstractContextManager[None]:
    """Context: the network adapted by the method of this name; "none" changes nothing.

    Args:
        name: A key of `CALIBRATIONS`, or "none".
        network: The network on its chip.
        batches: Calibration batches.
        run: How a batch is fed to the network.

    Raises:
        OptionError: The method is unknown or there are no batches.
    """
    if name == UNCALIBRATED:
        return nullcontext()
    if problem := calibration_fault(name):
        raise OptionError(problem)
    if batches is None:
        raise OptionError(f"calibration: {CALIBRATIONS[name].title} needs calibration batches, got none")
    return CALIBRATIONS[name].within(network, batches, run)


def usable_calibrations(model: nn.Module) -> tuple[list[str], list[str]]:
    """The methods that can adapt a digital network to its chip, and why the others cannot."""
    usable, unusable = [], []
    for name, method in CALIBRATIONS.items():
        try:
            method.check(model)
            usable.append(name)
        except OptionError as error:
            unusable.append(f"{method.title}: {error}")
    return usable, unusable


def for_generic_noise(methods: Sequence[str]) -> tuple[str, ...]:
    """Those of the methods that can adapt a network under the generic Gaussian model.

    >>> for_generic_noise(["none", "adabs", "affine"])
    ('none', 'adabs')
    """
    return tuple(name for name in methods if name not in CALIBRATIONS or not CALIBRATIONS[name].chips_only)


def calibration_fault(name: str) -> str | None:
    """What is wrong with the name of a method; None if it is one.

    >>> calibration_fault("adabs"), calibration_fault("adaps")
    (None, "calibrate: expected one of adabs, affine, got 'adaps'; did you mean 'adabs'?")
    """
    if name in CALIBRATIONS:
        return None
    return f"calibrate: expected one of {', '.join(CALIBRATIONS)}, got {name!r}{did_you_mean(name, CALIBRATIONS)}"
