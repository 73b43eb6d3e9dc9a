"""The fast forward against aihwkit's compiled tile on the same programmed weights: option by layer type.

Deterministic options agree to fp32 rounding; where a value lies on the edge of a converter step, rounding may fall on
the other side. Random options are compared by mean, variance, covariance, quantiles and a two-sample KS test over at
least 10^5 draws.

aihwkit's compiled tile draws its normals in turn from a table of 2^15 numbers that every tile makes for itself, without
a seed: draws of one tile are not independent, those of two tiles are. So many copies of the tile give a few draws each,
and what is compared is one number a copy with one number a batch of ours, by ranks: that needs no assumption on the
draws within a copy. No copy goes round its table, so that the KS test meets independent draws as well. A comparison
gives a false alarm once in 10^8, the KS test of an option once in 10^6; all of this file together, some 9,000
comparisons and 48 KS tests, less than once in 5,000 runs.
"""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, mannwhitneyu
from torch import nn

from analog_samson import rng
from analog_samson.chip.convert import convert
from analog_samson.chip.product import one_hot_product, vector_product
from analog_samson.crossbar import operator
from analog_samson.presets.search import load_preset

RASCH = load_preset("pcm_rasch_2023")
OFF = {
    "dac_bits": 0, "adc_bits": 0, "input_noise": 0.0, "output_noise": 0.0, "read_noise_kind": "none",
    "read_noise": 0.0, "ir_drop": 0.0, "adc_bound": 100.0,
}  # fmt: skip
DETERMINISTIC = {
    "continuous": {},
    "dac 8 bit": {"dac_bits": 8},
    "dac 3 bit": {"dac_bits": 3},
    "adc 8 bit": {"adc_bits": 8, "adc_bound": 10.0},
    "adc cut": {"adc_bits": 6, "adc_bound": 0.3},
    "ir drop": {"ir_drop": 1.0},
    "strong ir drop": {"ir_drop": 2.0, "ir_drop_g_ratio": 500.0},
    "divisor 2": {"dac_bits": 4, "noise_management_threshold": 2.0},
    "divisor 0.5": {"dac_bits": 4, "noise_management_threshold": 0.5},
    "no management": {"dac_bits": 6, "noise_management": "none", "noise_management_threshold": 0.0},
    "abs max": {"dac_bits": 6, "noise_management": "abs_max", "noise_management_threshold": 0.0},
    "abs max, threshold": {"dac_bits": 6, "noise_management": "abs_max", "noise_management_threshold": 0.4},
    "bound management": {"dac_bits": 8, "adc_bits": 8, "adc_bound": 0.3, "bound_management": "iterative"},
    "all converters": {"dac_bits": 7, "adc_bits": 9, "adc_bound": 5.0, "ir_drop": 1.0},
}
RANDOM = {
    "output noise": {"output_noise": 0.1},
    "constant weight noise": {"read_noise_kind": "constant", "read_noise": 0.05},
    "pcm read noise": {"read_noise_kind": "pcm", "read_noise": 0.05},
    "input noise": {"input_noise": 0.1},
    "input noise, ir drop": {"input_noise": 0.1, "ir_drop": 2.0, "ir_drop_g_ratio": 500.0},
    "noise before the adc": {"output_noise": 0.1, "adc_bits": 6, "adc_bound": 4.0},
    "abs max, noise": {"output_noise": 0.1, "noise_management": "abs_max", "noise_management_threshold": 0.0},
    "everything": RASCH.periphery.model_dump(exclude={"model"}),
}
LAYERS = {
    "linear": lambda: (nn.Linear(12, 5), (12,)),
    "conv1d": lambda: (nn.Conv1d(3, 5, 3, stride=2, padding=1), (3, 9)),
    "conv2d": lambda: (nn.Conv2d(3, 5, 3, stride=2, padding=2, dilation=2), (3, 6, 6)),
    "conv3d": lambda: (nn.Conv3d(2, 3, 2, padding=1), (2, 2, 2, 2)),
    "grouped": lambda: (nn.Conv2d(3, 9, 3, padding=1, groups=3), (3, 5, 5)),
    "depthwise": lambda: (nn.Conv2d(3, 3, 3, groups=3), (3, 5, 5)),
}


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def build(engine, layer, periphery, *, max_rows=0, max_columns=0, input_range=1.0):
    """The layer on tiles of an engine, programmed from one stream, without compensation."""
    preset = RASCH.model_copy(
        update={
            "periphery": RASCH.periphery.model_copy(update=OFF | periphery),
            "tile": RASCH.tile.model_copy(update={"max_rows": max_rows, "max_columns": max_columns}),
            "compensation": RASCH.compensation.model_copy(update={"kind": "none"}),
        }
    )
    analog = convert(layer, preset, engine=engine)
    with rng.stream(0, "chip"):
        analog.program_analog_weights()
    for tile in analog.analog_tiles():
        tile.set_input_range(input_range)
    return analog


def build_pair(layer, periphery, **options):
    """The layer on our tile and on aihwkit's compiled one, programmed alike."""
    return [build(engine, layer, periphery, **options) for engine in ("fast", "aihwkit")]


def make(name, seed=0):
    with rng.stream(seed, "layer"):
        layer, shape = LAYERS[name]()
        return layer, torch.randn(40, *shape)


def lsb(analog, periphery):
    """The largest change that one step of DAC or ADC can make in an output."""
    tiles = list(analog.analog_tiles())
    scale = max(float(tile.get_scales().max()) for tile in tiles)
    bits = OFF | periphery
    steps = [2 / (2 ** bits["dac_bits"] - 2) if bits["dac_bits"] else 0.0]
    steps.append(2 * bits["adc_bound"] / (2 ** bits["adc_bits"] - 2) if bits["adc_bits"] else 0.0)
    return 1.01 * scale * max(steps) * max(1.0, bits.get("noise_management_threshold", 1.0)) + 1e-5


@pytest.mark.compiled_tile
@pytest.mark.parametrize("layer_name", LAYERS)
@pytest.mark.parametrize("option", DETERMINISTIC)
def test_deterministic_option_equals_the_compiled_tile(option, layer_name):
    layer, x = make(layer_name)
    ours, theirs = build_pair(layer, DETERMINISTIC[option], input_range=1.7)
    if option == "bound management" and layer_name in ("grouped", "depthwise"):
        pytest.skip("the compiled tile repeats a vector for outputs of other groups, which sit on rows of their own")
    got, expected = ours(x), theirs(x)
    scale = expected.abs().max()
    off = (got - expected).abs() > 1e-5 * scale
    assert off.float().mean() <= 2e-3
    assert (got - expected).abs().max() <= lsb(ours, DETERMINISTIC[option])


@pytest.mark.compiled_tile
@pytest.mark.parametrize("layer_name", LAYERS)
@pytest.mark.parametrize("limits", [(5, 0), (0, 2), (7, 3), (0, 4)], ids=str)
@pytest.mark.parametrize("management", [{}, {"noise_management": "abs_max"}], ids=["constant", "abs max"])
def test_split_layer_equals_the_compiled_tiles(management, limits, layer_name):
    layer, x = make(layer_name)
    if layer_name in ("conv1d", "conv3d"):
        pytest.skip("aihwkit cannot split these layers over tiles; test_convert compares them with the stored weights")
    periphery = {"dac_bits": 7, "adc_bits": 9, "adc_bound": 5.0, "ir_drop": 2.0, "ir_drop_g_ratio": 500.0} | management
    ours, theirs = build_pair(layer, periphery, max_rows=limits[0], max_columns=limits[1], input_range=1.7)
    got, expected = ours(x), theirs(x)
    off = (got - expected).abs() > 1e-5 * expected.abs().max()
    assert off.float().mean() <= 5e-3
    assert (got - expected).abs().max() <= 3 * lsb(ours, periphery)


@pytest.mark.parametrize("option", DETERMINISTIC)
def test_reading_for_compensation_equals_the_products_with_one_hot_vectors(option):
    layer, _ = make("linear")
    ours = build("fast", layer, DETERMINISTIC[option])
    tile = next(ours.analog_tiles())
    weight, io = tile.tile.weight, tile.rpu_config.forward
    expected = vector_product(weight, torch.eye(weight.shape[1]), io)
    torch.testing.assert_close(one_hot_product(weight, io), expected, rtol=0, atol=1e-6)


@pytest.mark.compiled_tile
@pytest.mark.parametrize("layer_name", ["linear", "conv2d"])
@pytest.mark.parametrize("management", [{}, {"noise_management_threshold": 0.7}, {"bound_management": "iterative"}])
def test_vector_of_zeros_meets_no_noise_where_its_maximum_scales_it(management, layer_name):
    layer, x = make(layer_name)
    noise = {"output_noise": 0.1, "read_noise_kind": "constant", "read_noise": 0.05, "noise_management": "abs_max"}
    zeros = torch.zeros(200, *x.shape[1:])
    for engine in build_pair(layer, noise | {"noise_management_threshold": 0.0} | management):
        assert torch.equal(engine(zeros), layer(zeros))
        assert not torch.equal(engine(x), engine(x))
    # The DAC's own noise is sent, and then all the rest is there too.
    ours, theirs = build_pair(layer, noise | {"noise_management_threshold": 0.0, "input_noise": 0.1} | management)
    torch.testing.assert_close(ours(zeros).std(0).mean(), theirs(zeros).std(0).mean(), rtol=0.1, atol=0)


RARE = 1e-8  # false alarms of one comparison of ranks
TIGHT = 4.9  # standard errors; a false alarm in about 10^6 comparisons
TABLE = 2**15  # numbers in the compiled tile's table of normals
DRAWS = 120_000
COPIES = 40  # at least; fewer ranks cannot reach RARE


def numbers_a_sample(layer, periphery, outputs):
    """How many numbers of its table the compiled tile takes for one sample."""
    tile, options = next(layer.analog_tiles()), OFF | periphery
    vectors = outputs // tile.out_size * getattr(layer, "blocks", 1)
    a_vector = tile.out_size * (1 + (options["read_noise"] > 0)) + tile.in_size * (options["input_noise"] > 0)
    return vectors * a_vector


def batches_of_draws(ours, theirs, sample, periphery, samples):
    """(copies, samples of each, outputs) twice: from our layer, and from as many independent compiled tiles."""
    outputs = ours(sample).numel()
    copies = max(COPIES, -(-samples * numbers_a_sample(ours, periphery, outputs) // TABLE))
    many = sample.expand(-(-samples // copies), *sample.shape[1:])
    got = torch.stack([ours(many) for _ in range(copies)])
    expected = torch.stack([copy.deepcopy(theirs)(many) for _ in range(copies)])
    return got.flatten(2).double(), expected.flatten(2).double()


def assert_alike(got, expected):
    """Ranks of (copies, ...) numbers, compared for each of the rest alone."""
    assert mannwhitneyu(got.numpy(), expected.numpy(), method="asymptotic").pvalue.min() > RARE


def same_codes(got, expected):
    """An ADC leaves few values, equal up to rounding: neighbours closer than 1e-4 become one number."""
    both = np.concatenate([got, expected])
    order = both.argsort()
    codes = np.empty(len(both))
    codes[order] = np.cumsum(np.diff(both[order], prepend=both.min()) > 1e-4)
    return codes[: len(got)], codes[len(got) :]


@pytest.mark.compiled_tile
@pytest.mark.parametrize("layer_name", LAYERS)
@pytest.mark.parametrize("option", RANDOM)
def test_random_option_has_the_distribution_of_the_compiled_tile(option, layer_name):
    layer, x = make(layer_name)
    ours, theirs = build_pair(layer, RANDOM[option], input_range=1.7)
    torch.manual_seed(1)
    samples = -(-DRAWS // ours(x[:1]).numel())
    samples = samples if layer_name == "linear" else max(2500, samples)
    got, expected = batches_of_draws(ours, theirs, x[:1], RANDOM[option], samples)
    assert_alike(got.mean(1), expected.mean(1))
    assert_alike(got.var(1), expected.var(1))
    center, spread = expected.mean((0, 1)), expected.std((0, 1))
    got, expected = ((draws - center) / spread for draws in (got, expected))
    # All outputs together: a noise that is 3 % too strong is seen.
    assert_alike(got.square().mean((1, 2)), expected.square().mean((1, 2)))
    cuts = torch.quantile(expected.flatten()[::11], torch.linspace(0.1, 0.9, 9, dtype=torch.double)) + 1e-4
    assert_alike(*(torch.stack([(draws < cut).double().mean((1, 2)) for cut in cuts], 1) for draws in (got, expected)))
    flat = [draws.flatten().numpy() for draws in (got, expected)]
    if RANDOM[option].get("adc_bits"):
        flat = same_codes(*flat)
    assert ks_2samp(*flat).statistic < 2.7 * math.sqrt(2 / min(DRAWS, len(flat[0])))


@pytest.mark.compiled_tile
@pytest.mark.parametrize("layer_name", ["linear", "conv2d", "grouped", "depthwise"])
@pytest.mark.parametrize("limits", [(0, 2), (7, 3), (0, 4)], ids=str)
def test_split_layer_has_the_noise_of_the_compiled_tiles(limits, layer_name):
    layer, x = make(layer_name)
    ours, theirs = build_pair(layer, RANDOM["everything"], max_rows=limits[0], max_columns=limits[1], input_range=1.7)
    torch.manual_seed(1)
    got, expected = batches_of_draws(ours, theirs, x[:1], RANDOM["everything"], 2500)
    assert_alike(got.mean(1), expected.mean(1))
    assert_alike(got.var(1), expected.var(1))


STATIC = [name for name in RANDOM if "input noise" not in name and "abs max" not in name]


@pytest.mark.parametrize("layer_name", LAYERS)
@pytest.mark.parametrize("option", STATIC)
def test_map_and_vectors_give_one_distribution(option, layer_name, monkeypatch):
    """Our two ways to the same product, both with independent draws from a seed: a tight comparison."""
    layer, x = make(layer_name)
    ours = build("fast", layer, RANDOM[option], input_range=1.7)
    many = x[:1].expand(4000, *x.shape[1:])
    torch.manual_seed(1)
    on_the_map = ours(many).flatten(1).double()
    monkeypatch.setattr("analog_samson.chip.execute.is_static", lambda io: False)
    by_vectors = ours(many).flatten(1).double()
    spread, error = by_vectors.std(0), math.sqrt(2 / 4000)
    assert ((on_the_map.mean(0) - by_vectors.mean(0)) / spread).abs().max() < TIGHT * error
    assert (on_the_map.std(0) / spread - 1).abs().max() < TIGHT * error * math.sqrt(0.5)


@pytest.mark.compiled_tile
@pytest.mark.parametrize("layer_name", ["linear", "conv2d"])
def test_input_noise_makes_outputs_of_one_vector_covary_as_on_the_compiled_tile(layer_name):
    layer, x = make(layer_name)
    ours, theirs = build_pair(layer, {"input_noise": 0.3}, input_range=1.7)
    got, expected = batches_of_draws(ours, theirs, x[:1], {"input_noise": 0.3}, 8000)
    assert_alike(*(torch.stack([torch.cov(batch.T) for batch in draws]) for draws in (got, expected)))
    correlation = torch.corrcoef(expected.flatten(0, 1).T)
    assert correlation.abs().fill_diagonal_(0).max() > 0.3  # there is something to get right


def test_converters_are_computed_without_tf32_which_is_put_back(monkeypatch):
    layer, x = make("conv2d")
    ours = build("fast", layer, RANDOM["everything"])
    seen, convolve = [], torch.conv2d

    def watched(x, *arguments):
        seen.append((torch.backends.cudnn.conv.fp32_precision, x.dtype))
        return convolve(x, *arguments)

    monkeypatch.setitem(operator._CONVOLVE, 2, watched)
    before = torch.backends.cudnn.allow_tf32
    with torch.autocast("cpu", torch.bfloat16):
        ours(x)
    assert set(seen) == {("ieee", torch.float32)}
    assert torch.backends.cudnn.allow_tf32 == before


def test_forward_noise_when_seeded_repeats_and_differs_between_calls():
    layer, x = make("conv2d")
    ours = build("fast", layer, RANDOM["everything"])
    torch.manual_seed(3)
    first, second = ours(x), ours(x)
    torch.manual_seed(3)
    assert torch.equal(ours(x), first)
    assert not torch.equal(first, second)
