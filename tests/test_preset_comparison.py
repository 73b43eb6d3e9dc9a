"""Which preset is better for a network: by how much, with which interval, and when nobody can say."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.runs import DAY, HOUR, RMSE, contents, in_rmse, regression, sentences, tables
from helpers.runs import made as made_run
from matplotlib.figure import Figure
from scipy import stats
from synthetic_runs import PRESET, synthetic_records, synthetic_run

from analog_samson.analysis.statistics import paired_difference, unpaired_difference
from analog_samson.report.headline import headline
from analog_samson.results.metric import stored_task
from analog_samson.simulation.comparison import Comparison
from analog_samson.simulation.result import SimulationResult

RANDOM = np.random.default_rng(7)
OTHER_DEVICE = {"drift": {"model": "tabulated_deviation"}}


def made(folder, network, preset, cells, sections=None, **meta):
    """A run on a preset without a title, with other sections than those of the usual one."""
    content = PRESET | {"name": preset, "title": ""} | (sections or {})
    return made_run(folder, network, preset, cells, preset=content, **meta)


def chips(mean, spread=1.0, count=6):
    return list(mean + spread * RANDOM.normal(size=count))


def test_difference_of_chips_drawn_apart_has_the_interval_of_welch():
    first, second = chips(80.0, 1.0, 5), chips(83.0, 3.0, 9)
    found = unpaired_difference(first, second)
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.mean, found.n) == (pytest.approx(np.mean(second) - np.mean(first)), 5)
    assert found.significant == (not expected.low <= 0 <= expected.high)


def test_difference_of_chips_drawn_apart_claims_nothing_where_nothing_is_known():
    assert unpaired_difference([80.0], [85.0, 86.0]).significant is None
    alike = unpaired_difference([80.0, 80.0], [90.0, 90.0])
    assert (alike.mean, alike.low, alike.significant) == (10.0, None, False)
    assert unpaired_difference([80.0, 80.0], [80.1, 80.1], step=0.5).significant is False
    assert np.isnan(unpaired_difference([80.0, float("nan")], [80.0, 81.0]).mean)


def test_presets_of_one_device_model_are_paired_and_others_are_not(tmp_path):
    """Chips of equal numbers share their luck: a small difference is significant chip by chip, and is not apart."""
    luck = chips(80.0, 4.0)
    better = [value + 1.0 + 0.1 * place for place, value in enumerate(luck)]
    plain = made(tmp_path / "a", "net", "pcm", {HOUR: luck, DAY: luck})
    paired = made(tmp_path / "b", "net", "pcm_8_bits", {HOUR: better, DAY: better})
    apart = made(tmp_path / "c", "net", "reram", {HOUR: better, DAY: better}, OTHER_DEVICE)
    for other, kind, expected in (
        (paired, "paired", paired_difference(dict(enumerate(luck)), dict(enumerate(better)))),
        (apart, "drawn apart", unpaired_difference(luck, better)),
    ):
        report = contents(plain, other)
        (pair,) = report.preset_comparisons
        assert pair.steps[0].difference == expected
        (table,) = tables(report, "preset_differences")
        assert [row[-1] for row in table.rows] == [kind, kind]
        (verdict,) = report.preset_verdicts
        assert verdict.ahead == expected.significant == (kind == "paired")
    assert "the difference between reram and pcm is not significant" in sentences(report, "preset_differences")


def test_seeds_that_differ_leave_chips_unpaired(tmp_path):
    first = made(tmp_path / "a", "net", "one", {DAY: chips(80.0)}, seed=0)
    second = made(tmp_path / "b", "net", "two", {DAY: chips(90.0)}, seed=1)
    (pair,) = contents(first, second).preset_comparisons
    assert (pair.same_chips, pair.obstacles, pair.steps[0].difference.significant) == (False, (), True)


def test_report_says_which_preset_is_better_when_and_by_how_much(tmp_path):
    cells = {"weak": 70.0, "strong": 90.0, "middle": 80.0}
    paths = [
        made(tmp_path / name, "net", name, {HOUR: chips(mean + 5), DAY: chips(mean)}) for name, mean in cells.items()
    ]
    report = contents(*paths)
    (verdict,) = report.preset_verdicts
    assert (verdict.best.preset, [other.preset for other, _ in verdict.others]) == ("strong", ["middle", "weak"])
    said = sentences(report, "preset_differences")
    lead = verdict.others[0][1]
    assert f"strong is better than both others after 1 day; against the next, middle: +{lead.mean:.1f} points" in said
    assert f"[{lead.low:.1f}, {lead.high:.1f}]" in said
    assert said.split(".")[0] in headline(report).second
    (table,) = tables(report, "preset_differences")
    assert {(row["preset"], row["minus"], row["time_seconds"]) for row in table.numbers.to_dict("records")} == {
        *((name, "weak", time) for name in ("strong", "middle") for time in (HOUR, DAY)),
        ("middle", "strong", DAY),
    }
    assert table.rows[0][-2] == "better"


def test_every_network_has_its_own_verdict(tmp_path):
    means = {("a", "one"): 90.0, ("a", "two"): 70.0, ("b", "one"): 60.0, ("b", "two"): 80.0}
    paths = [made(tmp_path / "".join(key), *key, {DAY: chips(mean)}) for key, mean in means.items()]
    report = contents(*paths)
    assert {one.best.checkpoint: one.best.preset for one in report.preset_verdicts} == {"a": "one", "b": "two"}
    said = sentences(report, "preset_differences")
    assert "For a, one is better than two" in said
    assert "For b, two is better than one" in said


def test_single_chips_and_other_samples_give_no_verdict(tmp_path):
    one, two = (made(tmp_path / name, "net", name, {DAY: [80.0 + place]}) for place, name in enumerate(("one", "two")))
    report = contents(one, two)
    assert (
        "net has its best accuracy on two after 1 day: +1.0 points (one chip: no interval)" in headline(report).second
    )
    other = {"data": {"name": "digits test", "fingerprint": "ff" * 32, "count": 50}}
    three = made(tmp_path / "three", "net", "three", {DAY: [82.0]}, **other)
    report = contents(one, three)
    assert (report.preset_verdicts, tables(report, "preset_differences")) == ((), [])
    assert "three and one are not compared: data differs" in sentences(report, "preset_differences")


def test_lower_values_are_better_where_the_metric_says_so(tmp_path):
    first = regression(tmp_path / "one")
    records = [replace(record, preset="better") for record in in_rmse(synthetic_records("mlp", fall=4.0))]
    meta = {"task": stored_task("regression", [RMSE]), "preset": PRESET | {"name": "better"}, "preset_sha256": "b"}
    report = contents(first, synthetic_run(tmp_path / "two", "mlp", records=records, meta=meta))
    (table,) = tables(report, "preset_differences")
    assert table.rows[-1][-2] == "better"
    assert table.rows[-1][3].startswith("-")
    assert report.preset_verdicts[0].best.preset == "better"


def test_results_in_memory_are_compared_on_several_presets(tmp_path):
    def result(network, preset, fall):
        records = [replace(record, preset=preset) for record in synthetic_records(network, fall=fall)]
        return SimulationResult(
            records=tuple(records), preset=PRESET | {"name": preset, "title": ""}, seed=0, samples=2000
        )

    compared = Comparison.of(
        {"net": [result("x", "one", 12.0), result("y", "two", 4.0)], "other": result("z", "one", 9.0)}
    )
    last = compared.preset_differences().iloc[-1]
    assert (last.network, last.preset, last.minus, last.significant) == ("net", "two", "one", True)
    assert repr(compared) == "<Comparison of 3 runs: net/one, net/two and other>"
    assert "two is better than one" in compared.summary()
    compared.to_csv(tmp_path / "cells.csv")
    assert len((tmp_path / "cells.csv").read_text().splitlines()) == 1 + len(compared.frame())
    axes = Figure().add_subplot()
    assert compared.plot(ax=axes) is axes.get_figure()
    assert len(axes.lines) > 3
