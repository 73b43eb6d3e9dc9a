"""Input channels divided by powers of two against their weights: exact, folded into norms, and good for the DAC."""

import pytest
import torch
from networks import Block, seeded
from torch import Tensor, nn

from analog_samson import load_preset, plan_conversion, simulate_drift
from analog_samson.chip.convert import convert
from analog_samson.chip.input_range import with_input_ranges
from analog_samson.chip.input_ranges import choose_input_ranges, set_input_ranges
from analog_samson.chip.matrix import matrices_of
from analog_samson.errors import OptionError, PlanError
from analog_samson.presets.ablation import only, without
from analog_samson.presets.schema import Preset
from analog_samson.simulation.device import SimulatedDevice

RASCH = load_preset("pcm_rasch_2023")


def exact_converters() -> Preset:
    """The preset with nothing but clipping; the DAC is continuous."""
    return only(RASCH, "input clipping").model_copy(
        update={"compensation": RASCH.compensation.model_copy(update={"kind": "none"})}
    )


def uneven_images() -> list[Tensor]:
    sizes = torch.tensor([100.0, 1.0, 7.0, 0.02]).view(1, 4, 1, 1)
    return [torch.randn(12, 4, 6, 6, generator=torch.Generator().manual_seed(0)) * sizes]


def outputs(model: nn.Module, preset: Preset, batches: list[Tensor], scaling: str) -> tuple[Tensor, dict]:
    """What a chip as programmed answers to the first batch, with the largest inputs as ranges."""
    ranges = choose_input_ranges(model, preset, batches, seed=0, method="max", scaling=scaling)
    plan = plan_conversion(model, preset)
    network = convert(model, preset, plan=(placed := with_input_ranges(plan, ranges)))
    set_input_ranges(network, ranges)
    network.program_analog_weights()
    assert placed.preset == plan.preset
    return network(batches[0]), ranges


def test_rescaling_changes_no_product_of_any_layer_type():
    """Linear, grouped and depthwise convolutions of every dimension, split over tiles; only rounding is left."""
    model, preset = seeded(Block), exact_converters()
    preset = preset.model_copy(update={"tile": preset.tile.model_copy(update={"max_rows": 20, "max_columns": 5})})
    with torch.no_grad():
        digital = model.eval()(uneven_images()[0])
    scaled, ranges = outputs(model, preset, uneven_images(), "smooth:1")
    assert sum(any(one.exponents) for one in ranges.values()) >= 5
    assert torch.allclose(scaled, digital, rtol=1e-4, atol=1e-4 * float(digital.abs().max()))


def test_weights_on_rescaled_tiles_read_back_as_the_network_has_them():
    model, preset = seeded(Block), exact_converters()
    ranges = choose_input_ranges(model, preset, uneven_images(), seed=0, scaling="smooth")
    network = convert(model, preset, plan=with_input_ranges(plan_conversion(model, preset), ranges))
    network.program_analog_weights()
    for path, matrix in matrices_of(network).items():
        weight = model.get_submodule(path).weight.detach()
        assert torch.allclose(matrix.values(), weight, atol=1e-6 * float(weight.abs().max())), path
        assert torch.allclose(matrix.layout.to_weight(matrix.target(), weight.shape), weight, atol=1e-6), path


def uneven_layer() -> tuple[nn.Module, list[Tensor]]:
    """Features of very different size and weights that make up for it, as a keyword transformer's input layer has."""
    sizes = torch.tensor([300.0, *[5.0] * 15])
    model = seeded(lambda: nn.Linear(16, 8))
    model.weight.data /= sizes
    return model, [torch.randn(400, 16, generator=torch.Generator().manual_seed(1)) * sizes]


def test_rescaling_lets_features_of_very_different_size_through_one_range():
    model, batches = uneven_layer()
    preset = only(RASCH, "DAC")
    errors = [
        choose_input_ranges(model, preset, batches, seed=0, scaling=scaling)["(model)"].relative_error
        for scaling in ("none", "smooth", "smooth:1")
    ]
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[0] / 3


class Normed(nn.Module):
    """Convolutions behind norms: one alone, two that share one, one whose norm is read elsewhere too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.left, self.right = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1)
        self.norm2, self.third = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.first(x)))
        z = self.norm2(self.left(y) + self.right(y))
        return self.third(z) + z


def test_division_is_folded_into_a_norm_only_where_weights_alone_read_it():
    model = seeded(Normed)
    model.norm1.weight.data = torch.tensor([50.0, 1.0, 0.1, 3.0])
    model.norm2.weight.data = torch.tensor([50.0, 1.0, 0.1])
    batches = uneven_images()
    ranges = choose_input_ranges(model, RASCH, batches, seed=0, scaling="smooth")
    assert {path: one.folded_into for path, one in ranges.items()} == {
        "first": "",
        "left": "norm1",
        "right": "norm1",
        "third": "",
    }
    assert ranges["left"].exponents == ranges["right"].exponents
    assert ranges["left"].multiplications == 0
    assert ranges["first"].multiplications == 4 * 6 * 6
    assert ranges["third"].multiplications == 3 * 6 * 6
    rows = {row.path: row.reason for row in with_input_ranges(plan_conversion(model, RASCH), ranges).rows}
    assert rows["left"] == "inputs rescaled in norm1"
    assert "144 multiplications a sample" in rows["first"]


def test_attention_takes_rescaled_inputs_in_its_packed_weight():
    model, preset = seeded(lambda: nn.MultiheadAttention(8, 2, batch_first=True)).eval(), exact_converters()
    x = torch.randn(5, 7, 8) * torch.tensor([50.0, *[1.0] * 7])

    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = model

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    network = SelfAttention()
    plan = plan_conversion(network, preset, example=x)
    ranges = choose_input_ranges(network, preset, [x], seed=0, method="max", scaling="smooth", plan=plan)
    assert any(ranges["attention.in_proj_weight"].exponents)
    device = SimulatedDevice(network, plan, input_ranges=ranges)
    device.program(0, 0)
    with torch.no_grad():
        assert torch.allclose(device.network(x), network(x), rtol=1e-3, atol=1e-3)


def test_channels_without_inputs_and_weights_of_zero_are_left_alone():
    model = seeded(lambda: nn.Linear(4, 3))
    model.weight.data[:, 3] = 0
    x = torch.randn(50, 4) * torch.tensor([1.0, 0.0, 30.0, 1000.0])
    one = choose_input_ranges(model, RASCH, [x], seed=0, scaling="smooth:1", method="max")["(model)"]
    assert one.exponents[1] == 0
    assert one.value <= 2 * x[:, 2].abs().max()
    assert one.relative_error < 0.5


def test_ranges_of_rescaled_inputs_are_refused_on_a_network_without_them():
    model, batches = uneven_layer()
    ranges = choose_input_ranges(model, RASCH, batches, seed=0, scaling="smooth")
    with pytest.raises(OptionError, match="with_input_ranges"):
        set_input_ranges(convert(model, RASCH), ranges)
    plan = with_input_ranges(plan_conversion(model, RASCH), ranges)
    with pytest.raises(PlanError, match="inputs are rescaled"):
        SimulatedDevice(model, plan, input_ranges=ranges, engine="aihwkit")


def test_simulation_rescales_and_gives_back_ranges_that_repeat_it():
    model, (x,) = uneven_layer()
    data = [(x, torch.zeros(len(x), dtype=torch.long))]
    given = {"times": [1.0], "instances": 1, "seed": 0, "calibration": data}
    first = simulate_drift(model, RASCH, data, input_scaling="smooth:1", **given)
    again = simulate_drift(model, RASCH, data, input_range=first.input_ranges, **given)
    assert first.input_ranges["(model)"].exponents[0] > 0
    assert first.records == again.records
    with pytest.raises(OptionError, match="input_scaling: has no effect on given ranges"):
        simulate_drift(model, RASCH, data, input_range=first.input_ranges, input_scaling="smooth", **given)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("smoth", "expected one of none, smooth.*did you mean 'smooth'"),
        ("smooth:2", "alpha of 0 to 1, got 'smooth:2'"),
        ("smooth:x", "number after smooth:"),
        ("none:1", "none takes no number"),
    ],
)
def test_unknown_scaling_is_refused(text, problem):
    model, batches = uneven_layer()
    with pytest.raises(OptionError, match=f"input_scaling: .*{problem}"):
        choose_input_ranges(model, RASCH, batches, seed=0, scaling=text)


def test_exact_inputs_are_what_no_range_can_give():
    """Without DAC and clipping, and nothing else in the preset, the product is exact at any range."""
    model, batches = uneven_layer()
    preset = only(without(RASCH, "DAC"), "input clipping")
    ranges = {"(model)": choose_input_ranges(model, preset, batches, seed=0, method="percentile:50")["(model)"]}
    digital = model(batches[0])
    device = SimulatedDevice(model, plan_conversion(model, preset), input_ranges=ranges)
    device.program(0, 0)
    clipped = device.network(batches[0])
    set_input_ranges(device.network, {"(model)": ranges["(model)"].__class__(ranges["(model)"].value, exact=True)})
    assert not torch.allclose(clipped, digital, atol=0.1)
    assert torch.allclose(device.network(batches[0]), digital, atol=1e-3)
