"""Every value that the simulation of a cell gave, as CSV: small, readable, and with no path in it."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from analog_samson.errors import RunError
from analog_samson.results.atomic import write_atomically
from analog_samson.results.condition import ADABS, UNCALIBRATED
from analog_samson.results.records import Record

_COLUMNS = ("preset", "stage", "calibration", "instance", "time_seconds", "sigma_c", "metric", "value")


def write_values(path: Path, records: Iterable[Record]) -> None:
    """One row a value, in the order given; the name of the network, which all share, is left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(getattr(record, name)) for name in _COLUMNS] for record in records)
    write_atomically(path, text.getvalue().encode())


def read_values(path: Path, checkpoint: str) -> tuple[Record, ...]:
    """What `write_values` wrote, to the last digit, for the network of that name; RunError for other files."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        return tuple(_record(row, checkpoint) for row in rows)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error!r}); delete it to simulate this again") from error


def _cell(value: object) -> object:
    return "" if value is None else value


def _record(row: dict[str, str], checkpoint: str) -> Record:
    return Record(
        checkpoint=checkpoint,
        preset=row["preset"],
        stage=row["stage"],
        calibration=row["calibration"] if "calibration" in row else ADABS if row["adabs"] == "1" else UNCALIBRATED,
        instance=int(row["instance"]),
        time_seconds=float(row["time_seconds"]) if row["time_seconds"] else None,
        sigma_c=float(row["sigma_c"]) if row["sigma_c"] else None,
        metric=row["metric"],
        value=float(row["value"]),
    )
