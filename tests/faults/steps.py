"""Places at which a process can die: every call that changes a file, and every statement of SQLite."""

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "ftruncate")


def die_at(step: int) -> Callable[[], None]:
    """For a child: it kills itself just before this step."""
    return lambda: _count(lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == step else None)


def report_steps(file: Path) -> Callable[[], None]:
    """For a child: it writes into `file` how many steps it has made."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o644)
    write = os.pwrite
    return lambda: _count(lambda number: write(descriptor, str(number).encode(), 0))


def _count(reached: Callable[[int], object]) -> None:
    made = 0

    def step(*_: object) -> None:
        nonlocal made
        made += 1
        reached(made)

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def one(*arguments: Any, **options: Any) -> Any:
            step()
            return call(*arguments, **options)

        return one

    for name in _CALLS:
        setattr(os, name, counted(getattr(os, name)))
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(step)
        return connection

    sqlite3.connect = traced  # type: ignore[assignment]
