"""Finished parts of a cell: one small JSON file each, with what was asked and what came out.

A part is finished when its file is there; the file is written whole, so a kill leaves it out or complete. The values of
a simulation are a CSV file: small, readable, and with no path in it.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analog_samson.errors import RunError
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.condition import ADABS, UNCALIBRATED
from analog_samson.results.records import Record
from analog_samson.results.runfile import check_same_options
from analog_samson.runtime.plain_values import parse_json

_COLUMNS = ("preset", "stage", "calibration", "instance", "time_seconds", "sigma_c", "metric", "value")


def read_part(path: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values of a finished part, None where it is not finished; RunError where other things were asked."""
    stored = load_part(path)
    if stored is None:
        return None
    check_same_options(path, stored["asked"], _plain(asked), volatile=())
    return dict(stored["values"])


def write_part(path: Path, asked: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Mark a part as finished."""
    make_folder(path.parent)
    write_atomically(path, (json.dumps({"asked": _plain(asked), "values": values}, indent=1) + "\n").encode())


def load_part(path: Path) -> dict[str, Any] | None:
    """What `write_part` stored, unchecked."""
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); delete it to measure this again") from error
    if not isinstance(stored, dict) or not {"asked", "values"} <= stored.keys():
        raise RunError(f"{path}: not written by `analog-samson reproduce`; choose another output folder")
    return stored


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


def _plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back; None is left out, infinity becomes text."""
    given = {name: "inf" if value == math.inf else value for name, value in asked.items() if value is not None}
    return dict(json.loads(json.dumps(given)))
