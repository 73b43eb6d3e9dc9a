"""What simulations ask of the place that their results go to."""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from analog_samson.results.condition import Condition
from analog_samson.results.outcomes import Outcomes
from analog_samson.results.records import Record


class Store(Protocol):
    """A place for finished cells, each one instance under one condition: a run folder or memory."""

    def commit(self, records: Iterable[Record], outcomes: Iterable[Outcomes] = ()) -> None:
        """Keep all that was measured in finished cells, or nothing of it."""

    def has(self, instance: int, condition: Condition) -> bool:
        """Whether the cell was committed."""

    def records(self) -> list[Record]:
        """Every record."""

    def outcomes(self, instance: int, condition: Condition) -> np.ndarray | None:
        """Whether each sample was right in a cell, bool (samples,); None where the task has no outcomes."""

    def meta(self, key: str) -> Any:
        """The JSON value stored under `key`; None where there is none."""

    def set_meta(self, key: str, value: Any) -> None:
        """Store a JSON value under `key`, in place of an earlier one."""
