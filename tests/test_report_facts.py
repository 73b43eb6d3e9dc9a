"""What reports say of runs whose answers are known: sentences, tables and cards, also of odd and unfinished runs."""

import csv
import io
import json
import math
import re
import sqlite3
from dataclasses import replace

import pytest
import synthetic_error_budgets
from helpers.runs import DAY, HOUR, YEAR, captions, contents, made, read, sentences, tables
from synthetic_error_budgets import COSTS, VARIANTS, synthetic_error_budget
from synthetic_runs import META, PRESET, SIGMAS, TIMES, synthetic_records, synthetic_run

from analog_samson.analysis.completeness import missing
from analog_samson.analysis.frames import cell_rows
from analog_samson.analysis.lifetime import lifetime, lifetimes
from analog_samson.analysis.statistics import Difference
from analog_samson.analysis.stopping import stein_total
from analog_samson.presets.validity import Validity
from analog_samson.report.cards import cards
from analog_samson.report.command import make_report, report_blocks
from analog_samson.report.contents import Contents
from analog_samson.report.drawing import WIDE, svg
from analog_samson.report.exports import render_csv, render_json, render_marked_csv
from analog_samson.report.headline import headline
from analog_samson.report.page import drawings, page_groups, render_page
from analog_samson.report.provenance import preset_views
from analog_samson.report.rendering import render_text
from analog_samson.results.records import COLUMNS, Record

PRESETS = ("pcm_nandakumar_2019", "reram_wan_2022")
GOOD, BAD, PAIR = (90.0, 90.5, 90.2), (80.0, 80.5, 80.2), (88.0, 88.2, 88.1)


def run_on(folder, preset, checkpoint, records=None, **numbers):
    """A synthetic run on a preset of that name."""
    found = synthetic_records(checkpoint, **numbers) if records is None else records
    own = {"preset": PRESET | {"name": preset, "title": ""}, "preset_sha256": f"{preset:0<64}"}
    moved = [replace(record, preset=preset) for record in found if record.stage != "gaussian"]
    return synthetic_run(folder / checkpoint / preset, checkpoint, records=moved, meta=own)


def budget_of(folder, **settings):
    """The contents of a report of a run with an error budget."""
    path = synthetic_run(folder, "net")
    synthetic_error_budget(path, **settings)
    return contents(path)


def text_of(*paths):
    return render_text(report_blocks(contents(*paths)))


def opening(report):
    said = headline(report)
    return f"{said.sentence} {said.second}"


@pytest.fixture
def four(tmp_path):
    """Two networks on two presets; on the second they are the same but for a shift that alternates between chips."""
    twins = synthetic_records("sgd")
    other = [replace(r, checkpoint="samson", value=r.value + 0.3 * (-1) ** r.instance) for r in twins]
    return contents(
        run_on(tmp_path, PRESETS[0], "sgd"),
        run_on(tmp_path, PRESETS[1], "sgd", twins),
        run_on(tmp_path, PRESETS[0], "samson", fall=4.0),
        run_on(tmp_path, PRESETS[1], "samson", other),
    )


# Headline and cards


@pytest.mark.parametrize(
    ("stages", "facts"),
    [
        ({"digital", "programmed"}, ["89.9 ± 0.1 % right after programming", "Digital 91.7 %; n = 5 chips"]),
        ({"digital"}, ["91.7 % digitally", "has not been simulated over time yet"]),
        ({"gaussian"}, ["has not been simulated over time yet"]),
        ({"drift"}, ["80.4 ± 1.5 % after 1 year (extrapolated)", "n = 5 chips"]),
    ],
)
def test_headline_says_as_much_as_was_measured(tmp_path, stages, facts):
    records = [record for record in synthetic_records() if record.stage in stages]
    said = opening(contents(synthetic_run(tmp_path / "run", records=records)))
    assert all(fact in said for fact in facts), said


def test_headline_compares_at_one_moment(tmp_path):
    early = made(tmp_path / "a", "early", "p", {HOUR: PAIR})
    late = made(tmp_path / "b", "late", "p", {HOUR: (90.0, 90.3, 90.1), YEAR: (85.0, 85.2, 85.1)})
    said = opening(contents(early, late))
    assert "accuracy of late is 90.1 ± 0.2 % after 1 hour" in said
    assert "better than early on the same chips: +2.0 points" in said


def test_headline_says_that_a_difference_is_not_significant(tmp_path):
    sgd = synthetic_run(tmp_path / "sgd", "sgd")
    records = [
        replace(r, checkpoint="twin", value=r.value + 0.5 + 2.0 * (-1) ** r.instance)
        for r in synthetic_records("sgd")
        if r.metric == "accuracy_percent" and r.stage == "drift"
    ]
    report = contents(sgd, synthetic_run(tmp_path / "twin", records=records))
    assert "The difference to sgd is not significant: +0." in opening(report)


def test_equal_scores_of_single_chips_are_called_equal(tmp_path):
    report = contents(*(made(tmp_path / name, name, "p", {HOUR: (88.0,)}) for name in "xy"))
    assert "It is equal to y on the same chips: 0.0 points (one chip: no interval)." in opening(report)


def test_networks_that_score_alike_on_one_chip_are_called_level(tmp_path):
    report = contents(*(made(tmp_path / f"{n}{p}", n, p, {HOUR: [90.0]}) for p in "pq" for n in ("one", "two")))
    assert "After 1 hour, the best networks are level on both presets (one chip each: no interval)." in opening(report)
    assert "level with two; one chip: no interval" in opening(report)
    assert all("level with two; one chip" in card.note for card in cards(report))


def test_single_chips_have_a_winner_and_no_interval(tmp_path):
    paths = [run_on(tmp_path, p, c, instances=1, fall=f) for p in PRESETS for c, f in (("a", 12), ("b", 4))]
    report = contents(*paths)
    assert "b is best on both presets (one chip each: no interval; extrapolated)." in headline(report).sentence
    assert "No difference has an interval" in opening(report)
    assert re.search(r"one chip: no interval\. Against a: \+\d\.\d points \(one chip: no interval\)", opening(report))
    assert "spread" not in opening(report)


def test_study_says_which_network_is_best_and_where_no_difference_is_significant(four):
    said = headline(four)
    assert said.sentence == (
        "After 1 year, samson is significantly better than every other network on 1 of 2 presets; on the other no "
        "network is (extrapolated)."
    )
    assert "samson has 87.9 % after 1 year (extrapolated), significantly better than sgd." in said.second
    assert "Its n = 5 chips spread by ± 0.5. Against sgd: +7.6 points (95 % interval [6.4, 8.8])" in said.second
    assert "not significantly different from sgd." in said.second
    assert "Each of the 2 differences has its own 95 % interval (Student's t over chips)" in said.second


@pytest.mark.parametrize("turned", [False, True])
def test_three_networks_are_ranked_alike_whichever_run_comes_first(tmp_path, turned):
    paths = [run_on(tmp_path, PRESETS[0], name, fall=fall) for name, fall in (("a", 12.0), ("b", 4.0), ("c", 8.0))]
    said = opening(contents(*(paths[::-1] if turned else paths)))
    assert "b has 87.9 % after 1 year (extrapolated), significantly better than both others." in said
    assert "Against c: +3.8 points (95 % interval [3.2, 4.4])" in said


def test_networks_without_a_common_moment_are_not_compared_and_drawn_none_the_less(tmp_path):
    cells = {("x", "p1"): HOUR, ("y", "p1"): HOUR, ("x", "p2"): HOUR, ("z", "p2"): DAY}
    report = contents(*(made(tmp_path / f"{n}{p}", n, p, {time: PAIR}) for (n, p), time in cells.items()))
    assert render_page(report, page_groups(report))
    never = {("x", "p1"): HOUR, ("y", "p1"): DAY, ("x", "p2"): HOUR, ("y", "p2"): DAY}
    report = contents(*(made(tmp_path / f"n{n}{p}", n, p, {time: PAIR}) for (n, p), time in never.items()))
    assert headline(report).sentence.endswith("nothing is compared.")
    assert render_page(report, page_groups(report))


def test_one_network_on_several_presets_has_a_range(tmp_path):
    report = contents(run_on(tmp_path, "p", "net", fall=4.0), run_on(tmp_path, "q", "net"))
    said = headline(report)
    assert re.search(r"net is between 80\.4 % on q and 87\.9 % on p after 1 year \(extrapolated\)", said.sentence)
    assert "net, p is better than q after 1 year: +7.6 points (95 % interval [6.4, 8.8])" in said.second
    assert "p: 87.9 ± 0.5 %; q: 80.4 ± 1.5 %." in said.second


def test_networks_that_cannot_be_compared_are_not_said_to_be_alike(tmp_path):
    paths = [synthetic_run(tmp_path / name, name, meta={"seed": place}) for place, name in enumerate("abc")]
    assert "best; not compared on the same chips" in opening(contents(*paths))
    values = {"x": ((90.0, 90.1, 90.2), 0), "y": ((80.0, 80.1, 80.3), 0), "z": ((89.9, 90.1, 90.2), 1)}
    report = contents(
        *(
            made(tmp_path / f"{n}{p}", n, p, {HOUR: v}, seed=seed)
            for p in ("p1", "p2")
            for n, (v, seed) in values.items()
        )
    )
    assert cards(report)[0].note == "x, not compared with every other network"


def test_presets_are_called_by_their_titles_with_their_names_where_we_do_not_ship_them(tmp_path):
    shipped = made(tmp_path / "a", "net", PRESET["name"], {HOUR: PAIR})
    copied = made(tmp_path / "b", "net", "mine", {HOUR: BAD})
    untitled = run_on(tmp_path, "other", "net")
    for path, title in (
        (shipped, "PCM, Nandakumar 2019."),
        (copied, "PCM, Nandakumar 2019 (mine)."),
        (untitled, "other."),
    ):
        assert f" on {title}" in headline(contents(path)).sentence


# Tables


def test_every_mark_is_explained_once_below_its_table(tmp_path):
    validity = {"max_seconds": 3600.0, "published_seconds": [1.0, 100.0, 1e4]}  # 1 h is interpolated, what follows not
    paths = [
        synthetic_run(tmp_path / n, n, meta={"preset": PRESET | {"validity": validity}}, fall=f)
        for n, f in (("a", 12.0), ("b", 4.0))
    ]
    report = contents(*paths)
    for name in ("overview", "details", "comparison"):
        for table in tables(report, name):
            shown = [cell for row in table.rows for cell in row]
            assert sum("†" in cell for cell in shown) >= 2, name
            assert sum("‡" in cell for cell in shown) >= 1, name
            assert "† extrapolated" in table.note
            assert "‡ interpolated" in table.note
            assert "extrapolated" not in " ".join(shown)
    said = captions(report)
    for name in ("over_time", "gaussian", "difference_over_time"):
        assert re.search(r"[Hh]ollow.*extrapolated", said[name]), name
        assert re.search(r"[Hh]alf-filled.*interpolated", said[name]), name
    assert "Extrapolated where the table says so." in said["yield"]


def test_nothing_is_marked_when_the_preset_covers_the_times(tmp_path):
    preset = PRESET | {"validity": {"max_seconds": 1e9}}
    report = contents(synthetic_run(tmp_path / "run", meta={"preset": preset}))
    assert "extrapolated" not in opening(report)
    assert not any(table.note for name in ("overview", "details", "yield") for table in tables(report, name))


def test_tables_say_what_lies_off_the_gaussian_curve(tmp_path):
    shift = {1.0: 15.0, 31536000.0: -60.0}
    records = [
        replace(r, value=min(100.0, r.value + shift.get(r.time_seconds or 0, 0)))
        if r.metric == "accuracy_percent"
        else r
        for r in synthetic_records()
    ]
    report = contents(synthetic_run(tmp_path / "odd", records=records))
    (details,) = tables(report, "details")
    assert {row[6] for row in details.rows} >= {"0 (above the curve)", ">0.5"}
    rows = details.numbers.to_dict("records")
    assert rows[-1]["sigma_verdict"] == "beyond_grid"
    assert rows[-1]["sigma_leaves_sweep"] is True
    assert rows[-1]["sigma_high"] is None


def test_intervals_are_shown_within_what_accuracies_can_be(tmp_path):
    """Two chips that are far apart; JSON keeps the raw interval."""
    luck, paths = {0: 8.0, 1: -8.0}, []
    for name, sign in (("a", 1), ("b", -1)):
        records = [
            replace(r, checkpoint=name, value=r.value + sign * luck[r.instance])
            for r in synthetic_records(instances=2)
            if r.metric == "accuracy_percent" and r.stage == "drift"
        ]
        paths.append(synthetic_run(tmp_path / name, name, records=records, options={"instances": 2}))
    text = text_of(*paths)
    shown = [float(end) for ends in re.findall(r"\[(-?[\d.]+), (-?[\d.]+)\]", text) for end in ends]
    assert {100.0, -100.0} <= {*shown}
    assert all(-100 <= end <= 100 for end in shown)
    state = json.loads(render_json(contents(*paths)))["runs"][0]["results"][0]["states"][0]
    assert state["accuracy_percent"]["high"] > 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "seed differs: 0 and 1."),
        ({"data": {"name": "other", "fingerprint": "x", "count": 9}}, "data differs: digits test and other."),
        ({"preset_sha256": "0" * 64}, "preset differs: pcm_nandakumar_2019 and pcm_nandakumar_2019 (other content)."),
        ({"seed": None}, "seed not recorded."),
    ],
)
def test_runs_are_not_paired_when_they_did_not_meet_the_same_chips(tmp_path, change, said):
    paths = [synthetic_run(tmp_path / "sgd", "sgd"), synthetic_run(tmp_path / "other", "other", meta=change)]
    report = contents(*paths)
    assert f"other and sgd are not compared: {said}" in sentences(report, "comparison")
    assert tables(report, "comparison") == []


def test_twins_do_not_differ_significantly_in_any_row(tmp_path):
    sgd = synthetic_run(tmp_path / "sgd", "sgd")
    records = [
        replace(r, checkpoint="twin", value=r.value + 0.3 * (-1) ** r.instance)
        for r in synthetic_records("sgd")
        if r.stage != "digital"
    ]
    (table,) = tables(contents(sgd, synthetic_run(tmp_path / "twin", records=records)), "comparison")
    assert [row[-1] for row in table.rows] == ["not significant"] * 5
    assert list(table.numbers.significant) == [False] * 5


def test_what_is_said_of_two_networks_does_not_depend_on_what_stands_beside_them(tmp_path):
    pair = [run_on(tmp_path, PRESETS[0], name, fall=fall) for name, fall in (("sgd", 12.0), ("samson", 11.7))]
    others = [run_on(tmp_path, preset, f"net{i}", fall=i) for preset in PRESETS for i in range(5, 9)]

    def said(report):
        rows = [row for name in ("comparison", "differences") for table in tables(report, name) for row in table.rows]
        return [row[-5:] for row in rows if {"sgd", "samson"} <= {*row}]

    few, many = said(contents(*pair)), said(contents(*pair, *others))
    assert few == many
    assert few


def test_series_are_labelled_by_preset_when_one_checkpoint_is_on_two(tmp_path):
    first = synthetic_run(tmp_path / "a", "net")
    records = [replace(r, preset="reram") if r.stage != "gaussian" else r for r in synthetic_records("net")]
    report = contents(first, synthetic_run(tmp_path / "b", records=records))
    (gaussian,) = tables(report, "gaussian")
    assert gaussian.headers == ("sigma_c", "net on pcm_nandakumar_2019", "net on reram")
    assert tables(report, "comparison") == []


def test_differences_of_a_study_have_one_sign_whatever_the_order_of_the_runs(tmp_path):
    cells = {"Ap": ("A", "p", GOOD), "Bp": ("B", "p", BAD), "Bq": ("B", "q", BAD), "Aq": ("A", "q", GOOD)}
    paths = [made(tmp_path / name, net, preset, {HOUR: chips}) for name, (net, preset, chips) in cells.items()]
    report = contents(*paths)
    (table,) = tables(report, "differences")
    assert [(r.preset, r.network, r.minus, round(r["mean"], 6)) for _, r in table.numbers.iterrows()] == [
        ("p", "B", "A", -10.0),
        ("q", "B", "A", -10.0),
    ]
    assert captions(report)["differences"].startswith("Accuracy minus that of A on the same simulated chips")
    without = contents(*paths[:2], made(tmp_path / "Cq", "C", "q", {HOUR: BAD}), paths[2])
    assert "that of A, or of the network named beside the preset, on" in captions(without)["differences"]


def test_ranks_show_what_the_intervals_leave_open(four):
    (table,) = tables(four, "ranks")
    assert dict(zip(table.headers, table.rows[0], strict=True)) == {
        "network": "samson",
        PRESETS[0]: "1†",
        PRESETS[1]: "1 (1 to 2)†",
        "mean rank": "1.0",
    }


def test_chips_of_unequal_layers_on_tiles_are_not_called_the_same(tmp_path):
    whole = made(tmp_path / "a", "whole", "p", {HOUR: GOOD})
    plan = [row | {"action": "digital"} if row["path"] == "head" else row for row in META["plan"]]
    report = contents(whole, made(tmp_path / "b", "part", "p", {HOUR: BAD}, plan=plan))
    assert "better than part: +10.0 points" in opening(report)
    assert re.search(r"Not the same layers on tiles.*: whole, part \(p\)\.", sentences(report, "notes"))


def test_options_that_may_be_what_is_compared_are_named(tmp_path):
    paths = [synthetic_run(tmp_path / name, name, options={"bf16": name == "b"}) for name in ("a", "b")]
    assert "bf16 differs: no (a), yes (b)" in sentences(contents(*paths), "notes")


# Lifetime and yield


def test_threshold_never_crossed_is_an_answer(tmp_path):
    said = sentences(contents(synthetic_run(tmp_path / "run"), threshold=10.0), "lifetime")
    assert said.startswith("Threshold 10.0 % (81.7 points worse than digital): the mean does not fall below it within ")
    assert said.count("within 1 year (extrapolated)") == 2
    assert "no interval: n = 5" in said


def test_every_crossing_of_a_lifetime_has_a_mark_of_its_own(tmp_path):
    """The preset is valid until between the crossings of the mean and of the upper end of its interval."""
    (run,) = read(synthetic_run(tmp_path / "run", meta={"preset": PRESET | {"validity": {}}}))
    found = lifetime(run.results[0], 86.0)
    until = math.sqrt(found.mean.seconds * found.high.seconds)
    covered = replace(run, results=(replace(run.results[0], validity=Validity(max_seconds=until)),))
    (table,) = tables(Contents([covered], 86.0), "lifetime")
    (row,) = table.numbers.to_dict("records")
    assert [row[f"{part}_coverage"] for part in ("mean", "low", "high", "weakest")] == ["", "", "extrapolated", ""]
    assert [cell.count("†") for cell in table.rows[0]] == [0, 0, 0, 1, 0]


def test_lifetime_between_published_times_is_marked(tmp_path):
    preset = PRESET | {"validity": {"max_seconds": 1e9, "published_seconds": TIMES}}
    report = contents(synthetic_run(tmp_path / "run", meta={"preset": preset}), threshold=86.7)
    (table,) = tables(report, "lifetime")
    assert table.rows[0][2].endswith("‡")
    assert "interpolated" in {*table.numbers.mean_coverage}


def test_lifetime_interval_that_says_nothing_is_put_in_words(tmp_path):
    """Two chips, one below the threshold from the start and one never: nothing is known of the mean."""
    records = [
        replace(r, value=80.0 if r.instance else 95.0) if r.stage == "drift" else r
        for r in synthetic_records(instances=2)
    ]
    report = contents(synthetic_run(tmp_path / "run", records=records), threshold=86.0)
    assert tables(report, "lifetime")[0].rows[0][3] == "anything from <1 second on"


def test_lifetimes_are_exported_exactly(tmp_path):
    report = contents(synthetic_run(tmp_path / "run"))
    (table,) = tables(report, "lifetime")
    found = lifetimes(report.results[0])
    assert list(table.numbers.mean_seconds) == [one.mean.seconds for one in found]
    assert list(table.numbers.threshold) == [one.threshold for one in found]


def test_of_many_results_the_first_threshold_is_shown_and_all_are_exported(four):
    for name in ("lifetime", "yield"):
        (table,) = tables(four, name)
        assert (len(table.rows), len(table.numbers)) == (4, 16), name


def test_yield_of_one_chip_has_no_interval(tmp_path):
    report = contents(synthetic_run(tmp_path / "run", instances=1))
    assert sentences(report, "yield") == "The one chip is below 90.7 % after 1 year (extrapolated)."


# Error budget


def test_error_budget_names_what_is_significant(tmp_path):
    report = budget_of(tmp_path / "run")
    said = sentences(report, "error_budget")
    assert "Removing drift gains 4.0 points (95 % interval [" in said
    assert ", removing programming noise gains " in said
    assert "removing read noise" not in said.lower()
    assert "The most sensitive layer is stem: alone on the device it costs " in sentences(report, "layer_sensitivity")
    assert "most sensitive layer digital (digital: 25.0 % of the MACs)" in sentences(report, "mitigations")
    for name in ("error_budget", "layer_sensitivity", "mitigations"):
        assert "on these 400 samples." in sentences(report, name)


def test_error_budget_says_that_nothing_is_significant_and_what_is_missing(tmp_path):
    skip = ("without drift", "without programming noise", "only layer stem")
    report = budget_of(tmp_path / "run", skip=skip, alone=dict.fromkeys(COSTS, 0.0))
    said = sentences(report, "error_budget")
    assert "No single effect is significant after 1y (extrapolated); removing read noise: " in said
    assert "Not finished: 15 evaluations are missing." in said


def test_error_budget_of_one_chip_says_that_there_is_no_interval(tmp_path):
    report = budget_of(tmp_path / "run", instances=1)
    said = sentences(report, "error_budget")
    assert "one chip: no intervals" in said
    assert "The largest change after 1y (extrapolated) is that of removing drift: +4" in said
    found = [table for name in ("error_budget", "layer_sensitivity", "mitigations") for table in tables(report, name)]
    assert sum(row[-1] == "n = 1: no interval" for table in found for row in table.rows) >= 8


def test_error_budget_on_one_chip_claims_nothing_that_is_not_so(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_error_budgets, "COSTS", {"drift": -6.0, "programming noise": 0.5, "read noise": -0.5})
    monkeypatch.setattr(synthetic_error_budgets, "GAINS", dict.fromkeys(synthetic_error_budgets.GAINS, -5.0))
    monkeypatch.setattr(synthetic_error_budgets, "LOSSES", dict.fromkeys(synthetic_error_budgets.LOSSES, -1.0))
    report = budget_of(tmp_path / "run", instances=1, alone={})
    assert "that of removing drift: -6.0 points" in sentences(report, "error_budget")
    assert sentences(report, "mitigations").startswith("No mitigation helps significantly")
    assert "and none loses on average" in sentences(report, "layer_sensitivity")


CLIPPED = {"input clipping": 6.0, "drift": 5.0, "programming noise": 1.5, "read noise": 0.0}


def test_error_budget_names_what_is_seen_only_alone_and_what_it_is_relative_to(tmp_path):
    """Clipping cannot be removed, and drift was not removed here: both are seen in isolation."""
    skip = ("without drift", "without programming noise")
    report = budget_of(tmp_path / "run", skip=skip, alone=CLIPPED, against="input clipping")
    said = sentences(report, "error_budget")
    assert re.search(
        r"^Significant only in isolation after 1y \(extrapolated\): input clipping costs [56]\.\d points", said
    )
    assert re.search(r"drift costs [45]\.\d points \(95 % interval \[", said)
    assert "losses in isolation to input clipping, which every variant has" in said
    (table,) = tables(report, "error_budget")
    rows = {row[0]: row for row in table.rows}
    assert rows["input clipping"][1:3] == ("-", "-")
    assert {name: rows[name][-1] for name in ("input clipping", "drift", "read noise")} == {
        "input clipping": "harms alone",
        "drift": "harms alone",
        "read noise": "not significant",
    }
    assert "alone: beside input clipping" in table.title


def test_effects_alone_are_exported_with_what_they_are_relative_to(tmp_path):
    report = budget_of(tmp_path / "run", alone=CLIPPED, against="input clipping")
    (table,) = tables(report, "error_budget")
    found = {(r.effect, r.quantity): (r.against, r["mean"]) for _, r in table.numbers.iterrows()}
    assert found["drift", "gain_without"][0] == "as it is"
    assert found["drift", "loss_alone"] == ("input clipping", pytest.approx(5.0, abs=0.5))
    assert found["input clipping", "loss_alone"] == ("digital", pytest.approx(6.0, abs=0.5))


def difference(mean, width):
    return Difference(mean=mean, low=mean - width, high=mean + width, n=4, significant=abs(mean) > width)


def budget_with(report, **changes):
    """The contents with another error budget."""
    (run,) = report.runs
    return Contents([replace(run, error_budget=replace(run.error_budget, **changes))])


@pytest.mark.parametrize(("nats", "points", "lost"), [(0.01, 9.0, "0.350 nats"), (0.4, 1.0, "0.350 nats")])
def test_layer_sensitivity_names_the_layer_with_the_largest_significant_loss(tmp_path, nats, points, lost):
    """The layer with the largest mean has a wide interval; that of the other is significant in nats or in points."""
    report = budget_of(tmp_path / "run")
    template = report.runs[0].error_budget.layers[0]
    first = replace(template, path="a", lost=difference(6.8, 14.0), nats=difference(0.48, 1.4))
    second = replace(template, path="b", lost=difference(6.0, points), nats=difference(0.35, nats))
    changed = budget_with(report, layers=(first, second))
    said = sentences(changed, "layer_sensitivity")
    assert said.startswith(f"The layer with the largest significant loss is b: alone on the device it costs {lost}")
    assert [row[-1] for row in tables(changed, "layer_sensitivity")[0].rows] == ["not significant", "loses"]
    none = budget_with(report, layers=(first,))
    assert sentences(none, "layer_sensitivity").startswith("No layer alone loses significantly")


def test_what_is_said_of_a_layer_does_not_depend_on_how_many_there_are(tmp_path, monkeypatch):
    rows = []
    for count in (1, 20):
        losses = {"stem": 0.5} | {f"net.{place}": 0.1 for place in range(1, count)}
        variants = [row | {"subject": path, "label": f"only layer {path}"} for path in losses for row in VARIANTS[:1]]
        monkeypatch.setattr(synthetic_error_budgets, "LOSSES", losses)
        monkeypatch.setattr(synthetic_error_budgets, "VARIANTS", variants)
        (table,) = tables(budget_of(tmp_path / f"run{count}"), "layer_sensitivity")
        assert len(table.rows) == count
        rows += [row[:6] + row[-1:] for row in table.rows if row[0] == "stem"]
    assert rows[0] == rows[1]


def test_budget_is_shown_within_what_accuracies_can_be_and_exported_raw(tmp_path):
    wide = Difference(mean=9.0, low=-105.1, high=124.1, n=2, significant=False)
    report = budget_of(tmp_path / "run")
    effect = replace(report.runs[0].error_budget.effects[0], gain_without=wide, loss_alone=wide)
    changed = budget_with(report, effects=(effect,))
    (table,) = tables(changed, "error_budget")
    assert table.rows[0][1:5] == ("+9.0", "[-100.0, 100.0]") * 2
    assert "+9.0 points (95 % interval [-100.0, 100.0])" in sentences(changed, "error_budget")
    assert table.numbers[["low", "high"]].values.tolist()[0] == [-105.1, 124.1]


def test_loss_that_is_not_a_number_is_said_and_exported_as_null(tmp_path):
    path = synthetic_run(tmp_path / "r", "sgd")
    synthetic_error_budget(path)
    connection = sqlite3.connect(path / "error_budget" / "results.sqlite")
    connection.execute(
        "update record set value = NULL where preset = 'only layer head' and metric = 'loss' and instance = 0"
    )
    connection.commit()
    connection.close()
    text = make_report([path], "text", out=None, html=False, say=print, table="layer_sensitivity")
    assert "not finite" in text
    rows = json.loads(make_report([path], "json", out=None, html=False, say=print, table="layer_sensitivity"))
    assert any(value is None for row in rows for value in row.values())


# What is missing, and notes


@pytest.mark.parametrize(
    ("keep", "options", "said"),
    [
        (
            lambda r: not ((r.time_seconds or 0) > 86000 and r.instance > 2),
            {},
            "5 instances asked, 1d has 3, 1y has 3.",
        ),
        (lambda r: (r.time_seconds or 0) < 1e6, {}, "5 instances asked, 1y has none."),
        (
            lambda r: r.stage != "gaussian" or r.sigma_c <= 0.1,
            {"sigmas": list(SIGMAS)},
            "sigma_c 0.2 has none, sigma_c 0.3 has none",
        ),
        (lambda r: True, {"calibrate": ["adabs"]}, "AdaBS has none"),
    ],
)
def test_run_that_is_not_finished_says_what_is_missing(tmp_path, keep, options, said):
    records = [record for record in synthetic_records() if keep(record)]
    report = contents(synthetic_run(tmp_path / "run", records=records, options=options))
    assert said in missing(report.runs[0])
    assert said in sentences(report, "notes")
    assert headline(report).second.startswith("Not finished: ")
    assert "not finished" not in text_of(synthetic_run(tmp_path / "whole")).lower()


@pytest.mark.parametrize("target", [0.05, 50.0])
def test_run_that_stopped_after_its_pilot_says_how_many_chips_are_missing(tmp_path, target):
    records = [record for record in synthetic_records("sgd") if record.stage == "drift"]
    options = {"target_halfwidth": target, "max_instances": 5000}
    report = contents(synthetic_run(tmp_path / "n", "sgd", records=records, options=options))
    (run,) = report.runs
    pilots = [list(state.values.values()) for state in run.results[0].states]
    wanted = min(5000, max(stein_total(values, target, run.results[0].step) for values in pilots))
    told = missing(run)
    assert (told is None) if wanted == len(pilots[0]) else f"not finished: {wanted} instances asked" in told
    assert f"pilot of 5 for intervals of ±{target:g} points (Stein's two-stage rule" in sentences(report, "notes")


def test_losses_that_are_not_finite_are_counted(tmp_path):
    found = synthetic_records("sgd")
    for place in [place for place, record in enumerate(found) if record.metric == "loss"][1:3]:
        found[place] = replace(found[place], value=float("nan"))
    assert "2 of the losses measured are not finite" in sentences(
        contents(synthetic_run(tmp_path / "run", records=found)), "notes"
    )
    assert "finite" not in sentences(contents(synthetic_run(tmp_path / "whole")), "notes").replace("finite number", "")


def test_sampling_error_is_that_of_every_result(tmp_path):
    def cells(calibration, value):
        cell = {"checkpoint": "net", "preset": "p", "stage": "drift", "calibration": calibration, "sigma_c": None}
        return [Record(**cell, instance=i, time_seconds=HOUR, metric="accuracy_percent", value=value) for i in range(3)]

    path = synthetic_run(
        tmp_path / "net",
        records=[*cells("none", 100.0), *cells("adabs", 50.0)],
        meta={"data": META["data"] | {"count": 50}},
    )
    assert "±7.1 to ±13.4 points" in sentences(contents(path), "notes")


def test_equal_labels_of_different_weights_are_told_apart(tmp_path):
    one = made(tmp_path / "v1", "best", "p1", {HOUR: PAIR}, checkpoint={"sha256": "aa" * 32})
    other = made(tmp_path / "v2", "best", "p2", {HOUR: (70.0, 70.2, 70.1)}, checkpoint={"sha256": "bb" * 32})
    same = made(tmp_path / "v3", "best", "p2", {HOUR: (70.0, 70.2, 70.1)}, checkpoint={"sha256": "aa" * 32})
    assert [run.results[0].checkpoint for run in read(one, other)] == ["best (v1)", "best (v2)"]
    assert [run.results[0].checkpoint for run in read(one, same)] == ["best", "best"]


def test_every_content_of_a_preset_is_shown_with_its_own_fingerprint(tmp_path):
    paths = [made(tmp_path / sha, sha, "p", {HOUR: GOOD}, preset_sha256=sha * 32) for sha in ("aa", "bb")]
    assert [view.fingerprint[:2] for view in preset_views(read(*paths))] == ["aa", "bb"]


@pytest.mark.parametrize("name", [r"$\foo$", "cost$x_{$", "a$b$c"])
def test_dollars_in_a_name_are_drawn_to_the_letter(tmp_path, name):
    report = contents(synthetic_run(tmp_path / "x", name), synthetic_run(tmp_path / "y", "other"))
    found = drawings(page_groups(report))
    assert f">{name}<" in svg(found["over_time"], WIDE, text=True).decode()


# Raw values


def test_raw_csv_reads_back_exactly_and_in_order(tmp_path):
    (run,) = read(synthetic_run(tmp_path / "sgd"))
    rows = list(csv.DictReader(io.StringIO(render_csv(run.records))))
    assert tuple(rows[0]) == COLUMNS
    numbers = {"instance": int, "time_seconds": float, "sigma_c": float, "value": float}
    found = [
        Record(**{key: (numbers.get(key, str)(value) if value else None) for key, value in row.items()}) for row in rows
    ]
    assert found == list(run.records)


def test_raw_rows_are_marked_like_the_tables(tmp_path):
    report = contents(synthetic_run(tmp_path / "run", meta={"preset": PRESET | {"validity": {"max_seconds": 1e5}}}))
    (run,) = report.runs
    rows = list(csv.DictReader(io.StringIO(render_marked_csv([run]))))
    assert len(rows) == len(run.records)
    expected = {"31536000.0": "extrapolated"}
    assert all(row["coverage"] == expected.get(row["time_seconds"], "") for row in rows)
    (stored,) = json.loads(render_json(report))["runs"]
    found = [dict(zip(stored["columns"], row, strict=True)) for row in stored["records"]]
    assert all(row["coverage"] == expected.get(str(row["time_seconds"]), "") for row in found)
    cells = cell_rows(run.records, run.results[0].validity)
    assert all(cell["coverage"] == expected.get(str(cell["time_seconds"]), "") for cell in cells)


def test_raw_rows_of_several_runs_name_their_run_and_run_no_formulas(tmp_path):
    one = made(tmp_path / "one", "net", "p", {HOUR: GOOD})
    two = made(tmp_path / "two", "=HYPERLINK(1)", "q", {HOUR: GOOD}, seed=1)
    rows = list(csv.DictReader(io.StringIO(render_marked_csv(read(one, two)))))
    assert {(row["run"], row["checkpoint"]) for row in rows} == {("one", "net"), ("two", "'=HYPERLINK(1)")}


def test_json_holds_raw_values_and_no_infinity(tmp_path):
    records = [
        replace(r, value=math.inf) if r.metric == "loss" and r.stage == "digital" else r for r in synthetic_records()
    ]
    records = [replace(r, value=r.value / 3) if r.time_seconds == 86400.0 else r for r in records]
    report = contents(synthetic_run(tmp_path / "run", records=records))
    document = json.loads(render_json(report), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    (run,) = document["runs"]
    assert run["seed"] == 0
    assert len(run["records"]) == len(records)
    assert run["results"][0]["metric"]["name"] == "accuracy_percent"
    beyond = run["results"][0]["states"][3]["equivalent_sigma_c"]
    assert (beyond["verdict"], beyond["value"], beyond["high"], beyond["leaves_sweep"]) == (
        "beyond_grid",
        0.5,
        None,
        True,
    )
