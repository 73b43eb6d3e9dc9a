"""Readings of devices from a CSV file, checked as a whole before anything is fitted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analog_samson.errors import DataError, did_you_mean, list_faults
from analog_samson.units import SECONDS

FEWEST_DEVICES = 20
MOST_TIMES = 100
FEWEST_REPEATS = 20  # degrees of freedom of the read noise
_TIME = {**SECONDS, "ms": 1e-3, "us": 1e-6, "min": 60.0}
_CONDUCTANCE = {"S": 1e6, "mS": 1e3, "uS": 1.0, "nS": 1e-3}
# Units by column; a column without units has labels.
_COLUMNS: dict[str, dict[str, float]] = {
    "device": {},
    "target": _CONDUCTANCE,
    "time": _TIME,
    "conductance": _CONDUCTANCE,
    "read": {},
}
_OPTIONAL = "read"
_ROUND = re.compile(r"\(([^()]*)\)$")  # a unit in round brackets
_HEADER = re.compile(r"(?P<name>[^\[\]]*?)\s*(?:\[\s*(?P<unit>[^\[\]]*?)\s*\])?")
_EXAMPLE = "device,target [uS],time [s],conductance [uS],read"
_MOST_FAULTS = 10
Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Readings of N devices at T times.

    Attributes:
        targets: Target conductance of each device [uS], shape (N,).
        times: Times of the readings [s], rising, shape (T,).
        counts: Readings of a device at a time, shape (N, T); 0 where there are none.
        means: Their mean [uS], shape (N, T); NaN where there are none.
        squares: Sum of their squared deviations from that mean [uS^2], shape (N, T).
        first: The first of them [uS], shape (N, T); NaN where there are none.
        largest: The largest of all readings [uS].
    """

    targets: Array
    times: Array
    counts: Array
    means: Array
    squares: Array
    first: Array
    largest: float

    @property
    def has_repeated_reads(self) -> bool:
        """Whether devices were read more than once at one time, often enough for an estimate."""
        return int(np.maximum(self.counts - 1, 0).sum()) >= FEWEST_REPEATS

    def part(self, chosen: Array) -> "Measurements":
        """The same for some of the devices, given as a mask or as places, shape (n,)."""
        return Measurements(
            targets=self.targets[chosen],
            times=self.times,
            counts=self.counts[chosen],
            means=self.means[chosen],
            squares=self.squares[chosen],
            first=self.first[chosen],
            largest=self.largest,
        )


def from_readings(targets: Array, times: Array, readings: Array) -> Measurements:
    """Measurements of devices that were all read equally often at all times.

    Args:
        targets: Target conductance of each device [uS], shape (N,).
        times: Times of the readings [s], rising, shape (T,).
        readings: Conductances [uS], shape (N, T, R) for R reads at each time.

    >>> from_readings(np.array([5.0]), np.array([1.0]), np.array([[[4.0, 6.0]]])).means
    array([[5.]])
    """
    means = readings.mean(2)
    return Measurements(
        targets=targets,
        times=times,
        counts=np.full(means.shape, readings.shape[2]),
        means=means,
        squares=((readings - means[:, :, None]) ** 2).sum(2),
        first=readings[:, :, 0],
        largest=float(readings.max()),
    )


def read_measurements(path: Path) -> Measurements:
    """The measurements in a CSV file with the columns device, target, time, conductance and, optionally, read.

    Args:
        path: The header gives units, such as `time [h]`. A line is one reading; `read` counts repeated reads.

    Raises:
        DataError: With every problem of the file, and the lines where they are.
    """
    frame = _read_csv(path)
    columns, faults = _columns(frame)
    if faults:
        raise DataError(list_faults(str(path), faults))
    table = pd.DataFrame({name: frame[header] for name, (header, _) in columns.items()})
    table["line"] = frame.index + 2
    faults = list(_numbers(table, {name: factor for name, (_, factor) in columns.items()}))
    faults = faults or [*_contradictions(table)]
    if faults:
        left = len(faults) - _MOST_FAULTS
        raise DataError(list_faults(str(path), faults[:_MOST_FAULTS]) + (f"\n  and {left} more" if left > 0 else ""))
    return _gathered(table)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=True,
            skip_blank_lines=False,  # so that places are lines
            encoding="utf-8-sig",
        ).fillna("")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; expected a CSV file with the header {_EXAMPLE}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, pd.errors.ParserError) as error:  # also UnicodeDecodeError and an empty file
        raise DataError(f"{path}: not a CSV table ({error}); expected the header {_EXAMPLE}") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"{path}: lines have more values than the header has columns; expected the header {_EXAMPLE}")
    frame = frame[(frame != "").any(axis=1)]
    if frame.empty:
        raise DataError(f"{path}: has no lines of readings; expected the header {_EXAMPLE} and one line a reading")
    return frame


def _columns(frame: pd.DataFrame) -> tuple[dict[str, tuple[str, float]], list[str]]:
    """Header and factor to uS or s of each column, and what is wrong with the header."""
    columns: dict[str, tuple[str, float]] = {}
    faults = []
    for header in map(str, frame.columns):
        found = _HEADER.fullmatch(header.strip())
        name, unit = (found["name"].strip().lower(), found["unit"] or "") if found else (header, "")
        unit = unit.replace("\u00b5", "u").replace("\u03bc", "u")
        if name not in _COLUMNS:
            faults.append(f"column {header!r}: unknown{_nearest(header.strip())}")
        elif name in columns:
            faults.append(f"column {header!r}: a second column {name}; expected one")
        else:
            units = _COLUMNS[name]
            columns[name] = (header, units.get(unit, 1.0))
            if units and unit not in units:
                problem = f"unknown unit {unit!r}{did_you_mean(unit, units)}" if unit else "no unit"
                faults.append(f"column {header!r}: {problem}; expected {name} [UNIT], UNIT one of {', '.join(units)}")
    missing = [name for name in _COLUMNS if name not in columns and name != _OPTIONAL]
    faults += [f"column {name}: missing; expected the header {_EXAMPLE}" for name in missing]
    return columns, faults


def _nearest(header: str) -> str:
    """A hint with the nearest column and the unit of a header, also of one in round brackets."""
    found = _HEADER.fullmatch(_ROUND.sub(r"[\1]", header))
    name, unit = (found["name"].strip().lower(), found["unit"]) if found else (header, None)
    known = {column: f"{column} [{unit}]" if unit and units else column for column, units in _COLUMNS.items()}
    if name in known:
        return f"; did you mean {known[name]!r}?"
    return did_you_mean(f"{name} [{unit}]" if unit else name, known.values()) or f"; known columns: {', '.join(known)}"


def _numbers(table: pd.DataFrame, factors: dict[str, float]) -> Iterator[str]:
    """Turn the columns with units into numbers [uS, s]; one sentence for each value that is none."""
    for name in ("target", "time", "conductance"):
        texts = table[name].str.strip()
        values = pd.to_numeric(texts, errors="coerce")
        wrong = ~np.isfinite(values.to_numpy(dtype=float)) | (values < 0)
        for line, text in zip(table.line[wrong], texts[wrong], strict=True):
            yield f"line {line}: {name}: expected a finite number, 0 or above, got {text or 'nothing'}"
        table[name] = values * factors[name]
    table["device"] = table.device.str.strip()
    for line in table.line[table.device == ""]:
        yield f"line {line}: device: expected a name, got nothing"


def _contradictions(table: pd.DataFrame) -> Iterator[str]:
    """One sentence for each contradiction between lines, and for each thing of which there are too few."""
    targets = table.drop_duplicates(["device", "target"])
    for device, lines in targets[targets.device.duplicated(keep=False)].groupby("device", sort=False):
        values = ", ".join(f"{value:g}" for value in lines.target)
        yield f"device {device}: has several targets ({values} uS; line {lines.line.iloc[1]}); expected one a device"
    keys = ["device", "time", *(["read"] if "read" in table else [])]
    twice = table[table.duplicated(keys)]
    for device, lines in twice.groupby("device", sort=False):
        remedy = "number its reads from 0" if "read" in table else "add a column read for repeated reads"
        yield f"device {device}: read twice at one time (line {lines.line.iloc[0]}); remove the line, or {remedy}"
    if (count := table.device.nunique()) < FEWEST_DEVICES:
        yield f"has {count} devices; expected at least {FEWEST_DEVICES}, since spreads between devices are fitted"
    if (count := table.time.nunique()) > MOST_TIMES:
        yield f"has {count} different times; expected at most {MOST_TIMES}; round times that belong together"
    if table.target.max() == 0:
        yield "all targets are 0; expected devices with a target above 0"


def _gathered(table: pd.DataFrame) -> Measurements:
    ordered = table.sort_values([*(["read"] if "read" in table else []), "line"])
    cells = ordered.groupby(["device", "time"]).conductance
    wide = {
        "counts": cells.count().unstack().fillna(0).astype(int),
        "means": cells.mean().unstack(),
        "squares": cells.var(ddof=0).mul(cells.count()).unstack().fillna(0.0),
        "first": cells.first().unstack(),
    }
    return Measurements(
        targets=table.groupby("device").target.first().to_numpy(),
        times=wide["means"].columns.to_numpy(dtype=float),
        largest=float(table.conductance.max()),
        **{name: cell.to_numpy() for name, cell in wide.items()},
    )
