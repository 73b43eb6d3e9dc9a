"""What a network is measured under: digital, so long after programming, at a sigma_c; with or without AdaBS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from analog_samson.experiments.results import CellResult
from analog_samson.experiments.schema import Evaluation
from analog_samson.units import parse_duration


@dataclass(frozen=True, kw_only=True)
class Condition:
    """name: as tables head it. pick: the accuracy [%] of every chip of a network, in their order."""

    name: str
    adabs: bool
    pick: Callable[[CellResult], Sequence[float]]

    @property
    def title(self) -> str:
        """The name, with AdaBS where it is on."""
        return f"{self.name} with AdaBS" if self.adabs else self.name


def digital() -> Condition:
    """Without noise."""
    return Condition(name="digital", adabs=False, pick=CellResult.digital)


def after(time: str, adabs: bool) -> Condition:
    """So long after programming, as text with a unit."""
    return Condition(
        name=time, adabs=adabs, pick=partial(CellResult.at_time, seconds=parse_duration(time), adabs=adabs)
    )


def at_sigma(sigma: float, adabs: bool) -> Condition:
    """At a sigma_c of the generic Gaussian model."""
    return Condition(name=f"sigma {sigma:g}", adabs=adabs, pick=partial(CellResult.at_sigma, sigma=sigma, adabs=adabs))


def noisy(evaluation: Evaluation, adabs: bool) -> list[Condition]:
    """Every time, then every sigma_c of an evaluation."""
    times = [after(time, adabs) for time in evaluation.times]
    return [*times, *(at_sigma(sigma, adabs) for sigma in evaluation.sigmas)]
