"""The base class of options, and its messages."""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, TypeVar
from unicodedata import category

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails
from typing_extensions import Self

from analog_samson.errors import OptionError, did_you_mean, list_faults, shortened
from analog_samson.options.expectation import choices, expectation, item_type
from analog_samson.options.fields import shown

T = TypeVar("T", bound="Options")
_NO_TEXT = ("Cc", "Cs")  # control characters, and bytes that are no text


class Options(BaseModel):
    """Base of all options: frozen, with keywords only, checked when made.

    A subclass annotates each field with `pydantic.Field` (bounds, description), `Shown` and `Written`, and lists in
    `problems` what single fields cannot say.

    >>> from typing import Literal
    >>> from pydantic import Field
    >>> from analog_samson.options import Count
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
            problems = list(_unwritable(options)) or list(options.problems())
        except ValidationError as error:
            try:
                problems = list(_sentences(error, cls, typed=bool(info.context)))
            except UnicodeEncodeError as broken:  # pydantic cannot name a value that is no text
                problems = [f"expected text, got {broken.object!r}"]
        except UnicodeEncodeError as broken:
            problems = [f"expected text, got {broken.object!r}"]
        if problems:
            raise OptionError(list_faults(cls.NAME, list(map(shortened, problems)))) from None
        return options


def _unwritable(options: Options) -> Iterator[str]:
    """One sentence for each text that a file or a table cannot show on one line."""
    for name, value in options:
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str | Path) and any(category(letter) in _NO_TEXT for letter in str(text)):
                yield f"{name}: expected one line of text, got {str(text)!r}"


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
        annotation = item_type(annotation)
    hint = did_you_mean(got, choices(annotation)) if isinstance(got, str) else ""
    unit = f", in {shown(field).unit}" if shown(field).unit else ""
    return f"{place}: expected {expectation(annotation)}{unit}, got {got!r}{hint}"
