"""Weights on several crossbars of a few bits each: slices, their products, and what they take."""

from math import ceil, log2

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Block, seeded
from torch import nn

from analog_samson import convert, list_presets, load_preset, plan_conversion, rng
from analog_samson.analysis.cost import cost_of
from analog_samson.chip.device.stored_weight import weight_on_chip
from analog_samson.chip.input_ranges import set_input_ranges
from analog_samson.chip.matrix import TileMatrix, matrices_of
from analog_samson.chip.rpu import rpu_config
from analog_samson.chip.slicing import sliced
from analog_samson.chip.tile import crossbar_config
from analog_samson.chip.weight_error import weight_error
from analog_samson.crossbar.layout import Layout, form_of, outputs_first
from analog_samson.crossbar.operator import matrix_product
from analog_samson.errors import PlanError, PresetError
from analog_samson.presets import parse_preset

CONVERTERS = {
    "model": "converters",
    "dac_bits": 0,
    "adc_bits": 0,
    "input_range_std_multiple": 3.0,
    "input_noise": 0.0,
    "output_noise": 0.0,
    "adc_bound": 1e6,
    "read_noise_kind": "none",
    "read_noise": 0.0,
    "ir_drop": 0.0,
    "ir_drop_g_ratio": 1.0,
    "noise_management": "none",
    "noise_management_threshold": 0.0,
    "bound_management": "none",
}


def hardware(slice_bits, name="ideal", periphery=None, **tile):
    """A preset with slices; `periphery` are keys that differ from exact converters, None is a perfect periphery."""
    mapping = load_preset(name).model_dump(mode="json")
    mapping["name"] = "sliced"
    mapping["tile"] |= {"slice_bits": slice_bits, **tile}
    if periphery is not None:
        mapping["periphery"] = CONVERTERS | periphery
    return parse_preset(mapping, "sliced")


def tiles_of(weight, preset):
    layout = Layout.of(*outputs_first(form_of(weight.shape)))
    matrix = TileMatrix(weight, layout, crossbar_config(rpu_config(preset)))
    with rng.stream(0, "program"):
        matrix.program()
    return matrix


def rounded(weight, bits, axis=None):
    """The weight rounded to sign and magnitude of so many bits, in double precision."""
    sizes = weight.double().abs()
    step = (sizes.max() if axis is None else sizes.amax(axis, keepdim=True)).clamp(min=1e-30) / (2**bits - 1)
    return torch.sign(weight) * (sizes / step).round() * step


BITS = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(bits=BITS, by_column=st.booleans(), seed=st.integers(0, 99))
def test_slices_add_up_to_the_rounded_weight_and_have_few_bits(bits, by_column, seed):
    weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed))
    parts = sliced(weight, bits, by_column=by_column)
    total = sum(part.double() for part in parts)
    assert torch.allclose(total, rounded(weight, sum(bits), 1 if by_column else None), atol=1e-6)
    largest = weight.abs().amax(1, keepdim=True) if by_column else weight.abs().max()
    unit = largest / (2 ** sum(bits) - 1)
    below = sum(bits)
    for part, count in zip(parts, bits, strict=True):
        below -= count
        digits = part.abs() / (unit * 2**below)
        assert torch.allclose(digits, digits.round(), atol=1e-3)
        assert digits.max() <= 2**count - 1 + 1e-3
        assert bool((part * weight >= 0).all())


def test_slices_of_whole_numbers_are_exact():
    weight = torch.tensor([[127.0, -100.0, 0.0], [1.0, 64.0, -63.0]])
    for bits in ([7], [3, 4], [1] * 7, [2, 2, 3]):
        assert torch.equal(sum(sliced(weight, bits, by_column=False)), weight)
    assert not any(bool(part.any()) for part in sliced(torch.zeros(2, 2), [2, 2], by_column=True))


@pytest.mark.parametrize("scaling", ["per_layer", "per_column"])
@pytest.mark.parametrize("pairs", [1, 0])
def test_without_noise_a_sliced_weight_is_the_rounded_one_in_both_encodings(scaling, pairs):
    """pairs 1: differential; 0: a single device with an offset."""
    weight, preset = torch.randn(6, 40), hardware([2, 2, 3], max_rows=16, max_columns=4, weight_scaling=scaling)
    device = preset.device.model_copy(update={"pairs": pairs})
    matrix = tiles_of(weight, preset.model_copy(update={"device": device}))
    expected = rounded(weight, 7, None if scaling == "per_layer" else 1)
    assert torch.allclose(matrix.values().double(), expected, atol=1e-5)
    assert torch.allclose(matrix.target().double(), expected, atol=1e-5)
    assert len(matrix.tiles) == 3 * 3 * 2
    x = torch.randn(5, 40)
    exact = tiles_of(weight, hardware([2, 2, 3], periphery={}, max_rows=16, max_columns=4, weight_scaling=scaling))
    exact.set_input_range(10.0)
    output = exact.multiply(x, matrix_product(1), None)
    assert torch.allclose(output.double(), x.double() @ expected.T, atol=1e-4)


def slow_product(weight, x, preset, largest):
    """Every slice, tile of rows, vector and output by itself, in double precision: DAC, product, ADC, digital sum."""
    periphery, rows = preset.periphery, preset.tile.max_rows
    output = np.zeros((len(x), len(weight)))
    for part in sliced(weight, preset.tile.slice_bits, by_column=False):
        slice_ = part.double().numpy()
        count = ceil(slice_.shape[1] / rows)
        widths = [slice_.shape[1] // count + (i < slice_.shape[1] % count) for i in range(count)]
        start = 0
        for width in widths:
            own = slice_[:, start : start + width]
            scale = np.abs(own).max() or 1.0
            codes, bound = 2 ** (periphery.dac_bits - 1) - 1, periphery.adc_bound
            step = 2 * bound / (2**periphery.adc_bits - 2)
            for i, vector in enumerate(x.double().numpy()[:, start : start + width]):
                z = np.round(np.clip(vector / largest, -1, 1) * codes) / codes
                for j, row in enumerate(own / scale):
                    analog = np.round(sum(a * b for a, b in zip(row, z, strict=True)) / step) * step
                    output[i, j] += np.clip(analog, -bound, bound) * scale * largest
            start += width
    return output


@pytest.mark.parametrize("slice_bits", [[7], [3, 4], [1, 2, 2, 2]])
def test_product_equals_the_slow_one_with_converters_of_their_own(slice_bits):
    generator = torch.Generator().manual_seed(1)
    weight, x = torch.randn(5, 30, generator=generator), torch.randn(7, 30, generator=generator)
    converters = {"dac_bits": 6, "adc_bits": 7, "adc_bound": 5.937}
    preset = hardware(slice_bits, periphery=converters, max_rows=12, max_columns=0, weight_scaling="per_layer")
    matrix = tiles_of(weight, preset)
    matrix.set_input_range(2.0)
    output, slow = matrix.multiply(x, matrix_product(1), None).double().numpy(), slow_product(weight, x, preset, 2.0)
    unit = 2 * 5.937 / (2**7 - 2) * float(weight.abs().max()) * 2.0  # one ADC step of the largest slice
    far = np.abs(output - slow) > 1e-4
    assert far.mean() < 0.03  # ties between two codes, which single precision may round the other way
    assert np.abs(output - slow).max() < 1.01 * unit


@pytest.mark.parametrize(("slice_bits", "input_bits"), [([1] * 6, 4), ([2, 2, 2], 4), ([3, 3], 3)])
def test_an_adc_with_a_level_for_every_output_loses_nothing_and_one_bit_less_does(slice_bits, input_bits):
    """The full precision guarantee of Xiao et al. 2022, section 2.4, for signed inputs and differential slices."""
    rows, generator = 20, torch.Generator().manual_seed(0)
    top, codes = 2 ** slice_bits[0] - 1, 2 ** (input_bits - 1) - 1
    weight = torch.randint(-(2 ** sum(slice_bits)) + 1, 2 ** sum(slice_bits), (8, rows), generator=generator).float()
    x = torch.randint(-codes, codes + 1, (50, rows), generator=generator).float()
    weight[0], x[0] = 2 ** sum(slice_bits) - 1, codes  # the largest output that there is
    needed = ceil(log2(2 * rows * top * codes + 1))

    def product(bits):
        levels = 2 ** (needed - 1) - 1  # the range stays, so one bit less has steps twice as large
        converters = {"dac_bits": input_bits, "adc_bits": bits, "adc_bound": levels / (top * codes)}
        matrix = tiles_of(weight, hardware(slice_bits, periphery=converters))
        matrix.set_input_range(float(codes))
        return matrix.multiply(x, matrix_product(1), None)

    exact = x @ weight.T
    assert torch.allclose(product(needed), exact, atol=1e-2, rtol=1e-5)
    assert torch.equal(product(needed).round(), exact)
    assert not torch.equal(product(needed - 1).round(), exact)


def test_network_on_slices_is_the_network_with_rounded_weights_bias_once():
    model, x = seeded(Block), torch.randn(3, 4, 6, 6)
    plan = plan_conversion(model, hardware([4, 4, 4]))
    paths = [row.path for row in plan.rows if row.action == "analog"]
    expected = seeded(Block)
    with torch.no_grad():
        for path in paths:
            weight = expected.get_submodule(path).weight
            weight.copy_(rounded(weight, 12).float())
        wanted = expected(x)
    for preset in (hardware([4, 4, 4]), hardware([4, 4, 4], periphery={})):
        network = convert(model, preset)
        if preset.periphery.model == "converters":
            set_input_ranges(network, dict.fromkeys(paths, 1e3))
        with rng.stream(0, "program"):
            network.program_analog_weights()
        assert torch.allclose(network(x), wanted, atol=2e-4)


def test_every_slice_has_devices_of_its_own_in_simulation_and_training():
    weight, sigma = torch.ones(60, 60), 0.1
    mapping = hardware([1, 1]).model_dump(mode="json")
    mapping["programming"] = {"model": "relative_gaussian", "sigma_c": sigma}
    preset = parse_preset(mapping, "noisy")
    matrix = tiles_of(weight, preset)
    spread = sigma * (2**2 + 1**2) ** 0.5 / 3  # of digits 2 and 1 of the weight 3
    assert float(matrix.values().std()) == pytest.approx(spread, rel=0.1)
    trained = weight_on_chip(weight, preset, 0.0, generator=torch.Generator().manual_seed(0))
    assert float(trained.std()) == pytest.approx(spread, rel=0.1)
    network = convert(nn.Sequential(nn.Linear(60, 60)), preset)
    with rng.stream(0, "program"):
        network.program_analog_weights()
    assert len(matrices_of(network)["0"].tiles) == 2
    assert 0 < weight_error(network) < sigma


def test_plan_and_cost_count_the_tiles_of_every_slice():
    model = nn.Sequential(nn.Linear(300, 20))
    limits = {"max_rows": 128, "max_columns": 128, "weight_scaling": "per_layer"}
    one, three = (
        plan_conversion(model, hardware(bits, "pcm_hermes_2023_two_devices", **limits), input_shape=(300,))
        for bits in ([6], [2, 2, 2])
    )
    assert three.summary().tiles == 3 * one.summary().tiles == 9
    assert three.summary().devices == 3 * one.summary().devices
    assert three.summary().utilisation_percent == pytest.approx(one.summary().utilisation_percent)
    assert three.summary().parameters == one.summary().parameters
    costs = [cost_of(plan.records(), plan.preset) for plan in (one, three)]
    assert costs[1].tiles == 3 * costs[0].tiles
    assert costs[1].tile_joules == pytest.approx(3 * costs[0].tile_joules)


def test_presets_without_slices_are_stored_as_before():
    for preset in list_presets():
        assert "slice_bits" not in preset.model_dump(mode="json")["tile"]
    preset = hardware([2, 3])
    again = parse_preset(preset.model_dump(mode="json"), "again")
    assert again.tile.slice_bits == (2, 3)
    assert again.fingerprint == preset.fingerprint != hardware([3, 2]).fingerprint


@pytest.mark.parametrize("bits", [[0], [13], [12, 12, 1], [2.5], 4, "2"])
def test_impossible_slices_are_named(bits):
    with pytest.raises(PresetError, match=r"tile\.slice_bits.*whole number"):
        hardware(bits)


def test_engine_of_aihwkit_refuses_slices():
    with pytest.raises(PlanError, match="slices"):
        convert(nn.Sequential(nn.Linear(4, 3)), hardware([2, 2]), engine="aihwkit")
