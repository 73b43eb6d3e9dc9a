"""What will happen to every layer of a model, decided as data before anything is touched."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from math import ceil
from typing import Any

import torch
from torch import nn

from analog_samson.errors import PlanError, list_faults
from analog_samson.presets.schema import Preset, check_preset
from analog_samson.tiles.rules import RULES, Crossbar, analog_types

ANALOG, DIGITAL, BLOCKED = "analog", "digital", "blocked"
ROOT = "(model)"  # the path of a model that is itself one layer
_COLUMNS = ("path", "layer_type", "action", "rows", "columns", "tiles", "devices", "macs", "reason")


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One layer: what becomes of it and why; the sizes are those of its crossbar, 0 for a digital layer.

    `cells` counts the crossing points of all its tiles, `macs` its multiply-accumulates for one input sample.
    """

    path: str
    layer_type: str
    action: str
    reason: str
    parameters: int
    weights: int = 0
    rows: int = 0
    columns: int = 0
    tiles: int = 0
    cells: int = 0
    devices: int = 0
    macs: int = 0
    shared_with: str = ""


@dataclass(frozen=True, kw_only=True)
class HardwareSummary:
    """What a converted model occupies. `utilisation_percent` is used cells over cells of the tiles it needs."""

    tiles: int
    devices: int
    utilisation_percent: float
    parameters: int
    analog_parameters_percent: float
    macs: int
    analog_macs_percent: float


@dataclass(frozen=True)
class ConversionPlan:
    """The rows of a conversion, in the order of ``model.named_modules()``."""

    rows: tuple[PlanRow, ...]
    preset: str
    excluded: tuple[str, ...] = field(default=())

    def with_action(self, action: str) -> list[PlanRow]:
        return [row for row in self.rows if row.action == action]

    def check(self) -> None:
        """Raise a PlanError that lists every layer that cannot be converted."""
        _check_decisions([(row.path, row.layer_type, row.action, row.reason) for row in self.rows])

    def summary(self) -> HardwareSummary:
        """Totals over all layers; a layer under two names counts once."""
        rows = [row for row in self.rows if not row.shared_with]
        analog = [row for row in rows if row.action == ANALOG]
        weights, parameters = sum(r.weights for r in analog), sum(r.parameters for r in rows)
        macs = sum(r.macs for r in self.rows)
        analog_macs = sum(r.macs for r in self.rows if r.action == ANALOG)
        return HardwareSummary(
            tiles=sum(r.tiles for r in analog),
            devices=sum(r.devices for r in analog),
            utilisation_percent=_percent(weights, sum(r.cells for r in analog)),
            parameters=parameters,
            analog_parameters_percent=_percent(weights, parameters),
            macs=macs,
            analog_macs_percent=_percent(analog_macs, macs),
        )

    def records(self) -> list[dict[str, Any]]:
        """The rows as plain dictionaries, for a run folder."""
        return [asdict(row) for row in self.rows]

    def text(self) -> str:
        """The plan as an aligned table."""
        cells = [_COLUMNS, *([str(getattr(row, name)) for name in _COLUMNS] for row in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(_COLUMNS))]
        lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]
        return "\n".join(lines)


def plan_conversion(
    model: nn.Module, preset: Preset, *, exclude: Sequence[str] = (), input_shape: Sequence[int] | None = None
) -> ConversionPlan:
    """Decide for every layer of `model` whether it goes on analog tiles under `preset`. The model is not changed.

    exclude: paths of layers or of modules that hold them, or patterns such as ``layer1.*.conv2``, that stay digital by
    wish; a layer under several names stays digital if one of them is excluded.
    input_shape: (C, H, W) of one sample; with it, one forward pass of zeros counts multiply-accumulates.
    Raises PlanError if a pattern fits no layer, or if the model cannot run on that shape.

    >>> from analog_samson import load_preset
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))
    >>> plan = plan_conversion(net, load_preset("ideal"), input_shape=(1, 8, 8))
    >>> [(row.path, row.action, row.rows, row.columns) for row in plan.rows]
    [('0', 'analog', 9, 4), ('1', 'digital', 0, 0), ('3', 'analog', 144, 10)]
    """
    check_preset(preset)
    _check_patterns(model, exclude)
    positions = _count_positions(model, input_shape) if input_shape is not None else {}
    first_path: dict[int, str] = {}
    rows = []
    decisions = _decisions(model, exclude)
    for path, module in _modules(model):
        row = _plan_layer(path, module, preset, decisions[module], first_path, positions.get(id(module), 0))
        if row is not None:
            rows.append(row)
    return ConversionPlan(tuple(rows), preset.name, tuple(exclude))


def crossbar_paths(model: nn.Module, exclude: Sequence[str] = ()) -> list[str]:
    """The paths of all layers that go on a crossbar, each layer once; PlanError as `ConversionPlan.check` raises it."""
    _check_patterns(model, exclude)
    decisions = _decisions(model, exclude)
    paths = {module: path or ROOT for path, module in reversed(list(_modules(model)))}  # the first name of each
    _check_decisions([(paths[module], type(module).__name__, *decision) for module, decision in decisions.items()])
    return [paths[module] for module, (action, _) in decisions.items() if action == ANALOG]


def find_layer(model: nn.Module, path: str) -> nn.Module:
    """The layer at a plan's path."""
    return model if path == ROOT else model.get_submodule(path)


def _check_decisions(decisions: Sequence[tuple[str, str, str, str]]) -> None:
    """Raise a PlanError if one of (path, type, action, reason) is blocked, or if none is analog."""
    faults = [f"{path} ({type_}): {reason}" for path, type_, action, reason in decisions if action == BLOCKED]
    if faults:
        raise PlanError(list_faults("conversion plan", faults))
    if not any(action == ANALOG for _, _, action, _ in decisions):
        raise PlanError(f"the model has no layer that goes on a crossbar (known types: {analog_types()})")


def _plan_layer(
    path: str,
    module: nn.Module,
    preset: Preset,
    decision: tuple[str, str],
    first_path: dict[int, str],
    positions: int,
) -> PlanRow | None:
    own = sum(p.numel() for p in module.parameters(recurse=isinstance(module, nn.MultiheadAttention)))
    if own == 0:
        return None
    action, reason = decision
    shared_with = first_path.setdefault(id(module), path)
    rule = RULES.get(type(module))
    layout = rule.crossbar(module) if rule is not None else None
    sizes = _occupy(layout, preset) if layout is not None and action == ANALOG else {}
    return PlanRow(
        path=path or ROOT,
        layer_type=type(module).__name__,
        action=action,
        reason=reason,
        parameters=own,
        macs=positions * layout.weights if layout is not None and shared_with == path else 0,
        shared_with=shared_with if shared_with != path else "",
        **sizes,
    )


def _modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every module under each of its paths; what is inside an attention layer belongs to that layer."""
    inside_attention: tuple[str, ...] = ()
    for path, module in model.named_modules(remove_duplicate=False):
        if any(path.startswith(f"{parent}.") for parent in inside_attention):
            continue
        if isinstance(module, nn.MultiheadAttention):
            inside_attention += (path,)
        yield path, module


def _decisions(model: nn.Module, exclude: Sequence[str]) -> dict[nn.Module, tuple[str, str]]:
    """Action and reason for every module, in the order of the model."""
    names: dict[nn.Module, list[str]] = {}
    for path, module in _modules(model):
        names.setdefault(module, []).append(path)
    return {module: _decide(paths, module, exclude) for module, paths in names.items()}


def _decide(paths: Sequence[str], module: nn.Module, exclude: Sequence[str]) -> tuple[str, str]:
    """Action and reason for a module that stands at these paths."""
    if any(_fits(path, pattern) for path in paths for pattern in exclude):
        return DIGITAL, "excluded by the user"
    path, rule = paths[0], RULES.get(type(module))
    if rule is not None and "weight" not in dict(module.named_parameters(recurse=False)):
        remedy = f"undo it (remove_weight_norm, remove_spectral_norm, prune.remove), or exclude {path!r}"
        return BLOCKED, f"its weight is computed anew in every forward; {remedy}"
    if rule is not None and module.get_parameter("weight").is_complex():
        return BLOCKED, f"its weights are complex, a crossbar holds real ones; exclude {path!r}"
    if rule is not None:
        obstacle = rule.obstacle(module)
        return (DIGITAL, obstacle) if obstacle else (ANALOG, "")
    if isinstance(module, nn.MultiheadAttention):
        return DIGITAL, "its projections are read by a fused function, not called as layers"
    for known in RULES:
        if isinstance(module, known):
            remedy = f"exclude {path!r}, or register a rule for {type(module).__name__}"
            return BLOCKED, f"a subclass of {known.__name__} may compute something else; {remedy}"
    return DIGITAL, "no rule for this type: computed digitally"


def _occupy(layout: Crossbar, preset: Preset) -> dict[str, int]:
    """Tiles, cells and devices; groups that share a tile take rows and columns of their own.

    A side of a tile without a limit is as long as what lies on it.
    """
    row_limit, column_limit = preset.tile.max_rows, preset.tile.max_columns
    row_parts = ceil(layout.rows / row_limit) if row_limit else 1
    column_parts = ceil(layout.columns / column_limit) if column_limit else 1
    fitting = [limit // size for limit, size in ((row_limit, layout.rows), (column_limit, layout.columns)) if limit]
    groups_a_tile = max(1, min([layout.groups, *fitting]))
    bundles = ceil(layout.groups / groups_a_tile)
    rows, columns = layout.rows * layout.groups, layout.columns * layout.groups
    width = bundles * column_parts * column_limit or columns  # of all bundles side by side
    cells = row_parts * row_limit * width if row_limit else rows * (column_parts * column_limit or columns)
    return {
        "weights": layout.weights,
        "rows": rows,
        "columns": columns,
        "tiles": bundles * row_parts * column_parts,
        "cells": cells,
        "devices": layout.weights * preset.device.per_weight,
    }


def _count_positions(model: nn.Module, input_shape: Sequence[int]) -> dict[int, int]:
    """How many vectors each layer multiplies for one sample, from a forward pass of zeros."""
    counts: dict[int, int] = {}

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        channels = output.shape[-1] if isinstance(module, nn.Linear) else output.shape[1]
        counts[id(module)] = counts.get(id(module), 0) + output.numel() // channels

    hooks = [m.register_forward_hook(count) for m in model.modules() if type(m) in RULES]
    modes = {module: module.training for module in model.modules()}
    like = next((p for p in model.parameters()), torch.zeros(()))
    try:
        with torch.no_grad():
            model.eval()
            model(torch.zeros(1, *input_shape, device=like.device, dtype=like.dtype))
    except Exception as error:  # the forward is the user's: it may raise anything
        shape, told = tuple(input_shape), str(error) or type(error).__name__
        raise PlanError(f"the model cannot run on one sample of shape {shape}: {told}") from error
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return counts


def _fits(path: str, pattern: str) -> bool:
    """Whether a pattern names what is at `path`, or a module that holds it."""
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*")


def _check_patterns(model: nn.Module, exclude: Sequence[str]) -> None:
    paths = [path for path, _ in model.named_modules(remove_duplicate=False)]
    idle = [pattern for pattern in exclude if not any(fnmatchcase(path, pattern) for path in paths)]
    if idle:
        faults = [f"{pattern!r} fits no layer path" for pattern in idle]
        raise PlanError(list_faults("excluded layers", faults))


def _percent(part: float, whole: float) -> float:
    return 100.0 * part / whole if whole else 0.0
