"""Options in which runs differ and that may well be the thing that is compared."""

from collections.abc import Sequence
from typing import Any

from analog_samson.analysis.labels import few_names
from analog_samson.analysis.runs import Run

_NOTED = ("keep_digital", "on_chip", "engine", "bf16", "input_range", "input_scaling")


def unequal_options(runs: Sequence[Run]) -> list[str]:
    """Differences in what may well be the thing that is compared: layers kept digital, engine, input ranges."""
    notes = []
    for name in _NOTED:
        values = [(run.name, repr(run.options[name]), _shown(run.options[name])) for run in runs if name in run.options]
        notes += _unequal(name, values)
    layers = [
        (run.name, str((run.meta["layer_presets"] or {}).get("sha256")), str(run.options.get("layer_presets", "none")))
        for run in runs
    ]
    return [*notes, *_unequal("layer_presets", layers)]


def _unequal(name: str, values: Sequence[tuple[str, str, str]]) -> list[str]:
    """A note on (run, content, content as shown) where not all contents are equal."""
    owners: dict[str, tuple[str, list[str]]] = {}
    for run, content, shown in values:
        owners.setdefault(content, (shown, []))[1].append(run)
    found = ", ".join(f"{shown} ({few_names(names)})" for shown, names in owners.values())
    return [f"{name} differs: {found}"] if len(owners) > 1 else []


def _shown(value: Any) -> str:
    """A value of an option in a sentence."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, str) else ", ".join(map(str, value)) or "nothing"
