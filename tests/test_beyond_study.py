"""The study beyond images: its stages at tiny size, which chip reads which batch, and its page."""

import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.text import LanguageModeling

STUDY = Path(__file__).parents[1] / "benchmarks" / "study"


class Tagger(nn.Module):
    """One of three classes for each of nine tokens, by an LSTM of both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 6), nn.Linear(8, 3)
        self.lstm = nn.LSTM(6, 4, batch_first=True, bidirectional=True)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.lstm(self.embedding(ids))[0])


@pytest.fixture(scope="module")
def beyond():
    sys.path.insert(0, str(STUDY))
    yield importlib.import_module("beyond")
    sys.path.remove(str(STUDY))


@pytest.fixture
def languages(beyond):
    return importlib.import_module("languages")


def tagging(languages):
    def drawn(count: int, name: str):
        draws = rng.generator(0, name)
        ids = [torch.randint(9, (2 + place % 5,), generator=draws) for place in range(count)]
        inputs = [torch.cat([torch.tensor([len(one) - 1]), one]) for one in ids]
        return languages.Samples(inputs, torch.tensor([int(one[0]) % 3 for one in ids]))

    def build(seed: int) -> nn.Module:
        with rng.stream(seed, "test"):
            return languages.Polyphone(Tagger())

    return languages.Language(
        title="tagger",
        task=Classification(classes=3),
        build=build,
        training=drawn(40, "training"),
        held_out=drawn(20, "held out"),
        test=drawn(20, "test"),
        options={**languages.ADAMW, "epochs": 1, "learning_rate": 0.01},
        batch_size=4,
        clips=(0.4,),
    )


@pytest.fixture
def made(beyond, languages, tmp_path, monkeypatch):
    """Makes the study of a tiny LSTM, whose values lie in a folder of the test."""
    monkeypatch.setattr(beyond, "VALUES", tmp_path / "values")
    monkeypatch.setattr(beyond, "CHOSEN", tmp_path / "chosen.toml")
    monkeypatch.setattr(beyond, "RISES", (0.05, 1e6))
    language = tagging(languages)
    return lambda stage: beyond.Beyond("g2pm", language, stage, tmp_path / "runs")


def test_stages_choose_on_held_out_samples_and_read_the_test_once(beyond, made, monkeypatch):
    exact = [(beyond.EXACT, (beyond.DAY, beyond.YEAR))]
    monkeypatch.setattr(beyond, "HARDWARE", {"select": exact, "test": exact})
    monkeypatch.setattr(beyond, "SCALINGS", ("per_layer",))
    beyond.select(made("select"), ["sgd", "samson_inf"])
    selected = beyond.read(beyond.VALUES / "beyond_select.csv")
    assert sorted(selected.chip.dropna().unique()) == list(range(100, 105))
    read = {f"pcm_nandakumar_2019, per_layer, {time:g} s" for time in (beyond.DAY, beyond.YEAR)}
    assert set(selected.condition) == {"digital", "sigma_c 0.2, none", *read}
    (sizes,) = beyond.read(beyond.VALUES / "beyond_sizes.csv").itertuples()
    assert (sizes.arm, sizes.rise) == ("samson_inf", 0.05)  # no size gives the other rise

    beyond.choose()
    chosen = beyond.tomllib.loads(beyond.CHOSEN.read_text())["g2pm"]
    assert {arm: set(found) for arm, found in chosen.items()} == {
        "sgd": {"unclipped", "clipped"},
        "samson_inf": {"unclipped"},  # clipped, it is ASAM
    }

    for _ in range(2):  # the second time, everything is there
        beyond.test(made("test"), ["sgd", "samson_inf"], [0])
    tested = beyond.read(beyond.VALUES / "beyond_test.csv")
    trainings = tested.groupby(["arm", tested["clip"].notna(), "seed"])
    assert trainings.ngroups == 3
    assert set(trainings.size()) == {1 + 5 * (2 + 2)}
    assert set(tested[tested.arm == "samson_inf"].groupby("condition").samples.sum()) == {20}


def test_lstm_learns_input_ranges_and_is_read_with_converters(made, beyond):
    study = made("select")
    candidate = beyond.Candidate("hardware_aware")
    lines = study.lines(candidate)
    assert set(lines.condition) == {
        "digital",
        "sigma_c 0.2, none",
        "pcm_rasch_2023, per_layer, 86400 s",
        "pcm_rasch_2023, per_column, 86400 s",
    }
    model, ranges, seconds = study.trained(candidate)
    assert set(ranges) >= {"tagger.lstm.weight_ih_l0", "tagger.lstm.weight_hh_l0_reverse", "tagger.head"}
    assert seconds > 0
    again = study.trained(candidate)[0]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_chips_read_every_batch_once(beyond):
    batches = [(torch.zeros(1, 2), torch.zeros(1)) for _ in range(12)]
    chips = beyond.BatchShares(seed=0, instances=range(100, 105), parts=5)
    shares = [chips.share(batches, chip) for chip in chips.instances]
    assert sorted(np.concatenate([index for index, _ in shares])) == list(range(12))
    assert all(one is batches[place] for index, part in shares for place, one in zip(index, part, strict=True))


def test_samples_of_a_batch_have_one_length_and_keep_their_targets(languages):
    samples = languages.Samples([torch.full((2 + place % 3,), place) for place in range(10)], torch.arange(10))
    batches = samples.batches(2)
    assert all(len(x) <= 2 and torch.equal(x[:, 0], y) for x, y in batches)
    assert sorted(torch.cat([y for _, y in batches]).tolist()) == list(range(10))
    first, second = samples.split(3, 5)
    assert (len(first), len(second)) == (3, 5)
    assert not set(first.targets.tolist()) & set(second.targets.tolist())


def test_score_of_a_loss_is_the_better_the_smaller(beyond):
    lines = pd.DataFrame({"network": "chargpt", "condition": ["digital", "a", "a", "b"], "value": [9.0, 2.0, 4.0, 1.0]})
    lines["chip"] = [math.nan, 0, 1, 0]
    assert beyond.score_of(lines) == -2.0
    assert beyond.score_of(lines.assign(network="g2pm")) == 2.0


def test_rise_is_that_of_the_tasks_own_loss(beyond):
    axis, task = importlib.import_module("axis"), LanguageModeling(shift=False, ignored=-1)
    with rng.stream(0, "test"):
        model = Tagger().eval()
    x, y = torch.arange(8).view(2, 4), torch.tensor([[0, 1, 2, -1], [1, -1, -1, -1]])
    found = axis.loss_rise(model, [(x, y)], "samson_inf", 0.5, lambda out, target: task.loss(out, (None, target)))
    assert found > 0.01


def test_page_marks_the_gains_that_their_interval_carries_and_says_what_is_not_measured(beyond):
    page = importlib.import_module("beyond_page")
    rows = []
    for seed in range(3):
        for arm, clip, value in (("sgd", None, 80 + seed), ("asam", None, 82 + 1.01 * seed), ("asam", 0.2, 80.1)):
            for chip in (0, 1):
                line = {"network": "g2pm", "arm": arm, "clip": clip, "seed": seed, "chip": chip, "value": value + chip}
                rows.append(line | {"condition": "sigma_c 0.4, none"})
    text = page.page(pd.DataFrame(rows))
    block = text.partition("### sigma_c = 0.4")[2].partition("##")[0]
    assert "| ASAM | not measured | not measured | **+2.01** [+1.99, +2.03] (n = 3) |" in block
    assert "| ASAM, clipped | not measured | not measured | -0.90 [-3.38, +1.58] (n = 3) |" in block
    assert "| SAM | not measured | not measured | not measured |" in block
    assert text.count("Not measured.") == 2
    assert "### Polyphone LSTM: accuracy, %\n\n2 chips a training." in text
    assert page.gain(pd.Series([1.0, 2.0]), pd.Series([2.0, 3.01]), 2, -1).startswith("**-1.00**")


def test_page_is_that_of_the_values(beyond):
    page = importlib.import_module("beyond_page")
    assert page.PAGE.read_text() == page.page(beyond.read(page.VALUES)), "run python benchmarks/study/beyond_page.py"
