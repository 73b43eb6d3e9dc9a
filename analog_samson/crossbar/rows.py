"""The rows of a plan: one for each weight, and one for what else a module holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from analog_samson.crossbar.choice import fits
from analog_samson.crossbar.coverage import KEPT_DIGITAL
from analog_samson.crossbar.decide import ANALOG, BLOCKED, DIGITAL, Decision
from analog_samson.crossbar.foreign import packed_weights
from analog_samson.crossbar.matrices import digital_nature
from analog_samson.crossbar.observe import SlotUses
from analog_samson.crossbar.occupation import occupy
from analog_samson.crossbar.slots import ROOT, Slot, bias_of, modules_of, parameters_of
from analog_samson.crossbar.survey import Survey
from analog_samson.presets.schema import Preset


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One weight: what becomes of it and why; the sizes are those of its crossbar, 0 for a digital one.

    Attributes:
        path: The module's path where the parameter is called `weight`, else the parameter's.
        layer_type: Type of the module.
        action: "analog", "digital" or "blocked".
        reason: Why; empty where nothing is to be said.
        parameters: Of the weight and of what else belongs to it; one that several rows share counts in one of them.
        matrix_weights: Weights that multiply activations, on tiles or not.
        weights: Weights on tiles.
        rows: Rows of all groups.
        columns: Columns of all groups.
        groups: Independent blocks.
        slices: Crossbars that the bits of each weight are spread over.
        tiles: Tiles, each with a converter for each of its rows and columns.
        cells: Crossing points of all these tiles.
        devices: Devices that hold the weights.
        macs: Multiply-accumulates for one sample; 0 without an example.
        shared_with: Path of the row that holds the same weight; empty for that row itself.
        parameter: Name of the parameter; empty for a module without a weight matrix.
        use: The functions that multiply by it, as seen in the example.
        largest_over_std: Largest weight over the standard deviation, of a weight on tiles.
        weight_scaling: Of its tiles, "per_layer" or "per_column".
        preset: Of its tiles, where it is another than the plan's.
        first: Products use it before all others, so that `keep_digital` knows it as "first".
    """

    path: str
    layer_type: str
    action: str
    reason: str
    parameters: int
    matrix_weights: int = 0
    weights: int = 0
    rows: int = 0
    columns: int = 0
    groups: int = 0
    slices: int = 0
    tiles: int = 0
    cells: int = 0
    devices: int = 0
    macs: int = 0
    shared_with: str = ""
    parameter: str = ""
    use: str = ""
    largest_over_std: float = 0.0
    weight_scaling: str = ""
    preset: str = ""
    first: bool = False

    def with_macs(self, macs: int) -> "PlanRow":
        return replace(self, macs=macs)


BETWEEN = PlanRow(
    path="(between weights)",
    layer_type="-",
    action=DIGITAL,
    reason="products of activations with each other, such as attention scores",
    parameters=0,
)


def make_rows(model: nn.Module, preset: Preset, found: Survey) -> list[PlanRow]:
    """The rows of a network, in the order of its modules."""
    primary, macs = _primary(found.decisions), _macs(found)
    first = {(slot.module, slot.name): slot for slot in found.decisions}
    by_module: dict[str, list[Slot]] = {}
    for slot in found.slots:
        by_module.setdefault(slot.module_path, []).append(slot)
    counted: set[int] = set()
    rows: list[PlanRow] = []
    first_path: dict[int, str] = {}
    for path, module in modules_of(model):
        slots, own = by_module.get(path, []), parameters_of(module)
        again = first_path.setdefault(id(module), path) != path
        rest = _rest(own, slots)
        for place, slot in enumerate(slots):
            known = first[slot.module, slot.name]
            parts = [own.get(slot.name), bias_of(slot), *(rest if place == 0 else ())]
            holder = primary[known.key]
            row = _weight_row(slot, found, known, preset)
            rows.append(
                replace(
                    row,
                    parameters=_count(parts, counted),
                    shared_with=holder.path if again or holder is not known else "",
                    macs=macs.pop((known.key, row.action), 0),
                )
            )
        packed = packed_weights(module) if not own else None
        if not slots and (own or packed):
            row = _module_row(path, module, packed, kept=any(fits([path], pattern) for pattern in found.kept))
            again_of = first_path[id(module)] if again else ""
            rows.append(replace(row, parameters=_count(list(own.values()), counted), shared_with=again_of))
    return rows


def _primary(decisions: Mapping[Slot, Decision]) -> dict[int, Slot]:
    """The slot that stands for a parameter: the first on tiles, else the first."""
    found: dict[int, Slot] = {}
    for slot, decision in decisions.items():
        before = found.get(slot.key)
        if before is None or (decision.action == ANALOG != decisions[before].action):
            found[slot.key] = slot
    return found


def _weight_row(slot: Slot, found: Survey, known: Slot, preset: Preset) -> PlanRow:
    decision, seen, own = found.decisions[known], found.uses.get(known), found.presets.get(known)
    preset = own or preset
    layout, analog = decision.layout, decision.action == ANALOG
    value = slot.value
    sizes: dict[str, Any] = occupy(layout, preset) if analog and layout is not None else {}
    return PlanRow(
        path=slot.path,
        layer_type=type(slot.module).__name__,
        action=decision.action,
        reason=decision.reason,
        parameters=0,
        matrix_weights=_matrix_weights(decision, value),
        parameter=slot.name,
        use=_use(seen),
        largest_over_std=_ratio(value) if analog else 0.0,
        weight_scaling=preset.tile.weight_scaling if analog else "",
        preset=own.name if own and analog else "",
        first=known is found.first,
        **sizes,
    )


def _matrix_weights(decision: Decision, value: object) -> int:
    """A weight whose layout is known, or whose use is unknown; not one that is digital by nature."""
    if not isinstance(value, Tensor) or decision.reason.endswith("digital by nature"):
        return 0
    return value.numel() if decision.layout is None else decision.layout.weights


def _ratio(value: Tensor) -> float:
    values = value.detach()
    deviation = float(values.float().std(correction=0))
    return float(f"{float(values.abs().amax()) / deviation:.4g}") if deviation > 0 else 0.0


def _use(seen: SlotUses | None) -> str:
    if seen is None:
        return ""
    return ", ".join(sorted({name.removeprefix("torch.") for name, _ in seen.products}))


def _rest(own: Mapping[str, Tensor], slots: Sequence[Slot]) -> list[Tensor]:
    """Parameters of a module that belong to none of its weights in particular."""
    ids = {id(bias_of(slot)) for slot in slots}
    names = {slot.name for slot in slots}
    return [parameter for name, parameter in own.items() if name not in names and id(parameter) not in ids]


def _count(parts: Sequence[Tensor | None], counted: set[int]) -> int:
    total = 0
    for part in parts:
        if part is not None and id(part) not in counted:
            counted.add(id(part))
            total += part.numel()
    return total


def _macs(found: Survey) -> dict[tuple[int, str], int]:
    """Multiply-accumulates of one sample, by parameter and action: shared weights can be on tiles and digital."""
    samples = 1 if found.observation is None else found.observation.samples
    total: dict[tuple[int, str], int] = {}
    for slot, seen in found.uses.items():
        key = slot.key, found.decisions[slot].action
        total[key] = total.get(key, 0) + seen.macs
    return {key: macs // samples for key, macs in total.items()}


def _module_row(path: str, module: nn.Module, packed: str | None, *, kept: bool) -> PlanRow:
    """The row of a module without a weight matrix. packed: why its weights cannot be read, if it holds any."""
    if packed:
        action, reason = (DIGITAL, KEPT_DIGITAL) if kept else (BLOCKED, f"{packed}; or give keep_digital {path!r}")
    else:
        action, reason = DIGITAL, f"{digital_nature(module)}: digital by nature"
    name = type(module).__name__
    return PlanRow(path=path or ROOT, layer_type=name, action=action, reason=reason, parameters=0)
