"""A digital model and a preset become a model on tiles, by the plan and by nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn

from analog_samson.chip.choices import Engine
from analog_samson.chip.network import CrossbarNetwork
from analog_samson.chip.reference import ReferenceNetwork
from analog_samson.chip.rpu import rpu_config
from analog_samson.chip.tile import crossbar_config
from analog_samson.crossbar.foreign import unwrapped
from analog_samson.crossbar.plan import ROOT, ConversionPlan, Placement, plan_conversion
from analog_samson.errors import OptionError, PlanError, did_you_mean, list_faults
from analog_samson.presets.search import Hardware, as_preset
from analog_samson.runtime.renamed import renamed_keyword
from analog_samson.runtime.state_check import check_initialised

ENGINES = get_args(Engine)


@renamed_keyword("exclude", "keep_digital")
def convert(
    model: nn.Module,
    preset: Hardware,
    *,
    engine: str = "fast",
    keep_digital: Sequence[str] = (),
    on_chip: Sequence[str] = (),
    layer_presets: Mapping[str, Hardware] = {},
    example: Any = None,
    plan: ConversionPlan | None = None,
) -> Any:
    """A copy of `model`, in eval mode, whose planned weights lie on aihwkit tiles under `preset`.

    The copy has the modules and names of `model`; only its weights are exchanged. It also answers to aihwkit's
    ``program_analog_weights()``, ``drift_analog_weights(t)`` and ``analog_tiles()``; nothing is drawn before the first
    of these. Converters take inputs of deviation 1 until `chip.input_ranges` sets their ranges.

    Args:
        model: Any network; it is not changed.
        preset: The hardware: a preset, its name or its file.
        engine: "fast" computes with our forward, without gradients; "aihwkit" builds aihwkit's own layers.
        keep_digital: Layers that stay digital, see `crossbar.plan.plan_conversion`.
        plan: A plan made before, in place of `keep_digital`.

    Raises:
        PlanError: A layer cannot be converted, or a weight is not finite.
        ModelError: A weight has no values.
        OptionError: The engine is unknown, or the plan was made for another preset.
        InstallationError: The compiled tile that engine "aihwkit" needs does not work with the installed torch.

    >>> from analog_samson import load_preset
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> analog = convert(net, load_preset("ideal"))
    >>> x = torch.ones(1, 4)
    >>> bool(torch.allclose(analog(x), net(x), atol=1e-6))
    True
    """
    preset = as_preset(preset)
    if plan is not None and (keep_digital or on_chip or layer_presets or example is not None):
        given = "keep_digital, on_chip, layer_presets and example"
        raise OptionError(f"convert: {given} have no effect on a finished plan; give them to plan_conversion")
    if plan is not None and plan.preset != preset:
        raise OptionError(f"convert: the plan was made for preset {plan.preset.name}, got {preset.name}")
    if plan is None:
        choice: dict[str, Any] = {"keep_digital": keep_digital, "on_chip": on_chip, "layer_presets": layer_presets}
        plan = plan_conversion(model, preset, example=example, **choice)
    return mount(model, plan, engine).network


def mount(
    model: nn.Module, plan: ConversionPlan, engine: str = "fast", *, shared: bool = False
) -> CrossbarNetwork | ReferenceNetwork:
    """A copy of `model` with its planned weights on tiles, and the tiles by layer path. Raises as `convert`.

    shared: the fast engine refers to the weights of `model`, which must not change, instead of copying them.
    """
    if engine not in ENGINES:
        raise OptionError(f"engine {engine!r}: expected one of {', '.join(ENGINES)}{did_you_mean(engine, ENGINES)}")
    model = unwrapped(model)
    check_initialised(model)
    plan.check()
    _check_finite(model, plan.placements)
    configs = {preset.fingerprint: rpu_config(preset) for preset in plan.presets}
    placed = [(placement, configs[(placement.preset or plan.preset).fingerprint]) for placement in plan.placements]
    if engine == "fast":
        tiled = [(placement, crossbar_config(config)) for placement, config in placed]
        return CrossbarNetwork(model, tiled, shared=shared)
    return ReferenceNetwork(model, placed)


def _check_finite(model: nn.Module, placements: Sequence[Placement]) -> None:
    faults = []
    for placement in placements:
        for module_path, name in placement.owners:
            module = model.get_submodule(module_path)
            for each in dict.fromkeys((name, name.replace("weight", "bias"))):
                values = getattr(module, each, None)
                if isinstance(values, Tensor) and (bad := int((~torch.isfinite(values)).sum())):
                    where = f"{module_path or ROOT}.{each}"
                    faults.append(f"{where}: {bad} of {values.numel()} values are NaN or infinite")
    if faults:
        raise PlanError(list_faults("weights to be programmed", list(dict.fromkeys(faults))))
