"""A quantity that a network is judged by: its name, unit and bounds, and which direction is better."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What analysis and reports need to know of a number to treat it right.

    Attributes:
        name: Identifier in records, lower case with underscores.
        title: What axes and headings call it.
        unit: What stands behind a value, such as "%"; empty for a number without one.
        difference_unit: What stands behind a difference of two values; empty: the unit.
        higher_is_better: The direction of better.
        lower, upper: The values that it can take.
        decimals: Digits behind the point in tables.

    >>> Metric(name="rmse", title="RMSE", unit="mm", lower=0.0, higher_is_better=False).loss(2.0, 3.5)
    1.5
    """

    name: str
    title: str
    unit: str = ""
    difference_unit: str = ""
    higher_is_better: bool = True
    lower: float = -inf
    upper: float = inf
    decimals: int = 2

    def loss(self, reference: float, value: float) -> float:
        """How much worse `value` is than `reference`, in the metric's unit; negative where it is better."""
        return reference - value if self.higher_is_better else value - reference

    def worsened(self, reference: float, by: float) -> float:
        """The value that is worse than `reference` by `by`."""
        return reference - by if self.higher_is_better else reference + by

    def is_at_least(self, value: float, threshold: float) -> bool:
        """Whether `value` is as good as `threshold` or better."""
        return value >= threshold if self.higher_is_better else value <= threshold

    def clip(self, value: float) -> float:
        """The nearest value that the metric can take."""
        return min(max(value, self.lower), self.upper)

    def text(self, value: float) -> str:
        """A value with its unit, such as "92.42 %"."""
        return f"{value:.{self.decimals}f}{self.unit and ' ' + self.unit}"

    @property
    def label(self) -> str:
        """Title and unit, for axes and columns."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def points(self) -> str:
        """The unit of a difference."""
        return self.difference_unit or self.unit
