"""Variants of one run side by side in one run folder."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from analog_samson.results.condition import DIGITAL, DRIFT, Condition
from analog_samson.results.outcomes import Outcomes
from analog_samson.results.records import Record
from analog_samson.results.store import RunFolder


class Shelf:
    """The place of one variant in a run folder: a store of drift cells under the variant's label.

    The label takes the place of the preset's name in the records. The digital network is measured once for all
    variants, so every variant counts it as done.
    """

    def __init__(self, run: RunFolder, label: str) -> None:
        self._run, self._label = run, label
        self._done = {(record.instance, record.condition) for record in self.records()}

    def commit(self, records: Iterable[Record], outcomes: Iterable[Outcomes] = ()) -> None:
        """Store what was measured in finished cells in one transaction."""
        own = [replace(record, preset=self._label) for record in records]
        self._run.commit(own, [replace(one, preset=self._label) for one in outcomes])
        self._done |= {(record.instance, record.condition) for record in own}

    def has(self, instance: int, condition: Condition) -> bool:
        """Whether the variant has this cell."""
        return condition.stage == DIGITAL or (instance, condition) in self._done

    def outcomes(self, instance: int, condition: Condition) -> np.ndarray | None:
        """Whether each sample was right in a cell of the variant, or of the digital network."""
        label = None if condition.stage == DIGITAL else self._label
        return self._run.outcomes(instance, condition, preset=label)

    def records(self) -> list[Record]:
        """The records of the variant."""
        return [record for record in self._run.records() if record.stage == DRIFT and record.preset == self._label]

    def meta(self, key: str) -> Any:
        """What the run stores under `key` for all variants."""
        return self._run.meta(key)

    def set_meta(self, key: str, value: Any) -> None:
        """Store a JSON value under `key` for all variants."""
        self._run.set_meta(key, value)
