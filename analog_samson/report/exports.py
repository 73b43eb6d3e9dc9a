"""Raw values for other programs: CSV rows, JSON and one row a cell, with floats that read back exactly."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from analog_samson.analysis.runs import Run
from analog_samson.analysis.summary import Result, State
from analog_samson.presets.validity import INTERPOLATED, validity_of
from analog_samson.report.blocks import all_grids
from analog_samson.report.grid import Data, data_rows, finite, join_data
from analog_samson.results.csv_text import csv_text
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

    The column `mark` holds "extrapolated", "interpolated" or nothing. Of several runs a first column `run` tells which.
    """
    stored = [part for run in runs for part in run.stored]
    marked = [(record, mark, run.name) for run in stored for record, mark in zip(run.records, _marks(run), strict=True)]
    ordered = sorted(marked, key=lambda row: (sort_key(row[0]), row[2]))
    if len(stored) == 1:
        return csv_text((*COLUMNS, "mark"), ((*to_row(record), mark) for record, mark, _ in ordered))
    return csv_text(("run", *COLUMNS, "mark"), ((run, *to_row(record), mark) for record, mark, run in ordered))


def _marks(run: Run) -> list[str]:
    """The mark of each record."""
    validity = validity_of(run.meta["preset"])
    return [validity.mark_of(record.stage, record.time_seconds) for record in run.records]


def render_json(runs: Sequence[Run], threshold: float | None = None) -> str:
    """Options, provenance, summaries and raw records of every run, and every table; what is not finite is null."""
    document = {
        "schema": EXPORT_SCHEMA,
        "runs": [_run(part) for run in runs for part in run.stored],
        "tables": _tables(runs, threshold),
    }
    return json.dumps(finite(document), indent=2, allow_nan=False) + "\n"


def _tables(runs: Sequence[Run], threshold: float | None) -> dict[str, list[dict[str, Any]]]:
    """The numbers of every table by its name, an object a row."""
    found: dict[str, list[Data]] = {}
    for grid in all_grids(runs, threshold):
        if grid.data is not None:
            found.setdefault(grid.name, []).append(grid.data)
    return {name: data_rows(join_data(parts)) for name, parts in found.items()}


def _run(run: Run) -> dict[str, Any]:
    return {
        "options": run.options,
        **{key: run.meta[key] for key in _STORED},
        "results": [_result(result) for result in run.results],
        "columns": (*COLUMNS, "mark"),
        "records": [(*to_row(record), mark) for record, mark in zip(run.records, _marks(run), strict=True)],
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "checkpoint": result.checkpoint,
        "preset": result.preset,
        "calibration": result.calibration,
        "digital": None if result.digital is None else _state(result.digital),
        "states": [_state(state) for state in result.states],
        "gaussian": [{"sigma_c": p.sigma_c, "accuracy_percent": asdict(p.value)} for p in result.sweep],
    }


def _state(state: State) -> dict[str, Any]:
    equivalent = state.equivalent
    return {
        "stage": state.stage,
        "time_seconds": state.time_seconds,
        "accuracy_percent": asdict(state.value),
        "drop_points": state.drop,
        "equivalent_sigma_c": None
        if equivalent is None
        else asdict(equivalent) | {"leaves_sweep": equivalent.high == float("inf")},
        "weight_error": None if state.weight_error is None else asdict(state.weight_error),
        "extrapolated": state.extrapolated,
        "interpolated": state.mark == INTERPOLATED,
    }
