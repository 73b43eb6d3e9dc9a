"""Which evaluations an error budget takes, as data: variants of a run, each with one thing changed."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from analog_samson.analysis.error_budget import AS_IS, LAYER, ONLY, REMEDY, WITHOUT
from analog_samson.chip.calibration import CALIBRATIONS
from analog_samson.crossbar.plan import ANALOG, ConversionPlan, PlanRow
from analog_samson.presets.ablation import CLIPPING, clips, effects, only, without
from analog_samson.presets.device_faults import StuckDevices
from analog_samson.presets.schema import Preset
from analog_samson.results.condition import UNCALIBRATED

KEPT_DIGITAL = (1, 2, 4)  # how many of the most sensitive layers
SPARES = 8  # rows and columns of each tile, where the preset has none


def _unchanged(preset: Preset) -> Preset:
    return preset


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A network on a preset, and what makes it differ from the run.

    label: its name among the records. kind and subject: what it answers, as in `analysis.error_budget`. facts: what a
    report needs besides the accuracies. change: what made `preset` of the run's, for the presets of single layers.
    exact_inputs: inputs of converters are neither clipped nor rounded. input_scaling: in the place of the run's; empty:
    as there.
    """

    label: str
    kind: str
    subject: str
    preset: Preset
    keep_digital: tuple[str, ...]
    calibration: str = UNCALIBRATED
    exact_inputs: bool = False
    input_scaling: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[Preset], Preset] = _unchanged

    def row(self) -> dict[str, Any]:
        """The variant as a run folder stores it."""
        own = {"label": self.label, "kind": self.kind, "subject": self.subject, "calibration": self.calibration}
        return {**own, **self.facts}


def run_variants(
    presets: Sequence[Preset], plan: ConversionPlan, keep_digital: Sequence[str], calibrations: Sequence[str]
) -> list[Variant]:
    """All variants of a run but those that depend on its results.

    presets: that of the run, then those of single layers. calibrations: names of methods that can be used.
    """
    preset, *layer_presets = presets
    return [
        *effect_variants(preset, keep_digital, layer_presets),
        *layer_variants(preset, plan, keep_digital),
        *remedy_variants(preset, plan, keep_digital, calibrations),
    ]


def effect_variants(
    preset: Preset, keep_digital: Sequence[str], layer_presets: Collection[Preset] = ()
) -> list[Variant]:
    """Every effect of the presets taken away, and every effect alone.

    Where inputs are clipped, they are in all of these; clipping has a variant of its own, which what is lost alone is
    measured from.
    """
    ways: list[tuple[str, str, Callable[..., Preset]]] = [
        (kind, effect, change)
        for effect in dict.fromkeys(name for one in (preset, *layer_presets) for name in effects(one))
        for kind, change in ((WITHOUT, without), (ONLY, only))
    ]
    clipped = any(map(clips, (preset, *layer_presets)))
    return [
        Variant(
            label=f"{kind} {effect}",
            kind=kind,
            subject=effect,
            preset=change(preset, effect),
            keep_digital=tuple(keep_digital),
            facts={"against": CLIPPING} if clipped and kind == ONLY and effect != CLIPPING else {},
            change=partial(change, effect=effect),
        )
        for kind, effect, change in ([(ONLY, CLIPPING, only)] if clipped else []) + ways
    ]


def layer_variants(preset: Preset, plan: ConversionPlan, keep_digital: Sequence[str]) -> list[Variant]:
    """Each analog layer alone on the device, all others digital; none where there is only one."""
    layers = analog_layers(plan)
    total_devices = sum(row.devices for row in layers)
    if len(layers) < 2:
        return []
    return [
        Variant(
            label=alone_label(row),
            kind=LAYER,
            subject=row.path,
            preset=preset,
            keep_digital=(*keep_digital, *all_names(plan, [other.path for other in layers if other is not row])),
            facts={
                "layer_type": row.layer_type,
                "macs_percent": _percent(_macs(plan, [row.path]), plan.macs),
                "devices_percent": _percent(row.devices, total_devices),
            },
        )
        for row in layers
    ]


def remedy_variants(
    preset: Preset, plan: ConversionPlan, keep_digital: Sequence[str], calibrations: Sequence[str]
) -> list[Variant]:
    """Compensations, scaled columns, twice the devices, rescaled inputs, what helps against faults, calibrations.

    The run's own setting is among them.
    """
    facts = {"digital_macs_percent": digital_macs_percent(plan, ())}

    def remedy(
        label: str, subject: str, change: Callable[[Preset], Preset] = _unchanged, calibration: str = UNCALIBRATED
    ) -> Variant:
        return Variant(
            label=label,
            kind=REMEDY,
            subject=subject,
            preset=change(preset),
            keep_digital=tuple(keep_digital),
            calibration=calibration,
            facts=facts,
            change=change,
        )

    found = []
    for kind in ("none", "global", "per_column"):
        subject = f"compensation {kind.replace('_', ' ')}"
        if kind == preset.compensation.kind:
            found.append(remedy(AS_IS, f"{subject} (as it is)"))
        else:
            found.append(remedy(f"compensation {kind}", subject, partial(with_compensation, kind=kind)))
    if preset.tile.weight_scaling == "per_layer":
        found.append(remedy("scaled columns", "every column scaled to g_max", with_scaled_columns))
    if preset.device.pairs == 1:
        found.append(remedy("two pairs", "two device pairs a weight", _with_two_pairs))
    for label, changed in _fault_tolerance(preset).items():
        found.append(remedy(label, label, partial(with_fault_tolerance, **changed)))
    return [*found, *(remedy(AS_IS, CALIBRATIONS[name].title, calibration=name) for name in calibrations)]


def digital_variants(
    preset: Preset, plan: ConversionPlan, keep_digital: Sequence[str], ranking: Sequence[str]
) -> list[Variant]:
    """The 1, 2, 4 layers that lose most kept digital; `ranking` are layer paths, the most sensitive first."""
    return [
        Variant(
            label=f"{count} most sensitive digital",
            kind=REMEDY,
            subject="most sensitive layer digital" if count == 1 else f"{count} most sensitive layers digital",
            preset=preset,
            keep_digital=(*keep_digital, *all_names(plan, ranking[:count])),
            facts={
                "digital_macs_percent": digital_macs_percent(plan, ranking[:count]),
                "layers": list(ranking[:count]),
            },
        )
        for count in KEPT_DIGITAL
        if count < len(ranking)
    ]


def with_compensation(preset: Preset, kind: str) -> Preset:
    """The preset with another kind of compensation."""
    return preset.model_copy(update={"compensation": preset.compensation.model_copy(update={"kind": kind})})


def with_scaled_columns(preset: Preset) -> Preset:
    """The preset with the largest weight of each column at g_max, in place of the largest of a layer's tile."""
    return preset.model_copy(update={"tile": preset.tile.model_copy(update={"weight_scaling": "per_column"})})


def with_pairs(preset: Preset, pairs: int) -> Preset:
    """The preset with every weight shared by so many equal pairs, two or more."""
    sharing = {"pairs": pairs, "sharing": "averaged", "significance": (1.0,) * pairs}
    return preset.model_copy(update={"device": preset.device.model_copy(update=sharing)})


def with_fault_tolerance(preset: Preset, **changed: Any) -> Preset:
    """The preset with other settings of its section `faults`, where it has one."""
    if not isinstance(preset.faults, StuckDevices):
        return preset
    return preset.model_copy(update={"faults": preset.faults.model_copy(update=changed)})


def _fault_tolerance(preset: Preset) -> dict[str, dict[str, Any]]:
    """What to change about known faults, by its name: each mitigation that the preset lacks, or lacks no more."""
    faults = preset.faults
    if not isinstance(faults, StuckDevices) or faults.occurrence == "after_verify":
        return {}
    found: dict[str, dict[str, Any]] = {}
    if faults.compensation == "pair":
        found["failed devices not compensated"] = {"compensation": "none"}
    elif preset.device.pairs:
        found["failed devices compensated by their pair"] = {"compensation": "pair"}
    spares = 0 if faults.spare_rows or faults.spare_columns else SPARES
    name = f"{spares or 'no'} spare rows and columns of each tile"
    return found | {name: {"spare_rows": spares, "spare_columns": spares}}


def _with_two_pairs(preset: Preset) -> Preset:
    return with_pairs(preset, 2) if preset.device.pairs == 1 else preset


def analog_layers(plan: ConversionPlan) -> list[PlanRow]:
    """The layers on the device, each once."""
    return [row for row in plan.with_action(ANALOG) if not row.shared_with]


def alone_label(row: PlanRow) -> str:
    """The label of the variant with this layer alone on the device."""
    return f"only layer {row.path}"


def all_names(plan: ConversionPlan, paths: Iterable[str]) -> list[str]:
    """All names of these layers: a layer with tied weights stays digital under each of them."""
    wanted = set(paths)
    return [row.path for row in plan.rows if (row.shared_with or row.path) in wanted]


def _macs(plan: ConversionPlan, paths: Iterable[str]) -> int:
    wanted = set(paths)
    return sum(row.macs for row in plan.rows if (row.shared_with or row.path) in wanted)


def digital_macs_percent(plan: ConversionPlan, kept: Iterable[str]) -> float:
    """Share [%] of multiply-accumulates that are digital with these layers kept digital as well."""
    analog = _macs(plan, [row.path for row in analog_layers(plan)]) - _macs(plan, kept)
    return _percent(plan.macs - analog, plan.macs)


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0
