"""Noise models from outside the package: a preset names them, the error budget silences them, a chip draws them."""

import copy
from typing import Literal

import pytest
import torch
from pydantic import Field
from torch import nn

from analog_samson import load_preset, simulate_drift
from analog_samson.chip.device import models
from analog_samson.chip.device.drift import aged_conductance, drift_parameters
from analog_samson.chip.device.stored_weight import weight_on_chip
from analog_samson.errors import OptionError, PresetError
from analog_samson.presets.ablation import without
from analog_samson.presets.fields import NonNegative, Positive, Section
from analog_samson.presets.noise_models import forget_section
from analog_samson.presets.schema import parse_preset


class UniformProgramming(Section):
    model: Literal["uniform"]
    half_width_microsiemens: NonNegative = Field(description="largest deviation")


class FastExponents(Section):
    model: Literal["fast"]
    t0_seconds: Positive = Field(description="first reading")
    nu: NonNegative = Field(description="exponent")


class ConstantRead(Section):
    model: Literal["constant"]
    sigma_microsiemens: NonNegative = Field(description="standard deviation")


@pytest.fixture
def registered():
    @models.programming_noise(UniformProgramming, strengths=("half_width_microsiemens",))
    def uniform(g_target, section, device, generator):
        draw = torch.rand(g_target.shape, generator=generator) * 2 - 1
        return (g_target + section.half_width_microsiemens * draw.to(g_target.device)).clamp(min=0)

    @models.drift_exponents(FastExponents, strengths=("nu",))
    def exponents(g_target, section, device):
        return section.nu, 0.0

    @models.read_noise(ConstantRead, strengths=("sigma_microsiemens",))
    def constant(g, g_programmed, section, device, t_seconds):
        return torch.full_like(g, section.sigma_microsiemens)

    stages = {"programming": UniformProgramming, "drift": FastExponents, "read": ConstantRead}
    yield stages
    for stage, kind in stages.items():
        forget_section(stage, kind)
        for table in (models.PROGRAMMING, models.EXPONENTS, models.READ):
            table.pop(kind, None)


def preset_with(**sections):
    plain = copy.deepcopy(load_preset("pcm_nandakumar_2019").model_dump(mode="json"))
    for name, section in sections.items():
        plain[name] = section
    return parse_preset(plain | {"name": "own"}, "own")


OWN = {
    "programming": {"model": "uniform", "half_width_microsiemens": 2.0},
    "drift": {"model": "fast", "t0_seconds": 1.0, "nu": 0.1},
    "read": {"model": "constant", "sigma_microsiemens": 0.5},
}


def test_models_from_outside_are_simulated_and_silenced(registered):
    preset = preset_with(**OWN)
    model, x = nn.Linear(8, 4), torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    data = [(x, model(x).argmax(1))]
    options = {"times": [1.0, 1e6], "instances": 2, "seed": 0}
    frame = simulate_drift(model, preset, data, **options).frame()
    errors = frame[frame.stage == "drift"].groupby("time_seconds").weight_error.mean()
    assert (errors > 0.01).all()
    silent = without(without(without(preset, "programming noise"), "drift"), "read noise")
    quiet = simulate_drift(model, silent, data, **options).frame()
    assert quiet[quiet.stage == "drift"].weight_error.abs().max() < 1e-6


def test_training_draws_the_same_models(registered):
    """Read noise on a device at zero is followed, although no model of the package has one."""
    preset = preset_with(**OWN)
    weight = torch.zeros(1, 20000)
    weight[0, 0] = 1.0
    noisy = weight_on_chip(weight, preset, t_seconds=1.0, generator=torch.Generator().manual_seed(0))
    assert noisy[0, 1:].std() > 0.5 / 25
    assert aged_conductance(
        torch.full((3,), 10.0),
        drift_parameters(torch.full((3,), 10.0), preset.drift, preset.device),
        preset.drift,
        load_preset("ideal").read,
        preset.device,
        999.0,
    ).tolist() == pytest.approx([10 * 1000**-0.1] * 3)


def test_a_section_that_does_not_fit_is_refused(registered):
    with pytest.raises(PresetError, match=r"programming\.model: expected one of .*'uniform'.*got 'unifrom'.*uniform"):
        preset_with(programming={"model": "unifrom"})
    with pytest.raises(PresetError, match=r"programming\.half_width_microsiemens: missing"):
        preset_with(programming={"model": "uniform"})
    with pytest.raises(OptionError, match="'uniform' is taken"):
        models.programming_noise(UniformProgramming, strengths=())(None)

    class Nameless(Section):
        sigma: float

    with pytest.raises(OptionError, match="expected a field model"):
        models.read_noise(Nameless, strengths=())(None)
    with pytest.raises(OptionError, match="no field 'sigma'"):
        models.read_noise(
            type("Other", (ConstantRead,), {"__annotations__": {"model": Literal["other"]}}), strengths=("sigma",)
        )(None)


def test_forgotten_models_are_unknown_again():
    with pytest.raises(PresetError, match="'uniform'"):
        preset_with(**OWN)
