"""What a simulation gives back: every measured value, and views of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from analog_samson.analysis.frames import cell_columns, cell_rows
from analog_samson.chip.input_ranges import InputRange
from analog_samson.errors import OptionError
from analog_samson.presets.validity import validity_of
from analog_samson.results.condition import Condition
from analog_samson.results.metric import ACCURACY, LOSS, Metric
from analog_samson.results.outcomes import Outcomes, unpack
from analog_samson.results.records import Record

if TYPE_CHECKING:
    import pandas as pd
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
        pilot: How many instances decided on their number; None where it was given.
        input_ranges: Of each layer, as they were chosen; empty where there are no converters or ranges were given.
        metrics: What the task measured, the headline first.
        packed: The outcomes of each cell; see `outcomes`.
    """

    records: tuple[Record, ...]
    preset: Mapping[str, Any] | None = field(default=None, repr=False)
    seed: int | None = None
    samples: int | None = None
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

    def outcomes(self, instance: int, condition: Condition) -> np.ndarray | None:
        """Whether each sample was right, in the order of the data.

        Args:
            instance: The chip; 0 for the digital network.
            condition: Under which it was measured, such as the `condition` of one of the records.

        Returns:
            bool, shape (samples,); None where the task has no right and wrong, or there is no such cell.
        """
        found = self.packed.get((instance, condition))
        return None if found is None else unpack(found.bits, found.count)

    def frame(self) -> "pd.DataFrame":
        """One row for each chip and condition, its metrics in columns of their own, as a pandas DataFrame.

        coverage: "extrapolated" or "interpolated" where the preset's source does not give the moment, else empty.
        """
        import pandas as pd

        return pd.DataFrame(cell_rows(self.records, validity_of(self.preset)), columns=cell_columns(self.records))

    def plot(self) -> "Figure":
        """The headline metric over logarithmic time with its 95 % band, as a matplotlib Figure."""
        from analog_samson.report.figures import over_time_figure

        results = self.results()
        if not any(result.states for result in results):
            raise OptionError("plot: nothing was simulated over time")
        return over_time_figure(results)

    def _repr_html_(self) -> str:
        """The answer, the table and the figure, for a notebook."""
        from analog_samson.report.notebook import result_html

        return result_html(self.results())

    def results(self) -> "tuple[Result, ...]":
        """What reports are made from: means with their intervals, one for each calibration."""
        from analog_samson.analysis.summary import results_of

        validity = validity_of(self.preset)
        right = {cell: unpack(found.bits, found.count) for cell, found in self.packed.items()}
        known = {"pilot": self.pilot, "samples": self.samples}
        return results_of(self.records, self.headline, validity, **known, outcomes=right)
