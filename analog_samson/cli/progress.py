"""A progress bar on the terminal; elsewhere a line a minute, for the logs of long jobs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

_SECONDS_BETWEEN_LINES = 60.0


@contextmanager
def cell_progress(total: int, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Yields a function to be called with a short text after each of `total` steps; quiet: it does nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    if quiet or not console.is_terminal:
        yield (lambda text: None) if quiet else _Lines(total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda text: bar.update(task, advance=1, description=text)


class _Lines:
    """Prints how many steps are done and how long the others take at that rate, at most once a minute."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._start = total, 0, monotonic()
        self._latest = self._start

    def __call__(self, text: str) -> None:
        self._done += 1
        now = monotonic()
        if now - self._latest >= _SECONDS_BETWEEN_LINES:
            self._latest = now
            left = (now - self._start) / self._done * (self._total - self._done)
            print(f"{self._done} of {self._total} done, about {rough_duration(left)} left ({text})", file=sys.stderr)


def rough_duration(seconds: float) -> str:
    """A duration as a person says it.

    >>> rough_duration(42), rough_duration(3000), rough_duration(50000), rough_duration(4e5)
    ('42 s', '50 min', '13.9 h', '4.6 days')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 3 * 86400 else f"{seconds / 86400:.1f} days"
