"""The learning rate as a pure function of the position in the run, so that resuming needs no schedule state."""

import math
from dataclasses import dataclass
from typing import Literal

ScheduleKind = Literal["constant", "step", "cosine", "onecycle"]
SCHEDULES: dict[ScheduleKind, str] = {
    "constant": "the same rate throughout",
    "step": "divided in steps: times step_factor every step_epochs",
    "cosine": "half a cosine down to zero",
    "onecycle": "linear rise during the first 30 %, then half a cosine down to zero",
}
_ONECYCLE_RISE = 0.3  # share of the run
_ONECYCLE_START = 0.04  # of the highest rate


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate runs; `learning_rate` is its highest value.

    warmup_epochs: a linear rise before the schedule begins (not for onecycle, which has its own).
    """

    kind: ScheduleKind
    learning_rate: float
    epochs: int
    warmup_epochs: float = 0.0
    step_epochs: int = 50
    step_factor: float = 0.1

    def at(self, epoch: int, step: int, steps: int) -> float:
        """The rate for step `step` (from 0) of `steps` in epoch `epoch` (from 0).

        >>> [Schedule(kind="step", learning_rate=1.0, epochs=3, step_epochs=1).at(e, 0, 10) for e in range(3)]
        [1.0, 0.1, 0.010000000000000002]
        """
        now = epoch + step / steps
        if now < self.warmup_epochs:
            return self.learning_rate * (now + 1 / steps) / (self.warmup_epochs + 1 / steps)
        return self.learning_rate * self._factor(now)

    def _factor(self, now: float) -> float:
        """Share of the highest rate, `now` in epochs."""
        if self.kind == "constant":
            return 1.0
        if self.kind == "step":
            return self.step_factor ** math.floor((now - self.warmup_epochs) / self.step_epochs)
        if self.kind == "cosine":
            return _half_cosine((now - self.warmup_epochs) / (self.epochs - self.warmup_epochs))
        top = _ONECYCLE_RISE * self.epochs
        if now < top:
            return _ONECYCLE_START + (1 - _ONECYCLE_START) * now / top
        return _half_cosine((now - top) / (self.epochs - top))


def _half_cosine(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2
