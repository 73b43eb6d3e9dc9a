"""When devices are read and networks calibrated: what options can say of it."""

import math
from collections.abc import Sequence
from typing import Any, get_args

from analog_samson.chip.choices import ReadNoise
from analog_samson.errors import did_you_mean
from analog_samson.results.condition import UNCALIBRATED, calibration_at
from analog_samson.units import format_duration


def measured_conditions(times: Sequence[float], calibrate: Sequence[str], at: float | None) -> list[dict[str, Any]]:
    """Time [s] and calibration of each condition: at each time by each method, and later than `at` by those of `at`.

    >>> [list(each.values()) for each in measured_conditions([1.0, 3600.0], ["none", "adabs"], 1.0)]
    [[1.0, 'none'], [1.0, 'adabs'], [3600.0, 'none'], [3600.0, 'adabs'], [3600.0, 'adabs@1.0']]
    """
    aged = [] if at is None else [calibration_at(method, at) for method in calibrate if method != UNCALIBRATED]
    return [
        {"time_seconds": time, "calibration": name}
        for time in times
        for name in (*calibrate, *(aged if at is not None and time > at else ()))
    ]


def age_faults(at: float | None, times: Sequence[float], calibrate: Sequence[str]) -> list[str]:
    """What is wrong with an earlier time [s] of calibration."""
    if at is None:
        return []
    if not 0 <= at < math.inf:
        return [f"calibrate_at: expected finite seconds of 0 or more, got {at}"]
    faults = [] if {*calibrate} - {UNCALIBRATED} else ["calibrate_at: nothing is calibrated; give calibrate as well"]
    if not any(time > at for time in times):
        faults.append(f"calibrate_at: expected a time before the last of times, got {format_duration(at)}")
    return faults


def read_noise_faults(read_noise: str) -> list[str]:
    """What is wrong with the choice of when devices are read."""
    known = get_args(ReadNoise)
    if read_noise in known:
        return []
    return [f"read_noise: expected one of {', '.join(known)}, got {read_noise!r}{did_you_mean(read_noise, known)}"]
