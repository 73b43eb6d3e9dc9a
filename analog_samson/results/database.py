"""results.sqlite: the tables of a run folder and how they are opened."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analog_samson.errors import RunError
from analog_samson.results.links import refuse_link

DATABASE = "results.sqlite"
_BESIDE = ("-journal", "-wal", "-shm")  # what SQLite writes beside the database
SCHEMA = 2
_SCHEMA_0_1 = 1  # read through `_AS_NOW`, not written: 0.1 drew the noise of devices from other streams
_WAIT_SECONDS = 30.0
# Expressions in the index: in SQL two NULLs differ, so a plain UNIQUE would let a cell in twice.
_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE record (
        checkpoint TEXT NOT NULL, preset TEXT NOT NULL, stage TEXT NOT NULL, calibration TEXT NOT NULL,
        instance INTEGER NOT NULL, time_seconds REAL, sigma_c REAL, metric TEXT NOT NULL, value REAL)""",
    """CREATE UNIQUE INDEX cell ON record (stage, calibration, instance,
        ifnull(time_seconds, -1), ifnull(sigma_c, -1), checkpoint, preset, metric)""",
)
_OUTCOME = """TABLE IF NOT EXISTS outcome (
    checkpoint TEXT NOT NULL, preset TEXT NOT NULL, stage TEXT NOT NULL, calibration TEXT NOT NULL,
    instance INTEGER NOT NULL, time_seconds REAL, sigma_c REAL, count INTEGER NOT NULL, bits BLOB NOT NULL)"""
_OUTCOME_CELL = """CREATE UNIQUE INDEX IF NOT EXISTS outcome_cell ON outcome (stage, calibration, instance,
    ifnull(time_seconds, -1), ifnull(sigma_c, -1), checkpoint, preset)"""
# Over the table of 0.1, under the same name.
_AS_NOW = """CREATE TEMP VIEW record AS
    SELECT checkpoint, preset, stage, CASE adabs WHEN 0 THEN 'none' WHEN 1 THEN 'adabs' ELSE adabs END AS calibration,
    instance, time_seconds, sigma_c, metric, value FROM main.record"""


def open_writable(folder: Path) -> sqlite3.Connection:
    """Open or make the database of a run folder; a new one gets its tables in one transaction.

    Rollback journal, flushed to the disk at each commit: a cell is in the file or it is not.
    """
    for suffix in ("", *_BESIDE):
        refuse_link(folder / f"{DATABASE}{suffix}")
    with _opening(folder, str(folder / DATABASE)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = EXTRA")
        with transaction(connection):
            if not _tables(connection):
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(SCHEMA),))
        _check_schema(connection, folder, SCHEMA)
        with transaction(connection):
            for statement in (f"CREATE {_OUTCOME}", _OUTCOME_CELL):
                connection.execute(statement)
    return connection


def open_readable(folder: Path) -> sqlite3.Connection:
    """Open the database of a run folder for reading, also while another process writes to it.

    Where the folder may be written it is opened so: what a killed process left must be rolled back first. Through a
    symbolic link it is only read.
    """
    linked = any((folder / f"{DATABASE}{suffix}").is_symlink() for suffix in ("", *_BESIDE))
    writable = not linked and os.access(folder, os.W_OK) and os.access(folder / DATABASE, os.W_OK)
    address = f"{(folder / DATABASE).resolve().as_uri()}?mode={'rw' if writable else 'ro'}"
    with _opening(folder, address, uri=True) as connection:
        if _check_schema(connection, folder, SCHEMA, _SCHEMA_0_1) == _SCHEMA_0_1:
            connection.execute(_AS_NOW)
        if "outcome" not in _tables(connection):
            connection.execute(f"CREATE TEMP {_OUTCOME}")
        connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def _opening(folder: Path, address: str, *, uri: bool = False) -> Iterator[sqlite3.Connection]:
    """A new connection, for the first statements on it; it stays open unless one of them fails."""
    with reported(folder):
        connection = sqlite3.connect(address, timeout=_WAIT_SECONDS, isolation_level=None, uri=uri)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All that is written in the block, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself where the disk is full
            connection.execute("ROLLBACK")
        raise


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turn what SQLite says about the file (full disk, damage, lock) into a RunError that names it.

    A text in a damaged file may be bytes of any kind, and a size may be beyond all memory.
    """
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError, MemoryError) as error:  # damaged texts and sizes
        raise RunError(f"{folder / DATABASE}: {str(error) or 'no memory'}; {_remedy(error)}") from error


def _remedy(error: Exception) -> str:
    text = str(error)
    if "locked" in text:
        return "another process holds it; wait for it to end"
    if "readonly" in text or "unable to open" in text:
        return "make the folder writable or copy it to a place that is"
    if "full" in text:
        return "free some space and run the same command again"
    if "disk I/O" in text:
        return "the disk fails, or a limit on the size of files is reached (ulimit -f); then run the same command again"
    return "the file is damaged or not of analog-samson; simulate again into another folder"


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _check_schema(connection: sqlite3.Connection, folder: Path, *known: int) -> int:
    """The schema of the database, one of `known`; else RunError."""
    if not {"meta", "record"} <= _tables(connection):
        raise RunError(f"{folder / DATABASE}: not a results file of analog-samson (no tables meta and record)")
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    found = row[0] if row else "none"
    for schema in known:
        if found == str(schema):
            return schema
    if found == str(_SCHEMA_0_1):
        raise RunError(
            f"{folder / DATABASE}: simulated by analog-samson 0.1, which drew the noise of devices otherwise; such a "
            "run can be reported but not continued: simulate into another folder"
        )
    raise RunError(
        f"{folder / DATABASE}: schema {found}, this version reads schema {SCHEMA}; read it with the "
        "analog-samson that wrote it, or simulate again with --config and a copy of its run.toml"
    )
