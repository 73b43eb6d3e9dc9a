"""What the library warns of and notes, on the terminal: one line each, without the place in the code."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from analog_samson.cli.processes import tell
from analog_samson.crossbar.coverage import CoverageWarning
from analog_samson.crossbar.outliers import OutlierWarning
from analog_samson.errors import InputRangeWarning, NormalizationWarning

_OWN = (CoverageWarning, OutlierWarning, InputRangeWarning, NormalizationWarning)
_NOTED = [logging.getLogger(f"analog_samson.{name}") for name in ("models.checkpoint", "data.cache")]


@contextmanager
def notices_as_lines() -> Iterator[None]:
    """Print each warning of this package and each note about a checkpoint or data once, on standard error.

    Other warnings appear as Python prints them.
    """
    seen: set[str] = set()

    def once(line: str) -> None:
        if line not in seen:
            seen.add(line)
            tell(line)

    def show(message: Warning | str, category: type[Warning], *place: Any, **named: Any) -> None:
        if issubclass(category, _OWN):
            once(f"warning: {message}")
        else:
            show_others(message, category, *place, **named)

    handler, levels = _Lines(once), [noted.level for noted in _NOTED]
    with warnings.catch_warnings():
        show_others = warnings.showwarning
        warnings.showwarning = show
        for category in _OWN:
            warnings.simplefilter("always", category)
        for noted in _NOTED:
            noted.addHandler(handler)
            noted.setLevel(logging.INFO)
        try:
            yield
        finally:
            for noted, level in zip(_NOTED, levels, strict=True):
                noted.removeHandler(handler)
                noted.setLevel(level)


class _Lines(logging.Handler):
    """Hands the text of each record on."""

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(f"note: {record.getMessage()}")
