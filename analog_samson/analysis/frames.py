"""Records as rows of a table: one row for each evaluation, its metrics in columns of their own."""

from collections.abc import Iterable, Sequence
from typing import Any

from analog_samson.presets.validity import Validity
from analog_samson.results.records import COLUMNS, Record, to_row

_CELL = tuple(column for column in COLUMNS if column not in ("metric", "value"))
SAMPLES = ("samples_measured", "samples")
_CLASSIFICATION = ("accuracy_percent", "loss", "weight_error")


def cell_columns(records: Iterable[Record], *, estimated: bool = False) -> list[str]:
    """The columns of `cell_rows`: what a cell is, its metrics, coverage, and of estimates how many samples."""
    metrics = list(dict.fromkeys(record.metric for record in records)) or list(_CLASSIFICATION)
    if _CLASSIFICATION[0] in metrics:
        metrics = [*_CLASSIFICATION, *(name for name in metrics if name not in _CLASSIFICATION)]
    return [*_CELL, *metrics, "coverage", *(SAMPLES if estimated else ())]


def cell_rows(
    records: Sequence[Record], validity: Validity, estimated: tuple[int, int] | None = None
) -> list[dict[str, Any]]:
    """One row a cell (checkpoint, preset, stage, calibration, instance, moment), its metrics, and the coverage.

    An absent metric is None. estimated: on how many samples each chip was measured and how many there are, where its
    values are estimates; rows then say so.

    >>> from analog_samson.presets.validity import UNKNOWN
    >>> cell = {"checkpoint": "net", "preset": "pcm", "stage": "drift", "calibration": "none", "instance": 0}
    >>> cell |= {"time_seconds": 1.0, "sigma_c": None}
    >>> values = {"accuracy_percent": 91.5, "loss": 0.3}
    >>> records = [Record(**cell, metric=name, value=value) for name, value in values.items()]
    >>> [(row["accuracy_percent"], row["loss"], row["weight_error"]) for row in cell_rows(records, UNKNOWN)]
    [(91.5, 0.3, None)]
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    columns = cell_columns(records)
    for record in records:
        *cell, metric, value = to_row(record)
        new = dict.fromkeys(columns) | dict(zip(_CELL, cell, strict=True))
        new["coverage"] = validity.coverage_of(record.stage, record.time_seconds)
        if estimated is not None:
            new |= dict(zip(SAMPLES, samples_of(record, estimated), strict=True))
        rows.setdefault(tuple(cell), new)[metric] = value
    return list(rows.values())


def samples_of(record: Record, estimated: tuple[int, int]) -> tuple[int, int]:
    """On how many samples a value was measured, and how many there are: what no chip decides is measured on all."""
    certain = record.stage == "digital" or record.sigma_c == 0
    return estimated[certain], estimated[1]
