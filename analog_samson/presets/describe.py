"""A preset as rows for people: every value with its unit and meaning, taken from the schema itself."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from analog_samson.presets.fields import Section, show_number

# A field's name ends in its unit; these are how the units are printed.
_UNITS = {"microsiemens": "uS", "seconds": "s", "bits": "bit", "tops": "TOPS", "watt": "TOPS/W", "mm2": "TOPS/mm2"}
NOT_GIVEN = "not given"


@dataclass(frozen=True, slots=True)
class Row:
    """One value of a preset: its dotted path, the value as text, its unit (may be empty) and its meaning."""

    path: str
    value: str
    unit: str
    meaning: str


def describe(preset: Section) -> list[Row]:
    """One row per value of a preset, in the order of the schema; its own name and summary are left out."""
    sections = (name for name in type(preset).model_fields if isinstance(getattr(preset, name), Section))
    return [row for name in sections for row in _section_rows(name, getattr(preset, name))]


def preset_html(preset: Section) -> str:
    """The preset as a table for a notebook."""
    import pandas as pd

    return f"<p>{escape(repr(preset))}</p>{pd.DataFrame(describe(preset)).to_html(index=False)}"


def _section_rows(name: str, section: Section) -> Iterator[Row]:
    for key, field in type(section).model_fields.items():
        path, value = f"{name}.{key}", getattr(section, key)
        if isinstance(value, tuple) and any(isinstance(item, Section) for item in value):
            for place, item in enumerate(value):
                yield from _section_rows(f"{path}[{place}]", item)
            continue
        meaning = field.description or (type(section).__doc__ or "").split("\n")[0]
        yield Row(path, _show(value), "" if value is None else unit_of(key), meaning)


def unit_of(key: str) -> str:
    """The unit of a number, from the end of its key; empty for none."""
    return _UNITS.get(key.rsplit("_", 1)[-1], "")


def _show(value: str | float | tuple[Any, ...] | None) -> str:
    if value is None:
        return NOT_GIVEN
    if isinstance(value, tuple):
        return f"[{', '.join(_show(item) for item in value)}]"
    return value if isinstance(value, str) else show_number(value)
