"""What an exploration found: a map over numbers of a preset, or layers that are kept digital."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analog_samson.analysis.exploration import Cell, Margin, ThresholdMap, Verdict
from analog_samson.presets.axis import Axis
from analog_samson.presets.validity import validity_of
from analog_samson.results.metric import Metric


@dataclass(frozen=True, kw_only=True)
class Held:
    """What was to be held, by which network and how it was tested.

    Attributes:
        metric: What is compared.
        keep: The threshold as it was written.
        threshold, digital: Values of the metric.
        label: Of the network.
        preset: As a run folder stores it; that which is varied.
        time_seconds: Since programming.
        calibration: The method that chips were calibrated with, or "none".
        instances, samples: Chips of each point, and test samples.
    """

    metric: Metric
    keep: str
    threshold: float
    digital: float
    label: str
    preset: Mapping[str, Any] = field(repr=False)
    time_seconds: float
    calibration: str
    instances: int
    samples: int

    @property
    def coverage(self) -> str:
        """Whether the source of the preset covers the time, as `Validity.coverage` says it."""
        return validity_of(self.preset).coverage(self.time_seconds)


@dataclass(frozen=True, kw_only=True)
class Exploration(Held):
    """A map over one or two numbers of a preset.

    Attributes:
        axes: What was varied.
        found: The verdicts.
        measured: The margins of the cells that were simulated.
        folders: Their run folders, relative to that of the exploration.
    """

    axes: tuple[Axis, ...]
    found: ThresholdMap
    measured: Mapping[Cell, Margin]
    folders: Mapping[Cell, str]

    @property
    def own_cell(self) -> Cell | None:
        """The cell of the preset as it is; None where one of its numbers is outside its range."""
        levels = [axis.own_level for axis in self.axes]
        return None if any(level is None for level in levels) else tuple(level for level in levels if level is not None)

    @property
    def best(self) -> Cell:
        """The measured cell with the largest margin."""
        return max(self.measured, key=lambda cell: (self.measured[cell].margin.mean, cell))

    @property
    def cheapest(self) -> Cell | None:
        """The least demanding cell that holds; None where none does.

        It asks for more than the preset has on the fewest axes; among equals the first axis is the least demanding,
        then the second.
        """
        holding = self.found.least_demanding()
        return min(holding, key=self._demand, default=None)

    def _demand(self, cell: Cell) -> tuple[float, ...]:
        placed = list(zip(self.axes, self.found.better, cell, strict=True))
        stricter = sum(sign * (axis.levels[level] - axis.own) > 0 for axis, sign, level in placed)
        return (stricter, *(sign * level for _, sign, level in placed))

    def verdict(self, cell: Cell) -> Verdict:
        """The verdict of a cell, measured or not."""
        return self.found.verdict(cell)


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """Layers that are kept digital together, and what that costs.

    Attributes:
        layers: Their paths.
        margin: To the threshold.
        parameters_percent: Share of all parameters that are digital then.
        macs_percent: Share of all multiply-accumulates that are digital then.
    """

    layers: tuple[str, ...]
    margin: Margin
    parameters_percent: float
    macs_percent: float


@dataclass(frozen=True, kw_only=True)
class LayerExploration(Held):
    """Which layers have to be kept digital.

    Attributes:
        ranking: Every layer on the device by its path with the loss that it alone costs, the most sensitive first;
            empty where none has to be digital.
        measured: The choices that were simulated, with no layer digital first.
        chosen: The fewest that hold; None where none does.
        layers: Number of layers on the device.
    """

    ranking: Sequence[tuple[str, float]]
    measured: Sequence[LayerChoice]
    chosen: LayerChoice | None
    layers: int
