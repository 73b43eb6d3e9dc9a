"""What a chip's source publishes of its throughput, energy and area: section `[cost]` of a preset.

It prices a mapping and changes no simulated number, so a preset's fingerprint leaves it out.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from analog_samson.presets.fields import Count, Doi, Expected, Name, Section, Text, expected

_NOT_GIVEN = "or no such key where the source gives none"
Published = Annotated[
    float | None,
    Field(gt=0, allow_inf_nan=False),
    Expected(f"a finite number above 0, {_NOT_GIVEN}"),
]


class ReadMode(Section):
    """One way to read the chip, with its peak figures; an operation is one multiplication or one addition."""

    name: Name = Field(description="what the source calls the way of reading")
    peak_tops: Published = Field(default=None, description="10^12 operations a second with all arrays full and at work")
    peak_tops_per_watt: Published = Field(default=None, description="10^12 operations per joule, likewise")
    peak_tops_per_mm2: Published = Field(default=None, description="10^12 operations a second per area, likewise")


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class CostFigures(Section):
    """Published peak figures of a chip of equal arrays."""

    doi: Doi = Field(description="DOI of the publication with these figures")
    notes: Text = Field(description="where the publication gives them, and what it does not give")
    array_rows: Count = Field(description="inputs of one array")
    array_columns: Count = Field(description="outputs of one array")
    arrays: Annotated[int | None, Field(ge=1), Expected(f"a whole number of at least 1, {_NOT_GIVEN}")] = Field(
        default=None, description="arrays of the chip"
    )
    modes: Annotated[
        tuple[ReadMode, ...],
        BeforeValidator(_listed),
        Field(min_length=1),
        Expected("at least one table of a way to read the chip", "a table"),
    ] = Field(description="ways to read the chip; the first one counts where none is named")

    @field_validator("modes")
    @classmethod
    def _names_differ(cls, modes: tuple[ReadMode, ...]) -> tuple[ReadMode, ...]:
        if len({mode.name for mode in modes}) < len(modes):
            raise expected("a name of its own for each mode")
        return modes

    @property
    def operations(self) -> int:
        """Multiplications and additions of one read of a full array."""
        return 2 * self.array_rows * self.array_columns

    def read_joules(self, mode: ReadMode) -> float | None:
        """Energy of one read of an array; None where the source does not give it."""
        return None if mode.peak_tops_per_watt is None else self.operations / (mode.peak_tops_per_watt * 1e12)

    def read_seconds(self, mode: ReadMode) -> float | None:
        """Duration of one read; None where the source does not give it."""
        if mode.peak_tops is None or self.arrays is None:
            return None
        return self.operations * self.arrays / (mode.peak_tops * 1e12)

    @property
    def array_mm2(self) -> float | None:
        """Area of an array with its converters, from the first mode that gives it; the same in each mode."""
        for mode in self.modes:
            if self.arrays and mode.peak_tops and mode.peak_tops_per_mm2:
                return mode.peak_tops / self.arrays / mode.peak_tops_per_mm2
        return None

    def missing(self, mode: ReadMode) -> tuple[str, ...]:
        """The keys that the source does not give, among those that prices in this mode need."""
        given = {
            "cost.arrays": self.arrays,
            f"cost.modes.{mode.name}.peak_tops": mode.peak_tops,
            f"cost.modes.{mode.name}.peak_tops_per_watt": mode.peak_tops_per_watt,
            "cost.modes.peak_tops_per_mm2": any(each.peak_tops_per_mm2 for each in self.modes),
        }
        return tuple(key for key, value in given.items() if not value)
