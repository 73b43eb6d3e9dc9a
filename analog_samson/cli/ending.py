"""How a command that simulated ends: the answer, one table and the path of the page; or all tables; or the answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from analog_samson.report.options import PrintOptions


def print_report(folders: Sequence[Path], told: PrintOptions, *, format: str = "text", **options: Any) -> None:
    """Print the report of run folders as far as `told` says, and last where its page is.

    Args:
        folders: Run folders.
        told: How much is printed of the format "text".
        format: One of the formats of `make_report`.
        options: Its other options.
    """
    from analog_samson.report.command import make_report

    notices: list[str] = []
    form = told.detail if format == "text" and options.get("table") is None else format
    typer.echo(make_report(folders, form, say=notices.append, **options), nl=False)
    if told.quiet:
        return
    if form in ("brief", "answer"):
        typer.echo(f"\nAll tables: analog-samson report {' '.join(map(str, folders[:3]))}{' ...' * (len(folders) > 3)}")
    for notice in notices:
        typer.echo(notice, err=format not in ("text", "answer"))
