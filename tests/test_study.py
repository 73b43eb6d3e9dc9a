"""The study: its page says what the tidy file holds, its statistics are the textbook's, new values can be added."""

import importlib
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analog_samson.errors import RunError
from analog_samson.experiments.catalogue import load_experiment, networks_of
from analog_samson.experiments.jobs import (
    CLEAN_FILE,
    RUN_FILE,
    TRAINING_FILE,
    VALUES_FILE,
    CellJob,
    asked_of_run,
    asked_of_sharpness,
    asked_of_training,
)
from analog_samson.experiments.plan import Overrides, plan_cells
from analog_samson.experiments.shown import measures_of
from analog_samson.experiments.sources import Sources
from analog_samson.experiments.values import write_values
from analog_samson.results.parts import write_part
from analog_samson.results.records import Record

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "study"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    """The scripts of the study, which import each other by name."""
    names = ("collect", "analysis", "figures", "page")
    sys.path.insert(0, str(FOLDER))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def study(scripts: SimpleNamespace):
    return scripts.analysis.Study.load()


def assert_same_numbers(made: str, committed: str) -> None:
    """Equal text, whose numbers may differ by one unit of the last printed digit: processors round differently."""
    for row, (one, other) in enumerate(zip(made.splitlines(), committed.splitlines(), strict=True), 1):
        assert NUMBER.sub("#", one) == NUMBER.sub("#", other), f"line {row}"
        for got, expected in zip(NUMBER.findall(one), NUMBER.findall(other), strict=True):
            unit = 10.0 ** -max(len(text.partition(".")[2]) for text in (got, expected))
            assert abs(float(got) - float(expected)) <= 1.01 * unit * ("." in got + expected), f"line {row}"


def test_committed_page_says_what_the_committed_values_come_to(scripts, study):
    committed = (ROOT / "docs" / "results" / "index.md").read_text(encoding="utf-8")
    assert_same_numbers(scripts.page.page(study), committed)
    named = set(re.findall(r"\]\((\w+\.svg)\)", committed))
    assert {path.name for path in (ROOT / "docs" / "results").glob("*.svg")} == named


@pytest.mark.parametrize(("made", "same"), [("r -0.92, n 3", True), ("r -0.91, n 3", False), ("r -0.92, n 4", False)])
def test_numbers_may_differ_in_the_last_digit_only(made, same):
    with nullcontext() if same else pytest.raises(AssertionError, match="line 1"):
        assert_same_numbers(made, "r -0.93, n 3")


def test_tidy_file_holds_every_network_once_and_round_trips(scripts, study, tmp_path):
    values = study.values
    keys = [*scripts.collect.NETWORK, "condition", "adapted", "chip", "metric"]
    assert not values.duplicated(keys).any()
    assert np.isfinite(values.value).all()
    counts = values[scripts.collect.NETWORK].drop_duplicates().stage.value_counts()
    assert counts.to_dict() == {"final": 152, "tuning": 102, "pretraining": 1}
    per_chip = 8  # four times and four sigma above 0
    final = values[(values.stage == "final") & (values.metric == "accuracy_percent") & (values.chip != "")]
    for (setting, _, _), group in final.groupby(["setting", "method", "seed"]):
        chips = 10 if setting == "digits_cnn_digits" else 5
        assert len(group) == 2 * (per_chip * chips + 1) + (group.condition == "digital").sum()
    scripts.collect.write_tidy(values, tmp_path / "again.csv.gz")
    assert scripts.collect.read_tidy(tmp_path / "again.csv.gz").equals(values)
    assert scripts.collect.VALUES.stat().st_size < 2_000_000


# Statistics


def planted(scripts, methods: dict[str, list[float]], setting: str = "resnet20_cifar10_tuned"):
    """A study of made-up trainings: accuracies by method and seed under the judged conditions."""
    rows = [
        dict.fromkeys(scripts.collect.COLUMNS, "")
        | {"setting": setting, "stage": "final", "method": method, "seed": seed, "condition": condition.name}
        | {"adapted": condition.adapted, "chip": "0", "metric": "accuracy_percent", "value": value}
        for condition in scripts.analysis.JUDGED
        for method, values in methods.items()
        for seed, value in enumerate(values)
        if not np.isnan(value)
    ]
    return scripts.analysis.Study(pd.DataFrame(rows), scripts.analysis.load_protocol())


def test_effect_of_two_methods_is_the_paired_t_test(scripts):
    made = planted(scripts, {"sgd": [80.0, 82.0, 81.5, 79.0], "sam": [81.0, 82.5, 83.0, 80.5]})
    (effect,) = made.effects("resnet20_cifar10_tuned", [("sam", "sgd")], scripts.analysis.YEAR)
    expected = stats.ttest_rel([81.0, 82.5, 83.0, 80.5], [80.0, 82.0, 81.5, 79.0])
    interval = expected.confidence_interval()
    assert effect.p == pytest.approx(expected.pvalue)
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high))
    assert effect.trainings == 4


def test_pooled_model_is_the_two_way_analysis_of_variance(scripts):
    """Three methods by four seeds, balanced: residual variance and degrees of freedom by hand."""
    draws = np.random.default_rng(0).normal(80, 1, (3, 4))
    made = planted(scripts, dict(zip(("sgd", "sam", "asam"), draws.tolist(), strict=True)))
    fit = made.fit("resnet20_cifar10_tuned", scripts.analysis.SIGMA)
    residual = draws - draws.mean(0) - draws.mean(1, keepdims=True) + draws.mean()
    assert fit.freedom == 6
    assert fit.deviation == pytest.approx(((residual**2).sum() / 6) ** 0.5)
    (effect,) = made.effects("resnet20_cifar10_tuned", [("asam", "sam")], scripts.analysis.SIGMA)
    reach = stats.t.ppf(0.975, 6) * fit.deviation * (2 / 4) ** 0.5
    assert effect.points == pytest.approx(draws[2].mean() - draws[1].mean())
    assert effect.high - effect.points == pytest.approx(reach)


def test_effect_whose_interval_covers_zero_is_not_significant(scripts):
    made = planted(scripts, {"sgd": [80.0, 81.0, 82.0], "sam": [81.0, 80.5, 82.2]})
    (effect,) = made.effects("resnet20_cifar10_tuned", [("sam", "sgd")], scripts.analysis.YEAR)
    assert effect.low < 0 < effect.high
    assert "not significant" in scripts.page.effect_text(effect)
    clear = planted(scripts, {"sgd": [80.0, 81.0, 82.0], "sam": [85.0, 86.1, 86.9]})
    (effect,) = clear.effects("resnet20_cifar10_tuned", [("sam", "sgd")], scripts.analysis.YEAR)
    assert "not significant" not in scripts.page.effect_text(effect)


def test_methods_with_more_seeds_are_compared_within_seeds(scripts):
    """Two seeds that only one method has are far lower and must not count for or against it."""
    values = {"sgd": [80.0, 81.0, 82.0, 60.0, 61.0], "sam": [81.0, 82.1, 82.9, np.nan, np.nan]}
    made = planted(scripts, values)
    (effect,) = made.effects("resnet20_cifar10_tuned", [("sam", "sgd")], scripts.analysis.YEAR)
    assert effect.points == pytest.approx(1.0)
    assert effect.trainings == 3


def test_holm_steps_down_and_never_decreases(scripts):
    assert scripts.analysis.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert scripts.analysis.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


# Measuring anew


def finished(out: Path, only: tuple[str, ...], value: float) -> None:
    """Untuned digits networks below `out`, as `reproduce` leaves them when they are finished; values are made up."""
    experiment = load_experiment(FOLDER / "study.toml")
    networks = networks_of(experiment)
    scale = networks.scale("mini")
    for cell in plan_cells(networks, scale, Overrides(seeds=(0, 3)), {}):
        if cell.setting.name != "digits_cnn_digits" or cell.method not in only:
            continue
        job = CellJob(cell=cell, out=out, sources=Sources(), evaluation=scale.evaluation, instances=10)
        record = Record(
            checkpoint=cell.folder,
            preset="pcm_nandakumar_2019",
            stage="drift",
            calibration="adabs",
            instance=2,
            metric="accuracy_percent",
            value=value,
            time_seconds=86400.0,
            sigma_c=None,
        )
        if cell.training:
            write_part(job.folder / TRAINING_FILE, asked_of_training(job), {"seconds": 1.5})
        write_part(job.folder / CLEAN_FILE, {}, {"top1_percent": 99.0, "count": 500})
        write_values(job.folder / VALUES_FILE, [record])
        made_with = {"values": 1, "checkpoint_sha256": "ab", "environment": {"torch": "2.10.0", "threads": 1}}
        write_part(job.folder / RUN_FILE, asked_of_run(job, scale.evaluation), made_with)
        first = measures_of(experiment.shows)[0]
        write_part(job.folder / first.file, asked_of_sharpness(job, first), {"value": 0.25})


def test_measured_networks_become_rows_and_later_sources_replace_earlier_ones(scripts, tmp_path):
    finished(tmp_path / "first", ("original", "sgd"), 90.0)
    finished(tmp_path / "second", ("sgd",), 91.0)
    first = scripts.collect.collect([tmp_path / "first"])
    assert list(first.columns) == scripts.collect.COLUMNS
    noisy = first[first.condition == "1d"]
    assert set(zip(noisy.method, noisy.seed, strict=True)) == {("original", 0), ("sgd", 0), ("sgd", 3)}
    row = noisy[noisy.method == "sgd"].iloc[0]
    assert (row.adapted, row.chip, row.metric, row.value) == ("1", "2", "accuracy_percent", 90.0)
    assert (row.checkpoint_sha256, row.environment) == ("ab", "torch 2.10.0; threads 1")
    assert set(first.condition) == {"training", "digital", "1d", "sharpness_samson_rho0.5_pinf_weights_only"}
    scripts.collect.write_tidy(first, tmp_path / "first.csv.gz")
    both = scripts.collect.collect([tmp_path / "first.csv.gz", tmp_path / "second"])
    assert len(both) == len(first)
    again = both[both.condition == "1d"].set_index(["method", "seed"]).value
    assert again.to_dict() == {("original", 0): 90.0, ("sgd", 0): 91.0, ("sgd", 3): 91.0}


def test_networks_measured_with_other_options_are_refused(scripts, tmp_path, capsys, monkeypatch):
    finished(tmp_path / "out", ("sgd",), 90.0)
    part = next((tmp_path / "out").glob("*/sgd/seed0/training.json"))
    part.write_text(part.read_text().replace('"epochs": 10', '"epochs": 1'))
    with pytest.raises(RunError, match="epochs: the run there has 1, this one 10"):
        scripts.collect.collect([tmp_path / "out"])
    monkeypatch.setattr(sys, "argv", ["collect.py", str(tmp_path / "empty"), "--out", str(tmp_path / "new.csv.gz")])
    assert scripts.collect.main() == 1
    assert "no finished network of the study" in capsys.readouterr().err
    assert not (tmp_path / "new.csv.gz").exists()
