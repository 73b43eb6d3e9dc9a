"""Weights as a chip of a preset holds them, during training: the same random variable as on simulated tiles."""

import math

import pytest
import torch
from torch import nn

from analog_samson import rng
from analog_samson.chip.convert import convert
from analog_samson.chip.device import changes_weights, weight_on_chip
from analog_samson.chip.matrix import matrices_of
from analog_samson.errors import OptionError
from analog_samson.presets import list_presets, load_preset
from analog_samson.training.weight_noise import preset_noise

CHIPS, DAY = 120, 86400.0
NOISY = [preset.name for preset in list_presets() if changes_weights(preset)]


def weights(rows: int = 5, columns: int = 700, seed: int = 0) -> torch.Tensor:
    """More inputs than a tile of 512 rows takes, columns of different reach, some weights zero."""
    generator = rng.generator(seed, "weights")
    matrix = torch.randn(rows, columns, generator=generator)
    reach = 2.0 ** torch.arange(rows)[:, None]
    return 0.01 * reach * matrix * (torch.rand(rows, columns, generator=generator) > 0.1)


def on_tiles(weight: torch.Tensor, preset, seconds: float) -> torch.Tensor:
    """(CHIPS, out, in) as the simulation programs and drifts them."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data.copy_(weight)
    analog = convert(layer, preset)
    chips = []
    for chip in range(CHIPS):
        with rng.stream(1, "chip", chip):
            analog.program_analog_weights()
            if seconds:
                analog.drift_analog_weights(seconds)
        chips.append(matrices_of(analog)["(model)"].values())
    return torch.stack(chips)


def in_training(weight: torch.Tensor, preset, seconds: float) -> torch.Tensor:
    generator = rng.generator(2, "chips")
    return torch.stack([weight_on_chip(weight, preset, seconds, generator=generator) for _ in range(CHIPS)])


def quiet(preset):
    """Without what happens per product, which reaches stored weights through the reading for compensation only."""
    noiseless = {"output_noise": 0.0, "read_noise": 0.0, "read_noise_kind": "none", "ir_drop": 0.0, "adc_bits": 0}
    if preset.periphery.model == "perfect":
        return preset
    return preset.model_copy(update={"periphery": preset.periphery.model_copy(update=noiseless)})


@pytest.mark.parametrize("seconds", [0.0, 1.0, DAY])
@pytest.mark.parametrize("name", NOISY)
def test_weight_in_training_has_mean_and_spread_of_the_weight_on_a_tile(name, seconds):
    preset, weight = quiet(load_preset(name)), weights()
    ours, theirs = in_training(weight, preset, seconds), on_tiles(weight, preset, seconds)
    size = weight.abs() / weight.abs().amax(1, keepdim=True)
    for low, high in ((-1.0, 1e-9), (1e-9, 0.2), (0.2, 0.5), (0.5, 1.0)):
        chosen = (size > low) & (size <= high)
        count = CHIPS * int(chosen.sum())
        mean = [
            ((chips[:, chosen] - weight[chosen]) * weight[chosen].sign()).double().mean() for chips in (ours, theirs)
        ]
        spread = [(chips[:, chosen] - weight[chosen]).double().std() for chips in (ours, theirs)]
        # Two samples of so many devices: 4.9 standard errors apart once in 10^6; heavier tails than normal, hence 2.
        assert abs(mean[0] - mean[1]) <= 4.9 * spread[1] * math.sqrt(2 / count) + 1e-9
        assert spread[0].item() == pytest.approx(spread[1].item(), rel=2 * 4.9 / math.sqrt(count), abs=1e-9)


def test_weight_in_training_drifts_without_compensation_and_not_on_average_with_it():
    preset, weight = load_preset("pcm_nandakumar_2019"), weights()
    none = preset.compensation.model_copy(update={"kind": "none", "reads": 0})
    fits = []
    for variant in (preset, preset.model_copy(update={"compensation": none})):
        chips = in_training(weight, variant, DAY)
        fits.append(((chips * weight).sum() / (CHIPS * weight.square().sum())).item())
    assert fits[0] == pytest.approx(1, abs=0.03)
    assert fits[1] < 0.75


def test_weight_in_training_follows_its_generator_alone():
    preset, weight = load_preset("pcm_nandakumar_2019"), weights()
    state = torch.get_rng_state()
    first, again, other = (
        weight_on_chip(weight, preset, DAY, generator=rng.generator(seed, "chip")) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", NOISY)
def test_layer_of_zeros_stays_finite(name):
    found = weight_on_chip(torch.zeros(3, 4), load_preset(name), DAY, generator=torch.Generator())
    assert torch.isfinite(found).all()


def network() -> nn.Module:
    with rng.stream(0, "network"):
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 4))


def test_noise_of_a_preset_moves_crossbar_weights_alone_and_gives_them_back_exactly():
    model = network().to(memory_format=torch.channels_last)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = []

    def fail() -> None:
        with preset_noise(model, load_preset("pcm_nandakumar_2019"), DAY, generator=torch.Generator()):
            seen.append({name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [{"0.weight", "3.weight"}]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Unusual(nn.Module):
    """Weights of every kind that the registry knows besides linear layers and convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.apart = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)
        self.follow = nn.LSTM(8, 8, num_layers=2, bidirectional=True, batch_first=True)
        self.norm = nn.LayerNorm(16)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.embed(ids)
        x = x + self.attend(x, x, x)[0] + self.apart(x, x[..., :6], x[..., :6])[0]
        return self.norm(self.follow(x)[0]).sum()


def moved_by(model: nn.Module, ids: torch.Tensor) -> tuple[set[str], set[str]]:
    """Names of the weights that noise moves, and of those that get a gradient in it; the weights are as before."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with preset_noise(model, load_preset("pcm_nandakumar_2019"), DAY, generator=torch.Generator()):
        moved = {name for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])}
        output = model(ids)
        (output if isinstance(output, torch.Tensor) else output.logits.square().mean()).backward()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    return moved, {name for name, tensor in model.named_parameters() if tensor.grad is not None}


def test_noise_of_a_preset_moves_weights_of_attention_and_of_recurrent_layers():
    with rng.stream(0, "network"):
        model = Unusual()
    moved, trained = moved_by(model, torch.arange(6)[None])
    matrices = {name for name, weight in model.named_parameters() if weight.ndim == 2} - {"embed.weight"}
    assert moved == matrices
    assert {name for name in moved if name.startswith("follow")} == {n for n in matrices if n.startswith("follow.w")}
    assert moved <= trained


def test_noise_of_a_preset_moves_the_transposed_layers_of_transformers():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.GPT2Config(vocab_size=7, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    with rng.stream(0, "network"):
        model = transformers.GPT2LMHeadModel(config).eval()
    moved, trained = moved_by(model, torch.arange(6)[None])
    layers = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert {f"transformer.h.0.{layer}.weight" for layer in layers} <= moved
    assert not any("ln_" in name or "bias" in name or "wpe" in name for name in moved)
    assert moved <= trained
    wide = model.transformer.h[0].mlp.c_fc.weight  # (inputs, outputs): columns of the tile are its second axis
    noisy = [weight_on_chip(wide, load_preset("ideal"), DAY, generator=torch.Generator())]
    assert torch.allclose(noisy[0], wide, rtol=1e-5, atol=1e-7)


def test_noise_of_a_preset_does_not_depend_on_the_memory_format():
    noisy = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = network().to(memory_format=layout)
        with preset_noise(model, load_preset("pcm_nandakumar_2019"), DAY, generator=torch.Generator()):
            noisy.append(model[0].weight.detach().clone())
    assert torch.equal(*noisy)


def test_noise_of_a_preset_refuses_a_negative_time():
    with (
        pytest.raises(OptionError, match=r"time after programming \[s\]: expected a finite number >= 0, got -1"),
        preset_noise(network(), load_preset("pcm_nandakumar_2019"), -1.0, generator=torch.Generator()),
    ):
        pass


@pytest.mark.gpu
@pytest.mark.parametrize("name", NOISY)
def test_weight_in_training_has_the_spread_of_the_cpu_on_a_gpu(name):
    preset, weight = load_preset(name), weights()
    expected = weight_on_chip(weight, preset, DAY, generator=torch.Generator()) - weight
    on_gpu = weight_on_chip(weight.cuda(), preset, DAY, generator=torch.Generator("cuda"))
    assert on_gpu.is_cuda
    assert (on_gpu.cpu() - weight).std().item() == pytest.approx(expected.std().item(), rel=0.1)
