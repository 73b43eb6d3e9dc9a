"""Ctrl-C ends a command with a sentence; typer alone would end it without a word."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

import typer

from analog_samson.cli.processes import tell

INTERRUPTED = 130


def told_when_interrupted(command: Callable[..., Any], *, continues: bool) -> Callable[..., Any]:
    """The command, which says when it was interrupted. continues: whether the same command goes on from there.

    An exception that ends the command after Ctrl-C counts as its consequence, except a typer.Exit: that has told why.
    """

    @wraps(command)
    def interruptible(*arguments: Any, **options: Any) -> Any:
        with _interrupts_noted() as arrived:
            try:
                return command(*arguments, **options)
            except KeyboardInterrupt:
                pass
            except Exception as error:
                if not arrived or isinstance(error, typer.Exit):
                    raise
            tell("\ninterrupted" + (": what was finished is kept; the same command continues" if continues else ""))
            raise typer.Exit(INTERRUPTED)

    return interruptible


@contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """The signals of Ctrl-C that have arrived, each of which raises KeyboardInterrupt as ever.

    An extension that meets KeyboardInterrupt while it imports numpy may swallow it and fail with something else. Only
    Python's own handler is replaced, and given back; in other threads, or under other handlers, nothing is noted.
    """
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        signal.default_int_handler(number, frame)

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield arrived
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
