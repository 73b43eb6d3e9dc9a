"""What an experiment shows: a table, curves, bars, a correlation; each a section with its own keys."""

from typing import Annotated, Literal

from pydantic import Field

from analog_samson.experiments.fields import AS_TUPLE, Count, Duration, Flag, MaybeOrder, Metric, Numbers, Order
from analog_samson.presets.fields import Expected, Name, NonNegative, Positive, Section


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
    """Digital accuracy, every time and every sigma_c, with and without AdaBS."""

    model: Literal["study"]


Shown = AccuracyTable | SigmaCurves | TimeBars | Correlation | WorstCase | StudyTable
