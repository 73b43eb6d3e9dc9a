"""Run folders in, printed report out, and the page on the way."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from analog_samson.analysis.runs import Run, digest
from analog_samson.errors import OptionError
from analog_samson.report.blocks import pick_tables, report_blocks
from analog_samson.report.exports import render_json, render_marked_csv
from analog_samson.report.grid import (
    Grid,
    data_csv,
    data_json,
    join_data,
    render_latex,
    render_markdown,
    render_text,
)
from analog_samson.results.store import open_run

FORMATS: dict[str, Callable[[Sequence[Run], float | None], str]] = {
    "text": lambda runs, threshold: render_text(report_blocks(runs, threshold)),
    "md": lambda runs, threshold: render_markdown(report_blocks(runs, threshold)),
    "csv": lambda runs, threshold: render_marked_csv(runs),
    "json": render_json,
    "tex": lambda runs, threshold: render_latex(report_blocks(runs, threshold)),
}
TABLE_FORMATS: dict[str, Callable[[Sequence[Grid]], str]] = {
    "text": render_text,
    "md": render_markdown,
    "csv": lambda grids: data_csv(join_data([grid.data for grid in grids if grid.data])),
    "json": lambda grids: data_json(join_data([grid.data for grid in grids if grid.data])),
    "tex": render_latex,
}


def make_report(
    paths: Sequence[Path],
    format: str,
    *,
    out: Path | None,
    html: bool,
    say: Callable[[str], None],
    threshold: float | None = None,
    table: str | None = None,
) -> str:
    """The report of the runs at `paths` in one of FORMATS, or with `table` its tables of that name alone.

    With `html` the page is written to `out`, or for the text format to its default place; `say` gets the notice.
    threshold [%]: that of lifetime and yield; None takes losses below digital.
    """
    check_page_name(out)
    check_threshold(threshold)
    if threshold is not None and format == "csv" and table is None and out is None:
        raise OptionError("--threshold: raw values as csv have none; add --table lifetime or yield, or --out FILE.html")
    with ExitStack() as stack:
        folders = [stack.enter_context(open_run(path)) for path in paths]
        runs = digest(folders)
        if table is None:
            text = FORMATS[format](runs, threshold)
        else:
            text = TABLE_FORMATS[format](pick_tables(runs, table, threshold))
        if html and (out is not None or (format == "text" and table is None)):
            from analog_samson.report.page import write_report  # matplotlib takes a second; csv needs none of it

            page = write_report(folders, out if out is not None else default_page(paths), threshold)
            say(f"wrote {page} and {page.parent / 'figures'}")
    return text


def check_threshold(threshold: float | None) -> None:
    """Raise OptionError for a threshold that no accuracy can have."""
    if threshold is not None and not 0 <= threshold <= 100:
        raise OptionError(f"--threshold {threshold:g}: expected an accuracy in percent, 0 to 100")


def default_page(paths: Sequence[Path]) -> Path:
    """report.html in the run folder, or in the nearest folder that holds all of several runs."""
    if len(paths) == 1:
        return paths[0] / "report.html"
    return Path(os.path.commonpath([path.resolve().parent for path in paths])) / "report.html"


def check_page_name(out: Path | None) -> None:
    """Raise OptionError for a page that is not an HTML file, so that --out never overwrites anything else."""
    if out is not None and out.suffix not in (".html", ".htm"):
        raise OptionError(f"--out {out}: expected a file name that ends in .html")
