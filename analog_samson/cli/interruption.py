"""Ctrl-C ends a command with a sentence; typer alone would end it without a word."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from analog_samson.cli.processes import tell

INTERRUPTED = 130


def told_when_interrupted(command: Callable[..., Any], *, continues: bool) -> Callable[..., Any]:
    """The command, which says when it was interrupted. continues: whether the same command goes on from there."""

    @wraps(command)
    def interruptible(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt:
            tell("\ninterrupted" + (": what was finished is kept; the same command continues" if continues else ""))
            raise typer.Exit(INTERRUPTED) from None

    return interruptible
