"""What a run folder holds beside its records, by key: the parts that reports and resumed runs read.

Only what is read has a kind here. Further keys are let through, and every part may be absent: runs of other versions
have more or less.
"""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from analog_samson.presets.faults import kind_faults

_COUNT = Field(ge=1, le=2**62)
_FINITE = Field(allow_inf_nan=False)
Count = Annotated[int, _COUNT]
Zero = Annotated[int, Field(ge=0, le=2**62)]
Number = Annotated[float, _FINITE]
Seconds = Annotated[float, _FINITE, Field(ge=0)]
Plain = str | int | float | bool | None


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class _Checkpoint(_Part):
    path: str | None = None
    sha256: str | None = None
    metadata: dict[str, Any] | None = None
    model: str | None = None
    normalization: str | None = None


class _Images(_Part):
    name: str | None = None
    fingerprint: str | None = None
    count: Count | None = None
    num_classes: Count | None = None


class _Source(_Part):
    citation: str | None = None
    doi: str | None = None
    year: int | None = None
    kind: str | None = None
    notes: str | None = None


class _Device(_Part):
    g_max_microsiemens: Number | None = None


class _Validity(_Part):
    max_seconds: Seconds | Literal["not stated"] | None = None
    max_g_microsiemens: Number | None = None
    published_seconds: list[Seconds] | None = None


class _Preset(_Part):
    name: str
    summary: str = ""
    source: _Source | None = None
    device: _Device | None = None
    periphery: dict[str, Any] | None = None
    validity: _Validity | None = None


class _Hardware(_Part):
    tiles: Zero | None = None
    devices: Zero | None = None
    macs: Zero | None = None
    parameters: Zero | None = None
    utilisation_percent: Number | None = None
    analog_macs_percent: Number | None = None
    analog_parameters_percent: Number | None = None


class _PlanRow(_Part):
    path: str
    layer_type: str
    action: str
    reason: str
    parameters: Zero
    rows: Zero = 0
    columns: Zero = 0
    groups: Zero = 0
    weights: Zero = 0
    tiles: Zero = 0
    devices: Zero = 0
    macs: Zero = 0


class _InputRange(_Part):
    path: str
    value: Annotated[float, _FINITE, Field(gt=0)]
    criterion: str = ""
    quantile: Number | None = None
    relative_error: Number | None = None
    clipped: Number | None = None
    codes_used: Number | None = None
    adc_bound: Number | None = None
    exponents: list[int] = Field(default_factory=list)
    folded_into: str = ""
    multiplications: Zero = 0


class _Drawn(_Part):
    count: Count
    size: Count
    each: Annotated[list[Count], Field(min_length=1)]
    strata: list[Zero]

    @model_validator(mode="after")
    def _strata_fit(self) -> "_Drawn":
        found = Counter(self.strata)
        if len(self.strata) != self.count or set(found) != set(range(len(self.each))):
            raise ValueError(f"strata: expected one of {len(self.each)} for each of {self.count} samples")
        if sum(self.each) != self.size or any(self.each[one] > found[one] for one in found):
            raise ValueError("each: expected at most the samples of each stratum, size in all")
        return self


class _Facts(_Part):
    time_seconds: Seconds
    instances: Count
    images: Count
    evaluations: Zero | None = None
    skipped: list[str] = Field(default_factory=list)


class _Metric(_Part):
    name: str
    title: str
    unit: str = ""
    difference_unit: str = ""
    higher_is_better: bool = True
    lower: Number | None = None
    upper: Number | None = None
    decimals: Annotated[int, Field(ge=0, le=12)] = 2
    counted: bool = False


class _Task(_Part):
    name: str
    metrics: Annotated[list[_Metric], Field(min_length=1)]


class _Variant(_Part):
    label: str
    kind: str
    subject: str
    calibration: str | None = None
    adabs: bool | None = None  # of runs of 0.1
    against: str = ""
    layer_type: str | None = None
    macs_percent: Number | None = None
    devices_percent: Number | None = None
    digital_macs_percent: Number | None = None
    layers: list[str] = Field(default_factory=list)


class _Outcome(_Part):
    edges: Annotated[list[Number], Field(min_length=2)]
    margins: Annotated[list[Zero], Field(min_length=2)]
    changed: Zero
    classes: Count
    confusion: list[Annotated[list[Zero], Field(min_length=3, max_length=3)]]

    @model_validator(mode="after")
    def _counts_fit(self) -> "_Outcome":
        if len(self.margins) != len(self.edges) or sum(self.margins) < 1:
            raise ValueError("margins: expected one count for each edge, and one image or more")
        if any(max(true, predicted) >= self.classes for true, predicted, _ in self.confusion):
            raise ValueError(f"confusion: expected classes below {self.classes}")
        return self


_KINDS: dict[str, Any] = {
    "command": str,
    "environment": dict[str, Plain],
    "preset": _Preset,
    "preset_sha256": str,
    "checkpoint": _Checkpoint,
    "data": _Images,
    "calibration": _Images,
    "hardware": _Hardware,
    "plan": list[_PlanRow],
    "input_ranges": list[_InputRange],
    "seed": int,
    "images": _Drawn,
    "task": _Task,
    "outputs": list[float],
    "channels_last": bool,
    "error_budget": _Facts,
    "explain": _Facts,  # the same in runs of 0.1
    "variants": list[_Variant],
    "outcomes": _Outcome,
}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {key: TypeAdapter(kind | None) for key, kind in _KINDS.items()}


def meta_faults(key: str, value: Any) -> list[str]:
    """What is wrong with the value stored under `key`, a line each; empty for a key that has no kind.

    >>> meta_faults("seed", 3), meta_faults("seed", "x")
    ([], ["seed: expected a valid integer, got 'x'"])
    """
    adapter = _ADAPTERS.get(key.partition("/")[0])  # outcomes/digital, outcomes/0, ...
    if adapter is None:
        return []
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        return kind_faults(error, key)
    return []
