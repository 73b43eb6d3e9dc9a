"""Every number of a built-in preset matters: changed by a tenth, it changes what is simulated.

The numbers that do not are listed with the reason, and the list is tested as well: they must change nothing.
"""

import copy
import math
from functools import cache

import pytest
import torch
from aihwkit.nn import AnalogLinear, AnalogLinearMapped

from analog_samson import rng
from analog_samson.chip.rpu import rpu_config
from analog_samson.errors import PresetError
from analog_samson.presets import list_presets, load_preset, parse_preset

PRESETS = {preset.name: preset for preset in list_presets()}
HOUR, DAY = 3600.0, 86400.0
ROWS, COLUMNS = 200, 24  # of the layer that is simulated
WIDE = 1100  # inputs of the layer that is split: more than any preset's tile has rows

FIXED = {"schema"}  # the schema has one value for it
SCALE_ONLY = "while g_min is 0 and noise is relative to g_max, g_max is only the unit of conductance"
NO_NOISE = "there is no noise that could depend on it"
EXACT_READING = "a reading of exact products is the same every time"
NO_COMPENSATION = "nothing is read for a compensation that is not there"
HELD = "q_max takes hold at larger conductances"
BELOW_G_MIN = "it would take hold at conductances below g_min, which no device has"
# What stands in absolute conductances, so that the unit matters.
ABSOLUTE = ("linear", "tabulated_exponent", "relaxation", "proportional_flicker", "logarithmic_flicker")


def _below_g_min(preset):
    """Upper bounds of curves that fall with conductance, where they stay below them down to g_min."""
    drift, read, x = preset.drift, preset.read, preset.device.g_min_microsiemens / preset.device.g_max_microsiemens
    if x == 0:
        return
    falling = drift.model == "log_linear_exponent"
    if falling and drift.nu_mean_slope * math.log(x) + drift.nu_mean_intercept < drift.nu_mean_max:
        yield "drift.nu_mean_max", BELOW_G_MIN
    if read.model == "flicker" and read.q_coefficient / x**read.q_exponent < read.q_max:
        yield "read.q_max", BELOW_G_MIN


def _reasons(preset):
    """Numbers of a preset that change nothing, with the reason."""
    sections = (preset.programming, preset.drift, preset.read)
    if all(section.model == "none" for section in sections):
        yield "device.g_max_microsiemens", NO_NOISE
        yield "device.g_min_microsiemens", NO_NOISE
    elif preset.device.g_min_microsiemens == 0 and not any(section.model in ABSOLUTE for section in sections):
        yield "device.g_max_microsiemens", SCALE_ONLY
    if preset.read.model == "flicker":
        yield "read.q_denominator_min", HELD
    yield from _below_g_min(preset)
    if preset.compensation.kind == "none":
        yield "compensation.reads", NO_COMPENSATION
    elif preset.periphery.model == "perfect":
        yield "compensation.reads", EXACT_READING


DOCUMENTATION_ONLY = {(name, leaf): why for name, preset in PRESETS.items() for leaf, why in _reasons(preset)}
# The compiled tile draws these anew in every product and follows no seed: their spread is compared.
STOCHASTIC = {"periphery.input_noise", "periphery.output_noise", "periphery.read_noise"}
READS = "compensation.reads"


def numeric_leaves(value, path=""):
    """Dotted paths of all numbers of a dumped preset that describe the hardware."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numeric_leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numeric_leaves(inner, f"{path}.{index}")
    elif isinstance(value, int | float):
        yield path


def leaves_of(preset):
    paths = numeric_leaves(preset.model_dump(mode="json"))
    return [path for path in paths if not path.startswith(("source.", "validity.", "cost."))]  # of cost: test_cost.py


def is_coupled(preset, leaf):
    """Whether the schema refuses to change this number alone: pairs need as many factors."""
    return leaf == "device.pairs" and preset.device.pairs > 0


CASES = {
    name: [leaf for leaf in leaves_of(preset) if leaf not in FIXED and not is_coupled(preset, leaf)]
    for name, preset in PRESETS.items()
}


def raised(preset, leaf):
    """The preset with one number raised by 10 % (whole numbers by at least 1, zero to 0.1).

    Lowered by 10 % where the schema refuses the raised number, as a standard deviation must stay positive.
    """
    try:
        return changed(preset, leaf, lambda number: number * 1.1 or 0.1)
    except PresetError:
        return changed(preset, leaf, lambda number: number * 0.9)


def changed(preset, leaf, change):
    mapping = copy.deepcopy(preset.model_dump(mode="json"))
    *path, last = [int(part) if part.isdigit() else part for part in leaf.split(".")]
    table = mapping
    for part in path:
        table = table[part]
    number = table[last]
    if leaf.startswith("tile.") and number == 0:
        table[last] = 100 if last == "max_rows" else 10  # a limit of 1 would do too, but makes a thousand tiles
    else:
        table[last] = number + max(1, round(number / 10)) if isinstance(number, int) else change(number)
    return parse_preset(mapping, f"changed {leaf}")


def with_periphery(preset, **values):
    mapping = copy.deepcopy(preset.model_dump(mode="json"))
    if mapping["periphery"]["model"] == "converters":
        mapping["periphery"].update(values)
    return parse_preset(mapping, "changed")


def without_forward_noise(preset):
    return with_periphery(preset, input_noise=0.0, output_noise=0.0, read_noise_kind="none", read_noise=0.0)


def weight():
    """Weights over seven decades of both signs, so that every bound of the device models is met."""
    generator = rng.generator(0, "weight")
    exponents = 7 * torch.rand(COLUMNS, ROWS, generator=generator)
    signs = torch.randint(0, 2, (COLUMNS, ROWS), generator=generator) * 2 - 1
    return signs * 10.0**-exponents


@cache
def simulated(preset):
    """What one layer holds and answers: programmed, at once, after an hour, after a day and a half."""
    layer = AnalogLinear(ROWS, COLUMNS, bias=False, rpu_config=rpu_config(without_forward_noise(preset)))
    layer.set_weights(weight())
    layer.eval()
    inputs = 2 * torch.randn(40, ROWS, generator=rng.generator(0, "inputs"))
    with rng.stream(0, "device"):
        layer.program_analog_weights()
        outcome = [layer.get_weights()[0], layer(inputs)]
        for seconds in (0.0, HOUR, 1.5 * DAY):
            layer.drift_analog_weights(seconds)
            outcome += [layer.get_weights()[0], layer(inputs)]
    return outcome


def tile_shapes(preset):
    layer = AnalogLinearMapped(WIDE, COLUMNS, bias=False, rpu_config=rpu_config(preset))
    return [(tile.out_size, tile.in_size) for tile in layer.analog_tiles()]


def forward_spread(preset, leaf):
    """Standard deviation of the answers to one input when `leaf` is the only noise and the ADC is continuous."""
    quiet = {key: 0.0 for key in ("input_noise", "output_noise") if f"periphery.{key}" != leaf}
    if leaf != "periphery.read_noise":
        quiet |= {"read_noise_kind": "none", "read_noise": 0.0}
    layer = AnalogLinear(ROWS, COLUMNS, bias=False, rpu_config=rpu_config(with_periphery(preset, adc_bits=0, **quiet)))
    layer.set_weights(weight())
    answers = layer.eval()(torch.ones(1000, ROWS))
    return answers.double().var(dim=0).mean().sqrt().item()


def reading_spread(preset):
    """Standard deviation between two readings for drift compensation; 0 where nothing is read."""
    layer = AnalogLinear(ROWS, COLUMNS, bias=False, rpu_config=rpu_config(preset))
    layer.set_weights(weight())
    (tile,) = layer.eval().analog_tiles()
    if tile.rpu_config.drift_compensation is None:
        return 0.0
    pairs = [[tile._forward_drift_readout_tensor(True).clone() for _ in range(2)] for _ in range(12)]
    return torch.stack([first - second for first, second in pairs]).double().std().item()


def outcomes_differ(first, second):
    # Weights are up to 1, answers up to 18 with rounding errors of 3e-6; the least of the changes makes 3e-5.
    return not all(torch.allclose(a, b, rtol=1e-4, atol=5e-6) for a, b in zip(first, second, strict=True))


def is_live(preset, leaf):
    higher = raised(preset, leaf)
    if leaf in STOCHASTIC:
        # 24 x 1000 draws: the ratio has a standard error of 0.0065, so 1.04 lies 6 above no change and 9 below a tenth.
        return forward_spread(higher, leaf) > 1.04 * forward_spread(preset, leaf)
    if leaf == READS:
        # 12 x 4,800 differences: the ratio has a standard error of 0.0042, so 1.02 lies 5 above no change; from 16 to
        # 18 readings it should be 1.06, from 1 to 2 it should be 1.41.
        return reading_spread(preset) > 1.02 * reading_spread(higher)
    if leaf.startswith("tile."):
        return tile_shapes(higher) != tile_shapes(preset)
    return outcomes_differ(simulated(preset), simulated(higher))


@pytest.mark.compiled_tile
@pytest.mark.parametrize("name", PRESETS)
def test_preset_numbers_when_raised_change_the_simulation_unless_listed(name):
    """Every number of the preset; all faults in one message."""
    faults = []
    for leaf in CASES[name]:
        reason = DOCUMENTATION_ONLY.get((name, leaf))
        live = is_live(PRESETS[name], leaf)
        if live and reason:
            faults.append(f"{leaf}: changes the simulation, listed as documentation only ({reason})")
        if not live and not reason:
            faults.append(f"{leaf}: changes nothing, and is not listed as documentation only")
    assert not faults, "\n".join([name, *faults])


def test_documentation_only_when_presets_change_names_existing_numbers():
    assert CASES
    assert [(name, leaf) for name, leaf in DOCUMENTATION_ONLY if leaf not in CASES[name]] == []


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if is_coupled(preset, "device.pairs")])
def test_device_pairs_when_raised_alone_is_refused(name):
    with pytest.raises(PresetError, match=r"device\.significance: expected \d numbers, one a pair"):
        raised(PRESETS[name], "device.pairs")


def variant(leaf_values):
    mapping = copy.deepcopy(load_preset("pcm_nandakumar_2019").model_dump(mode="json"))
    for path, value in leaf_values.items():
        section, _, key = path.partition(".")
        mapping[section] = {**mapping[section], key: value} if key else value
    return parse_preset(mapping, "variant")


LOGARITHMIC = {"model": "logarithmic_flicker", "t_read_seconds": 1e-6, "strength_microsiemens": 0.1}


@pytest.mark.compiled_tile
@pytest.mark.parametrize(
    ("leaf", "setting"),
    [
        ("device.g_max_microsiemens", {"device.g_min_microsiemens": 1.0}),
        ("read.q_denominator_min", {"read.q_max": 1e4}),
        (
            "device.g_max_microsiemens",
            {"read": LOGARITHMIC},
        ),
    ],
)
def test_documentation_only_number_when_its_reason_is_taken_away_is_live(leaf, setting):
    preset = variant(setting)
    assert is_live(preset, leaf)
