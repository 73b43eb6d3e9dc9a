"""What a report says of input ranges, and of a first layer that costs much."""

import pytest
from helpers.runs import contents
from synthetic_error_budgets import COSTS, synthetic_error_budget
from synthetic_runs import META, synthetic_run

from analog_samson.report.command import report_blocks
from analog_samson.report.headline import headline
from analog_samson.report.input_range_tables import input_ranges
from analog_samson.report.rendering import render_text

FIRST = {
    "path": "stem",
    "value": 7.25,
    "quantile": 0.9,
    "relative_error": 0.67,
    "clipped": 0.1,
    "codes_used": 0.04,
    "exponents": [3, -1],
    "folded_into": "",
    "multiplications": 392,
}
OLD = {"path": "head", "value": 1.5, "quantile": None, "relative_error": None}


def plan_with_a_first_layer():
    return [{**row, "first": place == 0, "path": ("stem", "head")[place]} for place, row in enumerate(META["plan"][:2])]


def test_report_shows_what_each_range_does_and_names_the_remedy_of_the_first_layer(tmp_path):
    first = {**FIRST, "criterion": "of each vector"}
    meta = {"input_ranges": [first, OLD], "plan": plan_with_a_first_layer()}
    report = contents(synthetic_run(tmp_path / "run", "net", meta=meta))
    table = input_ranges(report, report.runs[0])
    assert table.headers == (
        "layer", "range", "inputs clipped %", "DAC codes used %", "output error %", "inputs rescaled",
    )  # fmt: skip
    assert table.rows[0] == ("stem", "7.25", "10.00", "4.0", "67.0", "392 multiplications a sample")
    assert table.title.endswith("of each vector)")
    assert table.rows[1][:5] == ("head", "1.5", "-", "-", "-")
    text = " ".join(render_text(report_blocks(report)).split())
    assert "first layer, stem, clips 10.00 % of its inputs and effectively uses 4.0 % of the DAC's codes" in text
    assert "off by 67.0 % (RMS): keep it digital with --keep-digital first" in text
    assert "--keep-digital first, in Python" in headline(report).second


def test_report_of_a_run_without_converters_has_no_such_section(tmp_path):
    report = contents(synthetic_run(tmp_path / "run", "net"))
    assert "Input ranges" not in render_text(report_blocks(report))


@pytest.mark.parametrize(("cost", "named"), [(3.0, True), (0.2, False)])
def test_headline_names_a_first_layer_that_costs_much_of_the_loss(tmp_path, monkeypatch, cost, named):
    monkeypatch.setitem(COSTS, "first layer (stem)", cost)
    run = synthetic_run(tmp_path / "run", "net")
    synthetic_error_budget(run)
    said = headline(contents(run)).second
    assert ("Keeping the first layer (stem) digital (--keep-digital first) gains 3" in said) == named
