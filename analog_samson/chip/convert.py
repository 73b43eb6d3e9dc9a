"""A digital model and a preset become a model of aihwkit tiles, by the plan and by nothing else."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from aihwkit.nn.modules.base import AnalogLayerBase
from aihwkit.nn.modules.container import AnalogWrapper
from aihwkit.simulator.configs import InferenceRPUConfig
from torch import nn

from analog_samson.chip.layers import LAYERS
from analog_samson.chip.rpu import rpu_config
from analog_samson.chip.tile import crossbar_config
from analog_samson.crossbar.plan import ANALOG, ROOT, ConversionPlan, find_layer, plan_conversion
from analog_samson.crossbar.registry import integer_padding
from analog_samson.errors import OptionError, PlanError, did_you_mean, list_faults
from analog_samson.presets.schema import Preset, check_preset
from analog_samson.runtime.state_check import check_initialised

ENGINES = ("fast", "aihwkit")


def convert(
    model: nn.Module,
    preset: Preset,
    *,
    engine: str = "fast",
    exclude: Sequence[str] = (),
    plan: ConversionPlan | None = None,
) -> Any:
    """A copy of `model`, in eval mode, whose planned layers hold their weights in aihwkit tiles under `preset`.

    The result answers to aihwkit's ``program_analog_weights()``, ``drift_analog_weights(t)`` and
    ``analog_tiles()``; nothing is drawn before the first of these. engine="fast" evaluates with our forward, without
    gradients, engine="aihwkit" with the tile's own. plan: made before, in place of `exclude`. Converters take inputs of
    deviation 1 until `chip.input_ranges.set_input_ranges` sets their ranges. Raises PlanError for layers that
    cannot be converted and for weights that are not finite, ModelError for weights without values, OptionError.

    >>> from analog_samson import load_preset
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> analog = convert(net, load_preset("ideal"))
    >>> x = torch.ones(1, 4)
    >>> bool(torch.allclose(analog(x), net(x), atol=1e-6))
    True
    """
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r}: expected one of {', '.join(ENGINES)}{did_you_mean(engine, ENGINES)}")
    check_preset(preset)
    if plan is not None and exclude:
        raise OptionError("convert: exclude has no effect on a plan that is made already; exclude layers when planning")
    check_initialised(model)
    plan = plan or plan_conversion(model, preset, exclude=exclude)
    plan.check()
    paths = [row.path for row in plan.with_action(ANALOG)]
    _check_finite(model, paths)
    config = rpu_config(preset)
    fast = engine == "fast"
    if not fast and (preset.tile.max_rows or preset.tile.max_columns):
        _refuse_indexed(model, paths, preset)
    analog = _replace(copy.deepcopy(model), paths, crossbar_config(config) if fast else config, fast)
    analog = _as_root(analog)
    analog.eval()  # on a line of its own: a network's train() need not return it
    return analog


def _replace(model: nn.Module, paths: Sequence[str], config: InferenceRPUConfig, fast: bool) -> nn.Module:
    """Put analog layers at `paths`; a layer that stands under several names is converted once."""
    built: dict[int, nn.Module] = {}
    for path in paths:
        layer = find_layer(model, path)
        if isinstance(layer, AnalogLayerBase):
            continue
        if id(layer) not in built:
            built[id(layer)] = _build(path, layer, config, fast)
        if path == ROOT:
            return built[id(layer)]
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, built[id(layer)])
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            # Its fused path reads linear1.weight, which an analog layer does not have; 0 selects the plain path.
            module.activation_relu_or_gelu = 0
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # analog layers know no nested tensors
    return model


def _build(path: str, layer: Any, config: InferenceRPUConfig, fast: bool) -> nn.Module:
    analog_type: Any = LAYERS[type(layer)]
    analog = analog_type.from_digital(_single_block(layer), copy.deepcopy(config))
    analog.path, analog.fast = path, fast
    if hasattr(layer, "groups"):
        analog.blocks = layer.groups
    return analog


def _single_block(layer: Any) -> Any:
    """The layer as aihwkit can build it: one group of the same matrix size, integer padding."""
    single = copy.copy(layer)
    if hasattr(layer, "groups"):
        single.in_channels, single.groups = layer.in_channels // layer.groups, 1
        single.padding = integer_padding(layer)
    return single


def _as_root(model: nn.Module) -> nn.Module:
    if isinstance(model, AnalogLayerBase):
        return model
    # aihwkit keeps its wrapper classes by bare class name: two models called Net would share one forward.
    AnalogWrapper.SUBCLASSES.pop(f"AnalogWrapper{type(model).__name__}", None)
    return AnalogWrapper(model)


def _refuse_indexed(model: nn.Module, paths: Sequence[str], preset: Preset) -> None:
    """aihwkit cannot divide the tiles of a Conv1d or Conv3d: PlanError names them all."""
    kinds = {path: find_layer(model, path) for path in paths}
    faults = [
        f"{path}: a {type(one).__name__}" for path, one in kinds.items() if isinstance(one, nn.Conv1d | nn.Conv3d)
    ]
    if faults:
        where = f'engine "aihwkit" cannot divide these layers into tiles of limited size, as {preset.name} asks'
        raise PlanError(f'{list_faults(where, faults)}\n  use engine "fast", or exclude them')


def _check_finite(model: nn.Module, paths: Sequence[str]) -> None:
    faults = []
    for path in paths:
        layer = find_layer(model, path)
        for name, parameter in layer.named_parameters(recurse=False):
            bad = int((~torch.isfinite(parameter)).sum())
            if bad:
                faults.append(f"{path}.{name}: {bad} of {parameter.numel()} values are NaN or infinite")
    if faults:
        raise PlanError(list_faults("weights to be programmed", faults))
