"""Variants of one run side by side in one run folder."""

from collections.abc import Iterable
from dataclasses import replace

from analog_samson.results.records import Record
from analog_samson.results.store import RunFolder

_Cell = tuple[bool, int, float | None]


class Shelf:
    """The place of one variant in a run folder: a store that takes drift cells, under the variant's label.

    The label stands where records have the preset's name. The digital network counts as done: it is measured once.
    """

    def __init__(self, run: RunFolder, label: str) -> None:
        self._run, self._label = run, label
        self._done: set[_Cell] = {_cell(record) for record in self.records()}

    def commit(self, records: Iterable[Record]) -> None:
        """Store the records of one finished cell in one transaction."""
        own = [replace(record, preset=self._label) for record in records]
        self._run.commit(own)
        self._done |= {_cell(record) for record in own}

    def has(
        self,
        *,
        stage: str,
        adabs: bool,
        instance: int,
        time_seconds: float | None = None,
        sigma_c: float | None = None,
    ) -> bool:
        """Whether the variant has this cell."""
        return stage == "digital" or (adabs, instance, time_seconds) in self._done

    def records(self) -> list[Record]:
        """The records of the variant."""
        return [record for record in self._run.records() if record.stage == "drift" and record.preset == self._label]


def _cell(record: Record) -> _Cell:
    return record.adabs, record.instance, record.time_seconds
