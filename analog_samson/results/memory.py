"""Results kept in memory, for use as a library without a run folder."""

from collections.abc import Iterable

from analog_samson.errors import OptionError
from analog_samson.results.condition import Condition
from analog_samson.results.records import Record


class MemoryStore:
    """Answers to ``has``, ``commit`` and ``records`` as a run folder does, and forgets at the end.

    For one network on one preset and one sweep of sigma_c: a cell that is there is not measured again.
    """

    def __init__(self) -> None:
        self._records: list[Record] = []

    def commit(self, records: Iterable[Record]) -> None:
        self._records.extend(records)

    def has(self, instance: int, condition: Condition) -> bool:
        return any(r.instance == instance and r.condition == condition for r in self._records)

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
