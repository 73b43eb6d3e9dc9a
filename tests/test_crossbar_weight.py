"""Weights on tiles in a network of unchanged modules: what passes, what runs through the tiles, what is refused."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from analog_samson import convert, load_preset, rng
from analog_samson.crossbar.use import READINGS, register_use
from analog_samson.crossbar.weight import CrossbarWeight
from analog_samson.errors import ConversionError

RASCH, PCM = load_preset("pcm_rasch_2023"), load_preset("pcm_nandakumar_2019")
CONTINUOUS = {
    "dac_bits": 0, "adc_bits": 0, "input_noise": 0.0, "output_noise": 0.0, "read_noise_kind": "none",
    "read_noise": 0.0, "ir_drop": 0.0, "adc_bound": 1e6,
}  # fmt: skip
# Converters of endless resolution and range: products run through the tiles, and equal the digital ones.
EXACT = RASCH.model_copy(update={"periphery": RASCH.periphery.model_copy(update=CONTINUOUS)})


def in_range(network, largest=100.0):
    for tile in network.analog_tiles():
        tile.set_input_range(largest)
    return network


class ReadByParent(nn.Module):
    """As swin and EVA do: the parent uses the weight of a child that it never calls."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(6, 6)

    def forward(self, x):
        assert x.dtype == self.qkv.weight.dtype
        return functional.linear(x, self.qkv.weight, self.qkv.bias)


class MyLinear(nn.Linear):
    """A subclass that computes something of its own around the product."""

    def forward(self, x):
        return super().forward(x).relu()


def encoder(**options):
    """In eval mode torch runs this in one fused kernel, which reads weights past every product."""
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True, **options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(6, 2, 8, batch_first=True), 1)

    def forward(self, x):
        return self.decoder(x, x[:, :3])


NETWORKS = {
    "transformer encoder": (encoder, (2, 5, 6)),
    "transformer encoder, norm first": (lambda: encoder(norm_first=True, activation="gelu"), (2, 5, 6)),
    "transformer decoder": (Decoder, (2, 5, 6)),
    "linear, three dimensions": (lambda: nn.Linear(6, 3), (2, 5, 6)),
    "read by the parent": (ReadByParent, (4, 6)),
    "subclass": (lambda: MyLinear(6, 3), (4, 6)),
    "one sample": (lambda: nn.Conv2d(2, 3, 3), (2, 5, 5)),
    "circular padding": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 2, 5, 5)),
    "unequal same padding": (lambda: nn.Conv1d(2, 3, 4, padding="same"), (2, 2, 7)),
    "dilated 1d": (lambda: nn.Conv1d(2, 3, 3, dilation=2), (2, 2, 9)),
    "dilated 3d": (lambda: nn.Conv3d(2, 3, 2, dilation=2), (2, 2, 4, 4, 4)),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3)), (2, 2, 5, 5)),
    "spectral norm": (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(6, 3)), (4, 6)),
    "pruned": (lambda: nn.utils.prune.random_unstructured(nn.Linear(6, 3), "weight", 0.5), (4, 6)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("noise_management", ["constant", "abs_max"])
@pytest.mark.parametrize("name", NETWORKS)
def test_network_with_ideal_converters_equals_the_digital_one(name, noise_management):
    build, shape = NETWORKS[name]
    with rng.stream(0, name):
        model, x = build().eval(), torch.randn(shape)
    periphery = EXACT.periphery.model_copy(update={"noise_management": noise_management})
    preset = EXACT.model_copy(update={"periphery": periphery})
    network = in_range(convert(model, preset))
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x), rtol=1e-4, atol=1e-5)
    assert type(network) is type(model) or "Parametrized" in type(model).__name__


def test_network_keeps_its_modules_and_its_weights_count_as_parameters():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    network = convert(model, RASCH)
    assert [type(module) for module in network.modules()] == [type(module) for module in model.modules()]
    assert [name for name, _ in network.named_parameters()] == [name for name, _ in model.named_parameters()]
    weight = network[2].weight
    assert isinstance(weight, CrossbarWeight)
    assert isinstance(weight, nn.Parameter)
    assert (weight.shape, weight.dtype, len(weight)) == (torch.Size([3, 8]), torch.float32, 3)
    assert repr(weight) == "CrossbarWeight('2', shape=(3, 8))"
    assert list(network.state_dict()) == list(model.state_dict())


def test_weight_with_exact_products_is_an_ordinary_parameter():
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
    network = convert(model, PCM)
    assert type(network[0].weight) is nn.Parameter
    with rng.stream(0, "chip"):
        network.program_analog_weights()
    programmed = network[0].weight.clone()
    with rng.stream(1, "chip"):
        network.drift_analog_weights(86400.0)
    assert not torch.equal(network[0].weight, programmed)
    assert not torch.equal(programmed, model[0].weight)


def test_weights_that_two_layers_share_lie_on_one_set_of_tiles():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    for preset in (PCM, RASCH):
        network = convert(model, preset)
        assert network[0].weight is network[1].weight
        assert len(list(network.analog_tiles())) == 1


@pytest.mark.parametrize(
    ("use", "operation"),
    [
        (lambda w, x: x @ w, "matmul"),
        (lambda w, x: torch.einsum("bi,oi->b", x, w), "einsum"),
        (lambda w, x: x + w.sum(), "sum"),
        (lambda w, x: functional.linear(w, x), "torch.linear"),
        (lambda w, x: torch.cat([w, x]), "cat"),
    ],
)
def test_use_without_a_crossbar_form_is_refused_by_name(use, operation):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x):
            return use(self.inner.weight, x)

    network = convert(Net(), RASCH)
    with pytest.raises(ConversionError) as caught:
        network(torch.randn(2, 4))
    assert all(word in str(caught.value) for word in ("inner:", operation, "--keep-digital 'inner'")), caught.value
    convert(Net(), PCM)(torch.randn(2, 4))  # exact products: every use works


def test_network_with_converters_cannot_be_moved_cast_or_saved(tmp_path):
    network = convert(nn.Linear(3, 2), RASCH)
    for move in (network.double, lambda: network.to("meta"), network.half):
        with pytest.raises(ConversionError, match="cannot be moved or cast"):
            move()
    with pytest.raises(ConversionError, match="save the digital network"):
        torch.save(network.state_dict(), tmp_path / "net.pt")


def test_copy_of_a_network_has_tiles_of_its_own():
    with rng.stream(0, "layer"):
        model, x = nn.Sequential(nn.Linear(6, 3)), torch.randn(4, 6)
    for preset in (RASCH, PCM):
        network = convert(model, preset)
        with rng.stream(0, "chip"):
            network.program_analog_weights()
        twin = copy.deepcopy(network)
        with rng.stream(1, "chip"):
            twin.program_analog_weights()
        with rng.stream(2, "noise"), torch.no_grad():
            first = network(x)
        with rng.stream(2, "noise"), torch.no_grad():
            assert not torch.equal(first, twin(x))


def test_operation_is_registered_once():
    with pytest.raises(ValueError, match="linear"):
        register_use(functional.linear)(lambda *args: None)
    assert functional.linear in READINGS
