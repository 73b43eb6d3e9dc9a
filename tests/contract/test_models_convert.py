"""What every named network keeps to: it is planned, converted and simulated like any other."""

import pytest
import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.chip.batchnorm import adapt_batchnorm, batchnorm_layers
from analog_samson.chip.convert import convert
from analog_samson.crossbar.plan import plan_conversion
from analog_samson.crossbar.registry import RULES
from analog_samson.models.build import build_model
from analog_samson.models.registry import MODELS
from analog_samson.presets.search import load_preset

IDEAL, PCM, RASCH = (load_preset(name) for name in ("ideal", "pcm_nandakumar_2019", "pcm_rasch_2023"))
YEAR = 31536000.0


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def build(name: str) -> nn.Module:
    """With batch-norm statistics of the test images: otherwise the signal of fresh weights fades with the depth."""
    with rng.stream(0, "initial weights"):
        model = build_model(name).eval()
    if batchnorm_layers(model):
        adapt_batchnorm(model, [images(name)])
    return model


def images(name: str, side: int | None = None) -> Tensor:
    side = side or (8 if name == "digits_cnn" else 32)
    shape = (2, MODELS[name].in_channels, side, side)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def largest_difference(first: Tensor, second: Tensor) -> float:
    """In units of the largest number of `second`."""
    return ((first - second).abs().max() / second.abs().max()).item()


@pytest.mark.parametrize("name", MODELS)
def test_network_when_planned_puts_every_convolution_and_linear_layer_on_tiles(name):
    model = build(name)
    plan = plan_conversion(model, RASCH, input_shape=images(name).shape[1:])
    plan.check()
    analog = {row.path for row in plan.with_action("analog")}
    assert analog == {path for path, module in model.named_modules() if type(module) in RULES}
    summary = plan.summary()
    assert summary.analog_macs_percent == 100
    assert summary.macs > 0
    assert summary.analog_parameters_percent > 90
    assert 0 < summary.utilisation_percent <= 100
    assert summary.devices <= 2 * summary.parameters


@pytest.mark.parametrize("name", MODELS)
def test_network_when_converted_is_itself_on_ideal_hardware_and_another_after_drift(name):
    model, x = build(name), images(name)
    digital = model(x)
    assert largest_difference(digital[0], digital[1]) > 0.1
    ideal = convert(model, IDEAL)
    ideal.program_analog_weights()
    assert largest_difference(ideal(x), digital) < 1e-4
    pcm = convert(model, PCM)
    with rng.stream(0, "chip"):
        pcm.program_analog_weights()
        programmed = pcm(x)
        pcm.drift_analog_weights(YEAR)
    drifted = pcm(x)
    assert programmed.isfinite().all()
    assert drifted.isfinite().all()
    assert largest_difference(programmed, digital) > 1e-3
    assert largest_difference(drifted, programmed) > 1e-3


@pytest.mark.compiled_tile
def test_engines_when_network_has_depthwise_convolutions_agree():
    model, x = build("mobilenetv2_cifar"), images("mobilenetv2_cifar", side=8)
    outputs = []
    for engine in ("fast", "aihwkit"):
        analog = convert(model, PCM, engine=engine)
        with rng.stream(3, "chip"):
            analog.program_analog_weights()
            analog.drift_analog_weights(YEAR)
        outputs.append(analog(x))
    assert largest_difference(*outputs) < 1e-4


def test_hardware_when_network_has_depthwise_convolutions_shows_what_they_leave_empty():
    """A filter of 9 rows and one column of its own: 56 share a tile of 512 rows, and fill 9 of 512 cells a column."""
    plan = plan_conversion(build("mobilenetv2_cifar"), RASCH, input_shape=(3, 32, 32))
    depthwise = [row for row in plan.rows if row.layer_type == "Conv2d" and row.rows == 9 * row.columns]
    assert len(depthwise) == 17
    assert all(row.tiles == -(-row.columns // 56) and row.cells == 512 * row.columns for row in depthwise)
    assert sum(row.tiles for row in depthwise) > plan.summary().tiles / 2
    assert 20 < plan.summary().utilisation_percent < 30
