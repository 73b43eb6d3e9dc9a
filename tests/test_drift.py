"""Drift simulation and the Gaussian sweep."""

import copy
import math

import pytest
import torch
from networks import Block, seeded
from torch import nn

from analog_samson import rng
from analog_samson.chip.convert import convert
from analog_samson.chip.matrix import matrices_of
from analog_samson.crossbar.plan import crossbar_paths, crossbar_placements
from analog_samson.errors import DataError, OptionError, PlanError, PresetError
from analog_samson.presets.search import load_preset
from analog_samson.results.memory import MemoryStore
from analog_samson.results.metric import ACCURACY
from analog_samson.simulation.drift import needed_instances, simulate_drift
from analog_samson.simulation.gaussian import noisy_weights, sweep_conductance_noise

IDEAL, PCM = load_preset("ideal"), load_preset("pcm_nandakumar_2019")
TIMES = (1.0, 3600.0, 31536000.0)


@pytest.fixture(scope="module")
def images():
    return torch.randn(120, 4, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model(images):
    """A network that tells the images apart: no class has the highest logit on average."""
    model = seeded(Block)
    with torch.no_grad():
        model.head.bias -= model(images).mean(0)
    return model


@pytest.fixture(scope="module")
def data(model, images):
    """Images with the labels that the digital network gives them: its accuracy is 100 %."""
    with torch.no_grad():
        labels = model(images).argmax(1)
    return [(images[:60], labels[:60]), (images[60:], labels[60:])]


def drift(model, data, **changes):
    options = {"times": TIMES, "instances": 2, "seed": 0} | changes
    return simulate_drift(
        model, changes.pop("preset", PCM), data, **{k: v for k, v in options.items() if k != "preset"}
    )


def values(result, metric="accuracy_percent", **cell):
    return [r.value for r in result.records if r.metric == metric and all(getattr(r, k) == v for k, v in cell.items())]


def test_drift_when_ideal_stays_at_the_digital_accuracy(model, data):
    result = drift(model, data, preset=IDEAL)
    assert set(values(result)) == {100.0}
    assert max(values(result, "weight_error")) < 1e-6


def test_drift_when_repeated_gives_the_same_records_and_another_seed_does_not(model, data):
    first = drift(model, data)
    assert drift(model, data).records == first.records
    assert drift(model, data, seed=1).records != first.records


def test_drift_when_order_or_number_of_cells_changes_keeps_every_number(model, data):
    whole = set(drift(model, data, instances=3).records)
    part = drift(model, data, instances=2, times=(TIMES[2], TIMES[0])).records
    assert set(part) <= whole


def test_drift_when_resumed_computes_only_what_is_missing(model, data):
    whole = drift(model, data)
    store = MemoryStore()
    drift(model, data, store=store, instances=1, times=TIMES[:2])
    steps = []
    resumed = drift(model, data, store=store, progress=steps.append)
    assert sorted(map(repr, resumed.records)) == sorted(map(repr, whole.records))
    assert len(steps) == 4


@pytest.mark.parametrize("other", [{"label": "b"}, {"preset": load_preset("ideal")}])
def test_drift_when_a_store_is_of_another_network_or_preset_is_refused(other, model, data):
    store = MemoryStore()
    drift(model, data, store=store)
    sweep_conductance_noise(model, data, sigmas=[0.1], instances=1, seed=0, store=store)
    with pytest.raises(OptionError, match="store: holds cells of model on pcm_nandakumar_2019"):
        drift(model, data, store=store, **other)
    with pytest.raises(OptionError, match="store: holds cells of model on generic_gaussian"):
        sweep_conductance_noise(model, data, sigmas=[0.1], instances=1, seed=0, store=store, label="b")


def test_drift_when_two_models_share_a_seed_meets_the_same_devices():
    """The same layer under another head: its programmed weights are bit for bit the same."""
    weights = []
    for outputs in (2, 7):
        body = nn.Linear(5, 5)
        with torch.no_grad():
            body.weight.copy_(torch.arange(25.0).view(5, 5))
        analog = convert(nn.Sequential(body, nn.Linear(5, outputs)), PCM)
        with rng.stream(0, "program", 0):
            analog.program_analog_weights()
        weights.append(analog[0].weight.clone())
    assert torch.equal(*weights)


def test_drift_when_time_is_zero_measures_the_weights_as_programmed(model, data):
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for path, matrix in matrices_of(convert(model, PCM)).items():
            with rng.stream(0, "program", 0, path):
                matrix.program()
            twin.get_submodule(path).weight.copy_(matrix.values())
        correct = sum(int((twin(x).argmax(1) == y).sum()) for x, y in data)
    result = drift(model, data, times=(0.0,), instances=1)
    assert values(result, stage="drift") == [pytest.approx(100 * correct / 120)]


@pytest.mark.parametrize("engine", ["fast", "aihwkit"])
@pytest.mark.parametrize("times", [(0.0, 3e7), (3e7, 0.0), (0.0, 0.0)], ids=str)
def test_drift_when_time_is_zero_no_other_time_or_chip_changes_it(model, data, times, engine):
    alone = drift(model, data, times=(0.0,), instances=3, engine=engine)
    among = drift(model, data, times=times, instances=3, engine=engine)
    assert values(among, "loss", time_seconds=0.0) == values(alone, "loss", time_seconds=0.0)


def test_drift_when_model_is_simulated_leaves_it_alone(model, data):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    drift(model, data, instances=1, adabs=True, calibration=data)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_drift_when_adabs_adds_cells_and_changes_none(model, data):
    plain = drift(model, data, instances=1)
    both = drift(model, data, instances=1, adabs=True, calibration=data)
    assert set(plain.records) < set(both.records)
    adapted, unadapted = (values(both, "loss", stage="drift", adabs=flag) for flag in (True, False))
    assert len(adapted) == len(unadapted) == 3
    assert adapted != unadapted


def test_drift_when_interval_is_asked_for_adds_the_instances_that_steins_rule_needs(model, data):
    plain = drift(model, data, instances=3)
    needed = needed_instances(plain.records, ACCURACY, 3, 2.0, sum(len(labels) for _, labels in data))
    assert needed > 3
    asked = drift(model, data, instances=3, target_halfwidth=2.0)
    assert max(r.instance for r in asked.records) + 1 == min(100, needed)
    assert set(plain.records) <= set(asked.records)
    capped = drift(model, data, instances=3, target_halfwidth=2.0, max_instances=4)
    assert max(r.instance for r in capped.records) + 1 == 4


def test_drift_frame_is_tidy(model, data):
    result = drift(model, data, instances=2)
    frame = result.frame()
    assert list(frame.columns) == [
        *("checkpoint", "preset", "stage", "calibration", "instance", "time_seconds", "sigma_c"),
        *("accuracy_percent", "loss", "weight_error", "coverage"),
    ]
    assert len(frame) == 1 + 2 * 3, "one row a cell"
    assert not frame.duplicated(["stage", "calibration", "instance", "time_seconds"]).any()
    for record in result.records:
        cell = frame[(frame.stage == record.stage) & (frame.instance == record.instance)]
        cell = cell if record.time_seconds is None else cell[cell.time_seconds == record.time_seconds]
        assert cell[record.metric].item() == record.value
    assert set(frame.coverage[frame.time_seconds > 86400]) == {"extrapolated"}
    assert set(frame.coverage[~(frame.time_seconds > 86400)]) == {""}


def test_drift_when_options_are_wrong_lists_all_faults(model, data):
    with pytest.raises(OptionError) as caught:
        drift(model, data, times=(-1.0, math.nan), instances=0, adabs=True)
    assert str(caught.value).count("\n") == 4
    assert str(caught.value).startswith("simulate_drift: 4 problems")


WRONG = {
    "name of no preset": ({"preset": "pcm_nandakumar"}, "did you mean 'pcm_nandakumar_2019'"),
    "no preset": ({"preset": None}, "expected the name or file of a preset, or a Preset, got a NoneType"),
    "time without a unit": ({"times": "1"}, "duration '1': expected a number and a unit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_drift_when_an_argument_is_of_another_kind_says_what_is_meant(case, model, data):
    changes, words = WRONG[case]
    with pytest.raises((OptionError, PresetError), match=words):
        drift(model, data, **changes)


def test_data_when_no_batches_or_good_for_one_pass_says_what_to_give(model, data):
    with pytest.raises(
        DataError, match=r"expected batches \(x, y\), such as \[\(x, y\)\] or a DataLoader, got a Tensor"
    ):
        drift(model, data[0])
    once = r"data: a generator can be gone through only once; give a list of batches or a DataLoader"
    with pytest.raises(OptionError, match=once):
        drift(model, (batch for batch in data))
    with pytest.raises(OptionError, match=f"calibration: {once[6:]}"):
        drift(model, data, adabs=True, calibration=(batch for batch in data))
    with pytest.raises(OptionError, match=once):
        sweep_conductance_noise(model, (batch for batch in data), sigmas=[0.1], instances=1, seed=0)


def test_sweep_when_sigma_is_zero_equals_digital_and_more_noise_loses(model, data):
    result = sweep_conductance_noise(model, data, sigmas=(0.0, 0.1, 0.5), instances=4, seed=0)
    assert values(result, sigma_c=0.0) == [100.0]
    means = [sum(v) / len(v) for v in (values(result, sigma_c=s) for s in (0.0, 0.1, 0.5))]
    assert means[0] > means[1] > means[2]


def test_sweep_when_done_puts_the_weights_back_exactly(model, data):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    sweep_conductance_noise(model, data, sigmas=(0.3,), instances=1, seed=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_sweep_when_interrupted_puts_the_weights_back_exactly(model):
    before = model.head.weight.clone()

    class Broken:
        def __iter__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep_conductance_noise(model, Broken(), sigmas=(0.3,), instances=1, seed=0)
    assert torch.equal(model.head.weight, before)


def test_sweep_noise_has_the_mean_and_spread_of_equation_8():
    """10^5 devices, |z| < 4.9 for mean and standard deviation: a false alarm in about 10^6 seeds each."""
    layer = nn.Linear(400, 250, bias=False)
    ratio = []

    def spy():
        ratio.append((layer.weight / clean).flatten())
        yield torch.zeros(1, 400), torch.zeros(1, dtype=torch.long)

    class Spied:
        def __iter__(self):
            return spy()

    clean = layer.weight.detach().clone()
    sweep_conductance_noise(layer, Spied(), sigmas=(0.2,), instances=1, seed=3)
    count = ratio[0].numel()
    z_mean = (ratio[0].mean() - 1) / (0.2 / math.sqrt(count))
    z_std = (ratio[0].std() - 0.2) / (0.2 / math.sqrt(2 * count))
    assert abs(z_mean) < 4.9
    assert abs(z_std) < 4.9


def test_sweep_when_layers_share_a_parameter_they_share_its_devices_and_look_ups_are_digital():
    first, second, embedding = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False), nn.Embedding(64, 64)
    second.weight = embedding.weight = first.weight
    model, kept = nn.Sequential(embedding, first, second), first.weight
    with noisy_weights(model, crossbar_placements(model), 0.3, 0, 0):
        assert first.weight is second.weight
        ratio = first.weight / kept
        assert embedding.weight is kept
    assert ratio.std().item() == pytest.approx(0.3, rel=0.05)  # 4.5 standard errors
    assert all(layer.weight is kept for layer in model)


def test_sweep_moves_the_weights_of_subclasses_and_refuses_a_network_without_weights(data):
    class Mine(nn.Linear):
        pass

    options = {"sigmas": (0.0, 0.3), "instances": 1, "seed": 0}
    found = sweep_conductance_noise(nn.Sequential(nn.Flatten(), Mine(144, 10)), data, **options)
    clean, noisy = (record.value for record in found.records if record.metric == "loss")
    assert clean != noisy
    with pytest.raises(PlanError, match="no weight that goes on a crossbar"):
        sweep_conductance_noise(nn.Sequential(nn.BatchNorm1d(4)), data, **options)


def test_sweep_when_attention_is_in_the_model_takes_its_projections():
    model = nn.Sequential(nn.MultiheadAttention(4, 2), nn.Linear(4, 2))
    assert crossbar_paths(model) == ["0.in_proj_weight", "0.out_proj", "1"]


def test_sweep_when_options_are_wrong_lists_all_faults(model, data):
    with pytest.raises(OptionError, match="2 problems"):
        sweep_conductance_noise(model, data, sigmas=(-0.1,), instances=0, seed=0)
