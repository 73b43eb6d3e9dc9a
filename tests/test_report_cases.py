"""Reports of runs that are odd: of other lengths, unfinished, with odd names or numbers that are not finite."""

import json
import math
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from helpers.runs import DAY, HOUR, YEAR, made, read
from synthetic_error_budgets import synthetic_error_budget
from synthetic_runs import SIGMAS, synthetic_records, synthetic_run

from analog_samson.analysis.statistics import paired_difference
from analog_samson.analysis.stopping import stein_total
from analog_samson.analysis.summary import results_of
from analog_samson.experiments.tables import _against
from analog_samson.report.cards import cards
from analog_samson.report.command import make_report
from analog_samson.report.drawing import WIDE, svg
from analog_samson.report.headline import headline
from analog_samson.report.page import render_page
from analog_samson.report.pictures import pictures
from analog_samson.report.tables import missing_instances
from analog_samson.report.wording import verdict
from analog_samson.results.records import Record

PAIR = (88.0, 88.2, 88.1)


def drift_only(label, **changes):
    return [replace(record, **changes) for record in synthetic_records(label) if record.stage == "drift"]


def test_headline_compares_at_one_moment(tmp_path):
    early = made(tmp_path / "a", "early", "p", {HOUR: PAIR})
    late = made(tmp_path / "b", "late", "p", {HOUR: (90.0, 90.3, 90.1), YEAR: (85.0, 85.2, 85.1)})
    found = headline(read(early, late))
    assert (found.network, found.after) == ("late", "after 1 hour.")
    assert "2.0 points above early on the same chips" in found.second


def test_networks_without_a_common_moment_are_not_compared_and_drawn_none_the_less(tmp_path):
    cells = {("x", "p1"): HOUR, ("y", "p1"): HOUR, ("x", "p2"): HOUR, ("z", "p2"): DAY}
    runs = read(*(made(tmp_path / f"{n}{p}", n, p, {time: PAIR}) for (n, p), time in cells.items()))
    assert render_page(runs, pictures(runs))
    never = {("x", "p1"): HOUR, ("y", "p1"): DAY, ("x", "p2"): HOUR, ("y", "p2"): DAY}
    runs = read(*(made(tmp_path / f"n{n}{p}", n, p, {time: PAIR}) for (n, p), time in never.items()))
    assert headline(runs).sentence == "The networks of no preset were simulated at one time: nothing is compared."
    assert render_page(runs, pictures(runs))


def test_card_says_that_not_every_network_was_compared(tmp_path):
    values = {"x": ((90.0, 90.1, 90.2), 0), "y": ((80.0, 80.1, 80.3), 0), "z": ((89.9, 90.1, 90.2), 1)}
    runs = read(
        *(
            made(tmp_path / f"{n}{p}", n, p, {HOUR: v}, seed=seed)
            for p in ("p1", "p2")
            for n, (v, seed) in values.items()
        )
    )
    assert cards(runs)[0].note == "x, not compared with every other network"


def test_equal_label_of_different_weights_is_told_apart(tmp_path):
    one = made(tmp_path / "v1", "best", "p1", {HOUR: PAIR}, checkpoint={"sha256": "aa" * 32})
    other = made(tmp_path / "v2", "best", "p2", {HOUR: (70.0, 70.2, 70.1)}, checkpoint={"sha256": "bb" * 32})
    same = made(tmp_path / "v3", "best", "p2", {HOUR: (70.0, 70.2, 70.1)}, checkpoint={"sha256": "aa" * 32})
    assert [run.results[0].checkpoint for run in read(one, other)] == ["best (v1)", "best (v2)"]
    assert [run.results[0].checkpoint for run in read(one, same)] == ["best", "best"]


def test_equal_scores_of_single_chips_are_called_equal(tmp_path):
    runs = read(*(made(tmp_path / name, name, "p", {HOUR: (88.0,)}) for name in "xy"))
    assert "It is equal to y on the same chips (one chip)." in headline(runs).second


def test_run_that_stopped_in_its_sweep_says_so(tmp_path):
    cut = [r for r in synthetic_records("sgd") if r.stage != "gaussian" or r.sigma_c <= 0.1]
    (run,) = read(synthetic_run(tmp_path / "n", "sgd", records=cut, options={"sigmas": list(SIGMAS)}))
    assert "sigma_c 0.2 has none, sigma_c 0.3 has none" in missing_instances(run)


@pytest.mark.parametrize("target", [0.05, 50.0])
def test_run_that_stopped_after_its_pilot_says_how_many_chips_are_missing(tmp_path, target):
    records = drift_only("sgd")
    options = {"target_halfwidth": target, "max_instances": 5000}
    (run,) = read(synthetic_run(tmp_path / "n", "sgd", records=records, options=options))
    pilots = [list(state.values.values()) for result in run.results for state in result.states]
    wanted = min(5000, max(stein_total(values, target, 100 / run.meta["data"]["count"]) for values in pilots))
    told = missing_instances(run)
    assert (told is None) if wanted == len(pilots[0]) else f"not finished: {wanted} instances asked" in told


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


def test_error_budget_with_a_loss_that_is_not_a_number_is_told_and_exported(tmp_path):
    path = synthetic_run(tmp_path / "r", "sgd")
    synthetic_error_budget(path)
    _spoil(path / "error_budget" / "results.sqlite")
    text = make_report([path], "text", out=None, html=False, say=print, table="where")
    assert "not finite" in text
    rows = json.loads(make_report([path], "json", out=None, html=False, say=print, table="where"))
    assert any(value is None for row in rows for value in row.values())


def _spoil(database):
    connection = sqlite3.connect(database)
    connection.execute(
        "update record set value = NULL where preset = 'only layer head' and metric = 'loss' and instance = 0"
    )
    connection.commit()
    connection.close()


@pytest.mark.parametrize("name", [r"$\foo$", "cost$x_{$", "a$b$c"])
def test_dollars_in_a_name_are_drawn_to_the_letter(tmp_path, name):
    runs = read(synthetic_run(tmp_path / "x", name), synthetic_run(tmp_path / "y", "other"))
    found = pictures(runs)
    assert render_page(runs, found)
    drawn = [svg(picture.drawing, WIDE, text=True).decode() for picture in found.values()]
    assert any(f">{name}<" in text for text in drawn)


def test_trained_baseline_is_paired_by_seed_and_an_untrained_one_serves_all():
    values = {0: 91.0, 1: 91.2, 2: 91.4}
    assert _against({0: 90.0}, values, trained=True).n == 1
    assert _against({0: 90.0}, values, trained=False).n == 3
    assert _against({}, values, trained=False) is None
