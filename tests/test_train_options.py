"""Options of a training: what each refuses, which have no effect together, and the defaults that None stands for."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from analog_samson.errors import OptionError
from analog_samson.presets import load_preset
from analog_samson.sharpness.methods import METHODS, Samson, register_method, training_methods
from analog_samson.sharpness.perturbations import WorstCase
from analog_samson.training import TrainOptions
from analog_samson.training.job import TrainJob
from analog_samson.training.noise_options import parse_ratio
from analog_samson.training.optimizer import make_optimizer
from analog_samson.training.recipes import FROM_SCRATCH, TRANSFORMER, with_recipe

PCM, GAUSSIAN = "pcm_nandakumar_2019", "gaussian_joshi_2020"
# What single fields refuse: each value is a problem by itself, whatever the other options are.
REFUSED: dict[str, tuple[Any, ...]] = {
    "seed": (0.5, True, None),
    "epochs": (0, 1.5),
    "batch_size": (True, "many"),
    "learning_rate": (-1.0, "fast", math.inf),
    "momentum": (math.nan, 1.5),
    "step_epochs": (0,),
    "label_smoothing": (1.5,),
    "clip": (0.0, math.inf),
    "clip_std": (-1.0,),
    "noise": (-1.0, "1/0"),
    "noise_sigma_c": (-0.2,),
    "noise_time": (-1.0, "1 hour"),
    "noise_preset": ("pcm", 3),
    "rho": (-0.1,),
    "p": (0.5, math.nan),
    "eta": (-1.0,),
    "sigma": (-0.1,),
    "perturbed_share": (0.0, 1.1),
    "ramp_epochs": (0.0,),
    "ascent_every": (0, 2.0),
    "ascent_fraction": (1.5,),
    "ema_decay": (0.0, 1.0),
    "distill_weight": (1.2,),
    "distill_temperature": (0.0,),
    "perturbation": ("samson", 3),
    "augment": (1,),
}
# Options that contradict each other or have no effect, with the options that the message names and its reason.
CONFLICTS: list[tuple[dict[str, Any], str]] = [
    ({"method": "sgd", "rho": 0.5}, "rho: has no effect with method sgd"),
    ({"method": "sgd", "selection": "paper"}, "selection: has no effect with method sgd"),
    ({"method": "sam", "p": 2.0}, "p: has no effect with method sam"),
    ({"method": "asam", "p": 2.0}, "p: has no effect with method asam"),
    ({"method": "rwp", "p": 2.0}, "p: has no effect with method rwp"),
    ({"method": "rwp", "eta": 0.0}, "eta: has no effect with method rwp"),
    ({"method": "rwp", "ascent_every": 2}, "ascent_every: has no effect with method rwp"),
    ({"method": "rwp", "rho": 0.1, "sigma": 0.1}, "rho and sigma: both say how far weights move"),
    ({"method": "samson", "sigma": 0.1}, "sigma: has no effect with method samson"),
    ({"method": "sam", "perturbed_share": 0.5}, "perturbed_share: has no effect with method sam"),
    ({"ascent_every": 2}, "ascent_every: has no effect with method sgd"),
    ({"ascent_fraction": 0.5}, "ascent_fraction: has no effect with method sgd"),
    ({"ascent_sync": True}, "ascent_sync: has no effect with method sgd"),
    ({"ramp_epochs": 1.0}, "ramp_epochs: has no effect with method sgd"),
    ({"method": "sam", "ascent_fraction": 0.1, "batch_size": 16}, "ascent_fraction: 0.1 of 16 samples"),
    ({"method": "sam", "ramp_epochs": 6.0, "epochs": 5}, "ramp_epochs: 6 of 5 epochs"),
    ({"perturbation": Samson(), "rho": 0.1}, "rho: the perturbation has options of its own"),
    ({"perturbation": Samson(), "method": "sam"}, "method: got sam beside a perturbation of samson"),
    ({"nesterov": True, "momentum": 0.0}, "nesterov: needs a momentum above 0"),
    ({"schedule": "onecycle", "warmup_epochs": 1.0}, "warmup_epochs: the onecycle schedule has a rise of its own"),
    ({"schedule": "cosine", "step_epochs": 3}, "step_epochs: has no effect with schedule cosine"),
    ({"warmup_epochs": 5.0, "epochs": 5}, "warmup_epochs: 5 of 5 epochs"),
    ({"clip": 0.2, "clip_std": 2.0}, "clip and clip_std: both limit the weights"),
    ({"distill_weight": 1.0, "label_smoothing": 0.1}, "label_smoothing: has no effect where distill_weight is 1"),
    ({"noise_time": 1.0}, "noise_time: has no effect without noise_preset"),
    ({"noise_preset": "ideal"}, "noise_preset: has no effect, for ideal stores every weight exactly"),
    ({"noise_preset": GAUSSIAN, "noise_time": 1.0}, "noise_time: has no effect, for weights on gaussian_joshi_2020"),
    ({"noise_preset": PCM, "noise": 0.1}, "noise and noise_preset: each puts noise on the weights"),
    ({"noise_sigma_c": 0.2, "noise": 0.1}, "noise and noise_sigma_c: each puts noise on the weights"),
]


def problems(**options: Any) -> list[str]:
    with pytest.raises(OptionError) as caught:
        TrainOptions(**{"seed": 0} | options)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("name", REFUSED)
def test_value_out_of_range_is_refused_by_name(name):
    for value in REFUSED[name]:
        count, line = problems(**{name: value})
        assert count == "training options: 1 problem"
        assert line.startswith(f"  {name}: ")
        assert repr(value) in line


def test_wrong_names_are_refused_with_the_nearest():
    for option, wrong, near in (
        *(("method", "samsom", "samson"), ("schedule", "cosin", "cosine")),
        ("selection", "weight_only", "weights_only"),
    ):
        (line,) = problems(**{option: wrong})[1:]
        assert f"  {option}: expected one of" in line
        assert f"did you mean '{near}'" in line


@pytest.mark.parametrize(("options", "expected"), CONFLICTS, ids=str)
def test_conflict_is_explained(options, expected):
    count, line = problems(**options)
    assert count == "training options: 1 problem"
    assert line.strip().startswith(expected)


def test_all_problems_are_listed_at_once():
    lines = problems(epochs=0, learning_rate=-1.0, momentum=math.nan, clip=0.0, method="samsom")
    assert sorted(line.split(":")[0].strip() for line in lines[1:]) == [
        *("clip", "epochs", "learning_rate", "method", "momentum")
    ]
    assert len(problems(clip=0.2, clip_std=2.0, rho=0.5, nesterov=True, momentum=0.0)) == 4


def test_defaults_of_the_methods_are_filled_in():
    found = {method: TrainOptions(seed=0, method=method).resolved() for method in training_methods()}
    assert {name: values["rho"] for name, values in found.items()} == {
        **{"sgd": None, "sam": 0.05, "asam": 0.5, "samson": 0.5},
        "rwp": None,
    }
    assert [found[method]["ascent_every"] for method in found] == [None, 1, 1, 1, None]
    assert (found["rwp"]["sigma"], found["rwp"]["perturbed_share"], found["rwp"]["eta"]) == (0.01, 1.0, None)
    assert TrainOptions(seed=0, method="rwp", rho=1.0).resolved()["sigma"] is None
    assert found["samson"]["p"] == math.inf
    assert found["sam"]["p"] is None
    assert TrainOptions(seed=0, method="samson", selection="paper").resolved()["eta"] == 0.0


def test_method_as_an_object_is_the_method_by_name():
    named = TrainOptions(seed=0, method="samson", rho=0.3, p=2, selection="paper")
    made = TrainOptions(seed=0, perturbation=Samson(rho=0.3, p=2.0), selection="paper")
    assert made.resolved() == named.resolved()
    assert made.replace(selection="weights_only").effective_perturbation() == Samson(rho=0.3, p=2.0, eta=0.01)


def test_method_from_outside_is_known_by_name_and_its_own_options_are_stored():
    @register_method("power_of_test")
    @dataclass(frozen=True, kw_only=True)
    class Power(WorstCase):
        rho: float = 0.2
        order: float = 0.5

        def scale(self, weight: torch.Tensor) -> torch.Tensor:
            return weight.abs() ** self.order

    try:
        assert TrainOptions(seed=0, method="power_of_test", rho=0.1).effective_perturbation() == Power(rho=0.1)
        stored = TrainOptions(seed=0, perturbation=Power(order=0.25)).resolved()
        assert (stored["method"], stored["rho"], stored["power_of_test_order"]) == ("power_of_test", 0.2, 0.25)
        assert "eta: has no effect with method power_of_test" in problems(method="power_of_test", eta=0.1)[1]
    finally:
        METHODS.pop("power_of_test")


def test_selection_of_version_0_1_is_read_under_its_new_name():
    assert TrainOptions(seed=0, method="sam", selection="reference").selection == "name_contains_weight"


def test_noise_of_a_preset_is_resolved_with_its_fingerprint_and_a_day():
    preset = load_preset(PCM)
    found = TrainOptions(seed=0, noise_preset=PCM).resolved()
    assert (found["noise_preset"], found["noise_preset_sha256"]) == (PCM, preset.fingerprint)
    assert found["noise_time"] == 86400.0
    assert TrainOptions(seed=0, noise_preset=load_preset(GAUSSIAN)).resolved()["noise_time"] is None
    assert "noise_preset_sha256" not in TrainOptions(seed=0).resolved()


def test_job_reads_texts_and_keeps_what_was_not_given_for_the_recipe():
    job = TrainJob.from_text({"noise": "1/25", "noise_time": "1h", "noise_preset": PCM, "learning_rate": "0.1"})
    assert (job.noise, job.noise_time, job.noise_preset) == (0.04, 3600.0, load_preset(PCM))
    assert job.training().keys() == {"method", "noise", "noise_time", "noise_preset", "learning_rate"}
    assert job.replace(epochs=2).training().keys() == job.training().keys() | {"epochs"}
    with pytest.raises(OptionError, match="--lr: expected a finite number above 0"):
        TrainJob.from_text({"learning_rate": "-1"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"holdout": 0.1, "test_data": "digits"}, "holdout and test_data"),
        ({"distill_model": "digits_cnn"}, "distill_model: has no effect without distill"),
        ({"holdout": 1.0}, "holdout: expected a number above 0, below 1"),
        ({"threads": 0}, "threads: expected a whole number of 1 or more"),
    ],
)
def test_job_refuses(given, expected):
    with pytest.raises(OptionError, match=expected):
        TrainJob(**given)


@pytest.mark.parametrize(("text", "value"), [("0.94/25", 0.0376), ("0.05", 0.05), ("1e-2", 0.01)])
def test_ratio_is_read(text, value):
    assert parse_ratio(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "a", "1/0", "1/", "1/2/3", "/2"])
def test_faulty_ratio_is_refused(text):
    with pytest.raises(OptionError, match="expected a number such as"):
        parse_ratio(text)


def test_adamw_steps_as_torch_does_and_is_stated_only_where_chosen():
    model, plain = (torch.nn.Linear(3, 2) for _ in range(2))
    plain.load_state_dict(model.state_dict())
    given = TrainOptions(seed=0, optimizer="adamw", learning_rate=0.1, weight_decay=0.3)
    for one, optimizer in (
        (model, make_optimizer(model, given)),
        (plain, torch.optim.AdamW(plain.parameters(), lr=0.1, weight_decay=0.3)),
    ):
        one(torch.ones(4, 3)).square().mean().backward()
        optimizer.step()
    assert torch.equal(model.weight, plain.weight)
    assert given.resolved()["optimizer"] == "adamw"
    assert given.resolved()["momentum"] is None
    assert TrainOptions(seed=0).resolved()["optimizer"] is None
    with pytest.raises(OptionError, match="momentum: has no effect with optimizer adamw"):
        TrainOptions(seed=0, optimizer="adamw", momentum=0.5)


def test_recipe_gives_adamw_a_rate_of_its_own_unless_told():
    assert with_recipe(FROM_SCRATCH, {"optimizer": "adamw"})["learning_rate"] == 1e-3
    assert with_recipe(FROM_SCRATCH, {"optimizer": "adamw", "learning_rate": 0.5})["learning_rate"] == 0.5
    assert with_recipe(TRANSFORMER, {})["learning_rate"] == 5e-5
    assert with_recipe(TRANSFORMER, {"optimizer": "sgd"})["learning_rate"] == 0.02
