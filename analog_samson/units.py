"""Durations as people write them ("1h") and as the physics needs them (seconds)."""

import math
import re
from collections.abc import Iterable

from analog_samson.errors import OptionError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_DURATION = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([a-z])\s*")
_EXAMPLE = "a number and a unit, for example 1s, 30m, 1h, 1d, 2w or 1y (a year is 365 days)"


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``1h``; raises OptionError for anything else.

    >>> parse_duration("1h"), parse_duration("0.5d"), parse_duration("1y")
    (3600.0, 43200.0, 31536000.0)
    """
    match = _DURATION.fullmatch(text)
    if match is None or match[2] not in SECONDS:
        raise OptionError(f"duration {text!r}: expected {_EXAMPLE}")
    seconds = float(match[1]) * SECONDS[match[2]]
    if not math.isfinite(seconds):
        raise OptionError(f"duration {text!r}: expected a finite time; expected {_EXAMPLE}")
    return seconds


def parse_times(text: str) -> tuple[float, ...]:
    """Strictly increasing seconds of a comma-separated list such as ``1s,1h,1d,1y``.

    >>> parse_times("1d, 1s,1s")
    (1.0, 86400.0)
    """
    return tuple(sorted({parse_duration(part) for part in text.split(",")}))


def as_seconds(times: str | float | Iterable[float | str]) -> tuple[float, ...]:
    """Moments as seconds: one number, text as `parse_times` reads it, or numbers and durations such as "1d".

    >>> as_seconds("1s,1d"), as_seconds([1.0, "1d"])
    ((1.0, 86400.0), (1.0, 86400.0))
    """
    if isinstance(times, str):
        return parse_times(times)
    if isinstance(times, int | float):
        return (float(times),)
    return tuple(parse_duration(time) if isinstance(time, str) else time for time in times)


def format_times(times: Iterable[float]) -> str:
    """Times as `parse_times` reads them.

    >>> format_times([1.0, 3600.0])
    '1s,1h'
    """
    return ",".join(map(format_duration, times))


def format_duration(seconds: float) -> str:
    """The shortest exact way to write a duration; plain seconds where no unit fits.

    >>> [format_duration(t) for t in (0.0, 1.0, 90.0, 3600.0, 86400.0, 31536000.0)]
    ['0s', '1s', '90s', '1h', '1d', '1y']
    """
    for unit, size in reversed(SECONDS.items()):
        if seconds >= size and (seconds / size).is_integer() and seconds / size < 1000:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s" if float(seconds).is_integer() and seconds < 1e15 else f"{seconds!r}s"
