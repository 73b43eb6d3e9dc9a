"""What an experiment shows: a table, curves, bars, a correlation; each a section with its own keys."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from analog_samson.experiments.fields import (
    AS_TUPLE,
    Duration,
    MaybeNames,
    MaybeOrder,
    Metric,
    Names,
    Numbers,
    Order,
)
from analog_samson.presets.fields import (
    Count,
    Expected,
    Flag,
    Name,
    NonNegative,
    Positive,
    Section,
)


class AccuracyTable(Section):
    """Test accuracy without noise, methods by settings."""

    model: Literal["accuracy_table"]
    metrics: Annotated[tuple[Metric, ...], AS_TUPLE, Field(min_length=1), Expected("a list of metrics", "a metric")]
    baseline: Name = Field(description="method that the others are compared to")


class SigmaCurves(Section):
    """Accuracy over sigma_c, one figure a setting."""

    model: Literal["sigma_curves"]
    adabs: Flag


class TimeBars(Section):
    """Accuracy at one time after programming, one figure a setting."""

    model: Literal["time_bars"]
    time: Duration
    adabs: Flag


class Measure(Section):
    """A sharpness; see `measure_sharpness`. p is left out where the neighbourhood has none."""

    method: Name
    rho: NonNegative
    p: MaybeOrder = None
    eta: NonNegative
    selection: Name


class Correlation(Section):
    """Sharpness against robustness: accuracy without noise minus accuracy at the largest sigma_c."""

    model: Literal["correlation"]
    adabs: Flag
    measure: Measure


class WorstCase(Section):
    """The worst-case perturbation of a weight over its value, where the loss rises along that weight with slope 1."""

    model: Literal["worst_case"]
    weights: Count = Field(description="how many weights the layer has")
    std: Positive = Field(description="of their normal distribution, before the range is cut")
    ranges: Numbers = Field(description="weights are cut to +-c")
    rho: Annotated[dict[Literal["sam", "asam", "samson"], Positive], Expected("a radius for sam, asam and samson")]
    orders: Annotated[tuple[Order, ...], AS_TUPLE, Field(min_length=1), Expected("a list of p", "p")]


class StudyTable(Section):
    """Digital accuracy, every time and every sigma_c, with and without AdaBS, and who is better than whom.

    Methods are compared after one time and at one sigma_c; sharpness is measured and set beside if a measure is given.
    """

    model: Literal["study"]
    time: Duration = Field(description="after programming, where methods are compared")
    sigma: NonNegative = Field(description="sigma_c where methods are compared")
    adabs: Flag = Field(description="whether they are compared with adapted batch-norm statistics")
    baseline: Name = Field(description="method that all others are compared to")
    order: Names = Field(description="methods from the least robust to the most, as the paper has them")
    rivals: Annotated[dict[str, Names], Expected("a table of lists of methods")] = Field(
        description="for a method, those that it is compared to"
    )
    selections: Names = Field(description="one method, with each rule of what is perturbed")
    leave_out: MaybeNames = Field(default=None, description="one method, and it without one ingredient at a time")
    price: MaybeNames = Field(default=None, description="methods that are set beside the gradients they take a step")
    measure: Measure | None = None

    def named(self) -> dict[str, Sequence[str]]:
        """The methods of each key."""
        lists = {"baseline": (self.baseline,), "order": self.order, "selections": self.selections}
        lists |= {"leave_out": self.leave_out or (), "price": self.price or ()}
        return {**lists, "rivals": [*self.rivals, *(name for names in self.rivals.values() for name in names)]}


def measure_of(shows: "Shown") -> Measure | None:
    """The sharpness that is measured of every network; None where none is."""
    return shows.measure if isinstance(shows, Correlation | StudyTable) else None


Shown = AccuracyTable | SigmaCurves | TimeBars | Correlation | WorstCase | StudyTable
