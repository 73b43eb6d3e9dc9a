"""TOML and JSON text as plain values, with one kind of error for everything that can be wrong with it."""

import json
import re
from typing import Any

from analog_samson.runtime.older_python import tomllib

_DEEPEST = 100  # tables or lists inside each other; own files have five
_HALF_LETTER = re.compile("[\ud800-\udfff]")


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ValueError: It is not TOML, or it nests or counts beyond what a file of this package can need.

    >>> parse_toml("[a]\\nb = 1")
    {'a': {'b': 1}}
    """
    try:
        values = tomllib.loads(text)
    except RecursionError:  # tomllib calls itself once for every bracket
        raise ValueError(_too_deep()) from None
    _check(values)
    return values


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: It is not JSON, it nests too deeply, or it holds half of a surrogate pair, which no file can.

    >>> parse_json("[1, null]")
    [1, None]
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _check(value)
    return value


def _check(value: Any) -> None:
    """Without recursion of its own: later readers recurse, and write texts to files."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise ValueError(_too_deep())


def _inside(value: Any) -> list[Any]:
    if isinstance(value, str) and _HALF_LETTER.search(value):
        raise ValueError("a text in it holds half of a surrogate pair")
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else []


def _too_deep() -> str:
    return f"more than {_DEEPEST} tables or lists inside each other"
