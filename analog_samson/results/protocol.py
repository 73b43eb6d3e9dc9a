"""What simulations ask of the place that their results go to."""

from collections.abc import Iterable
from typing import Protocol

from analog_samson.results.condition import Condition
from analog_samson.results.records import Record


class Store(Protocol):
    """A place for finished cells, each one instance under one condition: a run folder or memory."""

    def commit(self, records: Iterable[Record]) -> None:
        """Keep the records of one finished cell, all or none of them."""

    def has(self, instance: int, condition: Condition) -> bool:
        """Whether the cell was committed."""

    def records(self) -> list[Record]:
        """Every record."""
