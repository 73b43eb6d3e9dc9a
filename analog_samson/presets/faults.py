"""Validation errors as sentences: the dotted path, what was expected, what was got, a hint."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from analog_samson.errors import did_you_mean
from analog_samson.presets.fields import Expected

_LONGEST_SHOWN = 60


@dataclass(frozen=True)
class _Place:
    """Where an error is: its dotted path, the table around it, the field if that table knows it, lists it is in."""

    path: str
    table: type[BaseModel]
    field: FieldInfo | None
    depth: int


def describe_faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One sentence for each fault that `model` found, in the order of its fields."""
    return [_sentence(_locate(fault["loc"], model), fault) for fault in error.errors(include_url=False)]


def kind_faults(error: ValidationError, where: str = "") -> list[str]:
    """One line for each value of another kind than expected, and for each that is missing; for models without Expected.

    where: what the value as a whole is called.
    """
    lines = []
    for fault in error.errors(include_url=False):
        place = ".".join(str(part) for part in (where, *fault["loc"]) if part != "")
        expected = fault["msg"].replace("Input should be", "expected").removeprefix("Value error, ")
        lines.append(
            f"{place}: " + ("missing" if fault["type"] == "missing" else f"{expected}, got {_show(fault['input'])}")
        )
    return lines


def _sentence(place: _Place, fault: ErrorDetails) -> str:
    match fault["type"]:
        case "extra_forbidden":
            known = list(_by_key(place.table))
            hint = did_you_mean(str(fault["loc"][-1]), known) or f"; known keys: {', '.join(known)}"
            return f"{place.path}: unknown key{hint}"
        case "missing":
            return f"{place.path}: missing; expected {_expected(place)}"
        case "union_tag_not_found":
            return f"{place.path}.model: missing; expected {_one_of(_models(place.field))}"
        case "union_tag_invalid":
            return _mismatch(f"{place.path}.model", fault["input"]["model"], _models(place.field))
        case "two_keys":
            return f"{place.path}: expected {fault['msg']}, got {_show(fault['input'])}"
    if choices := _choices(place.field):
        return _mismatch(place.path, fault["input"], choices)
    return f"{place.path}: expected {_expected(place)}, got {_show(fault['input'])}"


def _mismatch(path: str, got: Any, choices: list[str]) -> str:
    hint = did_you_mean(got, choices) if isinstance(got, str) else ""
    return f"{path}: expected {_one_of(choices)}, got {_show(got)}{hint}"


def _locate(loc: tuple[int | str, ...], model: type[BaseModel]) -> _Place:
    """Follow an error's location through sections and tagged unions (a tag is no part of the file's path)."""
    path, table, field, depth = "", model, None, 0
    parts = iter(loc)
    for part in parts:
        if isinstance(part, int):
            path, depth = f"{path}[{part}]", depth + 1
            continue
        if field is not None and _is_mapping(field):
            path, depth = f"{path}.{part}", depth + 1
            continue
        path, field = f"{path}.{part}" if path else part, _by_key(table).get(part)
        if field is not None and _tables(field):
            inner = _inner_table(field, parts)
            table = inner or table
    return _Place(path, table, field, depth)


def _is_mapping(field: FieldInfo) -> bool:
    """Whether it is a table of values under names of the author's choice."""
    kinds = (field.annotation, *get_args(field.annotation))
    return not _tables(field) and any(get_origin(kind) is dict for kind in kinds)


def _inner_table(field: FieldInfo, parts: Iterator[int | str]) -> type[BaseModel] | None:
    tables = _tables(field)
    if field.discriminator is None:
        return tables[0]
    tag = next(parts, None)
    return next((table for table in tables if tag in get_args(table.model_fields["model"].annotation)), None)


def _tables(field: FieldInfo) -> list[type[BaseModel]]:
    options = get_args(field.annotation) or (field.annotation,)
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]


def _by_key(table: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in table.model_fields.items()}


def _models(field: FieldInfo | None) -> list[str]:
    tables = _tables(field) if field else []
    return [get_args(table.model_fields["model"].annotation)[0] for table in tables]


def _choices(field: FieldInfo | None) -> list[str]:
    is_choice = field is not None and get_origin(field.annotation) is Literal
    return [str(choice) for choice in get_args(field.annotation)] if field and is_choice else []


def _marker(field: FieldInfo) -> Expected | None:
    return next((item for item in field.metadata if isinstance(item, Expected)), None)


def _expected(place: _Place) -> str:
    if place.field is None:
        return "a known key"
    marker = _marker(place.field)
    if marker is not None:
        return next(text for text in (marker.text, marker.item, marker.inner)[place.depth :: -1] if text)
    return "a table" if _tables(place.field) else _one_of(_choices(place.field))


def _one_of(names: list[str]) -> str:
    return f"one of {', '.join(repr(name) for name in names)}" if len(names) > 1 else repr(names[0])


def _show(got: Any) -> str:
    """A TOML value as its author wrote it, cut to a readable length."""
    if isinstance(got, bool):
        return "true" if got else "false"
    if isinstance(got, dict):
        return "a table"
    text = repr(list(got) if isinstance(got, tuple) else got)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
