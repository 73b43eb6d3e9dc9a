"""Conversion and the two engines."""

import pytest
import torch
from aihwkit.nn import AnalogLinear
from networks import Block, FrozenNorm, Tied, seeded
from torch import nn

from analog_samson import rng
from analog_samson.chip.convert import convert
from analog_samson.chip.matrix import matrices_of
from analog_samson.chip.weight_error import weight_error
from analog_samson.crossbar.plan import crossbar_paths, plan_conversion
from analog_samson.errors import ModelError, OptionError, PlanError
from analog_samson.presets.search import load_preset
from analog_samson.sharpness.measure import measure_sharpness
from analog_samson.simulation.drift import simulate_drift
from analog_samson.simulation.gaussian import sweep_conductance_noise

IDEAL, PCM = load_preset("ideal"), load_preset("pcm_nandakumar_2019")
YEAR = 31536000.0


@pytest.fixture
def images():
    return torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("engine", ["fast", "aihwkit"])
def test_convert_when_ideal_equals_the_digital_model(engine, images):
    model = seeded(Block)
    analog = convert(model, IDEAL, engine=engine)
    analog.program_analog_weights()
    analog.drift_analog_weights(YEAR)
    torch.testing.assert_close(analog(images), model(images), rtol=1e-4, atol=1e-5)


def test_convert_when_called_leaves_the_model_alone(images):
    model = seeded(Block).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    convert(model, PCM)
    assert model.training
    assert type(model.plain) is nn.Conv2d
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.compiled_tile
@pytest.mark.parametrize("time", [0.0, 1.0, YEAR])
def test_engines_when_programmed_by_one_stream_agree(time, images):
    outputs = []
    for engine in ("fast", "aihwkit"):
        analog = convert(seeded(Block), PCM, engine=engine)
        with rng.stream(3, "chip"):
            analog.program_analog_weights()
            if time:
                analog.drift_analog_weights(time)
        outputs.append(analog(images))
    assert (outputs[0] - outputs[1]).abs().max() <= 1e-4 * outputs[1].abs().max()


LAYERS = {
    "Linear": (lambda: nn.Linear(10, 3), (5, 10)),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (5, 4, 9)),
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), (5, 4, 9, 9)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 3, padding=1), (2, 2, 4, 4, 4)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 4, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_when_row_limited_multiply_by_the_tiles_weights(name):
    """Each layer type alone, its rows split over tiles, against the layer with the stored weights put back."""
    preset = PCM.model_copy(update={"tile": PCM.tile.model_copy(update={"max_rows": 7, "max_columns": 2})})
    build, shape = LAYERS[name]
    digital = build()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    analog = convert(digital, preset)
    with rng.stream(0, "chip"):
        analog.program_analog_weights()
        analog.drift_analog_weights(YEAR)
    output = analog(x)
    assert not torch.allclose(output, digital(x), rtol=1e-2)
    digital.weight.copy_(matrices_of(analog)["(model)"].values())
    torch.testing.assert_close(output, digital(x))


def test_convert_when_layer_is_tied_programs_it_once():
    analog = convert(seeded(Tied), PCM)
    assert analog.first is analog.again
    assert len(list(analog.analog_tiles())) == 2


def test_convert_when_two_classes_share_a_name_runs_each_ones_own_forward():
    def build(factor):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(2, 2, bias=False)

            def forward(self, x):
                return factor * self.layer(x)

        return Net()

    x = torch.ones(1, 2)
    for factor in (1.0, 10.0):
        model = build(factor)
        torch.testing.assert_close(convert(model, IDEAL)(x), model(x))


def test_convert_when_transformer_layer_runs_in_eval_mode():
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    x = torch.randn(2, 5, 8)
    analog = convert(model, IDEAL)
    assert len(matrices_of(analog)) == 8
    torch.testing.assert_close(analog(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.compiled_tile
def test_convert_when_model_is_one_layer_keeps_its_type_and_engine_aihwkit_gives_its_own():
    assert type(convert(nn.Linear(3, 2), IDEAL)) is nn.Linear
    assert isinstance(convert(nn.Linear(3, 2), IDEAL, engine="aihwkit"), AnalogLinear)


def test_convert_when_kept_digital_stays_digital():
    analog = convert(seeded(Block), PCM, keep_digital=["head", "line"])
    assert type(analog.head) is nn.Linear
    assert type(analog.line) is nn.Conv1d


def test_convert_when_weights_are_not_finite_names_every_tensor():
    model = seeded(Block)
    model.plain.weight[0, 0, 0, 0] = float("nan")
    model.head.bias[1] = float("inf")
    with pytest.raises(PlanError) as caught:
        convert(model, PCM)
    assert str(caught.value) == (
        "weights to be programmed: 2 problems\n"
        "  plain.weight: 1 of 288 values are NaN or infinite\n"
        "  head.bias: 1 of 5 values are NaN or infinite"
    )


def test_convert_when_engine_is_unknown_names_the_engines():
    with pytest.raises(OptionError, match="engine 'fasst': expected one of fast, aihwkit; did you mean 'fast'"):
        convert(nn.Linear(2, 2), IDEAL, engine="fasst")


@pytest.mark.compiled_tile
def test_network_that_aihwkit_has_converted_is_refused_by_its_layer_with_the_way_back():
    analog = nn.Sequential(nn.Linear(3, 2), AnalogLinear(2, 2))
    for refused in (lambda: plan_conversion(analog, IDEAL), lambda: convert(analog, IDEAL)):
        with pytest.raises(
            PlanError, match=r"^1: AnalogLinear of aihwkit; expected the digital network.*convert_to_digital"
        ):
            refused()


@pytest.mark.compiled_tile
@pytest.mark.parametrize("layer", [nn.Conv1d(3, 2, 3), nn.Conv3d(3, 2, 2, groups=1)], ids=["1d", "3d"])
def test_convert_when_aihwkit_cannot_divide_the_layer_says_so(layer):
    model, limited = nn.Sequential(nn.Linear(4, 4), layer), load_preset("pcm_rasch_2023")
    with pytest.raises(PlanError, match=r'use engine "fast": 1 problem\n  1 \(Conv[13]d\): aihwkit cannot divide it'):
        convert(model, limited, engine="aihwkit")
    convert(model, limited, engine="aihwkit", keep_digital=["1"])
    convert(model, limited)
    convert(model, IDEAL, engine="aihwkit")


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), "circular"),
        (nn.Conv2d(2, 2, 4, padding="same"), "even kernel"),
        (nn.Conv1d(2, 2, 3, dilation=2), "dilation"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), "computed anew"),
        (type("Mine", (nn.Linear,), {})(2, 2), "Linear, Conv1d, Conv2d, Conv3d only"),
    ],
)
def test_convert_when_aihwkit_has_no_such_layer_says_why_and_engine_fast_takes_it(layer, words):
    model = nn.Sequential(layer, nn.Linear(1, 1))
    with pytest.raises(PlanError, match='use engine "fast"') as caught:
        convert(model, IDEAL, engine="aihwkit")
    assert words in str(caught.value).splitlines()[1]
    convert(model, IDEAL)


def test_convert_when_plan_and_exclusions_are_given_is_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(OptionError, match="have no effect on a finished plan"):
        convert(model, IDEAL, plan=plan_conversion(model, IDEAL), keep_digital=["0"])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # of the digital network
def test_convert_when_transformer_gets_a_padding_mask_equals_the_digital_one():
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    mask, x = torch.zeros(2, 5, dtype=torch.bool), torch.randn(2, 5, 8)
    mask[0, 3:] = True
    with torch.no_grad():
        got, expected = (net(x, src_key_padding_mask=mask) for net in (convert(encoder, IDEAL), encoder))
    torch.testing.assert_close(got[~mask], expected[~mask], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("engine", ["fast", "aihwkit"])
@pytest.mark.parametrize("preset", ["pcm_nandakumar_2019", "pcm_rasch_2023"])
def test_layers_take_an_empty_batch_and_single_samples(preset, engine):
    convolution, linear = (
        convert(layer, load_preset(preset), engine=engine) for layer in (nn.Conv2d(4, 5, 3), nn.Linear(4, 3))
    )
    with torch.no_grad():
        assert convolution(torch.rand(4, 6, 6)).shape == (5, 4, 4)
        assert linear(torch.rand(4)).shape == (3,)
        assert linear(torch.rand(0, 4)).shape == (0, 3)
        assert linear(torch.rand(2, 0, 4)).shape == (2, 0, 3)


def test_convert_when_plan_is_given_acts_on_it_alone():
    model = seeded(Block)
    plan = plan_conversion(model, IDEAL, keep_digital=["plain"])
    assert type(convert(model, IDEAL, plan=plan).plain) is nn.Conv2d


def test_weight_error_when_ideal_is_zero_and_grows_with_time_on_pcm():
    ideal, pcm = convert(seeded(Block), IDEAL), convert(seeded(Block), PCM)
    ideal.program_analog_weights()
    assert weight_error(ideal) < 1e-6
    with rng.stream(0, "chip"):
        pcm.program_analog_weights()
        programmed = weight_error(pcm)
        pcm.drift_analog_weights(YEAR)
    assert 0.02 < programmed < weight_error(pcm) < 1


def test_weight_error_when_weights_are_scaled_ignores_the_scale():
    layer = convert(nn.Linear(20, 20), IDEAL)
    layer.program_analog_weights()
    tile = next(layer.analog_tiles())
    tile.tile.set_weights(tile.tile.get_weights() * 0.3)
    assert weight_error(layer) < 1e-6


@pytest.mark.gpu
def test_engines_when_on_cuda_agree_with_the_cpu(images):
    model = seeded(Block)
    outputs = []
    for device in ("cpu", "cuda"):
        analog = convert(model.to(device), PCM)
        with rng.stream(3, "chip"):
            analog.program_analog_weights()
            analog.drift_analog_weights(YEAR)
        outputs.append(analog(images.to(device)).cpu())
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-4)


def test_network_whose_train_returns_nothing_is_converted_simulated_and_measured():
    model = FrozenNorm()
    data = [(torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3)]
    plan = plan_conversion(model, IDEAL, input_shape=(4,))
    analog = convert(model, IDEAL, plan=plan)
    analog.program_analog_weights()
    model.eval()
    torch.testing.assert_close(analog(data[0][0]), model(data[0][0]), rtol=1e-4, atol=1e-5)
    assert simulate_drift(model, PCM, data, times=[1.0], instances=1, seed=0, adabs=True, calibration=data).records
    with torch.enable_grad():
        assert measure_sharpness(model, data).value >= 0


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_layer_without_inputs_or_outputs_stays_digital_and_is_named():
    class Empty(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.whole, self.no_inputs, self.no_outputs = nn.Linear(4, 3), nn.Linear(0, 3), nn.Linear(4, 0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.whole(x) + self.no_inputs(x[:, :0]) + self.no_outputs(x).sum(1, keepdim=True)

    model, x = Empty(), torch.ones(2, 4)
    row = next(row for row in plan_conversion(model, IDEAL).rows if row.path == "no_inputs")
    assert (row.action, row.reason) == ("digital", "has no weights: no inputs or no outputs")
    analog = convert(model, IDEAL)
    assert list(matrices_of(analog)) == ["whole"]
    assert torch.allclose(analog(x), model(x), atol=1e-6)


def test_complex_weights_are_refused_unless_kept_digital():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, dtype=torch.complex64))
    for act in (lambda: convert(model, IDEAL), lambda: crossbar_paths(model)):
        with pytest.raises(PlanError, match=r"1 \(Linear\): its weights are complex.*keep_digital '1'"):
            act()
    assert convert(model, IDEAL, keep_digital=["1"])[1].weight.is_complex()


def test_weights_without_values_are_refused():
    model = nn.Sequential(nn.Linear(4, 3)).to("meta")
    with pytest.raises(ModelError, match=r"0\.weight: on the meta device, without values"):
        convert(model, IDEAL)
    data = [(torch.ones(2, 4), torch.arange(2))]
    with pytest.raises(ModelError, match="meta device"):
        simulate_drift(model, IDEAL, data, times=[1.0], instances=1, seed=0)
    with pytest.raises(ModelError, match="meta device"):
        sweep_conductance_noise(model, data, sigmas=[0.1], instances=1, seed=0)
