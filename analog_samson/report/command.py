"""Run folders in, printed report out, and the page on the way."""

import os
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path

from analog_samson.analysis.runs import META_KEYS, read_runs
from analog_samson.analysis.unequal_options import unequal_options
from analog_samson.errors import OptionError
from analog_samson.report.contents import Contents
from analog_samson.report.exports import render_json, render_marked_csv
from analog_samson.report.formats import in_unit
from analog_samson.report.headline import headline
from analog_samson.report.rendering import Block, frame_csv, frame_json, render_latex, render_markdown, render_text
from analog_samson.report.section import find_section, shown_parts
from analog_samson.report.table import Table, join
from analog_samson.results.loaded import LoadedRun
from analog_samson.results.metric import ACCURACY, Metric

FORMATS: dict[str, Callable[[Contents], str]] = {
    "text": lambda report: render_text(report_blocks(report)),
    "brief": lambda report: render_text(brief_blocks(report)),
    "answer": lambda report: FORMATS["sentence" if report.crowded else "brief"](report),
    "sentence": lambda report: render_text([headline(report).sentence]),
    "md": lambda report: render_markdown(report_blocks(report)),
    "csv": lambda report: render_marked_csv(report.runs),
    "json": render_json,
    "tex": lambda report: render_latex(report_blocks(report)),
}
_FOR_READERS = ("text", "brief", "answer", "sentence")  # formats with a page beside them
TABLE_FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "text": render_text,
    "md": render_markdown,
    "csv": lambda tables: frame_csv(join(tables)),
    "json": lambda tables: frame_json(join(tables)),
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
    digital_pj_per_mac: float | None = None,
    table: str | None = None,
) -> str:
    """The report of the runs at `paths` in one of FORMATS, or its tables of one name alone.

    Args:
        paths: Run folders.
        format: One of FORMATS.
        out: Where to write the page; None: for formats in words its default place.
        html: Whether to write a page at all.
        say: Gets the notice of what was written.
        threshold: Of lifetime and yield, in the unit of the metric; None for losses from the digital value.
        digital_pj_per_mac: Energy of a multiply-accumulate that stays digital [pJ]; None where it is not known.
        table: The name of the only tables to print.

    Raises:
        OptionError: An unknown table, a threshold that the metric cannot have, or options that exclude each other.
        RunError: A folder that is no run, or runs that measure different metrics.
    """
    check_page_name(out)
    if digital_pj_per_mac is not None and not 0 <= digital_pj_per_mac < inf:
        raise OptionError(f"--digital-pj-per-mac {digital_pj_per_mac:g}: expected a finite number, 0 or above, in pJ")
    if threshold is not None and format == "csv" and table is None and out is None:
        raise OptionError("--threshold: raw values as csv have none; add --table lifetime or yield, or --out FILE.html")
    section = None if table is None else find_section(table)
    runs = read_runs([LoadedRun(path, META_KEYS) for path in paths])
    report = Contents(runs, threshold, digital_pj_per_mac)
    check_threshold(threshold, report.metric)
    if section is None:
        text = FORMATS[format](report)
    else:
        tables = [part.table for part in section.parts(report) if part.table is not None]
        if not tables:
            remedy = f"; {section.remedy}" if section.remedy else ""
            raise OptionError(f"--table {table}: these runs have no such table{remedy}")
        text = TABLE_FORMATS[format](tables)
    if html and (out is not None or (format in _FOR_READERS and table is None)):
        from analog_samson.report.page import (
            FIGURES_NAME,
            write_page,
        )  # matplotlib takes a second; csv needs none of it

        page = write_page(report, out if out is not None else default_page(paths))
        figures = page.parent / FIGURES_NAME
        say(f"wrote {page}" + (f" and {figures}" if figures.is_dir() else ""))
    return text


def report_blocks(report: Contents) -> list[Block]:
    """Everything that the text, Markdown and LaTeX reports say, in order."""
    said = headline(report)
    blocks = [block for part in shown_parts(report) for block in part.blocks]
    return [said.sentence, *([said.second] if said.second else []), *blocks]


def brief_blocks(report: Contents) -> list[Block]:
    """The answer, the first table, that of the error budget of runs that have one, and options that differ."""
    said = headline(report)
    tables = [
        (part.section.name, part.table)
        for part in shown_parts(report)
        if part.table is not None and not part.table.plain
    ]
    shown = [table for place, (name, table) in enumerate(tables) if place == 0 or name == "error_budget"]
    return [said.sentence, *([said.second] if said.second else []), *shown, *unequal_options(report.runs)]


def check_threshold(threshold: float | None, metric: Metric = ACCURACY) -> None:
    """Raise OptionError for a threshold that the metric cannot have."""
    if threshold is not None and not metric.lower <= threshold <= metric.upper:
        between = in_unit(f"{metric.lower:g} to {metric.upper:g}", metric)
        raise OptionError(f"--threshold {threshold:g}: expected a value of {metric.title}, {between}")


def check_early(threshold: float | None, task: str | None) -> None:
    """Refuse a threshold before anything is simulated, as far as the name of the task tells its metric."""
    if task in (None, "classification"):
        check_threshold(threshold)


def default_page(paths: Sequence[Path]) -> Path:
    """report.html in the run folder, or in the nearest folder that holds all of several runs."""
    if len(paths) == 1:
        return paths[0] / "report.html"
    return Path(os.path.commonpath([path.resolve().parent for path in paths])) / "report.html"


def check_page_name(out: Path | None) -> None:
    """Raise OptionError for a page that is not an HTML file, so that --out never overwrites anything else."""
    if out is not None and out.suffix not in (".html", ".htm"):
        raise OptionError(f"--out {out}: expected a file name that ends in .html")
