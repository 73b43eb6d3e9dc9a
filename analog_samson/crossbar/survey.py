"""Every weight of a network with its uses in an example and the decision on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from analog_samson.crossbar.choice import expand, fits
from analog_samson.crossbar.decide import Decision, decide
from analog_samson.crossbar.foreign import obstacle, unwrapped
from analog_samson.crossbar.materialize import with_plain_weights
from analog_samson.crossbar.matrices import TABLES
from analog_samson.crossbar.observe import Example, Observation, SlotUses, observe
from analog_samson.crossbar.registry import crossbar_names
from analog_samson.crossbar.slots import Slot, modules_of, slots_of
from analog_samson.errors import PlanError, list_faults
from analog_samson.presets.schema import PerfectPeriphery, Preset
from analog_samson.runtime.state_check import check_initialised


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What is known of the weights of a network.

    Attributes:
        slots: All of them, those of a module under two paths twice.
        decisions: Of each slot under its module's first path.
        uses: Of the same slots; empty without an example.
        observation: Of the example forward; None without one.
        kept: Patterns of what the user keeps digital, shortcuts written out.
        presets: The hardware of slots that have one of their own.
        first: The slot that products use before all others; None if there is none.
    """

    slots: Sequence[Slot]
    decisions: Mapping[Slot, Decision]
    uses: Mapping[Slot, SlotUses]
    observation: Observation | None
    kept: tuple[str, ...] = ()
    presets: Mapping[Slot, Preset] = field(default_factory=dict)
    first: Slot | None = None


def needs_example(model: nn.Module) -> bool:
    """Whether the model has weights whose use only a forward pass shows: without a rule, or tables.

    >>> needs_example(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))), needs_example(nn.Embedding(2, 2))
    (False, True)
    """
    slots = (slot for path, module in modules_of(unwrapped(model)) for slot in slots_of(path, module))
    return any(slot.name not in crossbar_names(slot.module) for slot in slots)


def survey(
    model: nn.Module,
    *,
    preset: Preset | None,
    layer_presets: Mapping[str, Preset] = {},
    keep: Sequence[str] = (),
    put: Sequence[str] = (),
    example: Example | None = None,
) -> Survey:
    """Find the weights of `model`, see how an example uses them, and decide on each; see `plan_conversion`.

    preset: the hardware; None where no product has converters. layer_presets: that of single weights, by pattern.
    """
    check_initialised(model)
    slots = [slot for path, module in modules_of(model) for slot in slots_of(path, module)]
    names: dict[tuple[nn.Module, str], list[str]] = {}
    first: dict[tuple[nn.Module, str], Slot] = {}
    for slot in slots:
        names.setdefault((slot.module, slot.name), []).extend(slot.names)
        first.setdefault((slot.module, slot.name), slot)
    own = list(first.values())
    observation, uses = (None, {}) if example is None else _observed(model, own, example)
    order = _order(own, uses)
    kept = expand(model, keep, slots, order, "keep_digital")
    chosen = expand(model, put, slots, order, "on_chip")
    _check_conflicts([names[slot.module, slot.name] for slot in own], kept, chosen)
    presets = _presets(model, layer_presets, slots, order, own, names)
    decisions = {
        slot: decide(
            slot,
            uses.get(slot),
            keep=any(fits(names[slot.module, slot.name], pattern) for pattern in kept),
            put=any(fits(names[slot.module, slot.name], pattern) for pattern in chosen),
            exact=_is_exact(presets.get(slot, preset)),
        )
        for slot in own
    }
    return Survey(
        slots=slots,
        decisions=decisions,
        uses=uses,
        observation=observation,
        kept=kept,
        presets=presets,
        first=min(order, key=order.__getitem__, default=None),
    )


def _presets(
    model: nn.Module,
    chosen: Mapping[str, Preset],
    slots: Sequence[Slot],
    order: Mapping[Slot, int],
    own: Sequence[Slot],
    names: Mapping[tuple[nn.Module, str], Sequence[str]],
) -> dict[Slot, Preset]:
    """The preset of each slot that a pattern fits; the last of several patterns decides."""
    found: dict[Slot, Preset] = {}
    for pattern, preset in chosen.items():
        for path in expand(model, [pattern], slots, order, "layer_presets"):
            found |= {slot: preset for slot in own if fits(names[slot.module, slot.name], path)}
    return found


def _is_exact(preset: Preset | None) -> bool:
    return preset is None or isinstance(preset.periphery, PerfectPeriphery)


def _observed(model: nn.Module, slots: Sequence[Slot], example: Example) -> tuple[Observation, dict[Slot, SlotUses]]:
    """Uses by slot of `model`, seen on a copy where weights are computed anew in every forward."""
    plain = with_plain_weights(model, list({slot.module for slot in slots if crossbar_names(slot.module)}))
    there: dict[Slot, Slot] = {}
    for slot in slots:
        if isinstance(slot.module, torch.jit.ScriptModule) or obstacle(slot) is not None:
            continue
        module = plain.get_submodule(slot.module_path)
        if slot.name in module._parameters:
            there[slot] = Slot(slot.module_path, slot.name, module)
    observation = observe(plain, list(there.values()), example)
    return observation, {slot: observation.uses[other] for slot, other in there.items()}


def _order(slots: Sequence[Slot], uses: Mapping[Slot, SlotUses]) -> dict[Slot, int]:
    """The place of the first product of each slot: as seen, or without an example the order of the modules."""
    if uses:
        return {slot: seen.order for slot, seen in uses.items() if seen.order is not None}
    return {
        slot: place
        for place, slot in enumerate(slots)
        if slot.name in crossbar_names(slot.module) and not isinstance(slot.module, TABLES)
    }


def _check_conflicts(names: Sequence[Sequence[str]], kept: Sequence[str], chosen: Sequence[str]) -> None:
    faults = [
        f"{own[0]}: keep_digital {keep!r} and on_chip {put!r} both name it; leave out one of them"
        for own in names
        for keep in kept
        for put in chosen
        if fits(own, keep) and fits(own, put)
    ]
    if faults:
        raise PlanError(list_faults("keep_digital and on_chip", faults))
