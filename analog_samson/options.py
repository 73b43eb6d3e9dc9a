"""Options as classes: type, bound, unit, default and description of each, declared once.

Options are checked when made, in Python, from a run.toml and from a command line alike. Command lines and their
help are generated from the classes (`analog_samson.cli.from_options`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin
from unicodedata import category

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, ErrorDetails, core_schema
from typing_extensions import Self

from analog_samson.errors import AnalogSamsonError, OptionError, did_you_mean, list_faults

T = TypeVar("T", bound="Options")
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
# Panels that help of several commands has.
NETWORK, DATA, HARDWARE, STATISTICS = "Network", "Data", "Hardware", "Statistics"
CALIBRATION, BUDGET, MACHINE, OUTPUT = "Calibration", "Error budget", "Machine", "Output"
_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "True or False", str: "one line of text"}
_ANY = 2**62  # a bound so far away says nothing to a person
_NO_TEXT = ("Cc", "Cs")  # control characters, and bytes that are no text


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


class Options(BaseModel):
    """Base of all options: frozen, with keywords only, checked when made.

    A subclass annotates each field with `pydantic.Field` (bounds, description), `Shown` and `Written`, and lists in
    `problems` what single fields cannot say.

    >>> class Cooking(Options):
    ...     NAME = "cook"
    ...     eggs: Annotated[Count, Field(description="How many eggs.")] = 2
    ...     style: Literal["fried", "boiled"] = "fried"
    >>> Cooking(eggs=3).replace(style="boiled")
    Cooking(eggs=3, style='boiled')
    >>> Cooking(eggs=0, style="fryed", salt=1)
    Traceback (most recent call last):
    analog_samson.errors.OptionError: cook: 3 problems
      eggs: expected a whole number of 1 or more, got 0
      style: expected one of fried, boiled, got 'fryed'; did you mean 'fried'?
      salt: unknown option
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    NAME: ClassVar[str] = "options"  # in messages
    PANELS: ClassVar[tuple[str, ...]] = ()  # their order in help

    def problems(self) -> Iterator[str]:
        """One sentence for each contradiction between fields that are valid by themselves."""
        yield from ()

    def idle(self, given: Collection[str]) -> Iterator[str]:
        """One sentence for each of the options that were given and would do nothing."""
        for name in given:
            needed = shown(type(self).model_fields[name]).needs
            if needed and not getattr(self, needed, True):
                yield f"{self.typed(name)}: has no effect without {self.typed(needed)}; give both or neither"

    @classmethod
    def typed(cls, name: str, value: object = None) -> str:
        """A field as it is typed on the command line, such as --batch-size; of a flag, that for `value`."""
        look, word = shown(cls.model_fields[name]), name.replace("_", "-")
        if look.is_argument:
            return look.metavar or name.upper()
        if value is False:
            return look.flags[1] if len(look.flags) > 1 else f"--no-{word}"
        return (look.flags or (f"--{word}",))[0]

    @classmethod
    def from_text(cls, given: Mapping[str, Any], known: Mapping[str, Any] = MappingProxyType({})) -> Self:
        """The options of a command line.

        Args:
            given: Text by field name; a list of texts for an option that may be repeated.
            known: Values of other options, such as those of a file.

        Raises:
            OptionError: With every problem, each option named as it is typed; also for one that would do nothing.
        """
        options = cls.model_validate({**known, **given}, strict=False, context=True)
        if problems := list(options.idle(given)):
            raise OptionError(list_faults(cls.NAME, problems))
        return options

    def replace(self, **changes: Any) -> Self:
        """The same options with some changed, checked again; those that nobody gave stay so."""
        return type(self)(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})

    def part(self, kind: type[T]) -> T:
        """Those options that `kind`, a base of this class, declares; those that nobody gave stay so."""
        values = {name: getattr(self, name) for name in kind.model_fields}
        made = kind(**values)
        usual = {name for name, field in kind.model_fields.items() if values[name] == field.get_default()}
        object.__setattr__(made, "__pydantic_fields_set__", {*values} - (usual - self.model_fields_set))
        return made

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, values: Any, handler: Callable[[Any], Self], info: ValidationInfo) -> Self:
        if isinstance(values, Mapping):
            values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        try:
            options = handler(values)
        except ValidationError as error:
            raise OptionError(list_faults(cls.NAME, list(_sentences(error, cls, typed=bool(info.context))))) from None
        if problems := [*_unwritable(options), *options.problems()]:
            raise OptionError(list_faults(cls.NAME, problems))
        return options


def shown(field: FieldInfo) -> Shown:
    """How a field is shown."""
    return next((item for item in field.metadata if isinstance(item, Shown)), Shown())


def written(field: FieldInfo) -> Written | None:
    """How a field is written as text, where that is not plain."""
    return next((item for item in field.metadata if isinstance(item, Written)), None)


def plain_type(field: FieldInfo) -> Any:
    """The type of a field without None and metadata."""
    return _plain(field.annotation)[0]


def accepts_none(field: FieldInfo) -> bool:
    """Whether a field can be None, which a run.toml stores by leaving it out."""
    return NoneType in get_args(field.annotation)


def choices(annotation: Any) -> tuple[str, ...]:
    """The values of a Literal; none of other types."""
    found, _ = _plain(annotation)
    return tuple(map(str, get_args(found))) if get_origin(found) is Literal else ()


def _unwritable(options: Options) -> Iterator[str]:
    """One sentence for each text that a file or a table cannot show on one line."""
    for name, value in options:
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and any(category(letter) in _NO_TEXT for letter in text):
                yield f"{name}: expected one line of text, got {text!r}"


def _sentences(error: ValidationError, kind: type[Options], *, typed: bool) -> Iterator[str]:
    faults = error.errors(include_url=False)
    of_items = {fault["loc"][0] for fault in faults if len(fault["loc"]) > 1}
    for fault in faults:
        if fault["type"] != "too_short" or fault["loc"][0] not in of_items:  # wrong entries are left out of the count
            yield _sentence(fault, kind, typed=typed)


def _sentence(fault: ErrorDetails, kind: type[Options], *, typed: bool) -> str:
    """One problem: the field, what was expected, what was got."""
    name, got = str(fault["loc"][0]), fault["input"]
    field = kind.model_fields.get(name)
    if field is None:
        return f"{name}: unknown option{did_you_mean(name, kind.model_fields)}"
    place = kind.typed(name) if typed else name
    if fault["type"] == "missing":
        return f"{place}: missing" + (f" ({field.description})" if field.description else "")
    if fault["type"] == "value_error":
        return f"{place}: {fault['msg'].removeprefix('Value error, ')}"
    parts: Any = (field.annotation, *field.metadata)
    annotation: Any = Annotated[parts] if field.metadata else field.annotation
    for _ in fault["loc"][1:]:
        annotation = _item(annotation)
    hint = did_you_mean(got, choices(annotation)) if isinstance(got, str) else ""
    unit = f", in {shown(field).unit}" if shown(field).unit else ""
    return f"{place}: expected {expectation(annotation)}{unit}, got {got!r}{hint}"


def _plain(annotation: Any) -> tuple[Any, list[Any]]:
    """A type without None, and the metadata around it."""
    metadata: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *around = get_args(annotation)
            for item in around:
                metadata += item.metadata if isinstance(item, FieldInfo) else [item]
        elif get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
            inner = [kind for kind in get_args(annotation) if kind is not NoneType]
            if len(inner) > 1:
                return annotation, metadata
            (annotation,) = inner
        else:
            return annotation, metadata


def _item(annotation: Any) -> Any:
    """The type of an entry of a tuple."""
    found, _ = _plain(annotation)
    return get_args(found)[0] if get_args(found) else found


def expectation(annotation: Any) -> str:
    """What a value of this type has to be.

    >>> expectation(Annotated[int | None, Field(ge=1)]), expectation(Annotated[float, Field(gt=0, le=1)])
    ('a whole number of 1 or more', 'a number above 0, up to 1')
    """
    kind, metadata = _plain(annotation)
    if names := choices(kind):
        return f"one of {', '.join(names)}" if len(names) > 1 else repr(names[0])
    if get_origin(kind) is tuple:
        least = next((item.min_length for item in metadata if hasattr(item, "min_length")), 0)
        return f"a list{f' of {least} or more' if least else ''}, each {expectation(_item(kind))}"
    finite = any(getattr(item, "allow_inf_nan", None) is False for item in metadata)
    text = _KINDS.get(kind, getattr(kind, "__name__", str(kind)))
    return (text.replace("a number", "a finite number") if finite else text) + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    known = {name: getattr(item, name) for item in metadata for name in ("ge", "gt", "le", "lt") if hasattr(item, name)}
    limits = {name: limit for name, limit in known.items() if abs(limit) < _ANY}
    ge, gt, le, lt = (f"{limits[name]:g}" if name in limits else "" for name in ("ge", "gt", "le", "lt"))
    high = f"up to {le}" if le else f"below {lt}" if lt else ""
    if ge and le:
        return f" from {ge} to {le}"
    low = f" of {ge} or more" if ge else f" above {gt}" if gt else ""
    return f"{low}, {high}" if low and high else f"{low} {high}".rstrip()
