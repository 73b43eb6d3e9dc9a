"""Raw values for other programs: CSV rows, JSON and one row a cell, with floats that read back exactly."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from analog_samson.analysis.frames import SAMPLES, samples_of
from analog_samson.analysis.runs import Run
from analog_samson.analysis.summary import Result, State
from analog_samson.presets.validity import INTERPOLATED, validity_of
from analog_samson.report.contents import Contents
from analog_samson.report.rendering import finite
from analog_samson.report.section import sections
from analog_samson.report.table import frame_rows, join
from analog_samson.results.csv_text import csv_text
from analog_samson.results.metric import Metric
from analog_samson.results.records import COLUMNS, Record, sort_key, to_row

EXPORT_SCHEMA = 1
_STORED = ("environment", "preset_sha256", "checkpoint", "data", "hardware", "seed", "command")


def render_csv(records: Sequence[Record]) -> str:
    """One line per record under COLUMNS; absent values are empty, floats are repr-exact.

    Equal records give equal bytes, whatever order they come in.
    """
    return csv_text(COLUMNS, (to_row(record) for record in sorted(records, key=sort_key)))


def render_marked_csv(runs: Sequence[Run]) -> str:
    """The records of all runs as `render_csv` writes them, with what the preset's source does not give marked.

    Pooled seeds come run by run, as their folders hold them.

    The column `coverage` holds "extrapolated", "interpolated" or nothing. Where values are estimates from part of the
    samples, `samples_measured` and `samples` say of how many. Of several runs a first column `run` has the
    name.
    """
    stored = [part for run in runs for part in run.stored]
    columns = _columns(stored)
    rows = [
        (record, marks, run.name)
        for run in stored
        for record, marks in zip(run.records, _marks(run, columns), strict=True)
    ]
    ordered = sorted(rows, key=lambda row: (sort_key(row[0]), row[2]))
    if len(stored) == 1:
        return csv_text(columns, ((*to_row(record), *marks) for record, marks, _ in ordered))
    return csv_text(("run", *columns), ((run, *to_row(record), *marks) for record, marks, run in ordered))


def _columns(runs: Sequence[Run]) -> tuple[str, ...]:
    """Those of exported records; with values that are estimates, on how many samples and of how many."""
    return (*COLUMNS, "coverage", *(SAMPLES if any(run.estimated for run in runs) else ()))


def _marks(run: Run, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """What follows the values of each record: its coverage, and its numbers of samples where there are columns."""
    validity, more = validity_of(run.meta["preset"]), len(columns) - len(COLUMNS) - 1
    return [
        (
            validity.coverage_of(record.stage, record.time_seconds),
            *((None,) * more if run.estimated is None else samples_of(record, run.estimated)),
        )
        for record in run.records
    ]


def render_json(report: Contents) -> str:
    """Options, provenance, summaries and raw records of every run, and every table; what is not finite is null."""
    document = {
        "schema": EXPORT_SCHEMA,
        "runs": [_run(part) for run in report.runs for part in run.stored],
        "tables": _tables(report),
    }
    return json.dumps(finite(document), indent=2, allow_nan=False) + "\n"


def _tables(report: Contents) -> dict[str, list[dict[str, Any]]]:
    """The numbers of every table by the name of its section, an object a row."""
    found = {
        section.name: [part.table for part in section.parts(report) if part.table is not None] for section in sections()
    }
    return {name: frame_rows(join(tables)) for name, tables in found.items() if tables}


def _run(run: Run) -> dict[str, Any]:
    columns = _columns([run])
    return {
        "options": run.options,
        **{key: run.meta[key] for key in _STORED},
        "results": [_result(result) for result in run.results],
        "columns": columns,
        "records": [(*to_row(record), *marks) for record, marks in zip(run.records, _marks(run, columns), strict=True)],
    }


def _result(result: Result) -> dict[str, Any]:
    metric = result.metric
    return {
        "checkpoint": result.checkpoint,
        "preset": result.preset,
        "calibration": result.calibration,
        "metric": metric.plain(),
        "digital": None if result.digital is None else _state(result.digital, metric),
        "states": [_state(state, metric) for state in result.states],
        "gaussian": [{"sigma_c": point.sigma_c, metric.name: asdict(point.value)} for point in result.sweep],
    }


def _state(state: State, metric: Metric) -> dict[str, Any]:
    equivalent = state.equivalent
    return {
        "stage": state.stage,
        "time_seconds": state.time_seconds,
        metric.name: asdict(state.value),
        "drop": state.drop,
        "equivalent_sigma_c": None
        if equivalent is None
        else asdict(equivalent) | {"leaves_sweep": equivalent.high == float("inf")},
        "weight_error": None if state.weight_error is None else asdict(state.weight_error),
        "extrapolated": state.extrapolated,
        "interpolated": state.coverage == INTERPOLATED,
    }
