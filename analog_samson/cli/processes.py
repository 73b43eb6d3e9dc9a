"""The processes that torchrun starts with one command, told apart without torch: who tells of a mistake."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from analog_samson.errors import AnalogSamsonError

_LET_THE_FIRST_SPEAK = 0.5  # seconds; torchrun ends all processes as soon as one has failed


def under_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first_process() -> bool:
    """Whether this is the first of the processes that torchrun started, or not started by it."""
    return not under_torchrun() or os.environ.get("RANK", "0") == "0"


def tell(message: str) -> None:
    """Print a mistake that every process meets, once."""
    if is_first_process():
        print(message, file=sys.stderr)
    else:
        time.sleep(_LET_THE_FIRST_SPEAK)


@contextmanager
def told_once() -> Iterator[None]:
    """For work that processes do together: a mistake ends all of them, and is raised in the first one alone."""
    try:
        yield
    except AnalogSamsonError as error:
        if is_first_process():
            raise
        time.sleep(_LET_THE_FIRST_SPEAK)
        raise typer.Exit(1) from error
