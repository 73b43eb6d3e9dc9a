"""How far one device is from its target, as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCurve:
    """Mean and standard deviation of g - g_target [uS] at each target [uS], at one time.

    time_seconds: None right after programming, before anything is read.
    """

    time_seconds: float | None
    targets: tuple[float, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
