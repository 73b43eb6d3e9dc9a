"""What becomes of one weight, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from analog_samson.crossbar.coverage import KEPT_DIGITAL
from analog_samson.crossbar.foreign import obstacle
from analog_samson.crossbar.layout import Layout, form_of, inputs_first, outputs_first
from analog_samson.crossbar.materialize import computed_by
from analog_samson.crossbar.matrices import TABLES, named_as_added
from analog_samson.crossbar.observe import SlotUses
from analog_samson.crossbar.registry import crossbar_names, rule_of
from analog_samson.crossbar.slots import Slot
from analog_samson.crossbar.use import product_names

ANALOG, DIGITAL, BLOCKED = "analog", "digital", "blocked"
_EMPTY = "has no weights: no inputs or no outputs"
_NAMED = "its name says that it is added or looked up, and no example shows more: digital by nature"
_LOOK_UPS = ("torch.embedding", "torch.embedding_bag")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What becomes of a weight.

    Attributes:
        action: ANALOG, DIGITAL or BLOCKED.
        reason: Why, as a phrase; empty where nothing is to be said.
        layout: How it lies on crossbars, also of one that stays digital; None where its use is unknown.
        table: Its look-ups stay digital while its products are on tiles.
    """

    action: str
    reason: str = ""
    layout: Layout | None = None
    table: bool = False


def decide(slot: Slot, seen: SlotUses | None, *, keep: bool, put: bool, exact: bool) -> Decision:
    """The decision on a slot.

    Args:
        slot: The weight.
        seen: Its uses in an example forward; None without an example.
        keep: The user keeps it digital.
        put: The user puts it on the chip.
        exact: Products of the preset are exact, so that every use of the weight can be computed.
    """
    if keep:
        return Decision(
            action=DIGITAL, reason=KEPT_DIGITAL, layout=_layout(slot, seen) if obstacle(slot) is None else None
        )
    if (problem := obstacle(slot)) is not None:
        return Decision(action=BLOCKED, reason=f"{problem}; or give keep_digital {slot.path!r}")
    if isinstance(slot.module, torch.jit.ScriptModule):
        return Decision(action=DIGITAL, reason="scripted, which hides its operations: give the Python module")
    layout = _layout(slot, seen)
    if slot.value.numel() == 0:
        return Decision(action=DIGITAL, reason=_EMPTY)
    if isinstance(slot.module, TABLES):
        return _table(seen, layout, put=put)
    if (kind := _adapter(slot)) and not put:
        return Decision(action=DIGITAL, reason=f"{kind}: digital unless on_chip names it", layout=layout)
    if layout is None:
        return _unknown(slot, seen, put=put)
    return _on_tiles(slot, seen, layout, exact=exact)


def whole_layout(shape: torch.Size, parts: Sequence[Layout]) -> Layout | None:
    """The layout of a whole weight in which each of these parts is a range of columns; None if there is none."""
    if not parts:
        return None
    form = form_of(shape)
    candidates = [*parts, Layout.of(*outputs_first(form)), Layout.of(*inputs_first(form)), parts[0].stacked(form)]
    full = [layout for layout in candidates if layout.weights == form.numel() and layout.offset == 0]
    return next((layout for layout in full if all(part.columns_in(layout) for part in parts)), None)


def _layout(slot: Slot, seen: SlotUses | None) -> Layout | None:
    rule = rule_of(slot.module)
    if rule is not None and slot.name in crossbar_names(slot.module):
        return rule.layout(slot.module, slot.name) if slot.value.numel() else None
    parts = [] if seen is None else [layout for _, layout in seen.products]
    layout = whole_layout(slot.value.shape, parts)
    if layout is None and isinstance(slot.module, TABLES):
        return Layout.of(*inputs_first(form_of(slot.value.shape)))
    return layout


def _table(seen: SlotUses | None, layout: Layout | None, *, put: bool) -> Decision:
    if put:
        return Decision(action=ANALOG, reason="look-ups read the tiles", layout=layout)
    if seen is not None and seen.products:
        return Decision(action=ANALOG, reason="its products; look-ups are digital", layout=layout, table=True)
    return Decision(action=DIGITAL, reason="a lookup table: digital by nature")


def _adapter(slot: Slot) -> str:
    """Low-rank updates of a frozen weight, as PEFT, loralib and torchtune name them."""
    parts = [*slot.module_path.split("."), slot.name]
    return "an adapter" if any(part.lower().startswith("lora_") for part in parts) else ""


def _unknown(slot: Slot, seen: SlotUses | None, *, put: bool) -> Decision:
    if seen is not None and seen.others and not seen.products:
        used = ", ".join(name.removeprefix("torch.") for name in seen.others)
        if unread := [name for name in seen.others if name in product_names()]:
            reason = f"used in {used}; {', '.join(unread)} has no crossbar form for these arguments"
            return Decision(action=BLOCKED if put else DIGITAL, reason=reason)
        return Decision(action=DIGITAL, reason=f"used in {used}, in no product: digital by nature")
    if (seen is None or not (seen.products or seen.others)) and named_as_added(slot.name) and not put:
        return Decision(action=DIGITAL, reason=_NAMED)
    if seen is not None and seen.products:
        reason = "its products read it in several ways, which no single layout on a crossbar serves"
    elif seen is not None:
        reason = "the example does not use it"
    else:
        reason = "no rule for this type: give an example of the inputs to see how its matrix is used"
    action = BLOCKED if put else DIGITAL
    return Decision(action=action, reason=reason)


def _on_tiles(slot: Slot, seen: SlotUses | None, layout: Layout, *, exact: bool) -> Decision:
    computed = computed_by(slot.module, slot.name)
    reason = f"holds the weight that {computed} gives" if computed else ""
    if seen is None:
        return Decision(action=ANALOG, reason=reason, layout=layout)
    others = [name.removeprefix("torch.") for name in seen.others if name not in _LOOK_UPS]
    others += ["products with its transpose"] if any(p.columns_in(layout) is None for _, p in seen.products) else []
    if others and not exact:
        used = f"its weight is used in {', '.join(others)}, which has no crossbar form with converters"
        reason = f"{used}; give keep_digital {slot.path!r}"
        return Decision(action=BLOCKED, reason=reason, layout=layout)
    notes = [reason] if reason else []
    notes += [f"also used in {', '.join(others)}"] if others else []
    notes += ["the example does not use it"] if not seen.products and not seen.others else []
    return Decision(action=ANALOG, reason="; ".join(notes), layout=layout)
