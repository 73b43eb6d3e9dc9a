"""Methods for input ranges on inputs of every kind, what is said of each range, and adjustable ADCs."""

import dataclasses

import pytest
import torch
from networks import seeded
from torch import Tensor, nn

from analog_samson import load_preset, plan_conversion
from analog_samson.chip.choices import range_method
from analog_samson.chip.input_range import InputRange, with_input_ranges
from analog_samson.chip.input_ranges import choose_input_ranges
from analog_samson.chip.input_sample import InputSample
from analog_samson.chip.matrix import matrices_of
from analog_samson.crossbar.operator import LINEAR
from analog_samson.crossbar.use import Use
from analog_samson.errors import OptionError
from analog_samson.presets.ablation import without
from analog_samson.presets.schema import Preset, parse_preset
from analog_samson.simulation.device import SimulatedDevice

RASCH = load_preset("pcm_rasch_2023")
METHODS = ("output_error", "max", "percentile:99.9", "std")


def adjustable() -> Preset:
    """The preset with an ADC whose range can be chosen."""
    periphery = RASCH.periphery.model_copy(update={"adc_range": "adjustable"})
    return RASCH.model_copy(update={"periphery": periphery, "name": "mine"})


def inputs(kind: str) -> Tensor:
    x = torch.randn(2000, 16, generator=torch.Generator().manual_seed(0))
    if kind == "one giant channel":
        x[:, 0] *= 1000
    return {"positive": x.abs() + 1, "negative": -x.abs() - 1, "one giant channel": x}[kind]


def chosen(x: Tensor, method: str, preset: Preset = RASCH, model: nn.Module | None = None) -> InputRange:
    model = seeded(lambda: nn.Linear(16, 8)) if model is None else model
    return choose_input_ranges(model, preset, list(x.split(500)), seed=0, method=method)["(model)"]


def test_ranges_of_negative_inputs_are_those_of_positive_ones():
    for method in METHODS:
        up, down = chosen(inputs("positive"), method), chosen(inputs("negative"), method)
        assert up.value == pytest.approx(down.value)
        assert up.clipped == down.clipped
        assert up.codes_used == pytest.approx(down.codes_used)
        assert up.codes_used < 0.5, "half of the codes are of the other sign"


@pytest.mark.parametrize("kind", ["positive", "negative", "one giant channel"])
def test_each_method_takes_what_it_says(kind):
    x = inputs(kind)
    sizes = x.abs()
    assert chosen(x, "max").value == sizes.max().item()
    assert chosen(x, "percentile:100").value == sizes.max().item()
    percentile = chosen(x, "percentile:90")
    assert percentile.value == pytest.approx(torch.quantile(sizes.flatten(), 0.9).item(), rel=1e-5)
    assert percentile.clipped == pytest.approx(0.1, abs=1e-3)
    assert percentile.quantile == 0.9
    assert chosen(x, "std").value == pytest.approx(3 * x.std(correction=0).item(), rel=1e-5)
    best = chosen(x, "output_error")
    assert best.relative_error <= min(chosen(x, method).relative_error for method in ("max", "percentile:99.9"))


def test_share_of_codes_is_that_of_a_histogram():
    """Uniform inputs use all codes of their side, 2^entropy of them; of two values two."""
    uniform = torch.linspace(-1, 1, 32000).view(2000, 16)
    assert chosen(uniform, "max").codes_used == pytest.approx(1, abs=0.01)
    assert chosen(uniform.abs(), "max").codes_used == pytest.approx(0.5, abs=0.01)
    assert chosen(uniform.sign(), "max").codes_used == pytest.approx(2 / 255, rel=1e-3)
    continuous = without(RASCH, "DAC")
    assert chosen(uniform, "max", continuous).codes_used is None


def test_sample_does_not_grow_with_the_number_of_batches():
    x = torch.randn(5000, 600)
    use = Use(x, torch.empty(1, 8, 600), None, LINEAR, lambda y: y)
    sample = InputSample(600, x.device, seed=0, path="layer")
    sizes = []
    for _ in range(4):
        sample.add(dataclasses.replace(use, input=torch.randn(5000, 600)))
        held = (value for value in vars(sample).values() if isinstance(value, Tensor))
        sizes.append(sum(value.numel() for value in held))
    assert sizes == [sizes[0]] * 4
    assert sizes[0] < 2**19 + 4096
    assert sample.moments[0] == 4 * x.numel()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("percentil", "expected one of output_error, max, percentile.*, std.*did you mean 'percentile'"),
        ("percentile:0", "above 0 and at most 100, got 'percentile:0'"),
        ("percentile:100.1", "above 0 and at most 100"),
        ("percentile:nan", "above 0 and at most 100"),
        ("percentile:", "number after percentile:, such as 99.9"),
        ("max:3", "max takes no number"),
    ],
)
def test_unknown_methods_are_refused(text, problem):
    with pytest.raises(OptionError, match=problem):
        range_method(text)


# ADC ranges


def test_adjustable_adc_gets_the_range_with_the_smallest_error_and_tiles_have_it():
    """Inputs that nearly cancel leave most of a range of ten full products unused."""
    x = inputs("positive")
    model = seeded(lambda: nn.Linear(16, 8))
    fixed, best = chosen(x, "output_error", model=model), chosen(x, "output_error", adjustable(), model)
    assert fixed.adc_bound is None
    assert best.adc_bound in (10, 5, 2.5, 1.25)
    assert best.relative_error <= fixed.relative_error
    small = model.weight.data.fill_(0.01)
    small[:, 0] = 1  # one full weight a column: outputs far below ten
    assert chosen(x, "max", adjustable(), model).adc_bound < 10
    one = chosen(x, "max", adjustable(), model)
    device = SimulatedDevice(model, plan_conversion(model, adjustable()), input_ranges={"(model)": one})
    bounds = {tile.rpu_config.forward.out_bound for tile in matrices_of(device.network)["(model)"].tiles}
    assert bounds == {one.adc_bound}
    plan = with_input_ranges(plan_conversion(model, RASCH), {"(model)": one})
    assert plan.placements[0].preset is None or plan.placements[0].preset.periphery.adc_bound == 10


def test_fixed_adc_is_not_written_and_leaves_fingerprints_alone():
    stored = RASCH.model_dump(mode="json")
    assert "adc_range" not in stored["periphery"]
    mine = adjustable().model_dump(mode="json")
    assert mine["periphery"]["adc_range"] == "adjustable"
    assert parse_preset(mine, "here") == adjustable()
    assert parse_preset(stored, "here").fingerprint == RASCH.fingerprint
