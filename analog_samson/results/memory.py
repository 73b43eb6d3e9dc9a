"""Results kept in memory, for use as a library without a run folder."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from analog_samson.errors import OptionError
from analog_samson.results.condition import Condition
from analog_samson.results.outcomes import Outcomes, unpack
from analog_samson.results.protocol import Store
from analog_samson.results.records import Record


def kept_in(store: Store | None, checkpoint: str, preset: str, stages: Iterable[str]) -> Store:
    """The store of a simulation, one in memory for None. OptionError where one in memory has cells of another."""
    kept: Store = MemoryStore() if store is None else store
    if isinstance(kept, MemoryStore):
        kept.expect(checkpoint, preset, stages)
    return kept


class MemoryStore:
    """A `Store` as a run folder is, that forgets at the end.

    For one network on one preset and one sweep of sigma_c: a cell that is there is not measured again.
    """

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._cells: set[tuple[int, Condition]] = set()
        self._outcomes: dict[tuple[int, Condition], Outcomes] = {}
        self._meta: dict[str, Any] = {}

    def commit(self, records: Iterable[Record], outcomes: Iterable[Outcomes] = ()) -> None:
        new = list(records)
        self._records += new
        self._cells |= {(record.instance, record.condition) for record in new}
        self._outcomes |= {(one.instance, one.condition): one for one in outcomes}

    def has(self, instance: int, condition: Condition) -> bool:
        return (instance, condition) in self._cells

    def expect(self, checkpoint: str, preset: str, stages: Iterable[str]) -> None:
        """OptionError where cells of these stages are there from another network or preset."""
        wanted, there = (checkpoint, preset), {(r.checkpoint, r.preset) for r in self._records if r.stage in stages}
        if others := there - {wanted}:
            raise OptionError(
                f"store: holds cells of {' on '.join(min(others))} and would give them out for {' on '.join(wanted)}; "
                "take a MemoryStore of its own for each network and preset"
            )

    def records(self) -> list[Record]:
        return list(self._records)

    def outcomes(self, instance: int, condition: Condition) -> np.ndarray | None:
        found = self._outcomes.get((instance, condition))
        return None if found is None else unpack(found.bits, found.count)

    def meta(self, key: str) -> Any:
        return self._meta.get(key)

    def set_meta(self, key: str, value: Any) -> None:
        self._meta[key] = value
