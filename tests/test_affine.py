"""Affine calibration: least squares column by column, layer after layer, for any use of a weight."""

import weakref

import numpy as np
import pytest
import torch
from torch import nn

from analog_samson import SimulatedDevice, load_preset, plan_conversion, rng, simulate_drift, sweep_conductance_noise
from analog_samson.chip import affine
from analog_samson.chip.affine import affine_corrected
from analog_samson.chip.column_fit import ColumnFit, least_squares
from analog_samson.chip.matrix import matrices_of
from analog_samson.errors import OptionError
from analog_samson.results.condition import Condition

PCM, RASCH, IDEAL = (load_preset(name) for name in ("pcm_nandakumar_2019", "pcm_rasch_2023", "ideal"))
UNCOMPENSATED = PCM.model_copy(update={"compensation": PCM.compensation.model_copy(update={"kind": "none"})})
YEAR = Condition(stage="drift", time_seconds=3.15e7)


def seeded(make):
    with rng.stream(0, "initial weights"):
        return make().eval()


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def device_of(model, preset=PCM, largest=4.0, **options):
    plan = plan_conversion(model, preset)
    ranges = {row.path: largest for row in plan.with_action("analog")} if preset is RASCH else None
    return SimulatedDevice(model, plan, input_ranges=ranges, **options)


@torch.no_grad()
def test_one_layer_with_many_samples_gets_the_least_squares_solution_over_all_batches():
    model, batches = seeded(lambda: nn.Linear(16, 5)), [(randn(n, 16, seed=n), None) for n in (4000, 700, 3000)]
    x = torch.cat([x for x, _ in batches])
    digital = model(x)
    with device_of(model, UNCOMPENSATED).program(0, 0).at(YEAR) as network:
        analog, test = network(x), randn(9, 16, seed=1)
        plain = network(test)
        with affine_corrected(network, batches):
            corrected = network(test)
        assert network(test).equal(plain)
    for column in range(5):
        pairs = np.stack([analog[:, column].numpy(), np.ones(len(x))], axis=1).astype(np.float64)
        (gain, shift), *_ = np.linalg.lstsq(pairs, digital[:, column].numpy().astype(np.float64), rcond=None)
        expected = gain * plain[:, column].numpy() + shift
        assert corrected[:, column].numpy() == pytest.approx(expected, rel=5e-3, abs=5e-3)
        assert np.abs(plain[:, column].numpy() - expected).max() > 0.1


def test_estimates_are_shrunk_by_how_much_they_vary_from_sample_to_sample():
    """Ten alike pairs of each of 16 samples say no more than one of each."""
    a, generator = randn(16, 200), torch.Generator().manual_seed(1)
    d = 1.1 * a + 0.5 * torch.randn(16, 200, generator=generator)
    once, often = ColumnFit.of(200, a.device), ColumnFit.of(200, a.device)
    once.add(a, d, torch.arange(16))
    often.add(a.repeat_interleave(10, 0), d.repeat_interleave(10, 0), torch.arange(16).repeat_interleave(10))
    for one, other in zip(once.affine(), often.affine(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    gain, shift = once.affine()
    slopes, _ = least_squares(once.sums.sum(0))
    truth = torch.full((200,), 1.1)
    assert (gain - truth).square().mean() < 0.5 * (slopes - truth).square().mean()
    assert shift.square().mean() < 0.5 * (d - a).mean(0).square().mean()  # the true offsets are all 0


@torch.no_grad()
@pytest.mark.parametrize("samples", [4, 12])
def test_few_samples_do_not_make_the_outputs_of_other_samples_worse(samples):
    errors = {"none": 0.0, "affine": 0.0, "least squares": 0.0}
    for chip in range(6):
        model, x = seeded(lambda: nn.Linear(24, 32)), randn(500, 24, seed=chip)
        with device_of(model).program(0, chip).at(YEAR) as network:
            analog, digital = network(x), model(x)
            with affine_corrected(network, [(x[:samples], None)]):
                errors["affine"] += (network(x) - digital)[samples:].square().mean().item()
            errors["none"] += (analog - digital)[samples:].square().mean().item()
            gain, shift = fitted(analog[:samples], digital[:samples])
            errors["least squares"] += (gain * analog + shift - digital)[samples:].square().mean().item()
    assert errors["affine"] <= errors["none"] < errors["least squares"]


class FirstPosition(nn.Module):
    """The output at one position, whose input is unlike that of the others."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 16)

    def forward(self, x):
        return self.layer(x)[:, 0]


@torch.no_grad()
def test_correction_that_spoils_the_output_of_the_network_is_not_applied(monkeypatch):
    model, x = seeded(FirstPosition), randn(64, 10, 8) + 4.0
    x[:, 0] = randn(64, 8, seed=1)
    with device_of(model).program(0, 0).at(YEAR) as network:
        plain, digital = network(x), model(x)
        with affine_corrected(network, [(x, None)]):
            assert network(x).equal(plain)
        monkeypatch.setattr(affine, "_best_strength", lambda *arguments: 1.0)
        with affine_corrected(network, [(x, None)]):
            assert (network(x) - digital).square().mean() > 2 * (plain - digital).square().mean()


@torch.no_grad()
def test_second_layer_is_fitted_to_what_the_corrected_first_layer_gives():
    model = seeded(lambda: nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 3)))
    x = randn(4096, 12)
    hidden, digital = model[:2](x), model(x)
    with device_of(model, UNCOMPENSATED).program(0, 0).at(YEAR) as network:
        first, second = matrices_of(network)["0"].values(), matrices_of(network)["2"].values()
        with affine_corrected(network, [(x, None)]):
            corrected = network(x)
    analog = x @ first.T + model[0].bias
    gain, shift = fitted(analog, model[0](x))
    given = (gain * analog + shift).relu()
    outputs = given @ second.T + model[2].bias
    gain, shift = fitted(outputs, digital)
    assert torch.allclose(corrected, gain * outputs + shift, rtol=5e-3, atol=5e-3)
    assert (given - hidden).square().mean() < (analog.relu() - hidden).square().mean()


def fitted(analog, digital):
    pairs = [np.polyfit(a.double().numpy(), d.double().numpy(), 1) for a, d in zip(analog.T, digital.T, strict=True)]
    return torch.tensor(np.array(pairs).T, dtype=torch.float32)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 8, 2, batch_first=True, bidirectional=True), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x):
        return self.layer(x)


NETWORKS = {
    "linear": (lambda: nn.Linear(8, 4), (8,)),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 3, 1)
        ),
        (4, 5, 5),
    ),
    "transposed": (lambda: nn.ConvTranspose1d(4, 3, 3, stride=2), (4, 6)),
    "recurrent": (Recurrent, (5, 6)),
    "attention": (Attending, (5, 8)),
    "shared": (lambda: nn.Sequential(*[nn.Linear(8, 8)] * 2), (8,)),
}


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "preset"),
    [
        *((name, PCM) for name in NETWORKS),
        *((name, RASCH) for name in NETWORKS if name != "shared"),  # its two uses, of unlike size, share one correction
    ],
)
def test_correction_brings_every_kind_of_weight_closer_to_the_digital_network(name, preset):
    make, shape = NETWORKS[name]
    model, x = seeded(make), randn(64, *shape)
    digital = model(x)
    errors = []
    for instance in range(4):
        with device_of(model, preset).program(0, instance).at(YEAR) as network:
            plain = network(x)
            with affine_corrected(network, [(x[:48], None)]):
                corrected = network(x)
            errors.append([(y - digital)[48:].square().mean().item() for y in (plain, corrected)])
    before, after = np.array(errors).mean(0)
    assert after < before


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_correction_of_an_ideal_chip_changes_nothing(name):
    make, shape = NETWORKS[name]
    model, x = seeded(make), randn(32, *shape)
    with device_of(model, IDEAL).program(0, 0).at(YEAR) as network, affine_corrected(network, [(x, None)]):
        assert torch.allclose(network(x), model(x), atol=1e-5)


@torch.no_grad()
def test_output_that_never_varies_keeps_its_factor_and_gets_the_offset():
    model, x = seeded(lambda: nn.Linear(3, 2)), torch.ones(10, 3)
    with device_of(model).program(0, 0).at(YEAR) as network, affine_corrected(network, [(x, None)]):
        assert torch.allclose(network(x), model(x), atol=1e-6)


def test_what_cannot_be_corrected_is_refused():
    model, x = seeded(lambda: nn.Linear(3, 2)), torch.ones(10, 3)
    with (
        device_of(model).program(0, 0).at(YEAR) as network,
        pytest.raises(OptionError, match="at least 4 samples"),
        affine_corrected(network, []),
    ):
        pass
    with pytest.raises(OptionError, match="engine fast"), affine_corrected(model, [(x, None)]):
        pass


def test_affine_is_a_calibration_of_simulations_beside_adabs():
    make, shape = NETWORKS["convolutions"]
    model = seeded(lambda: nn.Sequential(make(), nn.Flatten(), nn.Linear(75, 4)))
    data = [(randn(40, *shape), torch.arange(40) % 4)]
    options = {"times": [86400.0], "instances": 2, "seed": 0, "calibration": data}
    frame = simulate_drift(model, PCM, data, calibrate=("adabs", "affine"), **options).frame()
    chips = frame[frame.stage == "drift"]
    assert sorted(chips.calibration.unique()) == ["adabs", "affine", "none"]
    assert chips.groupby("calibration").loss.nunique().eq(2).all()
    with_fold = chips[chips.calibration == "none"].loss.tolist()
    alone = simulate_drift(model, PCM, data, **options).frame()
    assert alone[alone.stage == "drift"].loss.tolist() == with_fold
    with pytest.raises(OptionError, match="affine corrects the tiles"):
        sweep_conductance_noise(model, data, sigmas=[0.1], instances=1, seed=0, calibrate=["affine"], calibration=data)


def test_run_with_affine_correction_is_complete_without_generic_noise_of_it(tmp_path):
    from analog_samson.analysis.completeness import missing
    from analog_samson.analysis.runs import read_runs
    from analog_samson.results.store import RunFolder

    model, data = seeded(lambda: nn.Linear(8, 4)), [(randn(20, 8), torch.arange(20) % 4)]
    options = {"instances": 2, "seed": 0, "calibration": data}
    asked = {"times": [1.0], "sigmas": [0.1], "instances": 2, "calibrate": ["affine"]}
    with RunFolder.create(tmp_path / "run", asked) as run:
        simulate_drift(model, PCM, data, times=[1.0], calibrate=["affine"], store=run, **options)
        assert "sigma_c 0.1 has none" in missing(*read_runs([run]))
        sweep_conductance_noise(model, data, sigmas=[0.1], store=run, **options)
        assert missing(*read_runs([run])) is None


class FreshBatches:
    """Makes each batch anew, and counts how many are alive at once."""

    def __init__(self):
        self.alive, self.most = weakref.WeakSet(), 0

    def __iter__(self):
        for number in range(6):
            x = randn(4, 8, seed=number)
            self.alive.add(x)
            self.most = max(self.most, len(self.alive))
            yield x, torch.zeros(4, dtype=torch.long)
            del x


def test_batches_are_gone_through_again_and_not_kept():
    data = FreshBatches()
    with device_of(seeded(lambda: nn.Linear(8, 3))).program(0, 0).at(YEAR) as network, affine_corrected(network, data):
        pass
    assert data.most <= 3, "of six"
