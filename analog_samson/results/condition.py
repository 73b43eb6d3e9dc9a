"""Under what a network was measured: digitally, on a chip of some age, or under generic noise."""

from dataclasses import dataclass
from math import inf

DIGITAL, DRIFT, GAUSSIAN = "digital", "drift", "gaussian"
UNCALIBRATED, ADABS, AFFINE = "none", "adabs", "affine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What decides a measurement besides network, hardware and chip.

    Attributes:
        stage: "digital" for the network as it was trained, "drift" for a chip, "gaussian" for the generic model.
        time_seconds: Time since programming, of a chip; 0 is the chip as programmed, unread.
        sigma_c: Relative conductance error of the generic model.
        calibration: What was adapted to the noisy weights before measuring: "none", the name of a method, or a method
            and the earlier time at which it was done, see `calibration_at`.

    >>> Condition(stage="drift", time_seconds=3600.0).calibration
    'none'
    """

    stage: str
    time_seconds: float | None = None
    sigma_c: float | None = None
    calibration: str = UNCALIBRATED

    def __post_init__(self) -> None:
        numbers = {"time_seconds": (self.time_seconds, DRIFT), "sigma_c": (self.sigma_c, GAUSSIAN)}
        if self.stage not in (DIGITAL, DRIFT, GAUSSIAN):
            raise ValueError(f"stage: expected digital, drift or gaussian, got {self.stage!r}")
        for name, (value, stage) in numbers.items():
            if (value is not None) != (self.stage == stage):
                raise ValueError(f"{name} {value!r} does not go with stage {self.stage!r}")
            if value is not None and not 0 <= value < inf:
                raise ValueError(f"{name}: expected a finite number of 0 or more, got {value!r}")


def calibration_at(method: str, time_seconds: float) -> str:
    """The `calibration` of a condition whose method was done at another time [s] than the test.

    >>> calibration_at("adabs", 3600.0), calibration_parts("adabs@3600.0"), calibration_parts("adabs")
    ('adabs@3600.0', ('adabs', 3600.0), ('adabs', None))
    """
    return f"{method}@{float(time_seconds)!r}"


def calibration_parts(calibration: str) -> tuple[str, float | None]:
    """The method of a calibration, and when it was done [s]; None where that is the time of the test."""
    method, separator, time = calibration.partition("@")
    try:
        return (method, float(time)) if separator else (calibration, None)
    except ValueError:
        return calibration, None
