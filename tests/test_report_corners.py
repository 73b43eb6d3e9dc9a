"""What reports say where chips, presets or moments are unequal, where all are alike, and where there is one."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import synthetic_error_budgets
from helpers.runs import DAY, HOUR, YEAR, made, read
from synthetic_error_budgets import synthetic_error_budget
from synthetic_runs import META, synthetic_run
from torch import eye, nn, tensor

from analog_samson import load_preset, simulate_drift, sweep_conductance_noise
from analog_samson.analysis.equivalent_sigma import equivalent_sigma_c, gaussian_curve
from analog_samson.analysis.error_budget import read_error_budget
from analog_samson.analysis.lifetime import Fate, find_crossing, lifetime
from analog_samson.analysis.ranking import study
from analog_samson.analysis.robustness import Subject, read_robustness
from analog_samson.analysis.stopping import stein_halfwidth
from analog_samson.errors import OptionError, RunError
from analog_samson.presets.validity import UNKNOWN
from analog_samson.report.answer_tables import crossing_words
from analog_samson.report.cards import cards
from analog_samson.report.exports import render_marked_csv
from analog_samson.report.headline import headline
from analog_samson.report.pictures import pictures
from analog_samson.report.provenance import preset_views
from analog_samson.report.sentences import helps_sentence, hurts_sentence, where_sentence
from analog_samson.report.tables import missing_instances, notes
from analog_samson.results.metric import ACCURACY
from analog_samson.results.records import Record
from analog_samson.results.store import open_run
from analog_samson.simulation.comparison import Comparison
from analog_samson.simulation.outcomes import decide, summarize_decisions
from analog_samson.simulation.result import SimulationResult

GOOD, BAD = (90.0, 90.5, 90.2), (80.0, 80.5, 80.2)


def test_differences_of_a_study_have_one_sign_whatever_the_order_of_the_runs(tmp_path: Path) -> None:
    cells = {"Ap": ("A", "p", GOOD), "Bp": ("B", "p", BAD), "Bq": ("B", "q", BAD), "Aq": ("A", "q", GOOD)}
    paths = [made(tmp_path / name, net, preset, {HOUR: chips}) for name, (net, preset, chips) in cells.items()]
    picture = pictures(read(*paths))["differences"]
    assert picture.caption.startswith("Accuracy minus that of A on the same simulated chips")
    assert "p, B minus A: -10.0; q, B minus A: -10.0" in picture.alternative
    without = read(*paths[:2], made(tmp_path / "Cq", "C", "q", {HOUR: BAD}), paths[2])
    assert "that of A, or of the network named beside the preset, on" in pictures(without)["differences"].caption


def test_ranks_are_by_the_chips_that_all_have(tmp_path: Path) -> None:
    chips = (80.0, 81.0, 82.0, 70.0, 70.5, 71.0, 70.0)
    better = made(tmp_path / "a", "better", "p", {HOUR: chips})
    lucky = made(tmp_path / "b", "lucky", "p", {HOUR: [value - 1 - 0.01 * i for i, value in enumerate(chips[:3])]})
    far = made(tmp_path / "c", "far", "p", {HOUR: [value - 20 - 0.01 * i for i, value in enumerate(chips)]})
    entries = study(read(better, lucky, far)).on("p")
    assert [(entry.method, entry.rank, entry.worst_rank) for entry in entries[:1]] == [("better", 1, 1)]
    assert not next(entry for entry in entries if entry.method == "lucky").on_frontier


def test_means_that_differ_in_the_last_bit_share_a_rank(tmp_path: Path) -> None:
    values = next(
        row for row in np.random.default_rng(0).uniform(70, 90, (10_000, 3)) if np.mean(row) != np.mean(row[::-1])
    )
    one = made(tmp_path / "a", "one", "p", {HOUR: [float(v) for v in values]})
    two = made(tmp_path / "b", "two", "p", {HOUR: [float(v) for v in values[::-1]]})
    assert [(entry.rank, entry.on_frontier) for entry in study(read(one, two)).on("p")] == [(1, True)] * 2


def test_networks_that_score_alike_on_one_chip_are_called_level(tmp_path: Path) -> None:
    paths = [made(tmp_path / f"{n}{p}", n, p, {HOUR: [90.0]}) for p in ("p", "q") for n in ("one", "two")]
    said = headline(read(*paths))
    assert said.plain.startswith("After 1 hour, the best networks are level on all 2 presets")
    assert "level with two (one chip" in said.second
    assert all("level with two; one chip" in card.note for card in cards(read(*paths)))


def test_lifetime_lies_within_its_interval_when_the_spread_shrinks(tmp_path: Path) -> None:
    path = made(tmp_path / "a", "net", "p", {DAY: (90.0, 92.0, 94.0), YEAR: (90.9, 91.0, 91.1)})
    found = lifetime(read(path)[0].results[0], 90.75)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.mean.fate is Fate.BEYOND
    ends = [float("inf") if c.fate is Fate.NEVER else c.seconds for c in (found.low, found.mean, found.high)]
    assert ends == sorted(ends)


def test_simulated_times_are_told_to_the_letter() -> None:
    never = find_crossing([(1.0, 92.0), (90 * DAY, 91.9)], 50.0, ACCURACY)
    assert crossing_words(never) == ">90 days"


def test_equivalent_sigma_has_an_interval_where_all_chips_agree() -> None:
    curve = gaussian_curve({0.0: {0: 92.0}, 0.1: {0: 88.0, 1: 88.0}, 0.2: {0: 80.0, 1: 80.0}}, ACCURACY)
    found = equivalent_sigma_c([90.0, 90.0], curve, step=0.2)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert equivalent_sigma_c([90.0, 90.0], curve).low == found.value  # nothing is known of the rounding


def test_bounds_are_told_from_values_in_tables_of_data(tmp_path: Path) -> None:
    sweep = {0.0: (92.0,), 0.1: (88.0, 89.0), 0.2: (84.0, 85.0)}
    common = {"checkpoint": "net", "calibration": "none", "metric": "accuracy_percent"}
    records = [
        Record(**common, preset="g", stage="gaussian", instance=i, time_seconds=None, sigma_c=sigma, value=value)
        for sigma, values in sweep.items()
        for i, value in enumerate(values)
    ]
    records += [
        Record(**common, preset="p", stage="drift", instance=i, time_seconds=time, sigma_c=None, value=value)
        for time, values in {HOUR: (50.0, 51.0), YEAR: (86.0, 87.0)}.items()
        for i, value in enumerate(values)
    ]
    (run,) = read(synthetic_run(tmp_path / "net", records=records))
    states = run.results[0].states
    data = [state.equivalent for state in states]
    from analog_samson.report.data import state_data

    rows = [dict(zip(state_data(run.results).columns, row, strict=True)) for row in state_data(run.results).rows]
    assert [(row["sigma_verdict"], row["sigma_leaves_sweep"]) for row in rows] == [
        ("beyond_grid", True),
        ("on_curve", data[1] is not None and data[1].high == float("inf")),
    ]


@pytest.mark.parametrize("name", ["accuracy_over_time", "difference_over_time"])
def test_intervals_are_drawn_within_what_an_accuracy_can_be(tmp_path: Path, name: str) -> None:
    from analog_samson.report.drawing import WIDE, make_figure

    one = made(tmp_path / "a", "one", "p", {HOUR: (60.0, 90.0), YEAR: (50.0, 80.0)})
    two = made(tmp_path / "b", "two", "p", {HOUR: (90.0, 60.0), YEAR: (90.0, 50.0)})
    figure = make_figure(pictures(read(one, two))[name].drawing, WIDE)
    low, high = figure.axes[0].get_ylim()
    assert low > (-25 if name == "accuracy_over_time" else -125)
    assert high < 125


def test_error_budget_on_one_chip_claims_nothing_that_is_not_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic_error_budgets, "COSTS", {"drift": -6.0, "programming noise": 0.5, "read noise": -0.5})
    monkeypatch.setattr(synthetic_error_budgets, "GAINS", dict.fromkeys(synthetic_error_budgets.GAINS, -5.0))
    monkeypatch.setattr(synthetic_error_budgets, "LOSSES", dict.fromkeys(synthetic_error_budgets.LOSSES, -1.0))
    path = synthetic_run(tmp_path / "run")
    synthetic_error_budget(path, instances=1, alone={})
    with open_run(path / "error_budget") as folder:
        found = read_error_budget(folder, UNKNOWN)
    assert found is not None
    assert hurts_sentence(found).startswith("Taking drift away changes most, -6.0 points")
    assert str(helps_sentence(found)).startswith("No remedy helps significantly")
    assert "and none loses on average" in str(where_sentence(found))


def test_runs_with_other_options_or_layers_on_tiles_are_not_called_the_same_chips(tmp_path: Path) -> None:
    whole = made(tmp_path / "a", "whole", "p", {HOUR: GOOD})
    plan = [row | {"action": "digital"} if row["path"] == "head" else row for row in META["plan"]]
    part = made(tmp_path / "b", "part", "p", {HOUR: BAD}, plan=plan)
    runs = read(whole, part)
    assert "10.0 points above part (95 %" in headline(runs).second
    assert any("Not the same layers on tiles" in note and "whole, part" in note for note in notes(runs))


def test_every_content_of_a_preset_is_shown_with_its_own_fingerprint(tmp_path: Path) -> None:
    paths = [made(tmp_path / sha, sha, "p", {HOUR: GOOD}, preset_sha256=sha * 32) for sha in ("aa", "bb")]
    assert [view.fingerprint[:2] for view in preset_views(read(*paths))] == ["aa", "bb"]


def test_sampling_error_is_that_of_every_result(tmp_path: Path) -> None:
    def cells(adabs: bool, value: float) -> list[Record]:
        cell = {
            "checkpoint": "net",
            "preset": "p",
            "stage": "drift",
            "calibration": "adabs" if adabs else "none",
            "sigma_c": None,
        }
        return [Record(**cell, instance=i, time_seconds=HOUR, metric="accuracy_percent", value=value) for i in range(3)]

    path = synthetic_run(
        tmp_path / "net",
        records=[*cells(False, 100.0), *cells(True, 50.0)],
        meta={"data": META["data"] | {"count": 50}},
    )
    assert any("±7.1 to ±13.4 points" in note for note in notes(read(path)))


def test_missing_adabs_and_raw_values_of_several_runs_are_told_apart(tmp_path: Path) -> None:
    one = made(tmp_path / "one", "net", "p", {HOUR: GOOD})
    two = made(tmp_path / "two", "net", "q", {HOUR: GOOD}, seed=1)
    rows = list(csv.DictReader(io.StringIO(render_marked_csv(read(one, two)))))
    assert {(row["run"], row["preset"]) for row in rows} == {("one", "p"), ("two", "q")}
    options = {"times": [HOUR], "instances": 3, "adabs": True}
    half = synthetic_run(
        tmp_path / "half", records=list(read(one)[0].records), options=options, meta={"preset_sha256": "p"}
    )
    assert "AdaBS has none" in str(missing_instances(read(half)[0]))


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
    found = decide(Broken(), [(x, tensor([0, 0]))])
    assert found.accuracy_percent == 50.0
    assert summarize_decisions(found, [0.0, 1.0], found)["confusion"] == [[0, 0, 1]]
