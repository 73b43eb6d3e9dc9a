"""What users of aihwkit 1.1.0 run into, as docs/simulation.md states it; and that this package does otherwise.

A test that fails after an update of aihwkit means that the page has to be changed.
"""

import pickle

import pytest
import torch
from aihwkit.exceptions import ArgumentError, ConfigError
from aihwkit.inference.calibration import InputRangeCalibrationType, calibrate_input_ranges
from aihwkit.inference.compensation.drift import GlobalDriftCompensation
from aihwkit.inference.noise.pcm import PCMLikeNoiseModel
from aihwkit.inference.noise.reram import ReRamWan2022NoiseModel
from aihwkit.nn import AnalogLinear
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.nn.modules.base import AnalogLayerBase
from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
from aihwkit.simulator.parameters import IOParameters
from aihwkit.simulator.parameters.enums import BoundManagementType, NoiseManagementType, WeightNoiseType
from aihwkit.simulator.presets import StandardHWATrainingPreset
from torch import nn

from analog_samson import convert, load_checkpoint, load_preset, plan_conversion, rng
from analog_samson.chip.input_ranges import choose_input_ranges
from analog_samson.chip.matrix import matrices_of
from analog_samson.errors import CheckpointError
from analog_samson.presets import parse_preset

YEAR = 31536000.0


@pytest.fixture(autouse=True)
def own_stream():
    with rng.stream(0, "traps"):
        yield


def perfect(**options):
    return InferenceRPUConfig(forward=IOParameters(is_perfect=True), **options)


def pcm_layer(*, read=1.0, programming=1.0, rows=40, columns=30):
    """A programmed layer of aihwkit on its PCM model, uncompensated."""
    noise = PCMLikeNoiseModel(g_max=25.0, read_noise_scale=read, prog_noise_scale=programming)
    config = perfect(noise_model=noise, drift_compensation=None)
    layer = AnalogLinear(rows, columns, bias=False, rpu_config=config).eval()
    layer.program_analog_weights()
    return layer


def weights_after(layer, seconds):
    layer.drift_analog_weights(seconds)
    return layer.get_weights()[0].clone()


def analog_paths(model):
    """Layers on tiles, under all their names; the model itself is one of aihwkit's modules and does not count."""
    modules = model.named_modules(remove_duplicate=False)
    return {name for name, module in modules if name and isinstance(module, AnalogLayerBase)}


def changed(name, **sections):
    values = load_preset(name).model_dump(mode="json")
    for section, items in sections.items():
        values[section].update(items)
    return parse_preset(values, "changed")


def noisy_preset(**periphery):
    """Exact converters, with what is given switched on."""
    off = {"dac_bits": 0, "adc_bits": 0, "adc_bound": 1000.0, "ir_drop": 0.0, "read_noise": 0.0}
    off |= {"read_noise_kind": "none", "output_noise": 0.0}
    tile = {"weight_scaling": "per_layer", "max_rows": 0}
    return changed("pcm_rasch_2023", periphery=off | periphery, tile=tile)


@pytest.mark.compiled_tile
@torch.no_grad()
def test_noise_of_the_compiled_tile_ignores_the_seed():
    layer, x = nn.Linear(8, 4), torch.ones(5, 8)
    equal = {}
    for engine in ("fast", "aihwkit"):
        analog = convert(layer, noisy_preset(output_noise=0.1), engine=engine)
        outputs = []
        for _ in range(2):
            torch.manual_seed(3)
            outputs.append(analog(x))
        equal[engine] = torch.equal(*outputs)
    assert equal == {"fast": True, "aihwkit": False}


@pytest.mark.compiled_tile
@torch.no_grad()
def test_noise_of_the_compiled_tile_comes_from_a_table_of_32768_numbers():
    noise_only = IOParameters(
        inp_res=-1, out_res=-1, out_bound=0, out_noise=1.0,
        bound_management=BoundManagementType.NONE, noise_management=NoiseManagementType.NONE,
    )  # fmt: skip
    layer = AnalogLinear(1, 64, bias=False, rpu_config=InferenceRPUConfig(forward=noise_only)).eval()
    layer.set_weights(torch.zeros(64, 1))
    drawn = layer(torch.ones(20_000, 1)).flatten()
    assert 30_000 < len(drawn.unique()) <= 2**15
    assert 0.97 < drawn.std() < 1.03
    assert drawn.abs().max() < 6.5
    assert len(torch.randn(len(drawn)).unique()) > 10 * 2**15


def compensation_after_a_year(preset, engine):
    """The factor of a layer most of whose weights are far below the largest, as in trained layers."""
    layer = nn.Linear(256, 64, bias=False)
    layer.weight.data = torch.randn(64, 256, generator=rng.generator(0, "layer")) ** 3
    analog = convert(layer, preset, engine=engine)
    with rng.stream(0, "chip"):
        analog.program_analog_weights()
        analog.drift_analog_weights(YEAR)
    return float(next(iter(analog.analog_tiles())).alpha)


@pytest.mark.compiled_tile
def test_global_compensation_is_too_small_under_output_noise():
    noisy, exact = (
        [compensation_after_a_year(noisy_preset(output_noise=noise), engine) for engine in ("fast", "aihwkit")]
        for noise in (0.04, 0.0)
    )
    assert exact[0] == pytest.approx(exact[1], rel=1e-4)
    assert max(noisy) < 0.85 * min(exact)
    assert noisy[0] == pytest.approx(noisy[1], rel=0.05)


def test_global_compensation_when_readings_are_averaged_is_nearly_right():
    values = noisy_preset(output_noise=0.04).model_dump(mode="json")
    values["compensation"]["reads"] = 400
    averaged = compensation_after_a_year(parse_preset(values, "averaged"), "fast")
    assert averaged == pytest.approx(compensation_after_a_year(noisy_preset(), "fast"), rel=0.05)


@pytest.mark.compiled_tile
def test_time_counts_from_the_end_of_programming_and_is_added_to_t0():
    layer = pcm_layer(read=0.0, programming=0.0)
    programmed = layer.get_weights()[0].clone()
    assert torch.allclose(weights_after(layer, 0.0), programmed, rtol=1e-6)
    after_t0, after_3_t0 = (weights_after(layer, seconds) for seconds in (20.0, 60.0))
    big = programmed.abs() > 0.01
    exponents = [-torch.log(w / programmed)[big] / factor for w, factor in ((after_t0, 0.6931), (after_3_t0, 1.3863))]
    assert torch.allclose(*exponents, rtol=1e-3)  # g falls by 2^-nu after t0, by 4^-nu after 3 t0


@pytest.mark.compiled_tile
def test_drift_at_time_zero_still_reads():
    layer = pcm_layer()
    programmed = layer.get_weights()[0].clone()
    first, second = weights_after(layer, 0.0), weights_after(layer, 0.0)
    assert not torch.equal(first, programmed)
    assert not torch.equal(first, second)


@pytest.mark.compiled_tile
def test_drift_always_starts_from_the_programmed_weights():
    layer = pcm_layer(read=0.0)
    day = weights_after(layer, 86400.0)
    weights_after(layer, YEAR)
    assert torch.equal(weights_after(layer, 86400.0), day)


@pytest.mark.compiled_tile
def test_state_after_drift_does_not_load_into_a_fresh_model():
    digital = nn.Sequential(nn.Linear(4, 3))
    config = perfect(noise_model=PCMLikeNoiseModel(g_max=25.0), drift_compensation=GlobalDriftCompensation())
    analog = convert_to_analog(digital, config).eval()
    analog.program_analog_weights()
    analog.drift_analog_weights(3600.0)
    with pytest.raises(RuntimeError, match=r"alpha.*torch.Size\(\[\]\).*torch.Size\(\[1\]\)"):
        convert_to_analog(digital, config).load_state_dict(analog.state_dict())


@pytest.mark.compiled_tile
def test_state_of_an_analog_model_is_pickled_code(tmp_path):
    file = tmp_path / "analog.pt"
    torch.save(convert_to_analog(nn.Sequential(nn.Linear(4, 3)), perfect()).state_dict(), file)
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        torch.load(file, weights_only=True)
    with pytest.raises(CheckpointError, match=r"InferenceRPUConfig.*\n.*\n.*convert_to_digital\(model\)"):
        load_checkpoint(file)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.again = self.first

    def forward(self, x):
        return self.again(self.first(x))


class OwnLinear(nn.Linear):
    """A subclass that computes the same."""


@pytest.mark.compiled_tile
def test_conversion_when_a_layer_has_two_names_leaves_the_second_digital():
    assert analog_paths(convert_to_analog(Tied(), perfect())) == {"first"}
    analog = convert(Tied(), load_preset("ideal"))
    assert analog.first.weight is analog.again.weight
    assert list(matrices_of(analog)) == ["first"]


@pytest.mark.compiled_tile
@pytest.mark.parametrize(
    "layer",
    [OwnLinear(4, 4), nn.MultiheadAttention(4, 2), nn.ConvTranspose2d(4, 2, 3)],
    ids=["subclass", "attention", "transposed convolution"],
)
def test_conversion_leaves_layers_digital_without_a_word(layer):
    model = nn.Sequential(nn.Linear(4, 4), layer)
    assert analog_paths(convert_to_analog(model, perfect())) == {"0"}
    assert {row.action for row in plan_conversion(model, load_preset("ideal")).rows} == {"analog"}


@pytest.mark.parametrize(
    ("options", "message"), [({"groups": 4}, "one group"), ({"padding_mode": "circular"}, "padding mode")]
)
def test_conversion_when_groups_or_padding_mode_raises(options, message):
    layer = nn.Conv2d(4, 4, 3, **options)
    with pytest.raises(ValueError, match=message):
        convert_to_analog(nn.Sequential(layer), perfect())


@pytest.mark.compiled_tile
def test_conversion_when_padding_is_same_fails_at_the_first_forward():
    layer, x = nn.Sequential(nn.Conv2d(4, 4, 3, padding="same")), torch.randn(1, 4, 5, 5)
    analog = convert_to_analog(layer, perfect()).eval()
    with pytest.raises(TypeError, match="padding"):
        analog(x)
    assert torch.allclose(convert(layer, load_preset("ideal"))(x), layer(x), atol=1e-5)


@pytest.mark.compiled_tile
def test_converted_transformer_layer_fails_in_eval_mode():
    layer, x = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(), torch.randn(1, 3, 8)
    with pytest.raises(AttributeError, match="device"):
        convert_to_analog(layer, perfect()).eval()(x)
    assert torch.allclose(convert(layer, load_preset("ideal"))(x), layer(x), atol=1e-5)


@pytest.mark.compiled_tile
def test_two_models_of_one_class_name_share_a_forward():
    def make(factor):
        class Namesake(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(2, 2)

            def forward(self, x):
                return factor * self.layer(x)

        return Namesake().eval()

    digital, x = [make(1.0), make(2.0)], torch.ones(1, 2)
    theirs = [convert_to_analog(model, perfect()).eval() for model in digital]
    assert torch.allclose(theirs[1](x), digital[1](x) / 2, atol=1e-6)
    ours = [convert(model, load_preset("ideal")) for model in digital]
    assert all(torch.allclose(analog(x), model(x), atol=1e-6) for analog, model in zip(ours, digital, strict=True))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"w_noise": 0.1, "w_noise_type": WeightNoiseType.ADDITIVE_CONSTANT}, "w_noise not supported"),
        ({"ir_drop": 1.0}, "IR drop not supported"),
    ],
    ids=["weight noise", "ir drop"],
)
def test_torch_tile_refuses_options(option, message):
    with pytest.raises(ConfigError, match=message):
        AnalogLinear(4, 3, rpu_config=TorchInferenceRPUConfig(forward=IOParameters(**option)))


def test_pcm_model_when_a_reference_is_given_fails():
    model = PCMLikeNoiseModel(g_max=25.0, prog_coeff=[0.3, 2.0, -1.2], prog_coeff_g_max_reference=25.0)
    with pytest.raises(AttributeError, match="prog_coeff_g_max_reference"):
        model.apply_programming_noise(torch.rand(3, 3))


def test_reram_model_knows_three_times_only():
    model = ReRamWan2022NoiseModel()
    weights, parameters = model.apply_programming_noise(torch.rand(3, 3))
    for seconds in (1.0, 86400.0, 172800.0):
        model.apply_drift_noise(weights, parameters, seconds)
    for seconds in (3600.0, YEAR):
        with pytest.raises(ArgumentError, match="t_inference should be one of"):
            model.apply_drift_noise(weights, parameters, seconds)


@pytest.mark.compiled_tile
def test_calibration_takes_pairs_of_arguments_not_batches():
    model = convert_to_analog(nn.Sequential(nn.Linear(4, 3)), StandardHWATrainingPreset())
    with pytest.raises(ValueError, match="unpack"):
        calibrate_input_ranges(model, InputRangeCalibrationType.CACHE_QUANTILE, iter([torch.rand(500, 4)]))


@pytest.mark.compiled_tile
def test_calibration_takes_signed_quantiles_and_clips_negative_inputs():
    model, x = nn.Sequential(nn.Linear(4, 3)), torch.rand(500, 4) * 5
    ranges = {}
    for sign in (1, -1):
        theirs = convert_to_analog(model, StandardHWATrainingPreset())
        calibrate_input_ranges(
            theirs, InputRangeCalibrationType.CACHE_QUANTILE, iter([((sign * x,), {})]), quantile=0.99
        )
        preset = load_preset("pcm_rasch_2023")
        ours = choose_input_ranges(model, preset, [(sign * x, torch.zeros(500))], seed=0)
        ranges[sign] = [next(iter(theirs.analog_tiles())).input_range.item(), ours["0"].value]
    assert ranges[1][0] == pytest.approx(4.95, abs=0.05)
    assert ranges[-1][0] < 1  # of inputs down to -5
    assert min(ranges[1][1], ranges[-1][1]) > 3  # quantiles of the absolute inputs
