"""Seeds of one checkpoint on one preset: their chips are one sample.

A chip is known by its seed and instance. Over several seeds chips are numbered through, the same way for every
network, so that equal numbers still mean the same chip and networks can be compared chip by chip.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analog_samson.results.records import Record

# Options that decide no value of a given chip, and the files, whose contents are compared instead.
_FREE = (
    *("seed", "checkpoint", "data", "preset", "device", "threads"),
    *("instances", "times", "sigmas", "target_halfwidth", "max_instances"),
)
_NEEDED = ("checkpoint", "preset_sha256", "data")


def seed_groups(
    options: Sequence[Mapping[str, Any]], metas: Sequence[Mapping[str, Any]], records: Sequence[Sequence[Record]]
) -> list[list[int]]:
    """The places of runs that differ in their seed alone, group by group, in the order of first appearance.

    Runs of which anything needed is not recorded, or that share a seed with another of their group, stay alone.
    """
    groups: dict[str, list[int]] = {}
    for place, (own, meta, found) in enumerate(zip(options, metas, records, strict=True)):
        groups.setdefault(_content(own, meta, found) or str(place), []).append(place)
    return [part for group in groups.values() for part in _apart(group, [metas[place]["seed"] for place in group])]


@dataclass(frozen=True)
class ChipNumbers:
    """Numbers through the chips of several seeds, each of which has `stride` numbers.

    >>> cell = {"checkpoint": "net", "preset": "pcm", "stage": "drift", "calibration": "none", "sigma_c": None}
    >>> record = Record(**cell, instance=3, time_seconds=1.0, metric="loss", value=0.5)
    >>> [record.instance for record in ChipNumbers(seeds=(2, 7), stride=10).of([record], 7)]
    [13]
    """

    seeds: tuple[int, ...]
    stride: int

    def number(self, instance: int, seed: int) -> int:
        """The number of a chip."""
        return self.seeds.index(seed) * self.stride + instance

    def of(self, records: Sequence[Record], seed: int) -> list[Record]:
        """The records of one run of this seed, with the numbers of its chips."""
        return [replace(record, instance=self.number(record.instance, seed)) for record in records]


def chip_numbers(metas: Sequence[Mapping[str, Any]], records: Sequence[Sequence[Record]]) -> ChipNumbers:
    """Numbers for all chips of these runs; equal chips of different networks get equal ones."""
    seeds = sorted({meta["seed"] for meta in metas if isinstance(meta["seed"], int)})
    return ChipNumbers(tuple(seeds), 1 + max(record.instance for found in records for record in found))


def pooled_records(parts: Sequence[Sequence[Record]]) -> list[Record]:
    """All records together; of what no chip decides (the digital network, sigma_c 0), those of the first part."""
    return [r for place, part in enumerate(parts) for r in part if place == 0 or not _is_certain(r)]


def pooled_options(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The options of the first part, with all seeds, and the chips of all parts together."""
    counts = [options.get("instances") for options in parts]
    instances = sum(count for count in counts if isinstance(count, int))
    merged = {**parts[0], "seed": [options.get("seed") for options in parts], "instances": instances}
    return {name: value for name, value in merged.items() if name not in ("target_halfwidth", "max_instances")}


def _content(options: Mapping[str, Any], meta: Mapping[str, Any], records: Sequence[Record]) -> str | None:
    """Equal for runs that differ in their seed alone; None where that is not known."""
    if any(not meta[key] for key in _NEEDED) or not isinstance(meta["seed"], int):
        return None
    shared = {name: value for name, value in options.items() if name not in _FREE}
    labels = sorted({record.checkpoint for record in records})
    sha256, data = meta["checkpoint"].get("sha256"), meta["data"].get("fingerprint")
    if sha256 is None or data is None:
        return None
    return json.dumps([shared, labels, sha256, meta["preset_sha256"], data], sort_keys=True, default=str)


def _apart(group: list[int], seeds: Sequence[int]) -> list[list[int]]:
    return [group] if len({*seeds}) == len(seeds) else [[place] for place in group]


def _is_certain(record: Record) -> bool:
    return record.stage == "digital" or record.sigma_c == 0
