"""Results where chips, presets or moments are unequal, where all are alike, and where there is one."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import DAY, HOUR, YEAR, contents, made, read
from synthetic_runs import META, synthetic_records, synthetic_run
from torch import eye, nn, tensor

from analog_samson import load_preset, simulate_drift, sweep_conductance_noise
from analog_samson.analysis.equivalent_sigma import equivalent_sigma_c, gaussian_curve
from analog_samson.analysis.labels import distinct_names
from analog_samson.analysis.lifetime import Fate, lifetime
from analog_samson.analysis.ranking import rank_networks
from analog_samson.analysis.robustness import Subject, read_robustness
from analog_samson.analysis.statistics import paired_difference
from analog_samson.analysis.stopping import stein_halfwidth, stein_total
from analog_samson.analysis.summary import results_of
from analog_samson.errors import OptionError, RunError
from analog_samson.experiments.tables import _against
from analog_samson.report.drawing import WIDE, make_figure
from analog_samson.report.formats import verdict
from analog_samson.report.page import drawings, page_groups
from analog_samson.results.metric import ACCURACY
from analog_samson.results.records import Record
from analog_samson.simulation.comparison import Comparison
from analog_samson.simulation.decisions import DecisionRecorder, summarize_decisions
from analog_samson.simulation.result import SimulationResult
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.scoring import score

GOOD, BAD = (90.0, 90.5, 90.2), (80.0, 80.5, 80.2)


def test_ranks_are_by_the_chips_that_all_have(tmp_path: Path) -> None:
    chips = (80.0, 81.0, 82.0, 70.0, 70.5, 71.0, 70.0)
    better = made(tmp_path / "a", "better", "p", {HOUR: chips})
    lucky = made(tmp_path / "b", "lucky", "p", {HOUR: [value - 1 - 0.01 * i for i, value in enumerate(chips[:3])]})
    far = made(tmp_path / "c", "far", "p", {HOUR: [value - 20 - 0.01 * i for i, value in enumerate(chips)]})
    entries = rank_networks(read(better, lucky, far)).on("p")
    assert [(entry.network, entry.rank, entry.worst_rank) for entry in entries[:1]] == [("better", 1, 1)]
    assert not next(entry for entry in entries if entry.network == "lucky").on_frontier


def test_means_that_differ_in_the_last_bit_share_a_rank(tmp_path: Path) -> None:
    values = next(
        row for row in np.random.default_rng(0).uniform(70, 90, (10_000, 3)) if np.mean(row) != np.mean(row[::-1])
    )
    one = made(tmp_path / "a", "one", "p", {HOUR: [float(v) for v in values]})
    two = made(tmp_path / "b", "two", "p", {HOUR: [float(v) for v in values[::-1]]})
    assert [(entry.rank, entry.on_frontier) for entry in rank_networks(read(one, two)).on("p")] == [(1, True)] * 2


def test_lifetime_lies_within_its_interval_when_the_spread_shrinks(tmp_path: Path) -> None:
    path = made(tmp_path / "a", "net", "p", {DAY: (90.0, 92.0, 94.0), YEAR: (90.9, 91.0, 91.1)})
    found = lifetime(read(path)[0].results[0], 90.75)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.mean.fate is Fate.BEYOND
    ends = [float("inf") if c.fate is Fate.NEVER else c.seconds for c in (found.low, found.mean, found.high)]
    assert ends == sorted(ends)


def test_equivalent_sigma_has_an_interval_where_all_chips_agree() -> None:
    curve = gaussian_curve({0.0: {0: 92.0}, 0.1: {0: 88.0, 1: 88.0}, 0.2: {0: 80.0, 1: 80.0}}, ACCURACY)
    found = equivalent_sigma_c([90.0, 90.0], curve, step=0.2)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert equivalent_sigma_c([90.0, 90.0], curve).low == found.value  # nothing is known of the rounding


@pytest.mark.parametrize("name", ["over_time", "difference_over_time"])
def test_intervals_are_drawn_within_what_an_accuracy_can_be(tmp_path: Path, name: str) -> None:
    one = made(tmp_path / "a", "one", "p", {HOUR: (60.0, 90.0), YEAR: (50.0, 80.0)})
    two = made(tmp_path / "b", "two", "p", {HOUR: (90.0, 60.0), YEAR: (90.0, 50.0)})
    figure = make_figure(drawings(page_groups(contents(one, two)))[name], WIDE)
    low, high = figure.axes[0].get_ylim()
    assert low > (-25 if name == "over_time" else -125)
    assert high < 125


def test_robustness_notes_in_what_runs_differ(tmp_path: Path) -> None:
    data = META["data"] | {"fingerprint": "ff" * 32}
    paths = [
        made(tmp_path / "a", "a", "p", {YEAR: GOOD}, checkpoint={"sha256": "a"}),
        made(tmp_path / "b", "b", "p", {YEAR: GOOD[:1]}, checkpoint={"sha256": "b"}, data=data, seed=9),
    ]
    subjects = [Subject(label=name, run_label=name, sha256=name) for name in "ab"]
    told = read_robustness(paths, subjects).notes
    assert [next(word for word in ("samples", "seed", "chips") if word in note) for note in told] == [
        "samples",
        "seed",
        "chips",
    ]


def test_intervals_after_steins_rule_are_those_of_the_rule():
    """Simulated: a t interval of all values, whose number depends on the pilot, covers less than 95 %."""
    draw, pilot, covered, naive, runs = np.random.default_rng(0), 3, 0, 0, 4000
    for _ in range(runs):
        values = list(draw.normal(0, 1, pilot))
        values += list(draw.normal(0, 1, min(stein_total(values, 1.0), 100) - pilot))
        base = {"checkpoint": "n", "preset": "p", "stage": "drift", "calibration": "none", "sigma_c": None}
        records = [
            Record(**base, instance=chip, time_seconds=1.0, metric="accuracy_percent", value=value)
            for chip, value in enumerate(values)
        ]
        for name, given in (("rule", pilot), ("naive", None)):
            accuracy = results_of(records, pilot=given)[0].states[0].value
            inside = accuracy.low <= 0 <= accuracy.high
            covered, naive = covered + (inside and name == "rule"), naive + (inside and name == "naive")
    assert accuracy.mean == pytest.approx(np.mean(values))
    assert covered / runs > 0.95 - 4 * math.sqrt(0.95 * 0.05 / runs)  # one false alarm in 30,000
    assert naive / runs < 0.93


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_difference_with_a_number_that_is_not_finite_is_not_significant(bad):
    found = paired_difference({0: 1.0, 1: 1.0}, {0: bad, 1: 2.0})
    assert (found.low, found.high, found.significant) == (None, None, False)
    assert verdict(found, "gains", "loses") == "not finite"


def test_trained_baseline_is_paired_by_seed_and_an_untrained_one_serves_all():
    values = {0: 91.0, 1: 91.2, 2: 91.4}
    assert _against({0: 90.0}, values, trained=True).n == 1
    assert _against({0: 90.0}, values, trained=False).n == 3
    assert _against({}, values, trained=False) is None


def test_gaussian_and_digital_belong_to_the_drift_result_whatever_preset_they_name(tmp_path: Path) -> None:
    other = {"gaussian": "gaussian_joshi_2020", "digital": "none"}
    records = [replace(r, preset=other.get(r.stage, r.preset)) for r in synthetic_records()]
    (result,) = read(synthetic_run(tmp_path / "run", records=records))[0].results
    assert result.digital is not None
    assert len(result.sweep) == 6
    assert all(state.equivalent for state in result.times)


def test_equivalent_compares_equal_adabs_only(tmp_path: Path) -> None:
    adapted = [r for r in synthetic_records(fall=4.0, adabs=True) if r.stage != "digital"]
    plain, with_adabs = read(synthetic_run(tmp_path / "run", records=synthetic_records() + adapted))[0].results
    alone = read(synthetic_run(tmp_path / "alone", records=synthetic_records()))[0].results[0]
    assert [state.equivalent for state in plain.states] == [state.equivalent for state in alone.states]
    assert with_adabs.states[-1].equivalent != plain.states[-1].equivalent
    assert with_adabs.digital == plain.digital


def test_equivalent_is_absent_when_only_the_other_adabs_setting_was_swept(tmp_path: Path) -> None:
    drift = [r for r in synthetic_records(adabs=True) if r.stage == "drift"]
    sweep = [r for r in synthetic_records() if r.stage in ("gaussian", "digital")]
    results = read(synthetic_run(tmp_path / "run", records=drift + sweep))[0].results
    assert [(result.calibration, bool(result.states), bool(result.sweep)) for result in results] == [
        ("none", False, True),
        ("adabs", True, False),
    ]
    assert all(state.equivalent is None for state in results[1].states)


def test_labels_tell_runs_apart_when_checkpoints_have_one_name(tmp_path: Path) -> None:
    paths = [synthetic_run(tmp_path / name / "run", "net") for name in ("a", "b")]
    runs = read(*paths)
    assert [run.results[0].checkpoint for run in runs] == ["net (a/run)", "net (b/run)"]
    assert all(run.results[0].sweep for run in runs)
    assert {record.checkpoint for run in runs for record in run.records} == {"net (a/run)", "net (b/run)"}


def test_names_are_as_short_as_they_can_be() -> None:
    assert distinct_names([Path("/x/a/run")]) == ["run"]
    assert distinct_names([Path("/x/a/run"), Path("/x/b/run"), Path("/y/b/other")]) == ["a/run", "b/run", "b/other"]


def test_run_is_refused_when_given_twice_or_empty(tmp_path: Path) -> None:
    sgd = synthetic_run(tmp_path / "sgd", "sgd")
    with pytest.raises(RunError, match="sgd: given twice"):
        read(sgd, sgd / ".." / "sgd")
    with pytest.raises(RunError, match="holds no result yet; run the same command again"):
        read(synthetic_run(tmp_path / "empty", records=[]))


# Results in memory


@pytest.fixture
def network() -> tuple[nn.Module, list]:
    model = nn.Linear(2, 2, bias=False)
    nn.init.eye_(model.weight)
    return model, [(eye(2), tensor([0, 1]))]


def test_results_in_memory_have_the_intervals_of_a_run_folder(network: tuple[nn.Module, list]) -> None:
    model, data = network
    pcm = load_preset("pcm_nandakumar_2019")
    found = simulate_drift(
        model, pcm, data, times=[HOUR], instances=2, seed=0, target_halfwidth=150.0, max_instances=50
    )
    assert (found.samples, found.pilot) == (2, 2)
    accuracy = found.results()[0].states[0].value
    assert accuracy.high is not None
    assert accuracy.high - accuracy.mean == pytest.approx(stein_halfwidth([100.0, 100.0], accuracy.n, 50.0))


def test_sweep_in_memory_has_nothing_to_plot_over_time(network: tuple[nn.Module, list]) -> None:
    found = sweep_conductance_noise(*network, sigmas=[0.1], instances=2, seed=0)
    with pytest.raises(OptionError, match="plot: nothing was simulated over time"):
        found.plot()


def test_presets_of_one_name_and_other_content_are_not_compared(network: tuple[nn.Module, list]) -> None:
    model, data = network
    pcm = load_preset("pcm_nandakumar_2019")
    one = simulate_drift(model, pcm, data, times=[HOUR], instances=2, seed=0, label="one")
    assert one.preset is not None
    changed = SimulationResult(one.records, {**one.preset, "summary": "another"}, 0, one.samples)
    with pytest.raises(RunError, match=r"preset differs: .* \(other content\)"):
        Comparison.of({"one": one, "two": changed})


def test_images_without_an_answer_are_decided_for_no_class() -> None:
    class Broken(nn.Module):
        def forward(self, x):
            return x / x  # NaN where the input is 0

    x = tensor([[0.0, 1.0], [1.0, 1.0]])
    recorder = DecisionRecorder(Classification())
    assert score(Broken(), [(x, tensor([0, 0]))], Classification(), watch=recorder).values["accuracy_percent"] == 50.0
    found = recorder.decisions()
    assert found is not None
    assert summarize_decisions(found, [0.0, 1.0], found)["confusion"] == [[0, 0, 1]]
