"""Preset -> aihwkit configuration, against aihwkit's own presets and on real tiles."""

from dataclasses import fields

import pytest
import torch
from aihwkit.inference.compensation.drift import GlobalDriftCompensation, PerColumnDriftCompensation
from aihwkit.inference.noise.pcm import PCMLikeNoiseModel
from aihwkit.nn import AnalogLinear, AnalogLinearMapped
from aihwkit.simulator.presets import StandardHWATrainingPreset
from aihwkit.simulator.tiles.inference import InferenceTile
from device_cases import changed

from analog_samson import rng
from analog_samson.chip import rpu
from analog_samson.chip.rpu import rpu_config
from analog_samson.chip.tile import AveragedReadoutTile
from analog_samson.presets import list_presets, load_preset

NAMES = [preset.name for preset in list_presets()]


def differences(ours, theirs):
    """Fields of two dataclasses that differ, as {name: (ours, theirs)}."""
    names = [field.name for field in fields(theirs)]
    pairs = {name: (getattr(ours, name), getattr(theirs, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def linear(preset, rows=16, columns=6, kind=AnalogLinear):
    """An analog layer in eval mode with fixed weights, and these weights (columns, rows)."""
    weight = torch.randn(columns, rows, generator=rng.generator(0, "weight"))
    layer = kind(rows, columns, bias=False, rpu_config=rpu_config(preset))
    layer.set_weights(weight)
    return layer.eval(), weight


def test_rpu_config_when_rasch_has_the_forward_of_aihwkits_preset():
    ours, theirs = rpu_config(load_preset("pcm_rasch_2023")), StandardHWATrainingPreset()
    assert differences(ours.forward, theirs.forward) == {}


def test_rpu_config_when_rasch_has_the_mapping_of_aihwkits_preset():
    ours, theirs = rpu_config(load_preset("pcm_rasch_2023")), StandardHWATrainingPreset()
    # Learnable output scales start at one and are trained; nothing is trained on an analog model here.
    assert differences(ours.mapping, theirs.mapping) == {"learn_out_scaling": (False, True)}


def test_rpu_config_when_rasch_has_the_input_range_of_aihwkits_preset():
    ours, theirs = rpu_config(load_preset("pcm_rasch_2023")), StandardHWATrainingPreset()
    # The range is calibrated, not learned; a forward pass in train mode must not move it.
    assert differences(ours.pre_post.input_range, theirs.pre_post.input_range) == {
        "learn_input_range": (False, True),
        "init_from_data": (0, 100),
    }


def test_rpu_config_when_rasch_differs_elsewhere_only_in_what_training_uses():
    ours, theirs = rpu_config(load_preset("pcm_rasch_2023")), StandardHWATrainingPreset()
    # Compared above: forward, mapping, pre_post. noise_model: next test. clip and remap act after training steps only.
    compared_elsewhere = {"forward", "mapping", "pre_post", "noise_model", "drift_compensation"}
    assert differences(ours, theirs).keys() - compared_elsewhere == {"clip", "remap"}
    assert type(ours.drift_compensation) is type(theirs.drift_compensation) is GlobalDriftCompensation


def test_rpu_config_when_rasch_has_the_noise_of_aihwkits_preset():
    ours, theirs = rpu_config(load_preset("pcm_rasch_2023")), StandardHWATrainingPreset()
    assert type(theirs.noise_model) is PCMLikeNoiseModel
    weight = torch.randn(20, 20, generator=rng.generator(0, "weight"))
    results = []
    for model in (ours.noise_model, theirs.noise_model):
        with rng.stream(0, "noise"):
            programmed, exponents = model.apply_programming_noise(weight)
            results.append(model.apply_drift_noise(programmed, exponents, 3600.0))
    assert torch.equal(*results)


@pytest.mark.compiled_tile
@pytest.mark.parametrize("name", ["ideal", "pcm_nandakumar_2019", "gaussian_joshi_2020"])
def test_rpu_config_when_the_periphery_is_perfect_has_exact_products(name):
    config = rpu_config(load_preset(name))
    assert config.forward.is_perfect
    assert not config.pre_post.input_range.enable
    layer, weight = linear(load_preset(name))
    inputs = torch.randn(5, 16, generator=rng.generator(0, "inputs"))
    torch.testing.assert_close(layer(inputs), inputs @ weight.T, rtol=1e-5, atol=1e-5)


@pytest.mark.compiled_tile
@pytest.mark.parametrize("name", NAMES)
def test_rpu_config_when_built_gives_compiled_tiles_with_digital_bias(name):
    layer = AnalogLinear(4, 3, bias=True, rpu_config=rpu_config(load_preset(name)))
    (tile,) = layer.analog_tiles()
    assert type(tile) is (AveragedReadoutTile if name == "pcm_rasch_2023_averaged_readout" else InferenceTile)
    assert tile.tile.get_x_size() == 4  # no column for the bias


def test_rpu_config_when_called_twice_shares_nothing():
    first, second = rpu_config(load_preset("pcm_rasch_2023")), rpu_config(load_preset("pcm_rasch_2023"))
    first.forward.out_noise = 7.0
    assert second.forward.out_noise == 0.04


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("none", None), ("global", GlobalDriftCompensation), ("per_column", PerColumnDriftCompensation)],
)
def test_rpu_config_when_compensation_is_chosen_has_it(kind, expected):
    compensation = rpu_config(changed("pcm_nandakumar_2019", compensation={"kind": kind})).drift_compensation
    assert compensation is None if expected is None else type(compensation) is expected


@pytest.mark.compiled_tile
@pytest.mark.parametrize("scaling", ["per_layer", "per_column"])
def test_rpu_config_when_weight_scaling_is_chosen_puts_the_largest_weight_at_g_max(scaling):
    layer, _ = linear(changed("ideal", tile={"weight_scaling": scaling}))
    largest = next(layer.analog_tiles()).tile.get_weights().abs().amax(dim=1)
    torch.testing.assert_close(largest.max(), torch.tensor(1.0))
    assert torch.allclose(largest, torch.ones(6)) == (scaling == "per_column")


@pytest.mark.compiled_tile
def test_rpu_config_when_tiles_are_limited_splits_the_layer():
    layer, weight = linear(changed("ideal", tile={"max_rows": 7, "max_columns": 4}), kind=AnalogLinearMapped)
    assert sorted((tile.in_size, tile.out_size) for tile in layer.analog_tiles()) == [(5, 3)] * 4 + [(6, 3)] * 2
    inputs = torch.randn(5, 16, generator=rng.generator(0, "inputs"))
    torch.testing.assert_close(layer(inputs), inputs @ weight.T, rtol=1e-5, atol=1e-5)


@pytest.mark.compiled_tile
def test_ideal_layer_when_programmed_and_drifted_stays_the_digital_layer():
    layer, weight = linear(load_preset("ideal"))
    layer.program_analog_weights()
    layer.drift_analog_weights(31536000.0)
    torch.testing.assert_close(layer.get_weights()[0], weight, rtol=1e-6, atol=0.0)


@pytest.mark.compiled_tile
@pytest.mark.parametrize("compensation", ["none", "global", "per_column"])
def test_drifting_layer_when_compensated_keeps_the_size_of_its_outputs(compensation):
    layer, weight = linear(changed("pcm_nandakumar_2019", compensation={"kind": compensation}), rows=200)
    inputs = torch.randn(50, 200, generator=rng.generator(0, "inputs"))
    with rng.stream(0, "device"):
        layer.program_analog_weights()
        layer.drift_analog_weights(31536000.0)
    expected = inputs @ weight.T
    gain = (layer(inputs) * expected).sum() / expected.square().sum()
    assert gain.item() == pytest.approx(0.47 if compensation == "none" else 1.0, abs=0.1)


@pytest.mark.compiled_tile
def test_converters_when_uncalibrated_clip_at_the_standard_multiple():
    quiet = {"output_noise": 0.0, "read_noise_kind": "none", "read_noise": 0.0, "ir_drop": 0.0, "adc_bits": 0}
    layer, _ = linear(changed("pcm_rasch_2023", periphery=quiet), rows=1, columns=1)
    layer.set_weights(torch.ones(1, 1))
    outputs = layer(torch.tensor([[-9.0], [-3.0], [0.0], [3.0], [9.0]]))
    torch.testing.assert_close(outputs, torch.tensor([[-3.0], [-3.0], [0.0], [3.0], [3.0]]))


@pytest.mark.compiled_tile
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_converter_steps_when_bits_are_given_leave_that_many_levels(bits):
    quiet = {"output_noise": 0.0, "read_noise_kind": "none", "read_noise": 0.0, "ir_drop": 0.0, "adc_bits": 0}
    layer, _ = linear(changed("pcm_rasch_2023", periphery={**quiet, "dac_bits": bits}), rows=1, columns=1)
    outputs = layer(torch.linspace(-3, 3, 5001).unsqueeze(1)).round(decimals=5)
    # 2^b - 2 steps: the levels on both sides of zero, and zero.
    assert len(outputs.unique()) == 2**bits - 1
    assert rpu.converter_steps(0) == -1.0
