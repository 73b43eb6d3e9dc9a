"""A run folder read into memory and closed: thousands can be compared without as many open files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from analog_samson.results.condition import Condition
from analog_samson.results.records import Record
from analog_samson.results.store import open_run


class LoadedRun:
    """What a `RunFolder` gives, from memory."""

    def __init__(self, path: Path, keys: Iterable[str]) -> None:
        """Read the run folder at `path`, of its meta the values of `keys`. Raises RunError."""
        with open_run(path) as run:
            self.path, self.options = run.path, run.options
            self._records: list[Record] = run.records()
            self._meta: Mapping[str, Any] = {key: run.meta(key) for key in keys}
            cells = {(record.instance, record.condition) for record in self._records}
            self._outcomes = {cell: run.outcomes(*cell) for cell in cells}

    def records(self) -> list[Record]:
        """Every record, in the order of `RunFolder.records`."""
        return self._records

    def meta(self, key: str) -> Any:
        """The value of one of the keys that were read."""
        return self._meta[key]

    def outcomes(self, instance: int, condition: Condition) -> np.ndarray | None:
        """Whether each sample was right in a cell; None where that is not stored."""
        return self._outcomes.get((instance, condition))
