"""Every number of a built-in preset matters: raised by a tenth, it changes what is simulated.

The numbers that do not are listed with the reason, and the list is tested as well: they must change nothing.
"""

import copy

import pytest
import torch
from aihwkit.nn import AnalogLinear, AnalogLinearMapped

from analog_samson import rng
from analog_samson.errors import PresetError
from analog_samson.presets import list_presets, load_preset, parse_preset
from analog_samson.tiles.rpu import rpu_config

PRESETS = {preset.name: preset for preset in list_presets()}
DAY = 86400.0
ROWS, COLUMNS = 200, 24  # of the layer that is simulated
WIDE = 1100  # inputs of the layer that is split: more than any preset's tile has rows

# Cannot be raised: the schema has one value for them.
FIXED = {"schema", "device.pairs"}
SCALE_ONLY = "while g_min is 0 and noise is relative to g_max, g_max is only the unit of conductance"
NO_NOISE = "there is no noise that could depend on it"
DOCUMENTATION_ONLY = {
    ("ideal", "device.g_max_microsiemens"): NO_NOISE,
    ("ideal", "device.g_min_microsiemens"): NO_NOISE,
    ("gaussian_joshi_2020", "device.g_max_microsiemens"): SCALE_ONLY,
    ("pcm_nandakumar_2019", "device.g_max_microsiemens"): SCALE_ONLY,
    ("pcm_rasch_2023", "device.g_max_microsiemens"): SCALE_ONLY,
    ("pcm_nandakumar_2019", "read.q_denominator_min"): "q_max takes hold at larger conductances",
    ("pcm_rasch_2023", "read.q_denominator_min"): "q_max takes hold at larger conductances",
}
# The compiled tile draws these anew in every product and follows no seed: their spread is compared.
STOCHASTIC = {"periphery.input_noise", "periphery.output_noise", "periphery.read_noise"}


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
    return [path for path in paths if not path.startswith(("source.", "validity."))]


CASES = [(name, leaf) for name, preset in PRESETS.items() for leaf in leaves_of(preset) if leaf not in FIXED]


def raised(preset, leaf):
    """The preset with one number raised by 10 % (whole numbers by at least 1, zero to 0.1)."""
    mapping = copy.deepcopy(preset.model_dump(mode="json"))
    *path, last = [int(part) if part.isdigit() else part for part in leaf.split(".")]
    table = mapping
    for part in path:
        table = table[part]
    number = table[last]
    table[last] = number + max(1, round(number / 10)) if isinstance(number, int) else number * 1.1 or 0.1
    return parse_preset(mapping, f"raised {leaf}")


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


def simulated(preset):
    """Tile shapes, and what one layer holds and answers: programmed, at once, after a day."""
    layer = AnalogLinear(ROWS, COLUMNS, bias=False, rpu_config=rpu_config(without_forward_noise(preset)))
    layer.set_weights(weight())
    layer.eval()
    inputs = 2 * torch.randn(40, ROWS, generator=rng.generator(0, "inputs"))
    with rng.stream(0, "device"):
        layer.program_analog_weights()
        outcome = [layer.get_weights()[0], layer(inputs)]
        for seconds in (0.0, DAY):
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


def outcomes_differ(first, second):
    return not all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(first, second, strict=True))


def is_live(preset, leaf):
    higher = raised(preset, leaf)
    if leaf in STOCHASTIC:
        # 24 x 1000 draws: the ratio has a standard error of 0.0065, so 1.04 lies 6 above no change and 9 below a tenth.
        return forward_spread(higher, leaf) > 1.04 * forward_spread(preset, leaf)
    if leaf.startswith("tile."):
        return tile_shapes(higher) != tile_shapes(preset)
    return outcomes_differ(simulated(preset), simulated(higher))


@pytest.mark.parametrize(("name", "leaf"), CASES)
def test_preset_number_when_raised_changes_the_simulation_unless_listed(name, leaf):
    assert is_live(PRESETS[name], leaf) == ((name, leaf) not in DOCUMENTATION_ONLY)


def test_documentation_only_when_presets_change_names_existing_numbers():
    assert set(DOCUMENTATION_ONLY) <= set(CASES)


@pytest.mark.parametrize("name", PRESETS)
def test_device_pairs_when_raised_is_refused(name):
    with pytest.raises(PresetError, match="several device pairs per weight cannot be simulated yet"):
        raised(PRESETS[name], "device.pairs")


def variant(leaf_values):
    mapping = copy.deepcopy(load_preset("pcm_nandakumar_2019").model_dump(mode="json"))
    for path, value in leaf_values.items():
        section, key = path.split(".")
        mapping[section][key] = value
    return parse_preset(mapping, "variant")


@pytest.mark.parametrize(
    ("leaf", "setting"),
    [
        ("device.g_max_microsiemens", {"device.g_min_microsiemens": 1.0}),
        ("read.q_denominator_min", {"read.q_max": 1e4}),
    ],
)
def test_documentation_only_number_when_its_reason_is_taken_away_is_live(leaf, setting):
    preset = variant(setting)
    assert is_live(preset, leaf)
