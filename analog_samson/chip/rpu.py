"""Preset -> aihwkit configuration of a compiled inference tile.

Two things differ from aihwkit's own presets on purpose. Learnable output scales stay off: they would be parameters
that stay at one, since the digital scale of each tile or column comes from `weight_scaling_omega`. Input ranges
are buffers that calibration sets, so no forward pass in train mode moves them.
"""

from dataclasses import dataclass

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
from analog_samson.presets.schema import Converters, PerfectPeriphery, Periphery, Tile
from analog_samson.presets.search import Hardware, as_preset

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


def rpu_config(preset: Hardware) -> InferenceRPUConfig:
    """The configuration of every tile of a model on this hardware; a new object at each call.

    >>> rpu_config("pcm_rasch_2023").mapping.max_input_size
    512
    """
    preset = as_preset(preset)
    is_averaged = preset.compensation.reads > 1 and isinstance(preset.periphery, Converters)
    return InferenceRPUConfig(
        tile_class=AveragedReadoutTile if is_averaged else InferenceTile,
        forward=forward_parameters(preset.periphery),
        mapping=mapping_parameters(preset.tile),
        pre_post=PrePostProcessingParameter(input_range=input_range_parameters(preset.periphery)),
        noise_model=noise_model(preset),
        drift_compensation=compensation(preset.compensation),
    )


@dataclass
class SlicedMapping(MappingParameter):
    """aihwkit's mapping, and the bits of each slice of a weight (see `chip.slicing`); our own tiles follow them."""

    slice_bits: tuple[int, ...] = ()


def mapping_parameters(tile: Tile) -> SlicedMapping:
    """How a weight matrix is split and scaled; the bias is digital, the largest weight is at g_max (omega 1)."""
    return SlicedMapping(
        slice_bits=tile.slice_bits,
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
