"""What a weight's converters are set to, and a plan with these settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from analog_samson.crossbar.plan import ConversionPlan, Placement, PlanRow
from analog_samson.presets.schema import Converters, Preset


@dataclass(frozen=True)
class InputRange:
    """The input range of a weight's tiles, what it does to the inputs, and how these are rescaled before.

    Attributes:
        value: The largest |input| that is not clipped, after rescaling.
        quantile: The quantile of the absolute inputs that it was chosen as; None where it was not.
        relative_error: Of the output, bias aside, see `range_search.relative_error`; None if all outputs are 0.
        clipped: Share of the inputs that are larger.
        codes_used: Effective share of the DAC's codes, 2^entropy over their number; None where each vector has a range
            of its own, or the DAC is continuous.
        adc_bound: Largest output of the ADC, where the preset leaves it to be chosen.
        exponents: Channel j of the inputs is divided by 2^exponents[j], and its weights multiplied; empty: by nothing.
        folded_into: The norm layer that divides at no cost, with its own factors.
        multiplications: Digital multiplications of a sample for the division; 0 where it is folded.
        exact: Inputs are neither clipped nor rounded, and everything else stays in units of the range.
        criterion: Which output error the ranges of the network were chosen by; empty where there was no choice.
    """

    value: float
    quantile: float | None = None
    relative_error: float | None = None
    clipped: float | None = None
    codes_used: float | None = None
    adc_bound: float | None = None
    exponents: tuple[int, ...] = ()
    folded_into: str = ""
    multiplications: int = 0
    exact: bool = False
    criterion: str = ""

    @classmethod
    def of(cls, setting: "float | InputRange | Mapping[str, Any]") -> "InputRange":
        """From a plain range, or from what a run folder stored."""
        if isinstance(setting, InputRange):
            return setting
        if isinstance(setting, Mapping):
            known = {name: value for name, value in setting.items() if name in cls.__dataclass_fields__}
            return cls(**known | {"exponents": tuple(setting.get("exponents", ()))})
        return cls(float(setting))


def with_input_ranges(plan: ConversionPlan, ranges: Mapping[str, InputRange]) -> ConversionPlan:
    """The plan with ADC ranges and rescaled inputs as chosen; its rows say how inputs are rescaled.

    Args:
        plan: Of the network for which `ranges` were chosen.
        ranges: By path of the weight.
    """
    placements = tuple(_placed(one, ranges.get(one.path), plan.preset) for one in plan.placements)
    return replace(plan, placements=placements, rows=tuple(_explained(row, ranges.get(row.path)) for row in plan.rows))


def has_adjustable_adc(preset: Preset) -> bool:
    """Whether the ADC's range can be chosen for each layer."""
    return isinstance(preset.periphery, Converters) and preset.periphery.adc_range == "adjustable"


def with_adc_bound(preset: Preset, bound: float) -> Preset:
    """The preset with another range of the ADC."""
    return preset.model_copy(update={"periphery": preset.periphery.model_copy(update={"adc_bound": bound})})


def _placed(placement: Placement, chosen: InputRange | None, preset: Preset) -> Placement:
    if chosen is None:
        return placement
    hardware = placement.preset or preset
    if chosen.adc_bound is not None and has_adjustable_adc(hardware):
        placement = replace(placement, preset=with_adc_bound(hardware, chosen.adc_bound))
    return replace(placement, input_exponents=chosen.exponents)


def _explained(row: PlanRow, chosen: InputRange | None) -> PlanRow:
    if chosen is None or not chosen.exponents:
        return row
    how = f"in {chosen.folded_into}" if chosen.folded_into else f"by {chosen.multiplications} multiplications a sample"
    return replace(row, reason="; ".join(filter(None, [row.reason, f"inputs rescaled {how}"])))
