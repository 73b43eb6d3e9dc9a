"""aihwkit's own analog layers on its compiled tile: the reference that the fast engine is tested against."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from aihwkit.nn import AnalogConv1d, AnalogConv2d, AnalogConv3d, AnalogLinear
from aihwkit.nn.modules.base import AnalogLayerBase
from aihwkit.nn.modules.container import AnalogWrapper
from aihwkit.nn.modules.conv import _AnalogConvNd
from aihwkit.simulator.configs import InferenceRPUConfig
from torch import Tensor, nn

from analog_samson.chip.engine_check import check_compiled_tile
from analog_samson.chip.matrix import TileMatrix, remember
from analog_samson.crossbar.plan import Placement
from analog_samson.crossbar.registry import same_padding
from analog_samson.errors import PlanError, list_faults


class _GroupedConv(_AnalogConvNd):
    """aihwkit's forward knows one group, so each group sees its own inputs and keeps its own outputs."""

    groups_on_tile = 1

    def forward(self, x_input: Tensor) -> Tensor:
        if self.groups_on_tile == 1:
            return super().forward(x_input)
        width = self.out_channels // self.groups_on_tile
        inputs = x_input.split(self.in_channels, dim=1)
        outputs = [super(_GroupedConv, self).forward(x)[:, i * width :][:, :width] for i, x in enumerate(inputs)]
        return torch.cat(outputs, dim=1)


class _Conv1d(_GroupedConv, AnalogConv1d):
    """A 1-d convolution on the compiled tile."""


class _Conv2d(_GroupedConv, AnalogConv2d):
    """A 2-d convolution on the compiled tile."""


class _Conv3d(_GroupedConv, AnalogConv3d):
    """A 3-d convolution on the compiled tile."""


_LAYERS: dict[type[nn.Module], Any] = {
    nn.Linear: AnalogLinear,
    nn.Conv1d: _Conv1d,
    nn.Conv2d: _Conv2d,
    nn.Conv3d: _Conv3d,
}


class ReferenceNetwork:
    """A copy of a network, in eval mode, whose layers are aihwkit's.

    Attributes:
        network: The copy, with aihwkit's `program_analog_weights`, `drift_analog_weights` and `analog_tiles`.
        matrices: The tiles of each layer by its path.
    """

    def __init__(self, model: nn.Module, placements: Sequence[tuple[Placement, InferenceRPUConfig]]) -> None:
        """Copy `model` and put aihwkit's layers in the place of those that hold these weights; nothing is drawn.

        Raises:
            PlanError: aihwkit has no layer for one of them.
            InstallationError: aihwkit's compiled tile does not work with the installed torch.
        """
        _check(model, placements)
        check_compiled_tile()
        network = copy.deepcopy(model)
        self.matrices: dict[str, TileMatrix] = {}
        for placement, config in placements:
            layer: Any = placement.slots(network)[0][0]
            analog = _build(layer, config)
            self.matrices[placement.path] = TileMatrix.around(analog.analog_module, layer.weight.shape)
            paths = [path for path, module in network.named_modules(remove_duplicate=False) if module is layer]
            for path in paths:
                if path:
                    network.set_submodule(path, analog)
                else:
                    network = analog
        _use_plain_paths(network)
        if not isinstance(network, AnalogLayerBase):
            # aihwkit keeps its wrapper classes by bare class name: two models called Net would share one forward.
            AnalogWrapper.SUBCLASSES.pop(f"AnalogWrapper{type(network).__name__}", None)
            network = AnalogWrapper(network)
        self.network: Any = network
        self.network.eval()
        remember(self.network, self.matrices)

    def refresh(self, path: str) -> None:
        """Nothing to do: the layers multiply by what their tiles hold."""


def _build(layer: Any, config: InferenceRPUConfig) -> Any:
    single, groups = copy.copy(layer), getattr(layer, "groups", 1)
    if isinstance(layer, nn.modules.conv._ConvNd):
        single.in_channels, single.groups = layer.in_channels // groups, 1  # a single group of the same matrix size
        if layer.padding == "same":
            single.padding = same_padding(layer)
        elif layer.padding == "valid":
            single.padding = (0,) * len(layer.kernel_size)
    analog = _LAYERS[type(layer)].from_digital(single, copy.deepcopy(config))
    analog.groups_on_tile = groups
    return analog


def _check(model: nn.Module, placements: Sequence[tuple[Placement, InferenceRPUConfig]]) -> None:
    problems = []
    for placement, config in placements:
        divided = config.mapping.max_input_size > 0 or config.mapping.max_output_size > 0
        (layer, _), *others = placement.slots(model)
        if placement.input_exponents:
            problems.append(f"{placement.path} ({type(layer).__name__}): its inputs are rescaled")
            continue
        shared = "it shares its weight with another layer; aihwkit's layers have tiles of their own" if others else None
        sliced = "its preset slices weights; aihwkit's layers do not" if config.mapping.slice_bits else None
        if reason := shared or sliced or _obstacle(layer, divided=divided):
            problems.append(f"{placement.path} ({type(layer).__name__}): {reason}")
    if problems:
        raise PlanError(list_faults('engine "aihwkit"; use engine "fast"', problems))


def _obstacle(layer: Any, *, divided: bool) -> str | None:
    """Why aihwkit has no layer for this one."""
    computed = getattr(layer, "weight", None) is not None and "weight" not in layer._parameters
    if computed:
        return "its weight is computed anew in every forward"
    if type(layer) not in _LAYERS:
        return f"aihwkit has layers for {', '.join(known.__name__ for known in _LAYERS)} only"
    if isinstance(layer, nn.Linear):
        return None
    if layer.padding_mode != "zeros":
        return f"padding_mode={layer.padding_mode!r}: aihwkit pads with zeros"
    if layer.padding == "same" and same_padding(layer) is None:
        return "padding='same' with an even kernel pads unequally"
    if not isinstance(layer, nn.Conv2d) and any(step != 1 for step in layer.dilation):
        return f"dilation={layer.dilation}: aihwkit's layer of this type has none"
    if not isinstance(layer, nn.Conv2d) and divided:
        return "aihwkit cannot divide it into tiles of limited size"
    return None


def _use_plain_paths(network: nn.Module) -> None:
    """Keep torch's transformer layers off the fused paths, which read a weight that an analog layer does not have."""
    for module in network.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False
