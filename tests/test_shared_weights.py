"""Networks too large to keep a chip's devices: the same chips in less memory."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from analog_samson import SimulatedDevice, load_preset, plan_conversion, rng
from analog_samson.chip import noise, pieces
from analog_samson.chip.noise import noise_model
from analog_samson.errors import OptionError
from analog_samson.presets import list_presets
from analog_samson.results.condition import Condition
from analog_samson.simulation import device as device_module


class TiedModel(nn.Module):
    """A language model whose table is also its output head, with a packed attention."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.mix = nn.Embedding(11, 8), nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        return self.mix(x, x, x)[0] @ self.table.weight.T


def _networks() -> dict[str, tuple[nn.Module, Any]]:
    norm = nn.BatchNorm2d(4)
    norm.running_mean, norm.running_var = torch.randn(4), torch.rand(4) + 0.5
    convolutions = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm, nn.ReLU(), nn.Flatten(), nn.Linear(16, 5))
    weight_norm = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), nn.Linear(4, 2))
    return {
        "tied": (TiedModel(), torch.randint(11, (4, 5))),
        "convolutions": (convolutions, torch.randn(4, 3, 4, 4)),
        "weight norm": (weight_norm, torch.randn(4, 6)),
        "recurrent": (nn.Sequential(nn.LSTM(4, 4, batch_first=True)), torch.randn(4, 3, 4)),
    }


def _first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def _outputs(model: nn.Module, x: Any, preset: str, many: int, monkeypatch: Any) -> list[Tensor]:
    """Of two chips at two times, with and without affine calibration, and the errors of their weights."""
    monkeypatch.setattr(device_module, "MANY_WEIGHTS", many)
    plan = plan_conversion(model.eval(), load_preset(preset), example=(x,))
    ranges = {row.path: 2.0 for row in plan.rows}
    device = SimulatedDevice(
        model, plan, input_ranges=ranges if preset == "pcm_rasch_2023" else None, sample=x, calibration=[(x, x)]
    )
    found = []
    for instance in (0, 1):
        chip = device.program(3, instance)
        for time, calibration in ((1e6, "none"), (0.0, "none"), (1e6, "none"), (1e6, "affine")):
            condition = Condition(stage="drift", time_seconds=time, calibration=calibration)
            with chip.at(condition) as network, torch.no_grad():
                found += [_first(network(x)), torch.tensor(device.weight_error())]
    return found


@pytest.mark.parametrize("preset", ["ideal", "pcm_nandakumar_2019", "pcm_rasch_2023"])
@pytest.mark.parametrize("name", ["tied", "convolutions", "weight norm", "recurrent"])
def test_chips_of_large_networks_are_those_of_small_ones(name, preset, monkeypatch):
    with rng.stream(0, name), torch.no_grad():
        model, x = _networks()[name]
    digital = {path: value.clone() for path, value in model.state_dict().items()}
    kept = _outputs(model, x, preset, 10**9, monkeypatch)
    shared = _outputs(model, x, preset, 0, monkeypatch)
    for one, other in zip(kept, shared, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(value, digital[path]) for path, value in model.state_dict().items())


def test_large_network_keeps_nothing_of_a_chip_but_its_weights(monkeypatch):
    monkeypatch.setattr(device_module, "MANY_WEIGHTS", 0)
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    device = SimulatedDevice(model, plan_conversion(model, load_preset("pcm_nandakumar_2019")))
    with device.program(0, 0).at(Condition(stage="drift", time_seconds=60.0)) as network:
        for tile in network.analog_tiles():
            assert tile.programmed_weights is tile.drift_noise_parameters is tile.reference_combined_weights is None
            assert tile.tile.weight.numel() == 0
        assert network[0].weight.data_ptr() != model[0].weight.data_ptr()


def test_large_network_that_changed_since_its_tiles_were_built_is_refused(monkeypatch):
    monkeypatch.setattr(device_module, "MANY_WEIGHTS", 0)
    model = nn.Linear(6, 4)
    device = SimulatedDevice(model, plan_conversion(model, load_preset("pcm_nandakumar_2019")))
    chip, condition = device.program(0, 0), Condition(stage="drift", time_seconds=60.0)
    with torch.no_grad():
        model.weight.mul_(2)
    with pytest.raises(OptionError, match="has changed"), chip.at(condition):
        pass


@pytest.mark.parametrize("preset", [preset.name for preset in list_presets()])
def test_devices_in_pieces_are_those_of_the_whole_weight(preset, monkeypatch):
    hardware = load_preset(preset)
    with rng.stream(0, "weight"):
        weight = torch.randn(37, 23)  # 851 numbers: 16 draws at a time leave a rest

    def programmed_and_aged() -> list[Any]:
        device, found = noise_model(hardware), []
        with rng.stream(0, "devices"):
            programmed, kept = device.apply_programming_noise(weight)
            for time in (1.0, 1e6):
                found.append(device.apply_drift_noise(programmed, kept, time))
            return [programmed, *found, torch.rand(1)]

    whole = programmed_and_aged()
    monkeypatch.setattr(noise, "MANY_DEVICES", 0)
    monkeypatch.setattr(pieces, "PIECE", 64)
    for one, other in zip(whole, programmed_and_aged(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
