"""A quantity that a network is judged by: its name, unit and bounds, and which direction is better."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import inf, isfinite
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a number is called and measured in, which values it can take, and which direction is better.

    Attributes:
        name: Identifier in records, lower case with underscores.
        title: What axes and headings call it.
        unit: Follows a value, such as "%"; empty for a number without a unit.
        difference_unit: Follows a difference of two values; empty: the unit.
        higher_is_better: The direction of better.
        lower, upper: The values that it can take.
        decimals: Digits behind the point in tables.
        counted: The value is a share of counted samples, so that it moves in steps.

    >>> Metric(name="rmse", title="RMSE", unit="mm", lower=0.0, higher_is_better=False).worse_by(3.0, 2.5)
    0.5
    """

    name: str
    title: str
    unit: str = ""
    difference_unit: str = ""
    higher_is_better: bool = True
    lower: float = -inf
    upper: float = inf
    decimals: int = 2
    counted: bool = False

    def worse_by(self, value: float, reference: float) -> float:
        """How much worse `value` is than `reference`, in the metric's unit; negative where it is better."""
        return reference - value if self.higher_is_better else value - reference

    def step(self, count: int) -> float | None:
        """The smallest change that `count` samples resolve; None for a metric that is not counted.

        >>> ACCURACY.step(1000)
        0.1
        """
        return (self.upper - self.lower) / count if self.counted else None

    def plain(self) -> dict[str, Any]:
        """The metric as JSON holds it: a bound that is infinite is None."""
        values = asdict(self)
        return values | {bound: values[bound] if isfinite(values[bound]) else None for bound in ("lower", "upper")}


PERCENT: dict[str, Any] = {"unit": "%", "difference_unit": "points", "lower": 0.0, "upper": 100.0, "decimals": 1}
ACCURACY = Metric(name="accuracy_percent", title="accuracy", counted=True, **PERCENT)
LOSS = Metric(name="loss", title="cross-entropy", unit="nats", lower=0.0, higher_is_better=False, decimals=3)


def stored_task(name: str, metrics: Sequence[Metric]) -> dict[str, Any]:
    """What a run stores about its task under the meta key "task"; the first metric is the headline."""
    return {"name": name, "metrics": [metric.plain() for metric in metrics]}


def stored_metrics(task: Mapping[str, Any] | None) -> tuple[Metric, ...]:
    """The metrics of a run from its meta key "task", the headline first.

    Args:
        task: As `stored_task` gives it; keys that this version does not know are skipped. None, in runs of 0.1, is
            classification.

    >>> [metric.name for metric in stored_metrics(None)]
    ['accuracy_percent', 'loss']
    """
    if task is None:
        return ACCURACY, LOSS
    known = {field.name for field in fields(Metric)}
    return tuple(
        Metric(**{name: value for name, value in stored.items() if name in known and value is not None})
        for stored in task["metrics"]
    )
