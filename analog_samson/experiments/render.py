"""Results into files: NAME_SCALE.txt, .md and .csv with summaries, _raw.csv with every value, and the figures."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analog_samson.experiments.figures import result_figures
from analog_samson.experiments.results import CellResult, ExperimentResults, options_text
from analog_samson.experiments.schema import Experiment
from analog_samson.experiments.shown import WorstCase
from analog_samson.experiments.tables import result_blocks
from analog_samson.report.drawing import WIDE, Drawing, png, svg
from analog_samson.report.rendering import Block, render_markdown, render_text
from analog_samson.report.table import Table
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.csv_text import no_formula


def write_results(outcome: ExperimentResults, out: Path) -> str:
    """Write every file of the experiment into `out`; returns the text of the tables."""
    stem = f"{outcome.experiment.name}_{outcome.scale_name}"
    blocks = result_blocks(outcome)
    text = _write_blocks(blocks, out, stem)
    _write(out / f"{stem}_raw.csv", _csv(_raw(outcome)))
    if outcome.experiment.printed:
        _write(out / f"{stem}_paper.csv", _csv([number.model_dump() for number in outcome.experiment.printed]))
    for name, drawing in result_figures(outcome).items():
        _write_drawing(drawing, out, f"{stem}_{name}")
    return text


def write_worst_case(experiment: Experiment, shows: WorstCase, out: Path) -> str:
    """Compute, draw and write the experiment that needs no training; returns the text of its table."""
    from analog_samson.experiments.worst_case import (
        curve_rows,
        largest_deviation,
        worst_case_curves,
        worst_case_drawing,
        worst_case_grid,
    )

    curves = worst_case_curves(shows)
    blocks: list[Block] = [
        f"{experiment.name}: {experiment.title}",
        worst_case_grid(curves),
        f"Largest deviation of the ascent step from the closed form rho T: {largest_deviation(curves):.1e} of rho.",
        f"The paper: {experiment.source.place}, a figure, which prints no numbers to set beside these.",
        " ".join(experiment.source.open_points.split()),
    ]
    text = _write_blocks(blocks, out, experiment.name)
    _write(out / f"{experiment.name}_raw.csv", _csv(curve_rows(curves)))
    _write_drawing(worst_case_drawing(curves), out, experiment.name)
    return text


def _write_blocks(blocks: Sequence[Block], out: Path, stem: str) -> str:
    make_folder(out)
    text = render_text(blocks)
    _write(out / f"{stem}.txt", text)
    _write(out / f"{stem}.md", render_markdown(blocks))
    tables = [block for block in blocks if isinstance(block, Table)]
    _write(out / f"{stem}.csv", _csv([row for table in tables for row in _cells(table)]))
    return text


def _cells(table: Table) -> list[dict[str, str]]:
    """Long form: one row for each number, so that tables with different columns share a file."""
    seen: dict[str, int] = {}
    names = []
    for header in table.headers:
        seen[header] = seen.get(header, 0) + 1
        names.append(header if seen[header] == 1 else f"{header} (paper)")
    return [
        {"table": table.title, "row": cells[0], "column": name, "value": value}
        for cells in table.rows
        for name, value in zip(names[1:], cells[1:], strict=True)
    ]


def _raw(outcome: ExperimentResults) -> list[dict[str, Any]]:
    return [row for result in outcome.results for row in _raw_rows(outcome, result)]


def _raw_rows(outcome: ExperimentResults, result: CellResult) -> list[dict[str, Any]]:
    """Every measured value of a network under one set of columns."""
    cell = result.cell
    base = {
        "experiment": outcome.experiment.name,
        "scale": outcome.scale_name,
        "setting": cell.setting.name,
        "network": cell.network,
        "data": cell.data,
        "method": cell.method,
        "options": options_text(cell.chosen),
        "seed": cell.seed,
    }
    empty = {"stage": "digital", "adabs": "", "instance": "", "time_seconds": "", "sigma_c": ""}
    rows = [base | empty | {"metric": name, "value": value} for name, value in result.clean.items()]
    for file, value in result.sharpness.items():
        rows.append(base | empty | {"metric": Path(file).stem, "value": value})
    for record in result.records:
        noise = {name: getattr(record, name) for name in (*empty, "metric", "value")}
        rows.append(base | {name: "" if value is None else value for name, value in noise.items()})
    return rows


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: no_formula(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _write_drawing(drawing: Drawing, out: Path, stem: str) -> None:
    write_atomically(out / f"{stem}.svg", svg(drawing, WIDE, text=False))
    write_atomically(out / f"{stem}.png", png(drawing, WIDE))


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())
