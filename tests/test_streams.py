"""Each weight draws its device noise from a stream of its own: other layers decide nothing about it."""

from contextlib import suppress
from typing import Any

import pytest
import torch
from networks import seeded
from torch import Tensor, nn

from analog_samson import SimulatedDevice, load_preset, plan_conversion, rng, sweep_conductance_noise
from analog_samson.results.condition import Condition

PCM, CONVERTERS = load_preset("pcm_nandakumar_2019"), load_preset("pcm_rasch_2023")
DAY = Condition(stage="drift", time_seconds=86400.0)
RANGES = {"first": 2.0, "second": 3.0, "between": 2.0}


class Branches(nn.Module):
    """Two layers that get the same input, so that neither changes what the other is given."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 5), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x), self.second(x)], dim=1)


class Swapped(nn.Module):
    """The same layers in the other order, with one more between them."""

    def __init__(self, like: Branches) -> None:
        super().__init__()
        self.second, self.between, self.first = like.second, nn.Linear(6, 3), like.first

    def forward(self, x: Tensor) -> Tensor:
        self.between(x)
        second = self.second(x)
        return torch.cat([self.first(x), second], dim=1)


def measured(model: nn.Module, x: Tensor, preset: Any = PCM, engine: str = "fast", **planned: Any) -> list[Tensor]:
    """Outputs of one chip as programmed, after a day twice, and of another chip."""
    plan = plan_conversion(model, preset, **planned)
    device = SimulatedDevice(model, plan, engine=engine, input_ranges=RANGES if preset is CONVERTERS else None)
    found = []
    with torch.no_grad():
        chip = device.program(seed=3, instance=0)
        with chip.at(Condition(stage="drift", time_seconds=0.0)) as network:
            found.append(network(x))
        with chip.at(DAY) as network:
            found += [network(x), network(x)]
        with device.program(seed=3, instance=1).at(DAY) as network:
            found.append(network(x))
    return found


@pytest.mark.parametrize("engine", ["fast", "aihwkit"])
def test_layer_kept_digital_changes_no_other_weight(engine):
    model, x = seeded(Branches), torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    for whole, part in zip(
        measured(model, x, engine=engine), measured(model, x, engine=engine, keep_digital=["first"]), strict=True
    ):
        assert torch.equal(whole[:, 5:], part[:, 5:])
        assert not torch.equal(whole[:, :5], part[:, :5])


@pytest.mark.parametrize("engine", ["fast", "aihwkit"])
def test_order_and_further_layers_change_no_weight(engine):
    model, x = seeded(Branches), torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    plain, swapped = measured(model, x, engine=engine), measured(Swapped(model), x, engine=engine)
    assert all(torch.equal(one, other) for one, other in zip(plain, swapped, strict=True))
    assert not torch.equal(plain[1], plain[3]), "another chip"


def test_converters_of_a_layer_draw_the_same_whatever_the_others_draw():
    model, x = seeded(Branches), torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    plain, swapped = measured(model, x, CONVERTERS), measured(Swapped(model), x, CONVERTERS)
    alone = measured(model, x, CONVERTERS, keep_digital=["first"])
    assert all(torch.equal(one, other) for one, other in zip(plain, swapped, strict=True))
    assert all(torch.equal(one[:, 5:], other[:, 5:]) for one, other in zip(plain, alone, strict=True))
    assert not torch.equal(plain[1], plain[2]), "every forward draws anew"


@pytest.mark.compiled_tile
def test_engines_give_a_device_the_same_weights():
    model, x = seeded(Branches), torch.eye(6)
    for fast, compiled in zip(measured(model, x), measured(model, x, engine="aihwkit"), strict=True):
        torch.testing.assert_close(fast, compiled, rtol=1e-5, atol=1e-6)


def test_conductance_noise_of_a_layer_does_not_depend_on_the_others():
    def noisy(model: nn.Module, *keep_digital: str) -> list[Tensor]:
        seen: list[Tensor] = []
        handle = model.second.register_forward_hook(lambda layer, *_: seen.append(layer.weight.detach().clone()))
        sweep_conductance_noise(model, data, sigmas=[0.2], instances=2, seed=0, keep_digital=keep_digital)
        handle.remove()
        return seen

    model, data = seeded(Branches), [(torch.eye(6), torch.arange(6))]
    whole, part, swapped = noisy(model), noisy(model, "first"), noisy(Swapped(model))
    assert all(torch.equal(one, other) for one, other in zip(whole, part, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(whole, swapped, strict=True))
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole[0], model.second.weight)


def test_continued_stream_leaves_the_global_one_alone_also_after_an_error():
    noise, before = rng.ContinuedStream(0, "converters"), torch.get_rng_state()
    with suppress(ZeroDivisionError), noise:
        1 / len(torch.rand(3)[:0])
    assert torch.equal(torch.get_rng_state(), before)
    with noise:
        drawn = torch.rand(2)
    expected = torch.rand(5, generator=rng.generator(0, "converters"))
    assert torch.equal(drawn, expected[3:])
