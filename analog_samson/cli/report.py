"""`analog-samson report`: the tables of runs on the terminal, and their page."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How the numbers are printed."""

    TEXT = "text"
    MD = "md"
    CSV = "csv"
    JSON = "json"
    TEX = "tex"


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders made by `analog-samson simulate`.", metavar="RUN...")],
    format: Annotated[
        Format,
        typer.Option(help="text, md and tex print tables, csv the raw rows (one value each), json everything."),
    ] = Format.TEXT,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to write the page. Default, with --format text only: report.html in the run folder, "
            "for several runs in the folder that holds them all.",
            metavar="FILE.html",
        ),
    ] = None,
    no_html: Annotated[bool, typer.Option("--no-html", help="Print only; write no page and no figures.")] = False,
) -> None:
    """Print the result tables of one or several runs and write report.html with figures.

    Example: analog-samson report runs/sgd runs/samson --out compare.html
    """
    from analog_samson.report.command import make_report

    typer.echo(make_report(runs, format.value, out=out, html=not no_html, say=_say), nl=False)


def _say(text: str) -> None:
    typer.echo(text, err=True)
