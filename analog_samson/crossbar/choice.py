"""Which weights the user keeps digital or puts on the chip: paths, patterns and shortcuts."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from analog_samson.crossbar.matrices import TABLES
from analog_samson.crossbar.slots import Slot, modules_of
from analog_samson.errors import PlanError, did_you_mean, list_faults

SHORTCUTS = ("first", "last", "embeddings", "head")


def fits(names: Sequence[str], pattern: str) -> bool:
    """Whether a pattern fits one of these paths, or a module that holds it.

    >>> fits(["layer1.0.conv2"], "layer1.*"), fits(["layer1.0.conv2"], "layer1"), fits(["layer1.0.conv2"], "conv2")
    (True, True, False)
    """
    return any(fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*") for name in names)


def expand(
    model: nn.Module, patterns: Sequence[str], slots: Sequence[Slot], order: Mapping[Slot, int], option: str
) -> tuple[str, ...]:
    """Patterns with the shortcuts written out as paths. A path or pattern that the network has is no shortcut.

    Args:
        model: The network.
        patterns: As the user gave them.
        slots: Of the network.
        order: The slots that products use, by the place of their first use.
        option: Names the patterns in messages.

    Raises:
        PlanError: A pattern fits nothing.
    """
    names = [path for path, _ in modules_of(model)] + [name for slot in slots for name in slot.names]
    found: list[str] = []
    faults = []
    for pattern in patterns:
        if any(fnmatchcase(name, pattern) for name in names):
            found.append(pattern)
        elif pattern in SHORTCUTS and (paths := _shortcut(model, pattern, slots, order)):
            found += paths
        else:
            near = did_you_mean(pattern, {*names, *SHORTCUTS})
            faults.append(f"{pattern!r} fits no layer path{near}")
    if faults:
        raise PlanError(list_faults(option, faults))
    return tuple(found)


def _shortcut(model: nn.Module, name: str, slots: Sequence[Slot], order: Mapping[Slot, int]) -> list[str]:
    if name == "embeddings":
        return [slot.path for slot in slots if isinstance(slot.module, TABLES)]
    ordered = sorted(order, key=order.__getitem__)
    if name == "head" and (declared := _declared_head(model)) is not None:
        ordered = [slot for slot in ordered if slot.module is declared] or ordered
    return [ordered[0 if name == "first" else -1].path] if ordered else []


def _declared_head(model: nn.Module) -> Any:
    """The output layer that a network of Hugging Face or timm names."""
    for method in ("get_output_embeddings", "get_classifier"):
        if callable(function := getattr(model, method, None)):
            head = function()
            if isinstance(head, nn.Module):
                return head
    return None
