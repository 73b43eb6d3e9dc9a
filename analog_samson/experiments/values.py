"""Every value of a simulation as a small CSV file that a person can read, with no path in it."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from analog_samson.errors import RunError
from analog_samson.results.atomic import write_atomically
from analog_samson.results.condition import ADABS, UNCALIBRATED
from analog_samson.results.records import Record

_COLUMNS = ("preset", "stage", "calibration", "instance", "time_seconds", "sigma_c", "metric", "value")


def write_values(path: Path, records: Iterable[Record]) -> None:
    """Write one row a value, in the order given, without the name of the network, which all share."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([getattr(record, name) for name in _COLUMNS] for record in records)
    write_atomically(path, text.getvalue().encode())


def read_values(path: Path, checkpoint: str) -> tuple[Record, ...]:
    """The values that `write_values` wrote, to the last digit, for the network of that name.

    Raises:
        RunError: The file cannot be read.
    """
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        for row in rows:
            row.setdefault("calibration", ADABS if row.get("adabs") == "1" else UNCALIBRATED)  # as 0.1 wrote it
        return tuple(_record(row, checkpoint) for row in rows)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error!r}); delete it to simulate this again") from error


def _record(row: Mapping[str, str], checkpoint: str) -> Record:
    texts = {name: row[name] for name in ("preset", "stage", "calibration", "metric")}
    instance, value = int(row["instance"]), float(row["value"])
    seconds, sigma = (float(row[name]) if row[name] else None for name in ("time_seconds", "sigma_c"))
    return Record(checkpoint=checkpoint, instance=instance, time_seconds=seconds, sigma_c=sigma, value=value, **texts)
