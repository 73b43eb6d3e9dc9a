"""The second study: its arms, the common axis of their sizes, and which chip reads which image."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from networks import seeded
from small import Small

from analog_samson.data import image_set

STUDY = Path(__file__).parents[1] / "benchmarks" / "study"


@pytest.fixture(scope="module")
def study():
    sys.path.insert(0, str(STUDY))
    yield importlib.import_module("study")
    sys.path.remove(str(STUDY))


def test_every_arm_is_a_training_that_the_options_accept(study):
    for name, arm in study.ARMS.items():
        for clip in (None, 0.2):
            rise = None if arm.size is None else 0.79
            options = study.Candidate(name, clip, rise, seed=7).options(None if rise is None else 0.1)
            assert (options.clip, options.seed, options.epochs) == (clip, 7, 1)
            assert arm.size is None or getattr(options, arm.size) == 0.1
    assert study.start_options(1).epochs == 24
    assert [study.Candidate("sgd", seed=seed).start for seed in (0, 4, 5, 9)] == [0, 0, 1, 1]
    arms = importlib.import_module("arms")
    ratios = np.divide(arms.RISES[1:], arms.RISES[:-1])
    assert np.allclose(ratios, arms.WIDER, rtol=0.01)


@pytest.mark.parametrize("arm", ["sam", "asam", "samson_2", "samson_inf", "rwp", "noise"])
def test_size_raises_the_loss_as_wanted(study, arm):
    axis = importlib.import_module("axis")
    x = torch.randn(32, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    model, batches = seeded(Small).eval(), [(x, torch.arange(32) % 3)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    size = axis.size_for(lambda one: axis.loss_rise(model, batches, arm, one), 0.3, axis.FIRST[study.ARMS[arm].size])
    assert axis.loss_rise(model, batches, arm, size) == pytest.approx(0.3, rel=axis.TOLERANCE)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_rise_that_no_size_gives_is_refused(study):
    axis = importlib.import_module("axis")
    with pytest.raises(axis.NoSize, match="jumps at"):
        axis.size_for(lambda size: 1.0 if size > 0.5 else 0.1, 0.3, 2.0)
    with pytest.raises(axis.NoSize, match="rises by"):
        axis.size_for(lambda size: min(size, 0.2), 0.3, 0.1)


def test_chips_of_a_quarter_read_every_image_two_or_three_times(study):
    images = image_set(np.zeros((22, 4, 4), np.uint8), np.arange(22) % 2, num_classes=2, name="few", where="few")
    chips = study.Chips(seed=0, instances=range(10), parts=4)
    read = np.concatenate([chips.share(images, chip)[0] for chip in chips.instances])
    assert set(np.bincount(read)) == {2, 3}
    index, part = chips.share(images, 3)
    assert index.tolist() == [1, 5, 9, 13, 17, 21]
    assert torch.equal(part.labels, images.labels[index])


def test_choice_is_the_best_mean_over_conditions_and_of_equals_the_smaller_size(study, tmp_path, monkeypatch):
    rows = []
    for clip, rise, right in ((None, 0.3, (80, 60)), (None, 0.8, (60, 80)), (0.2, 0.3, (90, 40)), (0.2, 0.8, (50, 81))):
        identity = {"arm": "asam", "clip": clip, "rise": rise, "seed": 0}
        rows.append(identity | {"condition": "digital", "chip": math.nan, "images": 100, "right": 99})
        for condition, count in zip(("one", "two"), right, strict=True):
            rows += [
                identity | {"condition": condition, "chip": chip, "images": 100, "right": count} for chip in (0, 1)
            ]
    (tmp_path / "values").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "values" / "select.csv", index=False)
    monkeypatch.setattr(study, "VALUES", tmp_path / "values")
    monkeypatch.setattr(study, "CHOSEN", tmp_path / "chosen.toml")
    study.choose()
    chosen = study.tomllib.loads(study.CHOSEN.read_text())["asam"]
    assert chosen == {"unclipped": {"rise": 0.3, "score": 70.0}, "clipped": {"clip": 0.2, "rise": 0.8, "score": 65.5}}


def test_lines_are_added_whole_and_found_by_their_candidate(study, tmp_path):
    path = tmp_path / "new" / "values.csv"
    for seed, clip in ((0, None), (1, 0.2)):
        study.append(path, [{"arm": "sgd", "clip": clip, "rise": None, "seed": seed, "right": 7}])
    values = study.read(path)
    assert study.of_candidate(values, study.Candidate("sgd", 0.2, seed=1)).right.tolist() == [7]
    assert study.of_candidate(values, study.Candidate("sgd", 0.2, seed=0)).empty
    assert study.of_candidate(values, study.Candidate("sgd")).seed.tolist() == [0]


@pytest.fixture
def contrasts(study, monkeypatch):
    found = importlib.import_module("contrasts")
    for name, value in {"IMAGES": 40, "RESAMPLES": 500}.items():
        monkeypatch.setattr(found, name, value)
    return found


def made_up(draws, effect, trainings=10, chips=10, images=40):
    """Differences of outcomes in points: trainings, chips and images vary; a chip reads a quarter of the images."""
    points = effect + draws.normal(0, 2, (trainings, 1, 1)) + draws.normal(0, 3, (trainings, chips, 1))
    points = points + draws.normal(0, 5, images) + draws.normal(0, 20, (trainings, chips, images))
    chip, image = np.arange(chips)[:, None], np.arange(images)
    return np.where((image + chip) % 4 == 0, points, np.nan)


def test_intervals_hold_the_true_difference_as_often_as_they_say(contrasts):
    """100 made-up studies; at 95 % fewer than 88 hold it once in 700 tests."""
    draws = np.random.default_rng(0)
    found = [contrasts.difference(None, made_up(draws, 3.0)) for _ in range(100)]
    held = np.mean([one.quoted[0] <= 3 <= one.quoted[1] for one in found])
    assert held >= 0.88
    assert all(one.quoted[0] < one.points < one.quoted[1] for one in found)
    assert np.mean([one.points for one in found]) == pytest.approx(3, abs=0.5)


def test_skewed_differences_take_the_interval_of_resampled_trainings(contrasts):
    points = np.repeat(np.array([0.0, 0.1, 0.2, 0.1, 0.0, 0.15, 0.05, 0.1, 0.2, 9.0])[:, None], 40, axis=1)
    found = contrasts.difference(None, np.repeat(points[:, None], 10, axis=1))
    assert found.is_skewed
    assert found.of_trainings[1] - found.points > 2 * (found.points - found.of_trainings[0])
    even = contrasts.difference(None, made_up(np.random.default_rng(1), 0.0))
    assert not even.is_skewed


def test_contrasts_are_paired_by_training_chip_and_image(contrasts, study, tmp_path):
    """Outcomes as a training leaves them; the second arm is wrong on every image that the first one gets wrong."""
    chosen = {
        "sgd": {"clipped": {"clip": 0.2}},
        "asam": {"clipped": {"clip": 0.2, "rise": 0.8}, "unclipped": {"rise": 0.8}},
        "samson_inf": {"unclipped": {"rise": 0.3}},
        "hardware_aware": {"clipped": {"clip": 0.3, "score": 80.0}, "unclipped": {"score": 81.0}},
    }
    outcomes = contrasts.Outcomes(tmp_path, chosen)
    assert contrasts.chosen_aware(chosen) == "unclipped"
    wanted = contrasts.primary("unclipped")
    chips = study.Chips(seed=0, instances=range(10), parts=4)
    for arm in {arm for one in wanted for arm in (one.first, one.second)}:
        for seed in range(3):
            stored = {}
            for chip in range(10):
                places = chips.places(40, chip)
                for condition in (contrasts.STRESS, contrasts.ON_PRESET):
                    right = (places % 5 != 0) & ((arm[0] == "asam") | (places % (seed + 2) != 1))
                    stored[study.Reading.key_of(condition, chip)] = np.packbits(right)
            np.savez_compressed(tmp_path / f"{outcomes.candidate(arm, seed).name}.npz", **stored)
    found = contrasts.measure(outcomes, wanted)
    lost = [
        np.mean([(i % 5 != 0) & (i % (seed + 2) == 1) for chip in range(10) for i in chips.places(40, chip)])
        for seed in range(3)
    ]
    expected = 100 * np.mean(lost)
    assert [one.points for one in found] == pytest.approx([expected, expected, -expected, -expected])
    assert {one.trainings for one in found} == {3}
    assert "samson_inf unclipped − asam unclipped" in contrasts.table(found)[4]
