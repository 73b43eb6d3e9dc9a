"""Raw values for other programs: CSV rows and JSON, with floats that read back exactly."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from analog_samson.report.blocks import all_grids
from analog_samson.report.digest import Result, Run, State
from analog_samson.report.grid import Data, data_rows, join_data
from analog_samson.report.validity import INTERPOLATED
from analog_samson.results.records import COLUMNS, Record, sort_key, to_row

EXPORT_SCHEMA = 1
_STORED = ("environment", "preset_sha256", "checkpoint", "data", "hardware", "seed", "command")


def render_csv(records: Sequence[Record]) -> str:
    """One line per record under COLUMNS; absent values are empty, floats are repr-exact.

    Equal records give equal bytes, whatever order they come in.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for record in sorted(records, key=sort_key):
        row = dict(zip(COLUMNS, to_row(record), strict=True))
        writer.writerow((row | {"adabs": "true" if record.adabs else "false"}).values())
    return text.getvalue()


def render_json(runs: Sequence[Run], threshold: float | None = None) -> str:
    """Options, provenance, summaries and raw records of every run, and every table; what is not finite is null."""
    document = {
        "schema": EXPORT_SCHEMA,
        "runs": [_run(run) for run in runs],
        "tables": _tables(runs, threshold),
    }
    return json.dumps(_finite(document), indent=2, allow_nan=False) + "\n"


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
        "columns": COLUMNS,
        "records": [to_row(record) for record in run.records],
    }


def _result(result: Result) -> dict[str, Any]:
    return {
        "checkpoint": result.checkpoint,
        "preset": result.preset,
        "adabs": result.adabs,
        "digital": None if result.digital is None else _state(result.digital),
        "states": [_state(state) for state in result.states],
        "gaussian": [{"sigma_c": p.sigma_c, "accuracy_percent": asdict(p.accuracy)} for p in result.sweep],
    }


def _state(state: State) -> dict[str, Any]:
    equivalent = state.equivalent
    return {
        "stage": state.stage,
        "time_seconds": state.time_seconds,
        "accuracy_percent": asdict(state.accuracy),
        "drop_points": state.drop,
        "equivalent_sigma_c": None
        if equivalent is None
        else asdict(equivalent) | {"leaves_sweep": equivalent.high == float("inf")},
        "weight_error": None if state.weight_error is None else asdict(state.weight_error),
        "extrapolated": state.extrapolated,
        "interpolated": state.mark == INTERPOLATED,
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
