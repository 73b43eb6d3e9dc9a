"""A run is a folder: run.toml says what was asked, results.sqlite holds every value that was measured."""

import json
import sqlite3
import weakref
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from math import isnan
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from typing_extensions import Self

from analog_samson.errors import RunError, list_faults
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.claim import holds
from analog_samson.results.condition import Condition
from analog_samson.results.database import DATABASE, open_readable, open_writable, reported, transaction
from analog_samson.results.lock import FolderLock
from analog_samson.results.metric import Metric, stored_metrics
from analog_samson.results.outcomes import Outcomes, unpack
from analog_samson.results.records import COLUMNS, Record, from_row, sort_key, to_row
from analog_samson.results.runfile import (
    REPEAT,
    RUN_FILE,
    Spelling,
    check_same_options,
    plain_options,
    read_options,
    render_options,
)
from analog_samson.runtime.plain_values import parse_json

_INSERT = f"INSERT INTO record VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT DO NOTHING"
_SAME = f"SELECT 1 FROM record WHERE {' AND '.join(f'{name} IS ?' for name in COLUMNS)}"
_OF_CELL = (
    "stage = ? AND calibration = ? AND instance = ?"
    " AND ifnull(time_seconds, -1) = ifnull(?, -1) AND ifnull(sigma_c, -1) = ifnull(?, -1)"
)
_CELL = f"SELECT 1 FROM record WHERE {_OF_CELL} LIMIT 1"
_OUTCOME = ("checkpoint", "preset", "stage", "calibration", "instance", "time_seconds", "sigma_c", "count", "bits")
_ADD = f"INSERT INTO outcome VALUES ({', '.join('?' * len(_OUTCOME))}) ON CONFLICT DO NOTHING"
_EQUAL = f"SELECT 1 FROM outcome WHERE {' AND '.join(f'{name} IS ?' for name in _OUTCOME)}"


class RunFolder:
    """One run on disk. Make or continue one with `RunFolder.create`, read one with `open_run`.

    A context manager; `close` releases the folder for other processes.
    """

    def __init__(
        self,
        path: Path,
        options: Mapping[str, Any],
        connection: sqlite3.Connection,
        lock: FolderLock | None = None,
    ) -> None:
        self.path = path
        self.options = dict(options)
        self._connection = connection
        self._closer = weakref.finalize(self, connection.close)  # for a folder that was read and never closed
        self._lock = lock

    def __repr__(self) -> str:
        """Where it is and what was simulated, in a line."""
        told = [str(self.options[key]) for key in ("checkpoint", "preset") if self.options.get(key)]
        return f"<RunFolder {self.path}{': ' * bool(told)}{' on '.join(told)}>"

    @classmethod
    def create(
        cls,
        path: str | Path,
        options: Mapping[str, Any],
        *,
        volatile: Collection[str] = (),
        before: Mapping[str, Any] = MappingProxyType({}),
        spelling: Spelling = dict,
        remark: str = REPEAT,
        below: Path | None = None,
    ) -> "RunFolder":
        """Make a run folder, or continue the run there if its options are the same; one without values is replaced.

        options: every option of the run, resolved; None values are left out of run.toml. Options named in
        `volatile` (such as the device) may differ when a run is continued; run.toml keeps the first values. before:
        values of options that runs of earlier versions had without storing them. spelling: the form in which options
        are compared. `remark` is a line of run.toml that says how to repeat the run. below: the output folder that the
        user named, if the run folder is inside it; no folder between them may be a symbolic link.
        Raises RunError, before anything is written, for a folder that holds another run or other files.
        """
        folder, asked = Path(path), plain_options(options)
        known = {name: value for name, value in before.items() if name in asked}
        stored = _stored_options(folder, known)
        if stored is not None:
            _continues(folder, stored, asked, volatile, spelling)
        make_folder(folder, below=below)
        lock = FolderLock(folder)
        stored = _stored_options(folder, known)  # again: now no other process can be making the run
        if stored is None or not _continues(folder, stored, asked, volatile, spelling):
            (folder / DATABASE).unlink(missing_ok=True)
            write_atomically(folder / RUN_FILE, render_options(asked, remark))
        return cls(folder, read_options(folder / RUN_FILE), open_writable(folder), lock)

    def commit(self, records: Iterable[Record], outcomes: Iterable[Outcomes] = ()) -> None:
        """Store what was measured in finished cells in one transaction: after a crash all is there or nothing.

        Storing a value again does nothing; another value for a stored one raises RunError.
        """
        rows, bits = [to_row(record) for record in records], [_outcome_row(one) for one in outcomes]
        with reported(self.path), transaction(self._connection) as connection:
            for row in rows:
                if connection.execute(_INSERT, row).rowcount == 0 and not connection.execute(_SAME, row).fetchone():
                    raise RunError(f"{self.path}: already holds another value for {from_row(row)}")
            for row in bits:
                if connection.execute(_ADD, row).rowcount == 0 and not connection.execute(_EQUAL, row).fetchone():
                    raise RunError(f"{self.path}: already holds other outcomes of instance {row[4]}, {row[2:6]}")

    def has(self, instance: int, condition: Condition) -> bool:
        """Whether the cell was committed."""
        with reported(self.path):
            return self._connection.execute(_CELL, _place(instance, condition)).fetchone() is not None

    def records(self) -> list[Record]:
        """Every record, in an order that does not depend on the order in which they were stored.

        Raises RunError where one is none that a simulation can have stored.
        """
        with reported(self.path):
            rows = self._connection.execute(f"SELECT {', '.join(COLUMNS)} FROM record").fetchall()
        bounds = {metric.name: metric for metric in stored_metrics(self.meta("task"))}
        try:
            found = sorted((from_row(row) for row in rows), key=sort_key)
            for record in found:
                _check_bounds(record, bounds)
            return found
        except ValueError as error:
            raise RunError(self._damaged([str(error)])) from error

    def outcomes(self, instance: int, condition: Condition, *, preset: str | None = None) -> np.ndarray | None:
        """Whether each sample was right in a cell, in the order of the data: bool, shape (samples,).

        Args:
            instance: The chip; 0 for the digital network.
            condition: Under which it was measured.
            preset: Label of the hardware or variant, where the folder holds several.

        Returns:
            None where the cell or its outcomes were not stored, as in runs of 0.1.

        Raises:
            RunError: Several variants have this cell and none was named, or the stored bits are damaged.
        """
        where, named = (_OF_CELL, ()) if preset is None else (f"{_OF_CELL} AND preset = ?", (preset,))
        with reported(self.path):
            cell = (*_place(instance, condition), *named)
            rows = self._connection.execute(f"SELECT preset, count, bits FROM outcome WHERE {where}", cell).fetchall()
        if len(rows) > 1:
            raise RunError(f"{self.path}: {len(rows)} variants have this cell; name one of {[row[0] for row in rows]}")
        try:
            return unpack(rows[0][2], rows[0][1]) if rows else None
        except ValueError as error:
            raise RunError(self._damaged([str(error)])) from error

    def is_empty(self) -> bool:
        """Whether nothing was measured yet."""
        with reported(self.path):
            return self._connection.execute("SELECT 1 FROM record LIMIT 1").fetchone() is None

    def set_meta(self, key: str, value: Any) -> None:
        """Store a JSON value (environment, preset, plan, ...) under `key`, in place of an earlier one."""
        row = (key, json.dumps(value))
        with reported(self.path), transaction(self._connection) as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)

    def meta(self, key: str) -> Any:
        """The JSON value stored under `key`; None where there is none. Raises RunError for one of another kind."""
        with reported(self.path):
            row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        from analog_samson.results.meta import meta_faults  # reports of runs without meta need no pydantic

        try:
            value = parse_json(row[0])
        except (TypeError, ValueError) as error:
            raise RunError(self._damaged([f"{key}: {error}"])) from error
        if faults := meta_faults(key, value):
            raise RunError(self._damaged(faults))
        return value

    def _damaged(self, faults: Sequence[str]) -> str:
        where = f"{self.path / DATABASE}: damaged or of another version of analog-samson"
        return f"{list_faults(where, faults[:10])}\n  simulate again in another folder"

    def close(self) -> None:
        """Close the files and let other processes write; safe to call twice."""
        self._closer()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_run(path: str | Path) -> RunFolder:
    """Open a run folder for reading; RunError says what was looked for where it is none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     RunFolder.create(folder, {"instances": 2}).close()
    ...     with open_run(folder) as run:
    ...         run.options, run.records()
    ({'instances': 2}, [])
    """
    folder = Path(path)
    missing = [name for name in (RUN_FILE, DATABASE) if not (folder / name).is_file()]
    if missing:
        raise RunError(_not_a_run(folder, missing))
    return RunFolder(folder, read_options(folder / RUN_FILE), open_readable(folder))


def _not_a_run(folder: Path, missing: list[str]) -> str:
    if not folder.exists():
        return f"{folder}: no such folder; expected a run folder made by `analog-samson simulate --out`"
    looked = f"{folder}: not a run folder: looked for {RUN_FILE} and {DATABASE}, missing {' and '.join(missing)}"
    if not folder.is_dir():
        return f"{looked} (it is a file)"
    runs = sorted(str(child.parent) for child in folder.glob(f"*/{RUN_FILE}"))
    return f"{looked}; runs inside it: {', '.join(runs)}" if runs else looked


def _place(instance: int, condition: Condition) -> tuple[Any, ...]:
    """The parameters of `_OF_CELL`."""
    numbers = (None if at is None else float(at) for at in (condition.time_seconds, condition.sigma_c))
    return (condition.stage, condition.calibration, int(instance), *numbers)


def _outcome_row(one: Outcomes) -> tuple[Any, ...]:
    return (one.checkpoint, one.preset, *_place(one.instance, one.condition), one.count, one.bits)


def _check_bounds(record: Record, metrics: Mapping[str, Metric]) -> None:
    """Raise ValueError for a value that its metric cannot have; NaN is one of a network that gives no numbers."""
    metric = metrics.get(record.metric)
    if metric is not None and not (isnan(record.value) or metric.lower <= record.value <= metric.upper):
        between = f"expected {metric.lower:g} to {metric.upper:g}"
        raise ValueError(f"record: {metric.name} {record.value:g}: {between}")


def _continues(
    folder: Path,
    stored: Mapping[str, Any],
    asked: Mapping[str, Any],
    volatile: Collection[str],
    spelling: Spelling,
) -> bool:
    """Whether the run there is the one asked for; False for another in which nothing was measured, else RunError."""
    try:
        check_same_options(folder, stored, asked, volatile, spelling)
    except RunError:
        if not _is_unmeasured(folder):
            raise
        return False
    return True


def _is_unmeasured(folder: Path) -> bool:
    if not (folder / DATABASE).exists():
        return True
    with closing(open_readable(folder)) as connection, reported(folder):
        return connection.execute("SELECT 1 FROM record LIMIT 1").fetchone() is None


def _stored_options(folder: Path, before: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options of the run in `folder`, with those of `before` that it does not store.

    None where a run can be made; RunError where neither holds.
    """
    return {**before, **read_options(folder / RUN_FILE)} if holds(folder, RUN_FILE) else None
