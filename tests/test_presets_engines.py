"""Every built-in preset through both engines and through a simulation, at times its source has never seen."""

import math

import pytest
import torch
from networks import Block, seeded
from torch import nn

from analog_samson import rng
from analog_samson.chip.convert import convert
from analog_samson.chip.input_ranges import choose_input_ranges, needs_calibration, set_input_ranges
from analog_samson.crossbar.plan import plan_conversion
from analog_samson.presets import list_presets, load_preset
from analog_samson.simulation.drift import simulate_drift

NAMES = [preset.name for preset in list_presets()]
TIMES = (0.5, 1.0, 3600.0, 86400.0, 31536000.0)


@pytest.fixture(scope="module")
def images():
    return torch.randn(12, 4, 6, 6, generator=rng.generator(0, "images"))


def plain():
    """aihwkit's own forward of 1-d and 3-d convolutions knows neither split tiles nor factors by column."""
    layers = [nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=4), nn.Flatten(), nn.Linear(48, 5)]
    return nn.Sequential(*layers)


def programmed(preset, engine, images):
    model = seeded(plain)
    analog = convert(model, preset, engine=engine)
    if needs_calibration(preset):
        ranges = choose_input_ranges(model, preset, [(images, images)], seed=0)
        set_input_ranges(analog, {path: chosen.value for path, chosen in ranges.items()})
    with rng.stream(0, "program"):
        analog.program_analog_weights()
    return analog


def stored(analog):
    """Weights as the tiles hold them, before scales and compensation."""
    return [torch.as_tensor(tile.tile.get_weights()).cpu() for tile in analog.analog_tiles()]


@pytest.mark.compiled_tile
@pytest.mark.parametrize("name", NAMES)
def test_preset_when_run_by_both_engines_stores_and_answers_alike(name, images):
    preset = load_preset(name)
    fast, compiled = (programmed(preset, engine, images) for engine in ("fast", "aihwkit"))
    for place, t in enumerate((None, *TIMES)):
        for analog in (fast, compiled) if t is not None else ():
            with rng.stream(0, "drift", place):
                analog.drift_analog_weights(t)
        with torch.no_grad():
            ours, theirs = fast(images), compiled(images)
        assert torch.isfinite(ours).all()
        assert torch.isfinite(theirs).all()
        for one, other in zip(stored(fast), stored(compiled), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
        if preset.periphery.model == "perfect":
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore::analog_samson.errors.InputRangeWarning")  # of untrained layers
@pytest.mark.parametrize("name", NAMES)
def test_preset_when_simulated_gives_a_record_at_every_time(name, images):
    model = seeded(Block)
    with torch.no_grad():
        data = [(images, model(images).argmax(1))]
    result = simulate_drift(model, load_preset(name), data, times=TIMES, instances=2, seed=0, calibration=data)
    drift = [r for r in result.records if r.stage == "drift" and r.metric == "weight_error"]
    assert sorted((r.instance, r.time_seconds) for r in drift) == [(i, t) for i in range(2) for t in TIMES]
    assert all(math.isfinite(r.value) for r in result.records)


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("pcm_joshi_2020", 2),
        ("pcm_nandakumar_2019_two_pairs", 4),
        ("pcm_mackin_2022_two_pairs", 4),
        ("pcm_nandakumar_2019_four_pairs", 8),
        ("reram_cmo_2024_accept_2", 1),
    ],
)
def test_plan_when_weights_have_several_devices_counts_them(name, devices):
    plan = plan_conversion(seeded(Block), load_preset(name))
    rows = [row for row in plan.rows if row.devices]
    assert rows
    assert all(row.devices == devices * row.weights for row in rows)


def test_weight_error_when_more_devices_hold_a_weight_falls(images):
    model = seeded(Block)
    with torch.no_grad():
        data = [(images, model(images).argmax(1))]

    def error(name):
        result = simulate_drift(model, load_preset(name), data, times=[86400.0], instances=3, seed=0)
        return sum(r.value for r in result.records if r.stage == "drift" and r.metric == "weight_error") / 3

    one, two, four = (error(f"pcm_nandakumar_2019{pairs}") for pairs in ("", "_two_pairs", "_four_pairs"))
    assert two / one == pytest.approx(2**-0.5, rel=0.12)
    assert four / one == pytest.approx(0.5, rel=0.12)
