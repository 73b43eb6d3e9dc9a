"""The kinds of value an experiment file can hold, beside those of a preset."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from analog_samson.errors import OptionError
from analog_samson.presets.fields import Count, Expected, Finite, Name, NonNegative
from analog_samson.units import parse_duration


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except OptionError as error:
        raise ValueError("not a duration") from error
    return text


AS_TUPLE = BeforeValidator(_as_tuple)
Share = Annotated[float, Field(gt=0, lt=1), Expected("a number between 0 and 1")]
Order = Annotated[float, Field(ge=1), Expected("a number of at least 1, or inf")]
Names = Annotated[tuple[Name, ...], AS_TUPLE, Field(min_length=1), Expected("a list of names", "a name")]
Numbers = Annotated[tuple[Finite, ...], AS_TUPLE, Field(min_length=1), Expected("a list of numbers", "a number")]
Sigmas = Annotated[tuple[NonNegative, ...], AS_TUPLE, Expected("a list of sigma_c, 0 or above", "0 or above")]
Duration = Annotated[str, AfterValidator(_duration), Expected("a duration such as '1h' or '1y'")]
Durations = Annotated[
    tuple[Duration, ...], AS_TUPLE, Expected("a list of durations such as ['1d', '1y']", "a duration such as '1y'")
]
MaybeDuration = Annotated[Duration | None, Expected("a duration such as '1h' or '1y'")]
MaybeCount = Annotated[Count | None, Expected("a whole number of at least 1")]
MaybeNumber = Annotated[NonNegative | None, Expected("a finite number, 0 or above")]
MaybeNames = Annotated[Names | None, Expected("a list of names")]
MaybeName = Annotated[Name | None, Expected("small letters, digits and _, a letter first")]
MaybeOrder = Annotated[Order | None, Expected("a number of at least 1, or inf")]
Teacher = Annotated[Literal["start"] | None, Expected("start")]
Family = Literal["plain", "clipping", "noise"]
Metric = Literal["top1_percent", "top5_percent"]
