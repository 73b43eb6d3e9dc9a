"""What a hardware preset says, section by section; every number the simulation uses is a field here.

Times are seconds, conductances microsiemens [uS]; a field's name has its unit, its description its meaning.
Sections with a `model` key are tagged unions: the model decides which other keys the section has. Those of the
device are in `device` and `drift`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from analog_samson.errors import PresetError, list_faults
from analog_samson.presets.cost import CostFigures
from analog_samson.presets.describe import preset_html
from analog_samson.presets.device import Device, Programming, Read
from analog_samson.presets.device_faults import NO_FAULTS, Faults, NoFaults
from analog_samson.presets.drift import Drift
from analog_samson.presets.faults import describe_faults
from analog_samson.presets.fields import (
    Bits,
    Doi,
    Limit,
    Line,
    Name,
    NonNegative,
    Positive,
    PositiveOrNotStated,
    Reads,
    SchemaVersion,
    Section,
    SliceBits,
    Text,
    Times,
    Title,
    Year,
    expected,
)


class Source(Section):
    """Where the numbers come from and how far to trust them."""

    citation: Line = Field(description="the publication")
    doi: Doi = Field(description="its DOI; empty where there is none")
    year: Year = Field(description="year of publication")
    kind: Literal["measured", "fitted", "illustrative"] = Field(description="kind of evidence")
    notes: Text = Field(description="what the source does not say, and what was chosen here")


class Tile(Section):
    """The crossbar array, and how weights are scaled onto it and sliced over several.

    The slices of a weight have tiles and converters of their own; their digital outputs are shifted and added.
    """

    max_rows: Limit = Field(description="inputs of one tile; 0 = no limit")
    max_columns: Limit = Field(description="outputs of one tile; 0 = no limit")
    weight_scaling: Literal["per_layer", "per_column"] = Field(
        description="whether a tile or each of its columns has its own largest weight at g_max"
    )
    slice_bits: SliceBits = Field(
        default=(),
        description="bits of a weight's magnitude in each slice, the most significant first; empty = weights are "
        "neither rounded nor sliced",
    )

    @property
    def slices(self) -> int:
        """Crossbars that a weight is spread over.

        >>> Tile(max_rows=0, max_columns=0, weight_scaling="per_layer", slice_bits=[2, 2, 3]).slices
        3
        """
        return len(self.slice_bits) or 1

    @model_serializer(mode="wrap")
    def _as_in_the_file(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the key that can be left out, so that presets without it keep their fingerprint."""
        fields: dict[str, Any] = handler(self)
        if not self.slice_bits:
            fields.pop("slice_bits", None)
        return fields


class PerfectPeriphery(Section):
    """Products are exact: only the stored weights are imperfect."""

    model: Literal["perfect"]


class Converters(Section):
    """Inputs pass a DAC, column currents an ADC. Inputs are in units of the input range, weights of g_max."""

    model: Literal["converters"]
    dac_bits: Bits = Field(description="input resolution, 2^b - 2 steps over the range; 0 = continuous")
    adc_bits: Bits = Field(description="output resolution, 2^b - 2 steps over the range; 0 = continuous")
    input_range_std_multiple: Positive = Field(
        description="with input_range `std`: input range of a tile in standard deviations of its inputs"
    )
    input_noise: NonNegative = Field(description="std of the noise on each input after the DAC")
    output_noise: NonNegative = Field(description="std of the noise on each output before the ADC")
    adc_bound: Positive = Field(description="largest output of the ADC; 1 = a full input on a full weight")
    adc_range: Literal["fixed", "adjustable"] = Field(
        default="fixed",
        description="whether adc_bound holds for every layer, or is the largest that a layer's ADC can be set to",
    )
    read_noise_kind: Literal["none", "constant", "pcm"] = Field(
        description="weight noise of each product: equal for all weights, or growing with g as in PCM"
    )
    read_noise: NonNegative = Field(description="scale of that noise, unit g_max; 0 if its kind is none")
    ir_drop: NonNegative = Field(description="scale of the voltage drop along the wires; 0 = none")
    ir_drop_g_ratio: Positive = Field(description="conductance of a wire segment over that of a full device")
    noise_management: Literal["none", "abs_max", "constant"] = Field(
        description="what each input vector is divided by before the DAC"
    )
    noise_management_threshold: NonNegative = Field(
        description="that divisor for 'constant'; its upper bound for 'abs_max' (0 = none); 0 for 'none'"
    )
    bound_management: Literal["none", "iterative"] = Field(
        description="whether a product that hits the ADC bound is repeated with halved inputs"
    )

    @model_serializer(mode="wrap")
    def _as_in_the_file(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the kind of ADC range where it is fixed, as in files that do not say."""
        fields: dict[str, Any] = handler(self)
        if self.adc_range == "fixed":
            fields.pop("adc_range", None)
        return fields

    @field_validator("read_noise")
    @classmethod
    def _read_noise_fits_kind(cls, value: float, info: ValidationInfo) -> float:
        kind = info.data.get("read_noise_kind")
        if kind is not None and (kind == "none") != (value == 0):
            raise expected(f"{'0' if value else 'a number above 0'} for read_noise_kind {kind!r}")
        return value

    @field_validator("noise_management_threshold")
    @classmethod
    def _threshold_fits_kind(cls, value: float, info: ValidationInfo) -> float:
        kind = info.data.get("noise_management")
        if (kind == "none" and value != 0) or (kind == "constant" and value == 0):
            raise expected(f"{'0' if kind == 'none' else 'a number above 0'} for noise_management {kind!r}")
        return value


class Compensation(Section):
    """How outputs are rescaled for the conductance that drift took away."""

    kind: Literal["none", "global", "per_column"] = Field(
        description="no factor, one factor per tile, or one per column, from a reading of the whole tile"
    )
    reads: Reads = Field(description="readings that are averaged before their size is taken; no effect for 'none'")


class Validity(Section):
    """Outside this range the numbers are an extrapolation, and reports say so."""

    max_seconds: PositiveOrNotStated = Field(
        description="longest time after programming that the source covers, or that it states none"
    )
    max_g_microsiemens: Positive = Field(description="largest conductance that the source covers")
    published_seconds: Times = Field(
        description="the times that the source gives, between which is interpolated; empty if it has a law in time"
    )


Periphery = PerfectPeriphery | Converters
_BY_MODEL = Field(discriminator="model")


class Preset(Section):
    """One analog hardware, whole. Every number is in the file; only title, faults, cost and slices can be left out.

    Attributes:
        title: What headings call the preset, such as "PCM, Nandakumar 2019"; empty: its name.
        cost: Published figures of throughput, energy and area; None where the source gives none.
    """

    schema_version: SchemaVersion = Field(alias="schema")
    name: Name
    title: Title = ""
    summary: Line
    source: Source
    device: Device
    programming: Annotated[Programming, _BY_MODEL]
    drift: Annotated[Drift, _BY_MODEL]
    read: Annotated[Read, _BY_MODEL]
    faults: Annotated[Faults, _BY_MODEL] = NO_FAULTS
    tile: Tile
    periphery: Annotated[Periphery, _BY_MODEL]
    compensation: Compensation
    validity: Validity
    cost: CostFigures | None = None

    @field_validator("faults")
    @classmethod
    def _pairs_to_compensate(cls, value: Faults, info: ValidationInfo) -> Faults:
        device = info.data.get("device")
        if device is not None and device.pairs == 0 and getattr(value, "compensation", "none") == "pair":
            raise expected("compensation 'none' for devices without pairs")
        return value

    @model_serializer(mode="wrap")
    def _as_in_the_file(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """`model_dump` gives the file's own keys, so `parse_preset` reads what a run folder stored."""
        fields = handler(self)
        fields.pop("schema", None)
        absent = {"title": not self.title, "faults": isinstance(self.faults, NoFaults), "cost": self.cost is None}
        for name in (name for name, is_absent in absent.items() if is_absent):
            fields.pop(name, None)
        return {"schema": fields.pop("schema_version", self.schema_version), **fields}

    def __repr__(self) -> str:
        """Which preset it is, in a line; `describe` gives its values."""
        return f"<Preset {self.name}: {self.title or self.summary} ({self.fingerprint[:12]})>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Every value with its unit and meaning, for a notebook."""
        return preset_html(self)

    @property
    def fingerprint(self) -> str:
        """sha256 of the preset as canonical JSON: equal exactly when every value that decides a result is equal.

        Title and cost decide none.
        """
        values = self.model_dump(mode="json", exclude={"title", "cost"})
        text = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def parse_preset(mapping: Mapping[str, Any], where: str, *, file_stem: str | None = None) -> Preset:
    """The preset in a parsed TOML file or run folder; raises PresetError with all faults at once.

    where: what the message calls the mapping. file_stem: if given, the name the preset must have.
    """
    faults = []
    if file_stem is not None and isinstance(mapping.get("name"), str) and mapping["name"] != file_stem:
        faults.append(f"name: expected {file_stem!r}, the file's own name, got {mapping['name']!r}")
    try:
        preset = Preset.model_validate(dict(mapping))
    except ValidationError as error:
        raise PresetError(list_faults(where, faults + describe_faults(error, Preset))) from None
    if faults:
        raise PresetError(list_faults(where, faults))
    return preset
