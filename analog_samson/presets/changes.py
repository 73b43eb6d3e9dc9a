"""A preset with some numbers changed, as one text: `pcm_rasch_2023@periphery.adc_bits=6,read.scale=0.5`."""

import re
from collections.abc import Mapping
from math import isfinite

from analog_samson.errors import OptionError
from analog_samson.presets.leaves import check_leaf, leaves, with_leaves
from analog_samson.presets.schema import Preset
from analog_samson.units import SECONDS

_CHANGE = r"[A-Za-z0-9_]+\.[A-Za-z0-9_]+=[^@,=]+"
_CHANGED = re.compile(rf"(?P<base>.+?)@(?P<changes>{_CHANGE}(?:,{_CHANGE})*)")
_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\s\d]*)\s*")
_UNITS = {"seconds": SECONDS, "microsiemens": {"uS": 1.0}}


def split_changes(text: str) -> tuple[str, dict[str, str]]:
    """The name or path of a preset, and its changes as text by dotted path; empty where the text has none.

    >>> split_changes("pcm_rasch_2023@periphery.adc_bits=6,read.scale=0.5")
    ('pcm_rasch_2023', {'periphery.adc_bits': '6', 'read.scale': '0.5'})
    >>> split_changes("mine@home.toml")
    ('mine@home.toml', {})
    """
    found = _CHANGED.fullmatch(text)
    if found is None:
        return text, {}
    pairs = [part.split("=") for part in found["changes"].split(",")]
    if len(dict(pairs)) < len(pairs):
        raise OptionError(f"preset {text!r}: changes a number twice")
    return found["base"], {path: value for path, value in pairs}


def join_changes(base: str, changes: Mapping[str, str]) -> str:
    """The text that `split_changes` splits.

    >>> join_changes("ideal", {}), join_changes("ideal@tile.max_rows=64", {"tile.max_columns": "32"})
    ('ideal', 'ideal@tile.max_rows=64,tile.max_columns=32')
    """
    name, own = split_changes(base)
    every = {**own, **changes}
    return f"{name}@{','.join(f'{path}={value}' for path, value in every.items())}" if every else name


def with_changes(preset: Preset, changes: Mapping[str, str]) -> Preset:
    """The preset with other numbers, under a name that holds them.

    Args:
        preset: It is not changed.
        changes: Values as text by dotted path; values in seconds or microsiemens may have their unit.

    Raises:
        OptionError: The preset has no such number, or a text is no number.
        PresetError: A value that no preset can have.
    """
    own = leaves(preset)
    for path in changes:
        check_leaf(preset, path)
    values = {path: parse_number(text, path, own[path]) for path, text in changes.items()}
    return with_leaves(preset, values, changed_name(preset, values), changed_title(preset, values))


def changed_name(preset: Preset, values: Mapping[str, float]) -> str:
    """A name of small letters, digits and underscores for the preset with these values."""
    words = [f"{path.replace('.', '_')}_{value!r}" for path, value in values.items()]
    text = "_".join(words).replace("-", "m").replace("+", "").replace(".", "p").lower()
    return f"{preset.name}_{text}"


def changed_title(preset: Preset, values: Mapping[str, float]) -> str:
    """What headings call the preset with these values."""
    words = [f"{path.partition('.')[2]} {value:g}" for path, value in values.items()]
    return f"{preset.title or preset.name}, {', '.join(words)}"


def parse_number(text: str, path: str, own: float) -> float:
    """A number of a preset from text, in the unit of the number; whole where `own`, the preset's value, is.

    >>> parse_number("1h", "drift.t0_seconds", 20.0), parse_number("6", "periphery.adc_bits", 8)
    (3600.0, 6)
    """
    match, units = _NUMBER.fullmatch(text), _UNITS.get(path.rsplit("_", 1)[-1], {})
    if match is None or not isfinite(float(match[1])):
        raise OptionError(f"{path}: expected a finite number, got {text!r}")
    if match[2] and match[2] not in units:
        allowed = f"no unit or one of {', '.join(units)}" if units else "a number without a unit"
        raise OptionError(f"{path}: expected {allowed}, got {text!r}")
    value = float(match[1]) * units.get(match[2], 1.0)
    if not isinstance(own, int):
        return value
    if value != int(value):
        raise OptionError(f"{path}: expected a whole number, got {text!r}")
    return int(value)
