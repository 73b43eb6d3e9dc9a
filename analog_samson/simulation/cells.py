"""Cells: one network on one chip under one condition, scored by a task and handed to a store."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from analog_samson.analysis.image_sample import ImageSample
from analog_samson.results.condition import UNCALIBRATED, Condition
from analog_samson.results.outcomes import Outcomes, pack
from analog_samson.results.protocol import Store
from analog_samson.results.records import Record
from analog_samson.simulation.adaptive import KEY, ChipImages, SampleScores, choose_images, measures_all
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
        images: On which samples each chip is measured; None: on all.
        samples: How many samples there are, as the last pass over all of them counted.
    """

    store: Store
    data: Iterable[Any]
    task: Task
    checkpoint: str
    preset: str
    bf16: bool = False
    images: ChipImages | None = None
    samples: int | None = field(default=None, init=False)

    def missing(self, instance: int, conditions: Iterable[Condition]) -> list[Condition]:
        """The conditions under which this chip was not measured yet."""
        missing = []
        for condition in conditions:
            if not self.store.has(instance, condition):
                missing.append(condition)
            elif self.images is None and self.samples is None:
                known = self.store.outcomes(instance, condition)
                self.samples = None if known is None else len(known)
        return missing

    @property
    def sample(self) -> ImageSample | None:
        """How the samples of chips are drawn; None where all are measured."""
        return None if self.images is None else self.images.sample

    @property
    def measured(self) -> int | None:
        """How many samples the value of a chip was measured on."""
        return self.samples if self.images is None else self.images.sample.size

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
        if self.images is None or measures_all(condition):
            scores = score(network, self.data, self.task, bf16=self.bf16, watch=watch)
            self.samples = scores.count or None
        else:
            scores, _ = self.images.score(network, self.data, self.task, instance, bf16=self.bf16, watch=watch)
        labels: dict[str, Any] = {"checkpoint": self.checkpoint, "preset": self.preset, "instance": instance}
        values = scores.values | further
        records = [Record(metric=name, value=value, **labels, **asdict(condition)) for name, value in values.items()]
        if scores.outcomes is None:
            return Cell(tuple(records), ())
        return Cell(tuple(records), (pack(**labels, condition=condition, right=scores.outcomes.numpy()),))

    def choose_images(
        self,
        model: nn.Module,
        scores: SampleScores | None,
        moments: Iterable[AbstractContextManager[nn.Module]],
        seed: int,
        instances: int,
        halfwidth: float | None = None,
    ) -> None:
        """Measure chips on part of the samples from now on: those of the run, chosen and stored when it begins.

        Args:
            scores: Of the digital network; None: chips are measured on all samples.
            model, moments, seed, instances, halfwidth: As in `adaptive.choose_images`.
        """
        if scores is None:
            return
        stored = self.store.meta(KEY) if self.store.records() else None
        if stored is not None:
            self.images = ChipImages(ImageSample.of(stored), seed)
            return
        self.images = choose_images(
            model,
            scores,
            moments,
            self.data,
            self.task,
            seed=seed,
            instances=instances,
            halfwidth=halfwidth,
            bf16=self.bf16,
        )
        self.store.set_meta(KEY, self.images.sample.plain())

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
