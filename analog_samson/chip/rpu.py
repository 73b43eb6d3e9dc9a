"""Preset -> aihwkit configuration of a compiled inference tile.

Two things differ from aihwkit's own presets on purpose. Learnable output scales stay off: they would be parameters
that stay at one, since the digital scale of each tile or column comes from `weight_scaling_omega`. Input ranges
are buffers that calibration sets, so no forward pass in train mode moves them.
"""

from typing import Any

import torch
from aihwkit.nn import AnalogLinear
from aihwkit.simulator import rpu_base
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters import (
    InputRangeParameter,
    IOParameters,
    MappingParameter,
    PrePostProcessingParameter,
)
from aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType, WeightNoiseType
from aihwkit.simulator.tiles.inference import InferenceTile

from analog_samson.chip.compensation import compensation
from analog_samson.chip.noise import noise_model
from analog_samson.chip.tile import AveragedReadoutTile
from analog_samson.errors import InstallationError
from analog_samson.presets.schema import Converters, PerfectPeriphery, Periphery, Preset, Tile
from analog_samson.runtime.installation import REMEDY

_READ_NOISE = {
    "none": WeightNoiseType.NONE,
    "constant": WeightNoiseType.ADDITIVE_CONSTANT,
    "pcm": WeightNoiseType.PCM_READ,
}
_NOISE_MANAGEMENT = {
    "none": NoiseManagementType.NONE,
    "abs_max": NoiseManagementType.ABS_MAX,
    "constant": NoiseManagementType.CONSTANT,
}
_BOUND_MANAGEMENT = {"none": BoundManagementType.NONE, "iterative": BoundManagementType.ITERATIVE}


def rpu_config(preset: Preset) -> InferenceRPUConfig:
    """The configuration of every tile of a model on this hardware; a new object at each call.

    >>> from analog_samson.presets import load_preset
    >>> rpu_config(load_preset("pcm_rasch_2023")).mapping.max_input_size
    512
    """
    is_averaged = preset.compensation.reads > 1 and isinstance(preset.periphery, Converters)
    return InferenceRPUConfig(
        tile_class=AveragedReadoutTile if is_averaged else InferenceTile,
        forward=forward_parameters(preset.periphery),
        mapping=mapping_parameters(preset.tile),
        pre_post=PrePostProcessingParameter(input_range=input_range_parameters(preset.periphery)),
        noise_model=noise_model(preset),
        drift_compensation=compensation(preset.compensation),
    )


def mapping_parameters(tile: Tile) -> MappingParameter:
    """How a weight matrix is split and scaled; the bias is digital, the largest weight is at g_max (omega 1)."""
    return MappingParameter(
        digital_bias=True,
        weight_scaling_omega=1.0,
        weight_scaling_columnwise=tile.weight_scaling == "per_column",
        learn_out_scaling=False,
        out_scaling_columnwise=True,
        max_input_size=tile.max_rows,
        max_output_size=tile.max_columns,
    )


def forward_parameters(periphery: Periphery) -> IOParameters:
    """What happens to a product between the digital input and the digital output."""
    if isinstance(periphery, PerfectPeriphery):
        return IOParameters(is_perfect=True)
    return IOParameters(
        inp_res=converter_steps(periphery.dac_bits),
        inp_noise=periphery.input_noise,
        out_res=converter_steps(periphery.adc_bits),
        out_bound=periphery.adc_bound,
        out_noise=periphery.output_noise,
        w_noise_type=_READ_NOISE[periphery.read_noise_kind],
        w_noise=periphery.read_noise,
        ir_drop=periphery.ir_drop,
        ir_drop_g_ratio=periphery.ir_drop_g_ratio,
        noise_management=_NOISE_MANAGEMENT[periphery.noise_management],
        nm_thres=periphery.noise_management_threshold,
        bound_management=_BOUND_MANAGEMENT[periphery.bound_management],
    )


def converter_steps(bits: int) -> float:
    """Steps of a converter over its whole range, one code kept for symmetry about zero; -1 = continuous."""
    return float(2**bits - 2) if bits else -1.0


def input_range_parameters(periphery: Periphery) -> InputRangeParameter:
    """A static input range for converters; until calibration, that of inputs whose standard deviation is 1."""
    if not isinstance(periphery, Converters):
        return InputRangeParameter(enable=False)
    return InputRangeParameter(
        enable=True,
        learn_input_range=False,
        init_value=periphery.input_range_std_multiple,
        init_std_alpha=periphery.input_range_std_multiple,
        init_from_data=0,
    )


def compiled_with_cuda() -> bool:
    """Whether the installed aihwkit has tiles for CUDA."""
    return bool(rpu_base.cuda.is_compiled())


def check_compiled_tile(device: torch.device | str = "cpu") -> None:
    """Compare one small compiled tile with the matrix product; raises InstallationError with the remedy."""
    try:
        result, expected = _one_product(torch.device(device))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InstallationError(f"aihwkit's compiled tile fails with this torch ({error}); {REMEDY}") from error
    if not torch.allclose(result, expected, atol=1e-5):
        raise InstallationError(f"aihwkit's compiled tile computes wrong products with this torch; {REMEDY}")


@torch.no_grad()
def _one_product(device: torch.device) -> tuple[Any, torch.Tensor]:
    config = InferenceRPUConfig(forward=IOParameters(is_perfect=True))
    layer = AnalogLinear(3, 2, bias=False, rpu_config=config)
    weight = torch.tensor([[0.5, -0.25, 0.125], [0.0, 1.0, -0.5]])
    layer.set_weights(weight)
    inputs = torch.eye(3, device=device)
    return layer.eval().to(device)(inputs), weight.to(device).T
