"""The final tables of an output folder, and how two of them differ."""

import hashlib
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

Row = tuple[str, tuple[object, ...], object]  # file, condition, value
_TEXTS = (".csv", ".txt", ".md")


@dataclass(frozen=True)
class Difference:
    """Conditions of the undisturbed folder, and how many of them are lost, duplicated or different."""

    conditions: int
    lost: int = 0
    duplicated: int = 0
    different: int = 0

    @property
    def bad(self) -> int:
        return self.lost + self.duplicated + self.different


def rows_of(out: Path) -> list[Row]:
    """Every value in the databases, text tables and checkpoints below `out`, but no wall time."""
    found: list[Row] = []
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".sqlite":
            found += [(name, row[:-1], row[-1]) for row in _records(path)]
        elif path.suffix in _TEXTS:
            lines = path.read_text().splitlines()
            if path.name == "history.csv":  # its last column is seconds
                lines = [line.rpartition(",")[0] for line in lines]
            found += [(name, (number,), line) for number, line in enumerate(lines)]
        elif path.suffix == ".safetensors":
            found.append((name, (), hashlib.sha256(path.read_bytes()).hexdigest()))
    return found


def compare(expected: list[Row], found: list[Row]) -> Difference:
    """How `found` differs from the undisturbed rows; a condition that nobody asked for is different."""
    whole = {row[:2]: row[2] for row in expected}
    counts = Counter(row[:2] for row in found)
    other = {row[:2] for row in found if row[:2] not in whole or row[2] != whole[row[:2]]}
    return Difference(
        conditions=len(whole),
        lost=sum(key not in counts for key in whole),
        duplicated=sum(count - 1 for count in counts.values()),
        different=len(other),
    )


def _records(path: Path) -> list[tuple[object, ...]]:
    """The records and the outcomes of single samples; tables without an order of their own."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [
            (table, *row)
            for table in ("record", "outcome")
            if table in tables
            for row in database.execute(f"SELECT * FROM {table}")
        ]
