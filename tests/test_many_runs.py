"""Reports of more results than curves can show: the answer and a heat map first, everything else folded, small."""

import re
from dataclasses import replace

import numpy as np
import pytest
from helpers.runs import DAY, HOUR, RunInMemory
from synthetic_runs import META

from analog_samson.analysis.runs import read_runs
from analog_samson.report.command import FORMATS
from analog_samson.report.contents import MOST_CURVES, Contents
from analog_samson.report.headline import headline
from analog_samson.report.page import page_groups, render_page
from analog_samson.report.section import find_section
from analog_samson.report.section_facts import run_notes

RANDOM = np.random.default_rng(3)


def report_of(networks, presets, *, seeds=1, chips=2, times=(HOUR, DAY)):
    """Every network on every preset; later networks and presets are worse."""
    return Contents(
        read_runs(
            [
                RunInMemory(f"net{n:02}", f"preset{p:02}", _cells(n, p, chips, times), seed)
                for n in range(networks)
                for p in range(presets)
                for seed in range(seeds)
            ]
        )
    )


def _cells(network, preset, chips, times):
    return {t: 90 - network - 3 * preset - k + 0.1 * RANDOM.normal(size=chips) for k, t in enumerate(times)}


def page_of(report):
    return render_page(report, page_groups(report))


def table(report, name, place=0):
    return list(find_section(name).parts(report))[place].table


@pytest.fixture(scope="module")
def many():
    """500 results: 50 networks on 10 presets."""
    report = report_of(50, 10, times=(DAY,))
    return report, page_of(report)


def test_page_of_500_runs_is_small_and_opens_with_the_answer_and_a_heat_map(many):
    _, page = many
    assert len(page.encode()) < 2_000_000
    opening = re.sub(r"<[^>]+>", "", page[page.index("<h1") : page.index("<section")])
    assert "net00 is significantly better than every other network on" in opening
    assert "net00 has the best mean rank" in opening
    assert "preset00 is the best preset for 50 of 50 networks" in opening
    assert re.search(r'<section id="(\w+)"', page)[1] == "heat_map"
    assert page.count('class="heat"') == 500
    assert "<svg" not in page
    assert 'class="card' not in page


def test_details_of_500_runs_are_folded(many):
    _, page = many
    unfolded = re.sub(r"<details.*?</details>", "", page, flags=re.DOTALL)
    assert page.count("<tr>") > 1000
    assert unfolded.count("<tr>") < 60, "the heat map, and the layers that stay digital"
    assert len(re.sub(r"<style.*?</style>", "", unfolded, flags=re.DOTALL)) < 80_000


def test_lists_of_many_names_are_cut(many):
    report, page = many
    said = f"{headline(report).sentence} {headline(report).second}"
    assert len(said) < 1000
    footer = page[page.index("<footer") :]
    assert "and 497 others" in footer


def test_text_of_many_runs_is_short():
    lines = FORMATS["text"](report_of(12, 3)).splitlines()
    assert len(lines) < 60
    assert sum(line.startswith("  net") for line in lines) == 1 + 12


def test_heat_map_has_every_mean_and_the_best_is_the_strongest():
    report = report_of(4, 3)
    shown = table(report, "heat_map")
    assert [header.rstrip("†") for header in shown.headers] == ["network", "preset00", "preset01", "preset02"]
    assert [row[0] for row in shown.rows] == [f"net{n:02}" for n in range(4)], "best network first"
    means = {(e.network, e.preset): f"{e.state.value.mean:.1f}" for e in report.ranking.entries}
    for row in shown.rows:
        assert row[1:] == tuple(means[row[0], f"preset{p:02}"] for p in range(3))
    strengths = [cell for row in shown.strengths for cell in row[1:]]
    assert (strengths[0], strengths[-1]) == (100, 0)
    assert len(shown.numbers) == 12


def test_heat_map_of_every_shared_time_is_there_and_the_last_one_is_open():
    report = report_of(3, 4)
    parts = list(find_section("heat_map").parts(report))
    assert [(part.table.folded, part.table.title) for part in parts] == [
        (False, "Accuracy % after 1 day"),
        (True, "Accuracy % after 1 hour"),
    ]
    assert parts[0].table.headers[0] == "preset", "more presets than networks run down"
    hours = {result.states[0].value.mean for result in report.results}
    assert {row["mean"] for row in parts[1].table.numbers.to_dict("records")} == hours


def test_lower_values_are_stronger_where_they_are_better_and_gaps_have_no_colour():
    runs = report_of(3, 4).runs[:-1]
    results = [
        tuple(replace(one, metric=replace(one.metric, higher_is_better=False)) for one in run.results) for run in runs
    ]
    report = Contents([replace(run, results=found) for run, found in zip(runs, results, strict=True)])
    shown = table(report, "heat_map")
    assert shown.rows[-1][0].startswith("preset03")
    cells = {
        (row[0].rstrip("†"), head): (cell, strength)
        for row, strengths in zip(shown.rows, shown.strengths, strict=True)
        for head, cell, strength in zip(shown.headers, row, strengths, strict=True)
    }
    assert cells["preset03", "net02"] == ("-", None)
    assert cells["preset00", "net00"][1] == 0
    assert cells["preset03", "net01"][1] == 100


def test_few_results_have_curves_and_no_heat_map():
    report = report_of(4, 2)
    assert len(report.results) == MOST_CURVES
    assert list(find_section("heat_map").parts(report)) == []
    assert next(find_section("overview").parts(report)).table.folded is False
    assert {part.name for group in page_groups(report) for part in group.parts if part.drawing} >= {
        "over_time",
        "ranks",
    }


def test_tables_that_a_large_page_leaves_out_are_found_by_name():
    report = report_of(3, 4)
    names = {part.section.name for group in page_groups(report) for part in group.parts}
    for name, count in (("details", 12), ("comparison", 12), ("differences", 1), ("frontier", 1)):
        assert name not in names
        assert sum(part.table is not None for part in find_section(name).parts(report)) == count


def test_settings_of_many_runs_say_once_what_they_share():
    page = page_of(report_of(3, 4))
    shared, differing = re.findall(r'<table class="settings">(.*?)</table>', page, re.DOTALL)
    assert shared.count(META["data"]["fingerprint"]) == 1
    assert META["data"]["fingerprint"] not in differing
    assert differing.count("<tr>") == 1 + 12
    assert "sha of net02" in differing


def test_equal_notes_of_many_runs_are_one_note():
    report = report_of(2, 5, seeds=2)
    (note,) = run_notes(report)
    assert "and 7 others: 4 chips over 2 seeds (0-1) are one sample." in note


def test_many_presets_are_told_by_what_differs():
    page = page_of(report_of(1, 10))
    part = page[page.index('<section id="preset"') : page.index('<section id="settings"')]
    assert part.count('class="flow"') == 1, "one in full"
    assert "the 10 presets differ" in part
