"""What became of hostile inputs: read, refused with a message, or a failure of ours."""

import signal
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from analog_samson.errors import AnalogSamsonError

Attempts = Iterator[tuple[str, Callable[[], object]]]
LONGEST = 6000  # characters of a message
SECONDS = 20.0  # for one case


class TooLong(BaseException):
    """A case took more than its time; no handler of ours catches it."""


@dataclass
class Verdicts:
    """How many cases were refused and read, and how often each kind of failure occurred."""

    refused: int = 0
    read: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def cases(self) -> int:
        return self.refused + self.read + self.failures.total()


def judge(attempts: Iterable[tuple[str, Callable[[], object]]], seconds: float = SECONDS) -> Verdicts:
    """Try every input: an attempt has to succeed or to raise an AnalogSamsonError with a message of bounded length.

    attempts: what was damaged, and what reads it. seconds: the time that one may take.
    """
    found = Verdicts()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy and torch, of damaged and of odd values
        for what, attempt in attempts:
            try:
                with _limited(seconds):
                    attempt()
                found.read += 1
            except AnalogSamsonError as error:
                if str(error).strip() and len(str(error)) <= LONGEST:
                    found.refused += 1
                else:
                    found.failures[f"{what}: a message of {len(str(error))} characters: {str(error)[:200]}"] += 1
            except (Exception, TooLong) as error:
                own = [f for f in traceback.extract_tb(error.__traceback__) if "analog_samson/" in f.filename]
                place = f"{own[-1].filename.split('analog_samson/')[-1]}:{own[-1].lineno}" if own else "?"
                found.failures[f"{what}: {type(error).__name__} at {place}: {str(error)[:100]}"] += 1
    return found


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
