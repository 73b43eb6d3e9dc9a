"""`analog-samson report`: the tables of runs on the terminal, and their page."""

from pathlib import Path
from typing import Annotated

import typer

from analog_samson.runtime.older_python import StrEnum


class Format(StrEnum):
    """How the numbers are printed."""

    TEXT = "text"
    MD = "md"
    CSV = "csv"
    JSON = "json"
    TEX = "tex"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Run folders made by `analog-samson simulate`, or a pattern such as 'runs/**'.", metavar="RUN..."
        ),
    ],
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
    threshold: Annotated[
        float | None,
        typer.Option(help="Value of the metric for lifetime and yield.", show_default="several losses from digital"),
    ] = None,
    digital_pj_per_mac: Annotated[
        float | None,
        typer.Option(
            help="Energy of a digital multiply-accumulate [pJ], for the cost of an inference.",
            metavar="X",
            show_default="not given",
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="Only the tables of this name, such as lifetime, in any --format; an unknown name lists all.",
            metavar="NAME",
        ),
    ] = None,
) -> None:
    """Print the result tables of one or several runs and write report.html with figures.

    Runs that differ in their seed alone are pooled: their chips are one sample.

    Example: analog-samson report runs/sgd runs/samson --out compare.html
    """
    from analog_samson.cli.globs import run_folders
    from analog_samson.errors import OptionError
    from analog_samson.report.command import make_report

    if no_html and out is not None:
        raise OptionError(f"report: --out {out} names the page that --no-html leaves out; give one of them")
    text = make_report(
        run_folders(runs),
        format.value,
        out=out,
        html=not no_html,
        say=_say,
        threshold=threshold,
        digital_pj_per_mac=digital_pj_per_mac,
        table=table,
    )
    typer.echo(text, nl=False)


def _say(text: str) -> None:
    typer.echo(text, err=True)
