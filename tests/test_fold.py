"""Batch norm folded into the convolution before it gives the same outputs, and only where nothing else sees them."""

import copy

import pytest
import torch
from torch import Tensor, nn

from analog_samson import plan_conversion, rng
from analog_samson.chip.convert import mount
from analog_samson.chip.fold import affine_of, foldable, folded
from analog_samson.chip.input_ranges import choose_input_ranges, needs_calibration, set_input_ranges
from analog_samson.chip.network import CrossbarNetwork
from analog_samson.models.build import build_model
from analog_samson.presets import load_preset
from analog_samson.presets.schema import Preset
from analog_samson.simulation.drift import simulate_drift

# Weight noise alone, and converters with IR drop and read noise on tiles of 512 rows.
HARDWARE = ("pcm_nandakumar_2019", "pcm_rasch_2023")
NETWORKS = {
    "resnet20": (19, 32),
    "torchvision:resnet18": (20, 64),
    "mobilenetv2_cifar": (57, 32),
    "densenet40": (0, 32),  # its batch norms stand before the convolutions
}


def net(*layers: nn.Module, size: int = 8) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    model = nn.Sequential(*layers)
    return randomized(model), batches(size)


def randomized(model: nn.Module) -> nn.Module:
    """Statistics and affine parameters away from zero and one, as after a training."""
    with torch.no_grad(), rng.stream(5, "batchnorm"):
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.3, 1.5)
                if module.affine:
                    module.weight.uniform_(-1.5, 1.5)
                    module.bias.normal_(0, 0.2)
    return model.eval()


def batches(size: int, channels: int = 3) -> list[tuple[Tensor, Tensor]]:
    with rng.stream(6, "images"):
        return [(torch.randn(6, channels, size, size), torch.zeros(6, dtype=torch.long))]


class _Shortcut(nn.Module):
    """The convolution's output is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (self.norm(y) + y).flatten(1)


class _Shared(nn.Module):
    """One batch-norm layer behind two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.second(self.norm(self.first(x)))).flatten(1)


class _TwoNames(nn.Module):
    """The forward reaches the layers by other names than the first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.body = nn.Sequential(self.conv, self.norm, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).flatten(1)


class _Disguised(nn.Module):
    """What is recorded is not what runs: a symbolic value is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (self.norm(y) + y if isinstance(y, Tensor) else self.norm(y)).flatten(1)


class _Unrecordable(nn.Module):
    """Python that asks for the value."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return y.flatten(1) if float(y.mean()) > -1e9 else -y.flatten(1)


def aged(model: nn.Module, preset: Preset, data: list[tuple[Tensor, Tensor]]) -> CrossbarNetwork:
    analog = mount(model, plan_conversion(model, preset))
    if needs_calibration(preset):
        ranges = choose_input_ranges(model, preset, data, seed=0)
        set_input_ranges(analog.network, {path: chosen.value for path, chosen in ranges.items()})
    with rng.stream(0, "chip"):
        analog.program_analog_weights()
        analog.drift_analog_weights(3600.0)
    return analog


@torch.no_grad()
def output(analog: CrossbarNetwork, x: Tensor) -> Tensor:
    with rng.stream(1, "read"):
        return analog.network(x)


@pytest.mark.parametrize("name", NETWORKS)
def test_foldable_finds_every_convolution_that_only_its_batch_norm_reads(name):
    count, size = NETWORKS[name]
    model = randomized(build_model(name, num_classes=10, in_channels=3))
    pairs = foldable(model, batches(size)[0][0][:2])
    assert len(pairs) == count
    assert all(isinstance(model.get_submodule(norm), nn.BatchNorm2d) for norm in pairs.values())


@pytest.mark.parametrize("kind", [_Shortcut, _Shared, _Disguised, _Unrecordable])
def test_foldable_leaves_alone_what_it_cannot_prove(kind):
    assert foldable(randomized(kind()), batches(8)[0][0][:2]) == {}


@pytest.mark.parametrize("hardware", HARDWARE)
@pytest.mark.parametrize(
    "layers",
    [
        (nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)),
        (nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False)),
        (nn.Conv2d(3, 6, 3, groups=3, stride=2), nn.BatchNorm2d(6)),
        (nn.Conv2d(3, 70, 3), nn.BatchNorm2d(70), nn.ReLU(), nn.Conv2d(70, 5, 3), nn.BatchNorm2d(5)),
    ],
)
def test_folded_gives_the_outputs_of_the_two_steps(layers, hardware):
    model, data = net(*copy.deepcopy(layers), nn.Flatten())
    analog, x = aged(model, load_preset(hardware), data), data[0][0]
    expected, pairs = output(analog, x), foldable(model, data[0][0][:2])
    assert len(pairs) == len(layers) // 2
    with folded(analog, pairs):
        got = output(analog, x)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in analog.network.modules())
    apart = (got - expected).abs() > 1e-5 * expected.abs().max()
    # A second layer's converter may meet a value that rounding puts on the other side of one of its steps.
    assert apart.float().mean() <= (0.01 if len(layers) > 2 and hardware == "pcm_rasch_2023" else 0)
    assert torch.equal(output(analog, x), expected)  # all is as before


def test_folded_layer_with_two_names_is_gone_under_both():
    model, data = randomized(_TwoNames()), batches(8)
    analog, x = aged(model, load_preset("ideal"), data), data[0][0]
    expected, pairs = output(analog, x), foldable(model, data[0][0][:2])
    assert len(pairs) == 1
    with folded(analog, pairs):
        torch.testing.assert_close(output(analog, x), expected)
    assert torch.equal(output(analog, x), expected)
    assert analog.network.norm is analog.network.body[1]


class _Reader(nn.Module):
    """The forward reads the layer that is folded, by values that are recorded and by some that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.again = self.norm

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x)).flatten(2).mean(2)
        shift = self.again.running_mean.sqrt().nan_to_num() + self.norm.eps
        return y * self.norm.running_var + shift * self.again.weight * self.norm.num_features


def test_folded_layer_can_still_be_read():
    model, data = randomized(_Reader()), batches(8)
    analog, x = aged(model, load_preset("ideal"), data), data[0][0]
    expected = output(analog, x)
    with folded(analog, {"conv": "norm"}):
        torch.testing.assert_close(output(analog, x), expected)
        names = [*analog.network.state_dict()]
        assert not any("norm" in name for name in names)
    assert torch.equal(output(analog, x), expected)


def test_simulate_drift_of_a_network_that_reads_its_batch_norm():
    model, data = randomized(_Reader()), [(x, y % 4) for x, y in batches(8)]
    assert foldable(model, data[0][0][:2]) == {"conv": "norm"}
    assert simulate_drift(model, load_preset("ideal"), data, times=[1.0], instances=1, seed=0).records


def test_folded_takes_the_statistics_of_the_moment():
    model, data = net(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    analog, pairs = aged(model, load_preset("ideal"), data), foldable(model, data[0][0][:2])
    analog.network.get_submodule("1").running_mean.add_(1.0)
    expected = output(analog, data[0][0])
    with folded(analog, pairs):
        torch.testing.assert_close(output(analog, data[0][0]), expected)


def test_folded_restores_after_an_error():
    model, data = net(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    analog, pairs = aged(model, load_preset("ideal"), data), foldable(model, data[0][0][:2])
    with pytest.raises(KeyboardInterrupt), folded(analog, pairs):
        raise KeyboardInterrupt
    assert isinstance(analog.network.get_submodule("1"), nn.BatchNorm2d)
    assert analog.matrices["0"].after is None


def test_folded_leaves_a_layer_in_train_mode_alone():
    model, data = net(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    analog, pairs = aged(model, load_preset("ideal"), data), foldable(model, data[0][0][:2])
    analog.network.get_submodule("1").train()
    with folded(analog, pairs):
        assert isinstance(analog.network.get_submodule("1"), nn.BatchNorm2d)


def test_affine_of_is_the_layer_in_eval_mode():
    norm = randomized(nn.Sequential(nn.BatchNorm2d(5)))[0]
    x = batches(4, channels=5)[0][0]
    after = affine_of(norm)
    torch.testing.assert_close(x * after.gain[:, None, None] + after.shift[:, None, None], norm(x))


@pytest.mark.parametrize("adabs", [False, True])
def test_simulate_drift_folds_and_agrees_with_the_layers_one_by_one(adabs, monkeypatch):
    model = randomized(build_model("resnet20", num_classes=10, in_channels=3))
    data = batches(32)
    seen: list[int] = []
    monkeypatch.setattr("analog_samson.simulation.device.folded", lambda analog, pairs: _counting(analog, pairs, seen))
    run = {"times": [1.0], "instances": 1, "seed": 0, "adabs": adabs, "calibration": data}
    fast = simulate_drift(model, load_preset("pcm_nandakumar_2019"), data, **run)
    monkeypatch.setattr("analog_samson.simulation.device.foldable", lambda model, sample: {})
    plain = simulate_drift(model, load_preset("pcm_nandakumar_2019"), data, **run)
    assert max(seen) == 19
    assert [r.value for r in fast.records] == pytest.approx([r.value for r in plain.records], rel=1e-4)


def _counting(analog, pairs, seen):
    seen.append(len(pairs))
    return folded(analog, pairs)
