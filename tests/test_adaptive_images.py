"""`--images adaptive`: chips on part of the samples, estimates of all of them, and what a run says about it."""

import numpy as np
import pytest
import torch
from networks import seeded
from small import small_options
from torch import nn

from analog_samson import SimulatedDevice, load_preset, plan_conversion, simulate_drift, sweep_conductance_noise
from analog_samson.analysis.image_sample import LEAST
from analog_samson.analysis.runs import read_runs
from analog_samson.data.batch_set import BatchSet
from analog_samson.data.batches import Batches
from analog_samson.data.feeding import SampleBatches
from analog_samson.data.image_set import ImageSet
from analog_samson.data.normalization import parse_normalization
from analog_samson.data.picked import pick_samples
from analog_samson.data.tensor_set import TensorBatches, TensorSet
from analog_samson.data.text_set import TextBatches, TextSet
from analog_samson.errors import DataError, OptionError, RunError
from analog_samson.report.contents import Contents
from analog_samson.report.headline import headline
from analog_samson.results.condition import Condition
from analog_samson.results.memory import MemoryStore
from analog_samson.results.metric import Metric
from analog_samson.results.store import open_run
from analog_samson.simulation.result import SimulationResult
from analog_samson.simulation.run import run_simulation
from analog_samson.simulation.stored_options import read_config
from analog_samson.simulation.verify import verify_run
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.regression import Regression
from analog_samson.tasks.scoring import score
from analog_samson.tasks.task import Task

PCM = load_preset("pcm_nandakumar_2019")
DIGITAL = Condition(stage="digital")
HOUR, DAY, YEAR = (Condition(stage="drift", time_seconds=seconds) for seconds in (3600.0, 86400.0, 31536000.0))
SAMPLES = 400


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval())


@pytest.fixture(scope="module")
def data(model):
    x = torch.randn(SAMPLES, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        labels = model(x).argmax(1)
    labels[::9] = (labels[::9] + 1) % 3
    return list(zip(x.split(150), labels.split(150), strict=True))


def age(model, data, **options):
    options = {"times": "1h,1d", "instances": 3, "seed": 0, "images": "adaptive"} | options
    return simulate_drift(model, options.pop("preset", PCM), data, **options)


@pytest.fixture(scope="module")
def result(model, data):
    return age(model, data)


def test_estimates_are_weighted_means_over_samples_of_the_same_chips(model, data, result):
    whole = age(model, data, images="all")
    values = {(r.instance, r.condition): r.value for r in result.records if r.metric == "accuracy_percent"}
    for chip in range(3):
        places, weights = result.drawn(chip)
        assert (len(places), weights.sum()) == (LEAST, pytest.approx(SAMPLES))
        for condition in (HOUR, DAY):
            right = whole.outcomes(chip, condition)[places]
            assert np.array_equal(result.outcomes(chip, condition), right)
            assert values[chip, condition] == pytest.approx(100 * (weights * right).sum() / SAMPLES)
    assert len({tuple(result.drawn(chip)[0]) for chip in range(3)}) == 3, "chips draw apart"
    assert values[0, DIGITAL] == 100 * whole.outcomes(0, DIGITAL).mean(), "the digital network is measured on all"


def test_the_loss_is_estimated_too(model, data, result):
    x, labels = (torch.cat(parts) for parts in zip(*data, strict=True))
    places, weights = result.drawn(0)
    with SimulatedDevice(model, plan_conversion(model, PCM)).program(0, 0).at(DAY) as network, torch.no_grad():
        losses = nn.functional.cross_entropy(network(x[places]), labels[places], reduction="none").double().numpy()
    (found,) = (r.value for r in result.records if (r.instance, r.condition, r.metric) == (0, DAY, "loss"))
    assert found == pytest.approx((weights * losses).sum() / SAMPLES, rel=1e-5)


def test_chips_are_run_on_their_samples_alone(model, data):
    seen = []
    counted = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval())
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, inputs, _: seen.append(len(inputs[0])) if isinstance(module, nn.ReLU) else None
    )
    try:
        age(counted, data, times="1d")
    finally:
        hook.remove()
    assert SAMPLES + (3 + 1) * LEAST <= sum(seen) <= SAMPLES + (3 + 1) * LEAST + 10  # and a few that try folding


def test_resumed_study_draws_and_measures_the_same(model, data, result):
    store = MemoryStore()

    def stop(text: str) -> None:
        if text.startswith("instance 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        age(model, data, store=store, progress=stop)
    drawn = store.meta("images")
    again = age(model, data, store=store)
    assert again.records == result.records
    assert store.meta("images") == drawn
    assert (again.samples, again.images.size) == (result.samples, result.images.size) == (SAMPLES, LEAST)


def test_presets_and_networks_share_most_samples_of_a_chip(model, data, result):
    other = age(model, data, preset="reram_cmo_2024_accept_2")
    mutated = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval())
    with torch.no_grad():
        mutated[2].bias += 0.1
    for one in (other, age(mutated, data)):
        shared = [len({*result.drawn(chip)[0]} & {*one.drawn(chip)[0]}) / LEAST for chip in range(3)]
        assert min(shared) > 0.5  # a quarter by chance
    assert np.array_equal(other.images.strata, result.images.strata), "strata are of the digital network"


def test_another_seed_draws_other_samples(model, data, result):
    assert not np.array_equal(age(model, data, seed=1).drawn(0)[0], result.drawn(0)[0])


def test_a_target_takes_fewer_samples_and_decides_on_chips_by_its_rule(model, data):
    x, labels = (torch.cat([part] * 10) for part in (torch.cat([x for x, _ in data]), torch.cat([y for _, y in data])))
    large = [(x, labels)]
    wide = age(model, large, instances=4, target_halfwidth=50.0)
    assert (wide.images.size, len({r.instance for r in wide.records})) == (LEAST, 4)
    narrow = age(model, large, instances=4, target_halfwidth=0.5, max_instances=6)
    assert (narrow.images.size, len({r.instance for r in narrow.records})) == (400, 6)


def test_gaussian_sweep_takes_part_as_well_but_not_without_noise(model, data):
    swept = sweep_conductance_noise(model, data, sigmas=[0.0, 0.2], instances=2, seed=0, images="adaptive")
    whole = sweep_conductance_noise(model, data, sigmas=[0.0, 0.2], instances=2, seed=0)
    quiet, noisy = (Condition(stage="gaussian", sigma_c=sigma) for sigma in (0.0, 0.2))
    assert np.array_equal(swept.outcomes(0, quiet), whole.outcomes(0, quiet))
    assert np.array_equal(swept.outcomes(1, noisy), whole.outcomes(1, noisy)[swept.drawn(1)[0]])


class Distance(Task):
    """Batches (x, y): the mean distance of outputs from y, without classes."""

    name = "distance"
    metrics = (Metric(name="distance", title="distance", higher_is_better=False, lower=0.0),)
    averaged = ("distance",)

    def check(self, output, batch):
        assert output.shape == batch[1].shape

    def sample_values(self, output, batch):
        return {"distance": (output - batch[1]).norm(dim=1)}

    def loss(self, output, batch):
        return self.sample_values(output, batch)["distance"].mean()

    def start(self, device):
        return []

    def update(self, state, output, batch):
        return [*state, self.sample_values(output, batch)["distance"]]

    def compute(self, state):
        return {"distance": float(torch.cat(state).mean())}


def test_task_of_ones_own_without_margins_is_divided_by_its_own_values(model):
    x = torch.randn(SAMPLES, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        target = model(x) + torch.linspace(0.0, 1.0, SAMPLES)[:, None]
        digital = (model(x) - target).norm(dim=1).numpy()
    found = age(model, [(x, target)], task=Distance(), times="1d", instances=20)
    highest = [digital[found.images.strata == stratum].max() for stratum in range(20)]
    assert highest == sorted(highest)
    whole = age(model, [(x, target)], task=Distance(), times="1d", instances=20, images="all")
    exact, estimated = (
        np.array([r.value for r in one.records if r.stage == "drift" and r.metric == "distance"])
        for one in (whole, found)
    )
    assert estimated == pytest.approx(exact, rel=0.1)
    assert estimated.mean() == pytest.approx(exact.mean(), rel=0.01)
    assert not np.array_equal(estimated, exact)


def test_metrics_of_a_classifier_are_the_means_of_their_samples(model, data):
    task = Classification(detailed=True)
    found = []
    values = score(
        model, data, task, watch=lambda output, batch: found.append(task.sample_values(output, batch))
    ).values
    for name in task.averaged:
        assert torch.cat([each[name] for each in found]).double().mean().item() == pytest.approx(values[name], rel=1e-5)


class Words:
    """A tokenizer of letters."""

    pad_token_id, model_max_length = 0, 100

    def __call__(self, texts, **_):
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}


def batches_of_every_kind():
    number = torch.arange(9)
    pixels = number.to(torch.uint8)[:, None, None, None].expand(9, 1, 2, 2)
    images = ImageSet(images=pixels, labels=number, num_classes=9, name="n")
    tensors = TensorSet(name="n", inputs=number[:, None].float(), targets=number)
    texts = TextSet(name="n", texts=["ab" * (1 + n % 3) for n in range(9)], targets=number)
    layout = {"batch_size": 4, "device": "cpu"}
    yield Batches(images, parse_normalization("unit"), **layout)
    yield TensorBatches(tensors, **layout)
    yield TextBatches(texts, Words(), **layout)
    yield SampleBatches(tensors, TensorBatches(tensors, **layout))
    plain = [{"x": number[:5].float(), "labels": number[:5]}, {"x": number[5:].float(), "labels": number[5:]}]
    yield BatchSet(name="n", batches=plain).on(torch.device("cpu"))
    yield [(part.float(), part, [str(one) for one in part.tolist()]) for part in number.split(2)]


@pytest.mark.parametrize("batches", list(batches_of_every_kind()), ids=lambda batches: type(batches).__name__)
def test_samples_are_picked_from_batches_of_any_kind_in_their_order(batches):
    def labels(given):
        targets = (batch["labels"] if isinstance(batch, dict) else batch[1] for batch in given)
        return torch.cat(list(targets)).tolist()

    order, places = labels(batches), torch.tensor([0, 1, 4, 8])
    picked = pick_samples(batches, places)
    for _ in range(2):
        assert labels(picked) == [order[place] for place in places.tolist()]
    assert labels(batches) == order


@pytest.mark.parametrize(
    ("task", "told"),
    [(Regression(), "rmse, r2"), (Classification(detailed=True), "calibration_error_percent of task classification")],
)
def test_metric_that_is_no_mean_over_samples_is_refused(model, data, task, told):
    with pytest.raises(OptionError) as error:
        age(model, data, task=task)
    assert all(part in str(error.value) for part in (*told.split(", "), "images adaptive", "leave it out"))


def test_few_samples_and_unknown_words_are_refused(model, data):
    store = MemoryStore()
    with pytest.raises(OptionError, match=r"expected 200 test samples or more, got 150; leave it out"):
        age(model, data[:1], store=store)
    assert not store.records()
    with pytest.raises(OptionError, match="images: expected one of all, adaptive, got 'some'"):
        age(model, data, images="some")
    with pytest.raises(OptionError, match="every chip was measured on all samples"):
        age(model, data, images="all").drawn(0)


def test_data_that_changes_between_passes_is_refused(model, data):
    class Shrinking(list):
        passes = 0

        def __iter__(self):
            self.passes += 1
            return iter(list(super().__iter__())[: 3 if self.passes < 3 else 1])

    with pytest.raises(DataError, match="the data gave"):
        age(model, Shrinking(data))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A stored run with part of the images, and its options."""
    folder = tmp_path_factory.mktemp("adaptive")
    options = small_options(folder, images=700, tested=SAMPLES, instances=3).replace(images="adaptive")
    run_simulation(options, folder / "run").close()
    return options, folder / "run"


def test_run_says_that_its_values_are_estimates(run):
    _, folder = run
    with open_run(folder) as found:
        (read,) = read_runs([found])
        assert found.meta("images")["size"] == LEAST
    report = Contents([read])
    assert f"estimated on {LEAST} of {SAMPLES} test samples a chip" in headline(report).sentence
    frame = SimulationResult.load(folder).frame()
    assert {*zip(frame.stage, frame.samples_measured, frame.samples, strict=True)} == {
        ("digital", SAMPLES, SAMPLES),
        ("drift", LEAST, SAMPLES),
    }
    assert read_config(folder, ["small:Small"]).images == "adaptive"
    assert all(state.sampled is None for result in read.results for state in result.states), "no share of all samples"


def test_run_goes_on_with_its_images_and_refuses_to_go_on_with_all(run):
    options, folder = run
    with run_simulation(options, folder) as again:
        records = again.records()
    with run_simulation(options, folder.with_name("again")) as fresh:
        assert fresh.records() == records
    verified = verify_run(folder, [(2, YEAR), (0, DIGITAL)], trusted=["small:Small"])
    assert (verified.differences, verified.conditions, verified.equal) == ((), 2, verified.values)
    with pytest.raises(RunError, match="images"):
        run_simulation(options.replace(images="all"), folder)
