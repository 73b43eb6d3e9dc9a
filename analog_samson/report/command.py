"""Run folders in, printed report out, and the page on the way."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from analog_samson.errors import OptionError
from analog_samson.report.digest import Run, digest
from analog_samson.report.exports import render_csv, render_json
from analog_samson.report.grid import render_latex, render_markdown, render_text
from analog_samson.report.tables import report_blocks
from analog_samson.results.store import open_run


def _csv(runs: Sequence[Run]) -> str:
    return render_csv([record for run in runs for record in run.records])


FORMATS: dict[str, Callable[[Sequence[Run]], str]] = {
    "text": lambda runs: render_text(report_blocks(runs)),
    "md": lambda runs: render_markdown(report_blocks(runs)),
    "csv": _csv,
    "json": render_json,
    "tex": lambda runs: render_latex(report_blocks(runs)),
}


def make_report(paths: Sequence[Path], format: str, *, out: Path | None, html: bool, say: Callable[[str], None]) -> str:
    """The report of the runs at `paths` in one of FORMATS.

    With `html` the page is written to `out`, or for the text format to its default place; `say` gets the notice.
    """
    check_page_name(out)
    with ExitStack() as stack:
        folders = [stack.enter_context(open_run(path)) for path in paths]
        text = FORMATS[format](digest(folders))
        if html and (out is not None or format == "text"):
            from analog_samson.report.page import write_report  # matplotlib takes a second; csv needs none of it

            page = write_report(folders, out if out is not None else default_page(paths))
            say(f"wrote {page} and {page.parent / 'figures'}")
    return text


def default_page(paths: Sequence[Path]) -> Path:
    """report.html in the run folder, or in the nearest folder that holds all of several runs."""
    if len(paths) == 1:
        return paths[0] / "report.html"
    return Path(os.path.commonpath([path.resolve().parent for path in paths])) / "report.html"


def check_page_name(out: Path | None) -> None:
    """Raise OptionError for a page that is not an HTML file, so that --out never overwrites anything else."""
    if out is not None and out.suffix not in (".html", ".htm"):
        raise OptionError(f"--out {out}: expected a file name that ends in .html")
