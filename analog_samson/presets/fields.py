"""The kinds of value a preset can hold, each with the sentence that says what was expected."""

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError


@dataclass(frozen=True)
class Expected:
    """What an error message says after "expected"; `item` is for one entry of a list, `inner` for one of its own."""

    text: str
    item: str = ""
    inner: str = ""


class Piecewise(NamedTuple):
    """A function of x in two pieces: from `knee` on the polynomial, below it linear in ln x, held between bounds."""

    knee: float
    slope: float
    intercept: float
    minimum: float
    maximum: float
    coefficients: tuple[float, ...]


class Section(BaseModel):
    """One table of a preset file: nothing is converted, nothing unknown is let in, nothing changes later."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def expected(text: str) -> PydanticCustomError:
    """For a check between two keys: `text` says what was expected of the second one."""
    return PydanticCustomError("two_keys", "{text}", {"text": text})


def not_above(value: float, info: ValidationInfo, other: str) -> float:
    """For a validator of a lower bound: the upper bound `other`, declared before it, must not be below it."""
    if other in info.data and value > info.data[other]:
        raise expected(f"at most {other} ({show_number(info.data[other])})")
    return value


def as_many_as(values: tuple[Any, ...], info: ValidationInfo, other: str) -> tuple[Any, ...]:
    """For a validator of a list: it must be as long as the list `other`, declared before it."""
    if other in info.data and len(values) != len(info.data[other]):
        raise expected(f"as many entries as {other} has ({len(info.data[other])})")
    return values


def _one_line(text: str) -> str:
    if not text.strip() or len(text.splitlines()) > 1:
        raise ValueError("not one line of text")
    return text


def _at_most_one_line(text: str) -> str:
    return _one_line(text) if text else text


def _bits(bits: int) -> int:
    if bits == 1 or not 0 <= bits <= 24:
        raise ValueError("0 or 2 to 24")
    return bits


def _positive_or_not_stated(value: Any) -> float | str:
    if value == NOT_STATED:
        return NOT_STATED
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError("neither a positive number nor NOT_STATED")
    return float(value)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list) else value


def _at_most_24_bits(bits: tuple[int, ...]) -> tuple[int, ...]:
    if sum(bits) > 24:
        raise ValueError("more than 24 bits")
    return bits


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError("not strictly increasing")
    return values


def _never_negative(coefficients: tuple[float, ...]) -> tuple[float, ...]:
    """A polynomial in g / g_max that is a standard deviation must not be negative between 0 and 1."""
    grid = [step / 1000 for step in range(1001)]
    if min(sum(c * x**power for power, c in enumerate(coefficients)) for x in grid) < 0:
        raise ValueError("negative standard deviation")
    return coefficients


_FINITE = Field(allow_inf_nan=False)
Finite = Annotated[float, _FINITE, Expected("a finite number")]
Positive = Annotated[float, _FINITE, Field(gt=0), Expected("a finite number above 0")]
NOT_STATED = "not stated"
PositiveOrNotStated = Annotated[
    float | str, PlainValidator(_positive_or_not_stated), Expected(f"a finite number above 0, or {NOT_STATED!r}")
]
Count = Annotated[int, Field(ge=1), Expected("a whole number of at least 1")]
Percent = Annotated[float, Field(ge=0, le=100), Expected("a number from 0 to 100")]
Flag = Annotated[bool, Expected("true or false")]
Fraction = Annotated[float, Field(ge=0, le=1), Expected("a number from 0 to 1")]
NonNegative = Annotated[float, _FINITE, Field(ge=0), Expected("a finite number, 0 or above")]
Limit = Annotated[int, Field(ge=0), Expected("a whole number, 0 (no limit) or above")]
Bits = Annotated[int, AfterValidator(_bits), Expected("a whole number, 0 (no quantisation) or 2 to 24")]
SliceBits = Annotated[
    tuple[Annotated[int, Field(ge=1, le=12)], ...],
    BeforeValidator(_as_tuple),
    AfterValidator(_at_most_24_bits),
    Expected("a list of whole numbers from 1 to 12 with a sum of at most 24", "a whole number from 1 to 12"),
]
Year = Annotated[int, Field(ge=1900, le=2100), Expected("a year, 1900 to 2100")]
Line = Annotated[str, AfterValidator(_one_line), Expected("one line of text")]
Title = Annotated[str, AfterValidator(_at_most_one_line), Expected("one line of text, or ''")]
SchemaVersion = Annotated[int, Field(ge=1, le=1), Expected("1, the schema this version reads")]
Text = Annotated[str, Expected("text")]
Name = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_]*$"),
    Expected("small letters, digits and _, a letter first"),
]
Doi = Annotated[
    str,
    Field(pattern=r"^(10\.[0-9]{4,9}/\S+)?$"),
    Expected("a DOI such as '10.1000/182', or ''"),
]
_POLYNOMIAL = "a list of finite numbers [c0, c1, ...] whose polynomial is nowhere negative between 0 and 1"
Coefficients = Annotated[
    tuple[Finite, ...],
    BeforeValidator(_as_tuple),
    AfterValidator(_never_negative),
    Field(min_length=1),
    Expected(_POLYNOMIAL, "a finite number"),
]
Polynomials = Annotated[
    tuple[Coefficients, ...],
    BeforeValidator(_as_tuple),
    Field(min_length=1),
    Expected("a list of lists, one polynomial each", _POLYNOMIAL, "a finite number"),
]
NonNegatives = Annotated[
    tuple[NonNegative, ...],
    BeforeValidator(_as_tuple),
    Expected("a list of finite numbers, 0 or above", "a finite number, 0 or above"),
]
Positives = Annotated[
    tuple[Positive, ...],
    BeforeValidator(_as_tuple),
    Expected("a list of finite numbers above 0", "a finite number above 0"),
]
Grid = Annotated[
    tuple[NonNegative, ...],
    BeforeValidator(_as_tuple),
    AfterValidator(_increasing),
    Field(min_length=2),
    Expected("a list of at least two rising finite numbers, 0 or above", "a finite number, 0 or above"),
]
Times = Annotated[
    tuple[Positive, ...],
    BeforeValidator(_as_tuple),
    AfterValidator(_increasing),
    Expected("a list of rising finite numbers above 0", "a finite number above 0"),
]
Pairs = Annotated[int, Field(ge=0, le=16), Expected("a whole number, 0 (a single device) to 16")]
Reads = Annotated[int, Field(ge=1), Expected("a whole number above 0")]


def show_number(value: float) -> str:
    """The shortest text that reads back as the same number; whole numbers keep no trailing zero.

    >>> show_number(25.0), show_number(2.5e-7)
    ('25', '2.5e-07')
    """
    is_whole = math.isfinite(value) and value == int(value) and abs(value) < 1e15
    return str(int(value)) if is_whole else repr(value)
