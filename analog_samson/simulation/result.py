"""What a simulation gives back: every measured value, and views of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analog_samson.analysis.frames import cell_columns, cell_rows
from analog_samson.analysis.image_sample import ImageSample
from analog_samson.analysis.runs import pilot_of
from analog_samson.chip.input_range import InputRange
from analog_samson.errors import OptionError
from analog_samson.presets.validity import validity_of
from analog_samson.results.condition import Condition
from analog_samson.results.metric import ACCURACY, LOSS, Metric, stored_metrics, stored_task
from analog_samson.results.outcomes import Outcomes, pack, unpack
from analog_samson.results.records import Record
from analog_samson.results.store import RunFolder, open_run
from analog_samson.simulation.adaptive import ChipImages

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analog_samson.analysis.summary import Result


@dataclass(frozen=True)
class SimulationResult:
    """The values of every chip under every condition.

    Attributes:
        records: One for each value of each metric.
        preset: As a run folder stores it, for what lies outside its validity; None for the Gaussian model.
        seed: That of the simulation.
        samples: How many samples each value was measured on, where that is known.
        images: How the samples of each chip were drawn, where values are estimates from part of them.
        pilot: How many instances decided on their number; None where it was given.
        input_ranges: Of each layer, as they were chosen; empty where there are no converters or ranges were given.
        metrics: What the task measured, the headline first.
        packed: The outcomes of each cell; see `outcomes`.

    >>> import torch
    >>> from analog_samson import simulate_drift
    >>> data = [(torch.eye(2), torch.tensor([0, 1]))]
    >>> simulate_drift(torch.nn.Linear(2, 2), "ideal", data, times="1d", instances=2, seed=0)
    <SimulationResult of model on ideal: accuracy, 2 chips, 2 conditions>
    """

    records: tuple[Record, ...]
    preset: Mapping[str, Any] | None = field(default=None, repr=False)
    seed: int | None = None
    samples: int | None = None
    images: ImageSample | None = field(default=None, repr=False)
    pilot: int | None = None
    input_ranges: Mapping[str, InputRange] = field(default_factory=dict, repr=False)
    metrics: tuple[Metric, ...] = field(default=(ACCURACY, LOSS), repr=False)
    packed: Mapping[tuple[int, Condition], Outcomes] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        """What it is a result of, in a line; the values are in `frame()`."""
        names = sorted({f"{record.checkpoint} on {record.preset}" for record in self.records})
        chips, conditions = {r.instance for r in self.records}, {r.condition for r in self.records}
        told = f"{self.metrics[0].title}, {len(chips)} chips, {len(conditions)} conditions"
        return f"<{type(self).__name__} of {', '.join(names) or 'nothing'}: {told}>"

    @property
    def headline(self) -> Metric:
        """The metric that lifetimes, yield and comparisons are about."""
        return self.metrics[0]

    @property
    def _estimated(self) -> tuple[int, int] | None:
        return None if self.images is None else (self.images.size, self.images.count)

    def outcomes(self, instance: int, condition: Condition) -> np.ndarray | None:
        """Whether each sample was right, in the order of the data.

        Args:
            instance: The chip; 0 for the digital network.
            condition: Under which it was measured, such as the `condition` of one of the records.

        Returns:
            bool, shape (samples,), with images "adaptive" for a chip those of the samples `drawn`; None where the
            task has no right and wrong, or there is no such cell.
        """
        found = self.packed.get((instance, condition))
        return None if found is None else unpack(found.bits, found.count)

    def drawn(self, instance: int) -> tuple[np.ndarray, np.ndarray]:
        """The samples that a chip was measured on, where values are estimates from part of them.

        Args:
            instance: The chip.

        Returns:
            Their places in the order of the data, ascending, and how many samples each stands for: the weights of its
            outcomes.

        Raises:
            OptionError: Chips were measured on all samples.
        """
        if self.images is None or self.seed is None:
            raise OptionError("drawn: every chip was measured on all samples")
        places = ChipImages(self.images, self.seed).places(instance)
        return places, self.images.weights[self.images.strata[places]]

    def frame(self) -> "pd.DataFrame":
        """One row for each chip and condition, its metrics in columns of their own, as a pandas DataFrame.

        coverage: "extrapolated" or "interpolated" where the preset's source does not give the moment, else empty.
        With images "adaptive" also samples_measured and samples: a chip's values are estimates from part of them.
        """
        import pandas as pd

        rows = cell_rows(self.records, validity_of(self.preset), self._estimated)
        return pd.DataFrame(rows, columns=cell_columns(self.records, estimated=self.images is not None))

    def summary(self) -> str:
        """The answer in words, and a table of means with their 95 % intervals, as `analog-samson report` prints them.

        >>> import torch
        >>> from analog_samson import simulate_drift
        >>> data = [(torch.eye(2), torch.tensor([0, 1]))]
        >>> result = simulate_drift(torch.nn.Linear(2, 2), "ideal", data, times="1d", instances=2, seed=0)
        >>> "1 day" in result.summary()
        True
        """
        from analog_samson.report.notebook import result_text

        return result_text(self.results())

    def to_csv(self, path: str | Path) -> None:
        """Write `frame()` as CSV, a row for each chip and condition."""
        self.frame().to_csv(path, index=False, lineterminator="\n")

    def save(self, folder: str | Path) -> None:
        """Write a run folder that `SimulationResult.load`, `open_run` and `analog-samson report` read.

        Raises:
            RunError: The folder holds another run or other files.
        """
        count = {"count": self.samples}
        ranges = [{"path": path, **asdict(one)} for path, one in self.input_ranges.items()]
        facts: dict[str, Any] = {"preset": self.preset, "seed": self.seed, "data": count, "input_ranges": ranges}
        facts |= {"images": self.images and self.images.plain()}
        facts |= {"task": stored_task("saved", self.metrics)}
        with RunFolder.create(folder, {"saved": repr(self), "seed": self.seed, "pilot": self.pilot}) as run:
            for key, value in facts.items():
                run.set_meta(key, value)
            run.commit(self.records, self.packed.values())

    @classmethod
    def load(cls, folder: str | Path) -> "SimulationResult":
        """The result in a run folder, one that `save` or `analog-samson simulate` wrote.

        Raises:
            RunError: There is no run folder, or it is damaged.
        """
        with open_run(folder) as run:
            records = tuple(run.records())
            cells = {(r.instance, r.condition): (r.checkpoint, r.preset) for r in records}
            right = {cell: (names, run.outcomes(*cell)) for cell, names in cells.items()}
            return cls(
                records=records,
                preset=run.meta("preset"),
                seed=run.meta("seed"),
                samples=(run.meta("data") or {}).get("count"),
                images=None if (drawn := run.meta("images")) is None else ImageSample.of(drawn),
                pilot=pilot_of(run.options),
                input_ranges={one.pop("path"): InputRange.of(one) for one in run.meta("input_ranges") or ()},
                metrics=stored_metrics(run.meta("task")),
                packed={c: pack(*names, *c, found) for c, (names, found) in right.items() if found is not None},
            )

    def plot(self, ax: "Axes | None" = None) -> "Figure":
        """The headline metric over logarithmic time with its 95 % band.

        Args:
            ax: Axes of the caller's to draw on; None makes a figure.

        Returns:
            The matplotlib figure.
        """
        from analog_samson.report.figures import over_time_figure

        results = self.results()
        if not any(result.states for result in results):
            raise OptionError("plot: nothing was simulated over time")
        return over_time_figure(results, ax)

    def _repr_html_(self) -> str:
        """The answer, the table and the figure, for a notebook."""
        from analog_samson.report.notebook import result_html

        return result_html(self.results())

    def results(self) -> "tuple[Result, ...]":
        """What reports are made from: means with their intervals, one for each calibration."""
        from analog_samson.analysis.summary import results_of

        validity = validity_of(self.preset)
        right = {cell: unpack(found.bits, found.count) for cell, found in self.packed.items()}
        return results_of(
            self.records,
            self.headline,
            validity,
            pilot=self.pilot,
            samples=self.samples,
            estimated=self._estimated,
            outcomes=right,
        )
