"""A table of two rows and two columns in every format, and what text becomes in each."""

import csv
import io
import json
import math
import re

import pytest

from analog_samson.report.formats import fixed
from analog_samson.report.rendering import frame_csv, frame_json, render_latex, render_markdown, render_text
from analog_samson.report.table import Column, Table, frame_of, join, text_table

ROWS = [
    {"network": "sgd", "mean": 80.0 / 3, "coverage": "extrapolated", "significant": True},
    {"network": "sam", "mean": None, "coverage": "", "significant": None},
]
TABLE = Table(
    title="Accuracy %",
    frame=frame_of(ROWS),
    columns=[Column("network"), Column("mean", "mean ± std", fixed, coverage="coverage")],
)


def test_table_in_text_is_aligned_and_says_what_its_mark_means():
    assert render_text(["80.2 ± 3.4 %", TABLE]) == (
        "80.2 +- 3.4 %\n\n"
        "Accuracy %\n"
        "  network  mean +- std\n"
        "  -------  -----------\n"
        "  sgd            26.7*\n"
        "  sam                -\n"
        "  * extrapolated beyond what the source of the preset covers.\n"
    )


def test_table_in_markdown_has_a_row_of_alignments():
    lines = render_markdown([TABLE]).splitlines()
    assert lines[:6] == [
        "**Accuracy %**",
        "",
        "| network | mean ± std |",
        "| :-- | --: |",
        "| sgd | 26.7† |",
        "| sam | - |",
    ]
    assert lines[-1].startswith("† extrapolated")


def test_table_in_latex_uses_booktabs():
    text = render_latex([TABLE])
    assert r"\begin{tabular}{lr}" in text
    assert r"network & mean $\pm$ std \\" in text
    assert r"sgd & 26.7$^\dagger$ \\" in text
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    assert text.startswith("% ")
    assert r"\usepackage{booktabs}" in text.splitlines()[0]
    opening = r"\begin{table}", r"\centering", r"\caption{Accuracy \%}", r"\label{tab:accuracy}"
    assert "\n".join(opening) in text
    assert "$^\\dagger$ extrapolated" in text.partition(r"\end{tabular}")[2].partition(r"\end{table}")[0]
    labels = re.findall(r"\\label\{(.+)\}", render_latex([TABLE, "words", TABLE]))
    assert labels == ["tab:accuracy", "tab:accuracy-2"]
    assert "booktabs" not in render_latex(["words"])


def test_numbers_read_back_exactly_from_csv_and_json():
    rows = list(csv.DictReader(io.StringIO(frame_csv(TABLE.numbers))))
    assert float(rows[0]["mean"]) == ROWS[0]["mean"]
    assert (rows[0]["significant"], rows[1]["mean"], rows[1]["significant"]) == ("true", "", "")
    assert json.loads(frame_json(TABLE.numbers)) == ROWS
    infinite = frame_of([{"a": math.inf, "b": [math.nan, 1.0]}])
    assert json.loads(frame_json(infinite)) == [{"a": None, "b": [None, 1.0]}]


def test_tables_of_one_kind_join_with_empty_cells_where_a_column_lacks():
    other = Table(title="", frame=frame_of([{"network": "asam", "n": 5}]), columns=[])
    joined = join([TABLE, other])
    assert list(joined.columns) == ["network", "mean", "coverage", "significant", "n"]
    assert joined.to_dict("records")[-1] == {
        "network": "asam", "mean": None, "coverage": None, "significant": None, "n": 5,
    }  # fmt: skip


def test_table_without_marks_has_no_note():
    assert text_table("t", ["a"], [["x"]], "l").note == ""


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("<img src=x>", "&lt;img src=x>"),
        ("[a](http://b)", r"[a]\(http://b)"),
        ("a|b", r"a\|b"),
        ("&lt;", "&amp;lt;"),
        ("<1 second", "<1 second"),
    ],
)
def test_cells_are_plain_text_in_markdown(text, markdown):
    assert f"| {markdown} |" in render_markdown([text_table("t", ["head"], [[text]], "l")])


def test_latex_escapes_what_it_must():
    text = render_latex([text_table("50% & a_b", ["x#1"], [["{~^$>}\\"]], "l")])
    assert r"\caption{50\% \& a\_b}" in text
    assert r"\{\textasciitilde{}\textasciicircum{}\$$>$\}\textbackslash{} \\" in text


def test_text_that_a_spreadsheet_would_run_is_quoted_in_csv():
    assert next(csv.DictReader(io.StringIO(frame_csv(frame_of([{"a": "@x", "b": -1.5}]))))) == {"a": "'@x", "b": "-1.5"}
