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
        calibration: What was adapted to the noisy weights before measuring: "none", or the name of a method.

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
