"""The printed tables, whole, and the raw exports, exactly."""

import csv
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from golden_files import assert_golden
from synthetic_runs import PRESET, synthetic_records, synthetic_run

from analog_samson.analysis.comparison import compare
from analog_samson.analysis.labels import distinct_names
from analog_samson.analysis.runs import Run, digest
from analog_samson.errors import RunError
from analog_samson.report.blocks import report_blocks
from analog_samson.report.exports import render_csv, render_json, render_marked_csv
from analog_samson.report.grid import Block, Data, Grid, data_csv, render_latex, render_markdown, render_text
from analog_samson.report.wording import answer
from analog_samson.results.records import COLUMNS, Record
from analog_samson.results.store import open_run


def read(*paths: Path) -> tuple[Run, ...]:
    return digest([open_run(path) for path in paths])


def text_of(*paths: Path) -> str:
    return render_text(report_blocks(read(*paths)))


@pytest.fixture
def sgd(tmp_path: Path) -> Path:
    return synthetic_run(tmp_path / "sgd", "resnet20-sgd")


@pytest.fixture
def samson(tmp_path: Path) -> Path:
    return synthetic_run(tmp_path / "samson", "resnet20-samson", fall=4.0, digital=91.5)


@pytest.mark.parametrize(("render", "ending"), [(render_text, "txt"), (render_markdown, "md"), (render_latex, "tex")])
def test_report_of_two_runs_reads_as_expected(
    sgd: Path, samson: Path, render: Callable[[list[Block]], str], ending: str
) -> None:
    assert_golden(f"report_two.{ending}", render(report_blocks(read(sgd, samson))))


def test_report_of_one_chip_says_that_there_is_no_spread(tmp_path: Path) -> None:
    path = synthetic_run(tmp_path / "one", instances=1, options={"instances": 1})
    assert_golden("report_one_chip.txt", text_of(path))


def test_report_marks_what_lies_off_the_curve(tmp_path: Path) -> None:
    shift = {1.0: 15.0, 31536000.0: -60.0}
    records = [
        replace(r, value=min(100.0, r.value + shift.get(r.time_seconds or 0, 0)))
        if r.metric == "accuracy_percent"
        else r
        for r in synthetic_records()
    ]
    text = text_of(synthetic_run(tmp_path / "odd", records=records))
    assert "0 (above the curve)" in text
    assert ">0.5" in text


def test_answer_tells_hardware_network_score_time_and_n(sgd: Path) -> None:
    said = answer(read(sgd)[0].results[0])
    assert said.replace("±", "+-") == (
        "On pcm_nandakumar_2019, resnet20-sgd scores 80.4 +- 1.5 % after 1y, extrapolated "
        "(digital 91.7 %; n = 5 instances)."
    )


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ({"digital", "programmed"}, "scores 89.9 ± 0.1 % right after programming (digital 91.7 %; n = 5 instances)."),
        ({"digital"}, "has not been simulated over time yet (digital 91.7 %)."),
        ({"drift"}, "scores 80.4 ± 1.5 % after 1y, extrapolated (n = 5 instances)."),
    ],
)
def test_answer_says_less_when_less_was_measured(tmp_path: Path, stages: set[str], said: str) -> None:
    records = [record for record in synthetic_records() if record.stage in stages]
    (run,) = read(synthetic_run(tmp_path / "run", records=records))
    assert answer(run.results[0]).endswith(said)


def test_nothing_is_extrapolated_when_the_preset_covers_the_times(tmp_path: Path) -> None:
    preset = PRESET | {"validity": {"max_seconds": 31536000.0}}
    text = text_of(synthetic_run(tmp_path / "run", meta={"preset": preset}))
    assert "1y (extrapolated)" not in text
    assert "after 1y, extrapolated" not in text


def test_report_says_what_is_missing_when_a_run_is_not_finished(tmp_path: Path) -> None:
    records = [r for r in synthetic_records() if not ((r.time_seconds or 0) > 86000 and r.instance > 2)]
    text = text_of(synthetic_run(tmp_path / "run", records=records))
    assert "not finished: 5 instances asked, 1d has 3, 1y has 3." in text
    assert text.startswith("Not finished: some of what was asked for is not simulated yet.\n")


def test_report_says_which_times_are_missing_when_a_run_is_not_finished(tmp_path: Path) -> None:
    records = [r for r in synthetic_records() if (r.time_seconds or 0) < 1e6]
    text = text_of(synthetic_run(tmp_path / "run", records=records))
    assert "not finished: 5 instances asked, 1y has none." in text
    assert "not finished" not in text_of(synthetic_run(tmp_path / "whole")).lower()


def test_intervals_are_shown_within_what_accuracies_can_be(tmp_path: Path) -> None:
    """Two chips that are far apart; JSON keeps the raw interval."""
    luck = {0: 8.0, 1: -8.0}
    paths = []
    for name, sign in (("a", 1), ("b", -1)):
        records = [
            replace(r, checkpoint=name, value=r.value + sign * luck[r.instance])
            for r in synthetic_records(instances=2)
            if r.metric == "accuracy_percent" and r.stage == "drift"
        ]
        paths.append(synthetic_run(tmp_path / name, name, records=records, options={"instances": 2}))
    text = text_of(*paths)
    shown = [float(end) for ends in re.findall(r"\[(-?[\d.]+), (-?[\d.]+)\]", text) for end in ends]
    assert 100.0 in shown
    assert -100.0 in shown
    assert all(-100 <= end <= 100 for end in shown)
    state = json.loads(render_json(read(*paths)))["runs"][0]["results"][0]["states"][0]
    assert state["accuracy_percent"]["high"] > 100


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


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "not compared: seed differs: 0 and 1."),
        (
            {"data": {"name": "other", "fingerprint": "x", "count": 9}},
            "not compared: data differs: digits test and other.",
        ),
        (
            {"preset_sha256": "0" * 64},
            "not compared: preset differs: pcm_nandakumar_2019 and pcm_nandakumar_2019 (other content).",
        ),
        ({"seed": None}, "not compared: seed not recorded."),
    ],
)
def test_runs_are_not_paired_when_they_did_not_meet_the_same_chips(
    tmp_path: Path, sgd: Path, change: dict[str, Any], said: str
) -> None:
    text = text_of(sgd, synthetic_run(tmp_path / "other", "other", meta=change))
    assert f"other and resnet20-sgd are {said}" in text
    assert "points, same instances" not in text


def test_difference_is_not_significant_when_two_networks_are_alike(tmp_path: Path, sgd: Path) -> None:
    records = [
        replace(r, checkpoint="twin", value=r.value + 0.3 * (-1) ** r.instance) if r.stage != "digital" else r
        for r in synthetic_records("resnet20-sgd")
    ]
    twin = synthetic_run(tmp_path / "twin", records=[r for r in records if r.stage != "digital"])
    (comparison,) = compare(read(sgd, twin))
    assert [step.difference.significant for step in comparison.steps] == [False] * 5
    assert text_of(sgd, twin).count("not significant") == 5


def test_labels_tell_runs_apart_when_checkpoints_have_one_name(tmp_path: Path) -> None:
    paths = [synthetic_run(tmp_path / name / "run", "net") for name in ("a", "b")]
    runs = read(*paths)
    assert [run.results[0].checkpoint for run in runs] == ["net (a/run)", "net (b/run)"]
    assert all(run.results[0].sweep for run in runs)
    assert {record.checkpoint for run in runs for record in run.records} == {"net (a/run)", "net (b/run)"}


def test_labels_name_the_preset_when_one_checkpoint_is_on_two(tmp_path: Path) -> None:
    first = synthetic_run(tmp_path / "a", "net")
    records = [replace(r, preset="reram") if r.stage != "gaussian" else r for r in synthetic_records("net")]
    text = text_of(first, synthetic_run(tmp_path / "b", records=records))
    assert re.search(r"sigma_c +net on pcm_nandakumar_2019 +net on reram", text)
    assert "net (" not in text
    assert "minus" not in text


def test_names_are_as_short_as_they_can_be() -> None:
    assert distinct_names([Path("/x/a/run")]) == ["run"]
    assert distinct_names([Path("/x/a/run"), Path("/x/b/run"), Path("/y/b/other")]) == ["a/run", "b/run", "b/other"]


def test_run_is_refused_when_given_twice_or_empty(tmp_path: Path, sgd: Path) -> None:
    with pytest.raises(RunError, match="sgd: given twice"):
        read(sgd, sgd / ".." / "sgd")
    with pytest.raises(RunError, match="holds no result yet; run the same command again"):
        read(synthetic_run(tmp_path / "empty", records=[]))


def test_csv_reads_back_exactly_and_in_order(sgd: Path) -> None:
    records = read(sgd)[0].records
    rows = list(csv.DictReader(io.StringIO(render_csv(records))))
    assert tuple(rows[0]) == COLUMNS
    assert [_record(row) for row in rows] == list(records)


def test_csv_is_stable(tmp_path: Path) -> None:
    records = [r for r in synthetic_records(instances=1) if r.metric != "loss"]
    assert_golden("report.csv", render_csv(records))


def _record(row: dict[str, str]) -> Record:
    return Record(
        checkpoint=row["checkpoint"],
        preset=row["preset"],
        stage=row["stage"],
        calibration=row["calibration"],
        instance=int(row["instance"]),
        time_seconds=float(row["time_seconds"]) if row["time_seconds"] else None,
        sigma_c=float(row["sigma_c"]) if row["sigma_c"] else None,
        metric=row["metric"],
        value=float(row["value"]),
    )


def test_json_holds_raw_values_and_no_infinity(tmp_path: Path) -> None:
    records = [
        replace(r, value=math.inf) if r.metric == "loss" and r.stage == "digital" else r for r in synthetic_records()
    ]
    records = [replace(r, value=r.value / 3) if r.time_seconds == 86400.0 else r for r in records]
    runs = read(synthetic_run(tmp_path / "run", records=records))
    document = json.loads(render_json(runs), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    (run,) = document["runs"]
    assert run["seed"] == 0
    assert len(run["records"]) == len(records)
    beyond = run["results"][0]["states"][3]["equivalent_sigma_c"]
    assert (beyond["verdict"], beyond["value"], beyond["high"], beyond["leaves_sweep"]) == (
        "beyond_grid",
        0.5,
        None,
        True,
    )


def test_latex_escapes_what_it_must() -> None:
    grid = Grid(title="50% & a_b", headers=("x#1",), rows=(("{~^$>}\\",),), align="l")
    assert r"\caption{50\% \& a\_b}" in render_latex([grid])
    assert r"\{\textasciitilde{}\textasciicircum{}\$$>$\}\textbackslash{} \\" in render_latex([grid])


def test_labels_are_text_in_markdown_and_no_formulas_in_csv(tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)> [a](http://b) a|b &lt;"
    markdown = render_markdown(report_blocks(read(synthetic_run(tmp_path / "html", hostile))))
    assert "<img" not in markdown
    assert "](http" not in markdown
    assert r"&lt;img src=x onerror=alert(1)> [a]\(http://b) a\|b &amp;lt;" in markdown
    assert "<1 second" in markdown  # which is no tag
    runs = read(synthetic_run(tmp_path / "csv", "=HYPERLINK(1)"))
    for text in (render_marked_csv(runs), render_csv(runs[0].records)):
        assert {row["checkpoint"] for row in csv.DictReader(text.splitlines())} == {"'=HYPERLINK(1)"}
    assert next(csv.DictReader(data_csv(Data(columns=("a", "b"), rows=(("@x", -1.5),))).splitlines())) == {
        "a": "'@x",
        "b": "-1.5",
    }
