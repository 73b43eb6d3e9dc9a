"""What a preset says of devices that fail: how many, of which kind, and what is done about them."""

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from analog_samson.presets.fields import Fraction, Limit, Section, expected, show_number

_STUCK = ("stuck_at_g_min", "stuck_at_g_max", "stuck_at_random")


class NoFaults(Section):
    """Every device works."""

    model: Literal["none"]


class StuckDevices(Section):
    """Each device fails by itself, each line by itself; a failed device keeps one conductance for good.

    An open line carries no current: its devices have 0 uS. A failed device has no programming error, drift or read
    noise; the converters' noise remains.
    """

    model: Literal["stuck"]
    stuck_at_g_min: Fraction = Field(description="fraction of devices that stay at g_min")
    stuck_at_g_max: Fraction = Field(description="fraction of devices that stay at g_max")
    stuck_at_random: Fraction = Field(
        description="fraction of devices that stay somewhere between g_min and g_max, all conductances equally likely"
    )
    open_rows: Fraction = Field(
        description="fraction of input lines of a tile that are broken; all devices of a weight share one"
    )
    open_columns: Fraction = Field(
        description="fraction of output lines of a tile that are broken; each device of a weight has its own"
    )
    occurrence: Literal["before_verify", "after_verify"] = Field(
        description="whether program-and-verify finds the failed devices, so that compensation and spares can act"
    )
    compensation: Literal["none", "pair"] = Field(
        description="'pair': the healthy device of a pair makes up for the failed one, as far as its range allows"
    )
    spare_rows: Limit = Field(description="input lines of a tile that can replace its worst ones, beside max_rows")
    spare_columns: Limit = Field(
        description="outputs of a tile that can replace its worst ones, with all their devices, beside max_columns"
    )

    @property
    def stuck(self) -> float:
        """Fraction of devices that are stuck at any conductance."""
        return sum(getattr(self, name) for name in _STUCK)

    @field_validator(*_STUCK[1:])
    @classmethod
    def _at_most_all(cls, value: float, info: ValidationInfo) -> float:
        before = sum(info.data.get(name, 0.0) for name in _STUCK[: _STUCK.index(str(info.field_name))])
        if before + value > 1:
            raise expected(f"fractions of stuck devices with a sum of at most 1 (those before: {show_number(before)})")
        return value

    @field_validator("compensation", "spare_rows", "spare_columns")
    @classmethod
    def _only_what_is_known(cls, value: Any, info: ValidationInfo) -> Any:
        if value not in ("none", 0) and info.data.get("occurrence") == "after_verify":
            raise expected(
                f"{0 if isinstance(value, int) else 'none'!r} for faults after_verify, which nobody knows of"
            )
        return value


Faults = NoFaults | StuckDevices
NO_FAULTS = NoFaults(model="none")
