"""Ctrl-C and SIGTERM end a command with a sentence, and in order: workers of a sweep end with it."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import Any

import typer

from analog_samson.cli.processes import tell, under_torchrun

INTERRUPTED, TERMINATED = 130, 143
_PYTHONS: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}


def told_when_interrupted(command: Callable[..., Any], *, continues: bool) -> Callable[..., Any]:
    """The command, which says when it was interrupted.

    continues: whether the same command goes on from there; then SIGTERM interrupts it like Ctrl-C, except in the
    processes of torchrun, which ends trainings with it that may be stuck in a collective operation.
    An exception that ends the command after a signal counts as its consequence, except a typer.Exit: that has told why.
    """
    signals = (signal.SIGINT, signal.SIGTERM) if continues and not under_torchrun() else (signal.SIGINT,)

    @wraps(command)
    def interruptible(*arguments: Any, **options: Any) -> Any:
        with _interrupts_noted(signals) as arrived:
            try:
                return command(*arguments, **options)
            except KeyboardInterrupt:
                pass
            except Exception as error:
                if not arrived or isinstance(error, typer.Exit):
                    raise
            terminated = arrived[:1] == [signal.SIGTERM]
            how = "\nterminated" if terminated else "\ninterrupted"
            tell(how + (": what was finished is kept; the same command continues" if continues else ""))
            raise typer.Exit(TERMINATED if terminated else INTERRUPTED)

    return interruptible


@contextmanager
def _interrupts_noted(signals: Sequence[signal.Signals]) -> Iterator[list[int]]:
    """Those of `signals` that have arrived, each of which raises KeyboardInterrupt.

    An extension that meets KeyboardInterrupt while it imports numpy may swallow it and fail with something else. Only
    the handlers that Python starts with are replaced, and given back; in other threads, or under other handlers,
    nothing is noted.
    """
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        signal.default_int_handler(number, frame)

    in_main_thread = threading.current_thread() is threading.main_thread()
    ours = [one for one in signals if in_main_thread and signal.getsignal(one) is _PYTHONS[one]]
    for one in ours:
        signal.signal(one, note)
    try:
        yield arrived
    finally:
        for one in ours:
            signal.signal(one, _PYTHONS[one])
