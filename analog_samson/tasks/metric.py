"""A quantity that a network is judged by: its name, unit and bounds, and which direction is better."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What one needs to know of a number to treat it right.

    Attributes:
        name: Identifier in records, lower case with underscores.
        title: What axes and headings call it.
        unit: What stands behind a value, such as "%"; empty for a number without one.
        difference_unit: What stands behind a difference of two values; empty: the unit.
        higher_is_better: The direction of better.
        lower, upper: The values that it can take.
        decimals: Digits behind the point in tables.

    >>> Metric(name="rmse", title="RMSE", unit="mm", lower=0.0, higher_is_better=False).unit
    'mm'
    """

    name: str
    title: str
    unit: str = ""
    difference_unit: str = ""
    higher_is_better: bool = True
    lower: float = -inf
    upper: float = inf
    decimals: int = 2
