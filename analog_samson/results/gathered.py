"""sweep.sqlite: the values of many run folders in one file, in an order that does not depend on how they were made."""

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from analog_samson.results.atomic import part_of, remove_leftovers
from analog_samson.results.database import DATABASE, open_readable, reported
from analog_samson.results.links import refuse_link
from analog_samson.results.records import COLUMNS
from analog_samson.results.runfile import BUDGET_FOLDER, RUN_FILE, read_options

GATHERED = "sweep.sqlite"
_OUTCOME = (*COLUMNS[:7], "count", "bits")
_ORDER = "checkpoint, preset, stage, calibration, time_seconds, sigma_c, instance"
_TABLES = (
    "CREATE TABLE run (id INTEGER PRIMARY KEY, folder TEXT UNIQUE, options TEXT NOT NULL, point TEXT NOT NULL, "
    "training TEXT)",
    "CREATE TABLE meta (run INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, key))",
    f"CREATE TABLE record (run INTEGER NOT NULL, {', '.join(COLUMNS)})",
    f"CREATE TABLE outcome (run INTEGER NOT NULL, {', '.join(_OUTCOME)})",
    "CREATE INDEX record_run ON record (run)",
    "CREATE INDEX outcome_run ON outcome (run)",
)


def gather(out: Path, runs: Iterable[tuple[Path, Mapping[str, str], str | None]]) -> Path:
    """Write every value of run folders below `out`, and of error budgets in them, into `out`/sweep.sqlite.

    Equal runs give an equal file. It replaces an earlier one whole or not at all.

    Args:
        out: The output folder.
        runs: Run folders in order, each with what was varied there and the folder of its training, None where the
            checkpoint was given; taken one by one.

    Raises:
        RunError: A run folder cannot be read, or the file cannot be written.
    """
    file, part = out / GATHERED, part_of(out / GATHERED)
    refuse_link(file)
    remove_leftovers(file)
    part.unlink(missing_ok=True)
    try:
        with reported(out), closing(sqlite3.connect(part, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            for statement in ("BEGIN", *_TABLES):
                connection.execute(statement)
            for run, point, training in runs:
                for folder in (run, run / BUDGET_FOLDER):
                    if folder == run or (folder / DATABASE).is_file():
                        _add(connection, out, folder, point, training)
            connection.execute("COMMIT")
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return file


def _add(
    connection: sqlite3.Connection, out: Path, folder: Path, point: Mapping[str, str], training: str | None
) -> None:
    options = json.dumps(read_options(folder / RUN_FILE))
    row = (folder.relative_to(out).as_posix(), options, json.dumps(dict(point)), training)
    insert = "INSERT INTO run (folder, options, point, training) VALUES (?, ?, ?, ?)"
    number = connection.execute(insert, row).lastrowid
    with closing(open_readable(folder)) as own:
        for table, columns, order in (
            ("meta", ("key", "value"), "key"),
            ("record", COLUMNS, f"{_ORDER}, metric"),
            ("outcome", _OUTCOME, _ORDER),
        ):
            rows = own.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")
            insert = f"INSERT INTO {table} VALUES (?{', ?' * len(columns)})"
            connection.executemany(insert, ((number, *each) for each in rows))
