"""Names that tell runs and checkpoints apart."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from analog_samson.results.condition import ADABS, AFFINE, UNCALIBRATED, calibration_parts
from analog_samson.results.records import Record
from analog_samson.units import format_duration

_CALIBRATIONS = {ADABS: "AdaBS", AFFINE: "affine correction"}


def calibration_title(calibration: str) -> str:
    """A calibration method as headings call it; the word itself where it has no other name.

    >>> calibration_title("adabs"), calibration_title("none"), calibration_title("adabs@86400.0")
    ('AdaBS', 'none', 'AdaBS at 1d')
    """
    method, at = calibration_parts(calibration)
    title = _CALIBRATIONS.get(method, method)
    return title if at is None else f"{title} at {format_duration(at)}"


def plain_first(calibration: str) -> tuple[bool, str]:
    """The sort key that puts uncalibrated networks first."""
    return calibration != UNCALIBRATED, calibration


def calibrated_name(name: str, calibration: str, joint: str = " + ") -> str:
    """A network's name with its calibration, if there is one.

    >>> calibrated_name("net", "adabs"), calibrated_name("net", "none")
    ('net + AdaBS', 'net')
    """
    return name if calibration == UNCALIBRATED else f"{name}{joint}{calibration_title(calibration)}"


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many as it takes to tell all of them apart.

    >>> distinct_names([Path("demo/sgd/run"), Path("demo/samson/run")])
    ['sgd/run', 'samson/run']
    """
    for count in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def pool_names(groups: Sequence[Sequence[Path]]) -> list[str]:
    """The names of groups of run folders: of several folders, that which holds them and no other."""
    paths = [path for group in groups for path in group]
    return distinct_names([_holder(group, paths) for group in groups])


def _holder(group: Sequence[Path], paths: Sequence[Path]) -> Path:
    if len(group) == 1:
        return group[0]
    holder = Path(os.path.commonpath(group))
    return group[0] if any(path.is_relative_to(holder) and path not in group for path in paths) else holder


def ambiguous_labels(records: Sequence[Sequence[Record]], contents: Sequence[str | None]) -> list[set[str]]:
    """Of each run, the checkpoint labels that it shares with another on one preset, or that have other weights there.

    contents: the sha256 of each run's checkpoint, None where it is not known.
    """
    known = [(r.checkpoint, sha256) for found, sha256 in zip(records, contents, strict=True) if sha256 for r in found]
    ambiguous = {label for label, times in Counter(label for label, _ in {*known}).items() if times > 1}
    places = [{(r.checkpoint, r.preset) for r in found if r.stage != "gaussian"} for found in records]
    owners = Counter(place for own in places for place in own)
    return [
        {checkpoint for checkpoint, preset in own if owners[checkpoint, preset] > 1 or checkpoint in ambiguous}
        for own in places
    ]


def relabelled(records: Sequence[Record], labels: set[str], name: str) -> list[Record]:
    """The records with the run's name behind every checkpoint label that is among `labels`."""
    return [replace(r, checkpoint=f"{r.checkpoint} ({name})") if r.checkpoint in labels else r for r in records]


def and_list(names: Sequence[str]) -> str:
    """Names with commas and a last "and".

    >>> and_list(["a", "b", "c"])
    'a, b and c'
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def few_names(names: Iterable[str], most: int = 3) -> str:
    """The same of the first few of many names, and how many others there are.

    >>> few_names("abcd"), few_names("abcdefgh")
    ('a, b, c and d', 'a, b, c and 5 others')
    """
    listed = list(names)
    return and_list(listed if len(listed) <= most + 1 else [*listed[:most], f"{len(listed) - most:,} others"])


def listed_seeds(seeds: Sequence[int]) -> str:
    """Seeds as --seeds takes them.

    >>> listed_seeds([0, 1, 2, 7])
    '0-2, 7'
    """
    ordered = sorted({*seeds})
    starts = [seed for seed in ordered if seed - 1 not in ordered]
    ends = [seed for seed in ordered if seed + 1 not in ordered]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
