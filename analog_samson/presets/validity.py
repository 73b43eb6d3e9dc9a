"""What a preset's source covers: results outside it are extrapolated, between its times interpolated.

A source may not say how long it has looked; then nobody knows whether a time is covered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from analog_samson.presets.fields import NOT_STATED

EXTRAPOLATED, INTERPOLATED, UNSTATED = "extrapolated", "interpolated", "validity not stated"
_ON_DEVICE = ("programmed", "drift")


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """Up to when a preset is valid [s], and the times that its source gives where it has no law in time.

    max_seconds: None where the preset does not say; 0 where it is valid at no time, since its largest conductance lies
    above those that its source covers.
    stated: Whether the source says up to when it is valid.
    """

    max_seconds: float | None = None
    stated: bool = True
    published_seconds: tuple[float, ...] = ()

    def coverage(self, time_seconds: float | None) -> str:
        """Whether the source covers a time: EXTRAPOLATED, INTERPOLATED, UNSTATED, or "" where it does.

        Args:
            time_seconds: Since programming; None right after it.

        >>> wan = Validity(max_seconds=172800.0, published_seconds=(1.0, 86400.0, 172800.0))
        >>> [wan.coverage(t) for t in (None, 1.0, 3600.0, 86400.0, 3.2e7)]
        ['', '', 'interpolated', '', 'extrapolated']
        """
        time = time_seconds or 0.0
        if self.max_seconds is not None and (self.max_seconds == 0 or time > self.max_seconds):
            return EXTRAPOLATED
        if time and not self.stated:
            return UNSTATED
        if not time or not self.published_seconds or time in self.published_seconds:
            return ""
        inside = self.published_seconds[0] < time < self.published_seconds[-1]
        return INTERPOLATED if inside else EXTRAPOLATED

    def coverage_of(self, stage: str, time_seconds: float | None) -> str:
        """The coverage of a record: that of its time on the device, "" for what does not depend on the preset."""
        return self.coverage(time_seconds) if stage in _ON_DEVICE else ""


UNKNOWN = Validity()


def least_covered(coverages: Iterable[str]) -> str:
    """The coverage that says least for a number made from several.

    >>> least_covered(["", "interpolated", "extrapolated"])
    'extrapolated'
    """
    found = {*coverages}
    return next((one for one in (EXTRAPOLATED, UNSTATED, INTERPOLATED) if one in found), "")


def validity_of(preset: Mapping[str, Any] | None) -> Validity:
    """The validity of a preset as a run folder stores it.

    >>> validity_of({"device": {"g_max_microsiemens": 40.0}, "validity": {"max_g_microsiemens": 25.0}}).max_seconds
    0.0
    """
    found = (preset or {}).get("validity") or {}
    largest = ((preset or {}).get("device") or {}).get("g_max_microsiemens")
    covered = found.get("max_g_microsiemens")
    beyond = largest is not None and covered is not None and largest > covered
    end = found.get("max_seconds")
    return Validity(
        max_seconds=0.0 if beyond else None if end == NOT_STATED else end,
        stated=end != NOT_STATED,
        published_seconds=tuple(found.get("published_seconds") or ()),
    )
