"""Cells: one network on one chip under one condition, scored by a task and handed to a store."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from analog_samson.results.condition import UNCALIBRATED, Condition
from analog_samson.results.outcomes import Outcomes, pack
from analog_samson.results.protocol import Store
from analog_samson.results.records import Record
from analog_samson.tasks.scoring import Watch, score
from analog_samson.tasks.task import Task


@dataclass(frozen=True)
class Cell:
    """What was measured in one cell; outcomes is empty where the task has none."""

    records: tuple[Record, ...]
    outcomes: tuple[Outcomes, ...]


@dataclass(kw_only=True)
class Cells:
    """Measures the cells of one network on one hardware.

    Attributes:
        store: Where finished cells go.
        data: Batches of the task.
        task: How a batch is fed and scored.
        checkpoint, preset: Labels of the records.
        bf16: Run the network under bfloat16 autocast.
        samples: How many samples a value was measured on, as the last pass over the data counted them.
    """

    store: Store
    data: Iterable[Any]
    task: Task
    checkpoint: str
    preset: str
    bf16: bool = False
    samples: int | None = field(default=None, init=False)

    def missing(self, instance: int, conditions: Iterable[Condition]) -> list[Condition]:
        """The conditions under which this chip was not measured yet."""
        missing = []
        for condition in conditions:
            if not self.store.has(instance, condition):
                missing.append(condition)
            elif self.samples is None and (known := self.store.outcomes(instance, condition)) is not None:
                self.samples = len(known)
        return missing

    def measure(
        self, network: nn.Module, instance: int, condition: Condition, *, watch: Watch | None = None, **further: float
    ) -> Cell:
        """Score `network`, which is in this condition; nothing is stored.

        Args:
            network: The network as the chip computes it.
            instance: The chip.
            condition: Of the chip.
            watch: Sees every output, see `score`.
            further: Values that the task does not measure, by the names of their metrics.
        """
        scores = score(network, self.data, self.task, bf16=self.bf16, watch=watch)
        self.samples = scores.count or None
        labels: dict[str, Any] = {"checkpoint": self.checkpoint, "preset": self.preset, "instance": instance}
        values = scores.values | further
        records = [Record(metric=name, value=value, **labels, **asdict(condition)) for name, value in values.items()]
        if scores.outcomes is None:
            return Cell(tuple(records), ())
        return Cell(tuple(records), (pack(**labels, condition=condition, right=scores.outcomes.numpy()),))

    def keep(self, *cells: Cell) -> None:
        """Store cells, all or none of them."""
        records = [record for cell in cells for record in cell.records]
        self.store.commit(records, [one for cell in cells for one in cell.outcomes])

    def kept(self, stages: Sequence[str]) -> dict[tuple[int, Condition], Outcomes]:
        """The outcomes of all cells of these stages that have any."""
        found = {}
        for cell in {(record.instance, record.condition) for record in self.store.records() if record.stage in stages}:
            right = self.store.outcomes(*cell)
            if right is not None:
                found[cell] = pack(self.checkpoint, self.preset, *cell, right)
        return found


def calibrations(calibrate: Sequence[str]) -> tuple[str, ...]:
    """How every moment is measured: uncalibrated, then by each method once."""
    return tuple(dict.fromkeys((UNCALIBRATED, *calibrate)))
