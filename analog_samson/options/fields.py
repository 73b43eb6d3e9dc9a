"""A field of options: how it is described, shown in help, and read from text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from analog_samson.errors import AnalogSamsonError

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
# Panels that help of several commands has.
NETWORK, DATA, HARDWARE, STATISTICS = "Network", "Data", "Hardware", "Statistics"
CALIBRATION, BUDGET, MACHINE, OUTPUT = "Calibration", "Error budget", "Machine", "Output"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How a field appears in help and on the command line, as metadata in `Annotated`.

    Attributes:
        panel: Heading under which help lists it.
        default: What the default stands for, where the value itself does not say it.
        metavar: The name of its value, such as N or FILE.
        flags: Its names, where they are not the field's own name.
        unit: The unit of its value, for messages.
        needs: The option without which it has no effect.
        is_argument: Whether it is given by place instead of by name.
    """

    panel: str = "Options"
    default: str = ""
    metavar: str = ""
    flags: tuple[str, ...] = ()
    unit: str = ""
    needs: str = ""
    is_argument: bool = False


def option(description: str, panel: str = "Options", metavar: str = "", **settings: Any) -> Any:
    """A field of `Options` for `Annotated`: what `pydantic.Field` and `Shown` say, in one call.

    Args:
        description: What it is, for help and docs.
        panel: See `Shown`.
        metavar: See `Shown`.
        settings: Other attributes of `Shown`, and limits of `pydantic.Field` such as ge=1.
    """
    look = {
        name: settings.pop(name) for name in ("default", "flags", "unit", "needs", "is_argument") if name in settings
    }
    field = Field(description=description, **settings)
    field.metadata.append(Shown(panel=panel, metavar=metavar, **look))
    return field


def listed(kind: Callable[[str], Any], form: str) -> Callable[[str], tuple[Any, ...]]:
    """How a list with commas is read.

    Args:
        kind: Reads one part; raises ValueError for what it cannot read.
        form: What is expected, with an example, for the message.

    >>> listed(int, "whole numbers such as 3,32")("3, 32")
    (3, 32)
    """

    def read(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part) for part in text.split(","))
        except ValueError:
            raise ValueError(f"expected {form}, got {text!r}") from None

    return read


@dataclass(frozen=True)
class Written:
    """A value that may be given as text: how the text is read, and how the value is written in help.

    Text that cannot be read raises an AnalogSamsonError or a ValueError in `read`.
    """

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    metavar: str = "TEXT"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._value, handler(source))

    def _value(self, value: Any) -> Any:
        try:
            return self.read(value) if isinstance(value, str) else value
        except AnalogSamsonError as error:
            raise ValueError(str(error)) from error


def shown(field: FieldInfo) -> Shown:
    """How a field is shown."""
    return next((item for item in field.metadata if isinstance(item, Shown)), Shown())


def written(field: FieldInfo) -> Written | None:
    """How a field is written as text, where that is not plain."""
    return next((item for item in field.metadata if isinstance(item, Written)), None)
