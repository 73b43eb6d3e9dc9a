"""Drift compensation from a noisy reading: how much it is off, and what averaging readings mends."""

import copy

import pytest
import torch
from aihwkit.inference.compensation.drift import GlobalDriftCompensation, PerColumnDriftCompensation
from device_cases import changed
from torch import nn

from analog_samson import rng
from analog_samson.chip.compensation import compensation, reads_of
from analog_samson.chip.convert import convert
from analog_samson.chip.tile import mean_reading
from analog_samson.presets import load_preset

YEAR = 31536000.0


def layer():
    linear = nn.Linear(400, 48, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(48, 400, generator=rng.generator(0, "weight")))
    return linear


def factor_over_ideal(preset, engine="fast", instance=0):
    """The factor after a year, over the one that exact readings of the same weights would give."""
    analog = convert(layer(), preset, engine=engine)
    with rng.stream(0, "chip", instance):
        analog.program_analog_weights()
        (tile,) = analog.analog_tiles()
        before = torch.as_tensor(tile.tile.get_weights()).abs()
        analog.drift_analog_weights(YEAR)
    now = torch.as_tensor(tile.tile.get_weights()).abs()
    dims = 1 if preset.compensation.kind == "per_column" else (0, 1)
    return (tile.alpha / (before.mean(dims) / now.mean(dims))).mean().item()


@pytest.mark.parametrize("engine", ["fast", "aihwkit"])
def test_compensation_when_one_noisy_reading_is_taken_falls_short(engine):
    # Output noise of half a step of the ADC: measured 0.974, +- 0.004 from chip to chip.
    assert factor_over_ideal(load_preset("pcm_rasch_2023"), engine) == pytest.approx(0.974, abs=0.015)


@pytest.mark.parametrize("engine", ["fast", "aihwkit"])
def test_compensation_when_readings_are_averaged_is_the_ideal_one(engine):
    preset = load_preset("pcm_rasch_2023_averaged_readout")
    assert preset.compensation.reads == 16
    assert factor_over_ideal(preset, engine) == pytest.approx(0.995, abs=0.006)


@pytest.mark.parametrize("kind", ["global", "per_column"])
def test_compensation_when_more_readings_are_averaged_comes_closer(kind):
    ratios = [
        factor_over_ideal(changed("pcm_rasch_2023", compensation={"kind": kind, "reads": reads}))
        for reads in (1, 4, 64)
    ]
    assert ratios == sorted(ratios)
    assert ratios[0] < 0.985
    assert ratios[2] == pytest.approx(1.0, abs=0.004)


@pytest.mark.parametrize("engine", ["fast", "aihwkit"])
@pytest.mark.parametrize("kind", ["global", "per_column"])
def test_compensation_when_products_are_exact_is_exact_from_one_reading(engine, kind):
    for reads in (1, 5):
        preset = changed("pcm_nandakumar_2019", compensation={"kind": kind, "reads": reads})
        assert factor_over_ideal(preset, engine) == pytest.approx(1.0, abs=1e-6)


def test_compensation_when_one_reading_is_asked_for_is_aihwkits_own():
    kinds = {"none": type(None), "global": GlobalDriftCompensation, "per_column": PerColumnDriftCompensation}
    for kind, expected in kinds.items():
        chosen = compensation(changed("ideal", compensation={"kind": kind, "reads": 1}).compensation)
        assert type(chosen) is expected
        assert reads_of(chosen) == 1
        averaged = compensation(changed("ideal", compensation={"kind": kind, "reads": 7}).compensation)
        assert isinstance(averaged, expected)
        assert reads_of(averaged) == (1 if kind == "none" else 7)


def test_reading_when_taken_leaves_the_stream_alone_and_repeats():
    """Two presets that differ in what is read program the same devices (paired comparison)."""
    held = []
    network = nn.Sequential(layer(), nn.Linear(48, 5))
    for change in ({"reads": 1}, {"reads": 16}, {"kind": "none"}):
        analog = convert(network, changed("pcm_rasch_2023", compensation=change))
        for _ in range(2):
            with rng.stream(0, "chip"):
                analog.program_analog_weights()
                analog.drift_analog_weights(YEAR)
            tiles = list(analog.analog_tiles())
            held.append(([tile.tile.weight.clone() for tile in tiles], [tile.alpha.item() for tile in tiles]))
    for weights, _ in held[1:]:
        assert all(torch.equal(*pair) for pair in zip(weights, held[0][0], strict=True))
    assert held[0][1] == held[1][1] != held[2][1] == held[3][1]


def test_mean_reading_when_given_several_is_their_mean():
    values = iter([torch.tensor(1.0), torch.tensor(2.0), torch.tensor(6.0)])
    assert mean_reading(lambda: next(values), 3).item() == 3.0


def test_compensation_when_copied_or_compared_keeps_its_readings():
    chosen = compensation(load_preset("pcm_rasch_2023_averaged_readout").compensation)
    assert reads_of(copy.deepcopy(chosen)) == 16
