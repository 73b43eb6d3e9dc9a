"""Seeds as people write them: numbers and ranges."""

import re

from analog_samson.errors import OptionError

MOST_SEEDS = 100_000
_PART = re.compile(r"\s*(-?\d{1,18})(?:\s*(?:-|\.\.)\s*(\d{1,18}))?\s*")


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds of a list of whole numbers and ranges, in the order given.

    Args:
        text: Numbers and ranges separated by commas; a range includes both of its ends.

    Raises:
        OptionError: For anything else, a range that runs backwards, a repeated seed or more than MOST_SEEDS.

    >>> parse_seeds("0-4,7")
    (0, 1, 2, 3, 4, 7)
    >>> parse_seeds("0..4") == parse_seeds("0-4")
    True
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise OptionError(f"seeds {text!r}: expected whole numbers or ranges such as 0,1,2 or 0-9,12")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise OptionError(f"seeds {text!r}: the range {part.strip()} ends before it begins")
        if len(seeds) + last - first + 1 > MOST_SEEDS:
            raise OptionError(f"seeds {text!r}: expected at most {MOST_SEEDS} seeds")
        seeds += range(first, last + 1)
    repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1}) if len({*seeds}) < len(seeds) else []
    if repeated:
        raise OptionError(f"seeds {text!r}: seed {repeated[0]} is named twice")
    return tuple(seeds)
