"""What an experiment shows: a table, curves, bars, a correlation; each a section with its own keys."""

from typing import Annotated, Literal

from pydantic import Field

from analog_samson.experiments.fields import (
    AS_TUPLE,
    Duration,
    MaybeOrder,
    Metric,
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


class ConditionTables(Section):
    """Digital accuracy, and accuracy at every time and every sigma_c, with and without AdaBS.

    The first measure of sharpness belongs to every finished network. The others are measured while its checkpoint is
    there.
    """

    model: Literal["conditions"]
    measures: Measures = ()


def measures_of(shows: "Shown") -> tuple[Measure, ...]:
    """The kinds of sharpness that are measured, the one that every network has first."""
    match shows:
        case Correlation(measure=measure):
            return (measure,)
        case ConditionTables(measures=measures):
            return measures
    return ()


Shown = AccuracyTable | SigmaCurves | TimeBars | Correlation | WorstCase | ConditionTables
