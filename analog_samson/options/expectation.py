"""What the type and the bounds of a field ask of a value, in words."""

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "True or False", str: "one line of text"}
_ANY = 2**62  # a bound so far away says nothing to a person


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


def item_type(annotation: Any) -> Any:
    """The type of an entry of a tuple."""
    found, _ = _plain(annotation)
    return get_args(found)[0] if get_args(found) else found


def expectation(annotation: Any) -> str:
    """What a value of this type has to be.

    >>> from pydantic import Field
    >>> expectation(Annotated[int | None, Field(ge=1)]), expectation(Annotated[float, Field(gt=0, le=1)])
    ('a whole number of 1 or more', 'a number above 0, up to 1')
    """
    kind, metadata = _plain(annotation)
    if names := choices(kind):
        return f"one of {', '.join(names)}" if len(names) > 1 else repr(names[0])
    if get_origin(kind) is tuple:
        least = next((item.min_length for item in metadata if hasattr(item, "min_length")), 0)
        return f"a list{f' of {least} or more' if least else ''}, each {expectation(item_type(kind))}"
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
