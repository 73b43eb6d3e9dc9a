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

    method: Literal["sam", "asam", "samson", "keskar"]
    rho: NonNegative
    p: MaybeOrder = None
    eta: NonNegative
    selection: Name

    @property
    def file(self) -> str:
        """Where its value stands in a cell's folder.

        >>> Measure(method="samson", rho=0.5, p=2.0, eta=0.0, selection="weights_only").file
        'sharpness_samson_rho0.5_p2_weights_only.json'
        """
        order = "" if self.p is None else f"_p{self.p:g}"
        eta = f"_eta{self.eta:g}" if self.eta else ""
        return f"sharpness_{self.method}_rho{self.rho:g}{order}{eta}_{self.selection}.json"

    @property
    def title(self) -> str:
        """As tables name it.

        >>> Measure(method="samson", rho=0.5, p=2.0, eta=0.0, selection="weights_only").title
        'SAMSON p=2, rho 0.5'
        """
        name = self.method.capitalize() if self.method == "keskar" else self.method.upper()
        order = "" if self.p is None else f" p={self.p:g}"
        eta = f", eta {self.eta:g}" if self.eta else ""
        selection = "" if self.selection == "weights_only" else f", {self.selection}"
        return f"{name}{order}, rho {self.rho:g}{eta}{selection}"


Measures = Annotated[tuple[Measure, ...], AS_TUPLE, Expected("a list of tables with method, rho, eta and selection")]


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

    Methods are compared after one time and at one sigma_c. Sharpness is set beside if there are measures: the first is
    part of every finished network, the others are measured as long as its checkpoint is there.
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
    headline: MaybeNames = Field(default=None, description="methods that the page of the study begins with")
    measures: Measures = ()

    def named(self) -> dict[str, Sequence[str]]:
        """The methods of each key."""
        lists = {"baseline": (self.baseline,), "order": self.order, "selections": self.selections}
        lists |= {name: getattr(self, name) or () for name in ("leave_out", "price", "headline")}
        return {**lists, "rivals": [*self.rivals, *(name for names in self.rivals.values() for name in names)]}


def measures_of(shows: "Shown") -> tuple[Measure, ...]:
    """The kinds of sharpness that are measured, the one that every network has first."""
    match shows:
        case Correlation(measure=measure):
            return (measure,)
        case StudyTable(measures=measures):
            return measures
    return ()


Shown = AccuracyTable | SigmaCurves | TimeBars | Correlation | WorstCase | StudyTable
