"""What a network has to keep: a value of its metric, or one relative to the digital network."""

import re
from dataclasses import dataclass

from analog_samson.errors import OptionError
from analog_samson.results.metric import Metric

_NUMBER, _UNIT = r"((?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)", r"\s*([^\d\s]\S*)?"
_RELATIVE = re.compile(rf"digital\s*([-+*])\s*{_NUMBER}{_UNIT}")
_VALUE = re.compile(rf"(-?){_NUMBER}{_UNIT}")
EXAMPLE = "expected digital - 1, digital * 0.99, or a value such as 91.5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold as it was written: digital, an operator and a number, or a number alone, with or without a unit."""

    text: str
    operator: str
    number: float
    unit: str

    def check(self, metric: Metric) -> None:
        """Raise OptionError where a network with this metric cannot be held to it.

        That is for another unit, a value outside the metric's bounds, or one that asks for more than digital.
        """
        allowed = set() if self.operator == "*" else {metric.unit, metric.difference_unit} - {""}
        if self.unit and self.unit not in allowed:
            known = f"no unit or {' or '.join(sorted(allowed))}" if allowed else "no unit"
            raise OptionError(f"--keep {self.text!r}: expected {known} for {metric.title}, got {self.unit!r}")
        if not self.operator and not metric.lower <= self.number <= metric.upper:
            between = f"{metric.lower:g} to {metric.upper:g} {metric.unit}".rstrip()
            raise OptionError(f"--keep {self.text!r}: expected a value of {metric.title}, {between}")
        if self.operator and metric.worse_by(self.value(1.0), 1.0) < 0:
            direction, sign = ("higher", "-") if metric.higher_is_better else ("lower", "+")
            raise OptionError(
                f"--keep {self.text!r}: asks for more than digital, since {direction} {metric.title} is better; "
                f"write digital {sign} {self.number:g}, or a value"
            )

    def value(self, digital: float) -> float:
        """The value of the metric that is the threshold, from that of the digital network."""
        match self.operator:
            case "+":
                return digital + self.number
            case "-":
                return digital - self.number
            case "*":
                return digital * self.number
        return self.number


def parse_threshold(text: str) -> Threshold:
    """The threshold in a text.

    Raises:
        OptionError: It is none.

    >>> parse_threshold("digital - 1").value(92.0), parse_threshold("digital * 0.5").value(92.0)
    (91.0, 46.0)
    >>> parse_threshold("91.5 %").value(92.0)
    91.5
    """
    written = text.strip()
    if (match := _RELATIVE.fullmatch(written)) is not None:
        operator, number, unit = match.groups()
        return Threshold(text=written, operator=operator, number=float(number), unit=unit or "")
    if (match := _VALUE.fullmatch(written)) is not None:
        sign, number, unit = match.groups()
        return Threshold(text=written, operator="", number=float(sign + number), unit=unit or "")
    raise OptionError(f"--keep {text!r}: {EXAMPLE}")
