"""Every section of a report for every kind of run, in every format; and sections that come from outside."""

import csv
import io
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from golden_files import assert_golden
from helpers.runs import contents, regression, sentences, tables
from synthetic_error_budgets import synthetic_error_budget
from synthetic_runs import PRESET, synthetic_records, synthetic_run

from analog_samson.analysis import comparison, lifetime
from analog_samson.errors import OptionError
from analog_samson.report import command
from analog_samson.report import contents as contents_module
from analog_samson.report import section as section_module
from analog_samson.report.command import FORMATS, TABLE_FORMATS, make_report
from analog_samson.report.page import page_groups, render_page
from analog_samson.report.rendering import render_markdown, render_text
from analog_samson.report.section import Section, find_section, register_section, sections, table_names
from analog_samson.report.table import Column, Table, frame_of


def study(folder):
    """Three networks on two presets."""
    paths = []
    for preset in ("pcm_nandakumar_2019", "reram_wan_2022"):
        for name, fall in (("sgd", 12.0), ("samson", 4.0), ("third", 8.0)):
            records = [replace(r, preset=preset) for r in synthetic_records(name, fall=fall) if r.stage != "gaussian"]
            own = {"preset": PRESET | {"name": preset, "title": ""}, "preset_sha256": f"{preset:0<64}"}
            paths.append(synthetic_run(folder / name / preset, name, records=records, meta=own))
    return paths


def explained(folder, name, **settings):
    path = synthetic_run(folder / name, name)
    synthetic_error_budget(path, **settings)
    return path


def unfinished(folder):
    records = [r for r in synthetic_records() if not ((r.time_seconds or 0) > 86000 and r.instance > 2)]
    return [synthetic_run(folder / "unfinished", records=records)]


CASES = {
    "one run": lambda folder: [explained(folder, "alone")],
    "two runs": lambda folder: [
        synthetic_run(folder / "sgd", "resnet20-sgd"),
        synthetic_run(folder / "samson", "resnet20-samson", fall=4.0, digital=91.5),
    ],
    "two error budgets": lambda folder: [explained(folder, "first"), explained(folder, "second")],
    "study": study,
    "single chip": lambda folder: [synthetic_run(folder / "one", instances=1, options={"instances": 1})],
    "unfinished": unfinished,
    "lower is better": lambda folder: [regression(folder), regression(folder, "robust", fall=4.0)],
    "digital only": lambda folder: [
        synthetic_run(folder / "digital", records=[r for r in synthetic_records() if r.stage == "digital"])
    ],
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """The run folders of every case."""
    return {name: make(tmp_path_factory.mktemp("case")) for name, make in CASES.items()}


def plain(html):
    """The letters and digits of a page without its pictures."""
    return re.sub(r"\W+", " ", unescape(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", "", html, flags=re.DOTALL)))


def printed(paths, form, **options):
    return make_report(paths, form, out=None, html=False, say=print, **options)


@pytest.mark.parametrize("case", CASES)
def test_short_formats_are_the_beginning_of_the_whole_report(cases, case):
    whole, brief, sentence = (printed(cases[case], form) for form in ("text", "brief", "sentence"))
    assert brief.startswith(sentence.strip())
    assert whole.startswith(sentence.strip())
    assert len(sentence) < len(brief) < len(whole) or case == "digital only"
    assert not re.search(r"\bNone\b|\bnan\b|Undefined|\{\{|\{%", brief)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("brief", "answer", "sentence")])
def test_every_section_comes_in_every_format(cases, case, form):
    paths = cases[case]
    text, report = printed(paths, form), contents(*paths)
    parts = [part for section in sections() for part in section.parts(report)]
    shown = [part.table for part in parts if part.table is not None and not part.table.plain]
    if form == "json":
        document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert set(document["tables"]) == {part.section.name for part in parts if part.table is not None}
    elif form == "csv":
        assert len(list(csv.reader(io.StringIO(text)))) == 1 + sum(len(run.records) for run in report.runs)
    else:
        for table in shown:
            words = {"text": render_text, "md": render_markdown, "tex": FORMATS["tex"]}
            title = table.title if form == "tex" else words[form]([table]).split("\n")[0]
            assert form == "tex" or title.strip("*") in text, title
        assert text.count("not finished: 5 instances asked") == (case in ("unfinished", "digital only"))
    assert not re.search(r"\bNone\b|\bnan\b|Undefined|\{\{|\{%", text if form not in ("csv", "json") else "")


@pytest.mark.parametrize("case", CASES)
def test_page_has_every_section_that_has_something_to_show(cases, case):
    report = contents(*cases[case])
    groups = page_groups(report)
    html = render_page(report, groups)
    for group in groups:
        assert f'<a href="#{group.name}">' in html
        assert f'<section id="{group.name}">' in html
        for part in group.parts:
            assert (f'<figure id="figure-{part.name}">' in html) == (part.drawing is not None)
            for text in part.sentences:
                assert plain(text)[:60] in plain(html)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert len(groups) == len({group.title for group in groups}), "sections of one heading are neighbours"
    assert not re.search(
        r"\bNone\b|Undefined|\{\{", plain(re.sub(r"<(style|svg|code).*?</\1>", "", html, flags=re.DOTALL))
    )


@pytest.mark.parametrize("form", TABLE_FORMATS)
@pytest.mark.parametrize("case", ["one run", "study", "lower is better"])
def test_every_table_comes_in_every_format_by_its_name(cases, case, form):
    report = contents(*cases[case])
    for name in table_names():
        found = tables(report, name)
        if not found:
            with pytest.raises(OptionError, match=f"--table {name}: these runs have no such table"):
                printed(cases[case], form, table=name)
            continue
        text, count = printed(cases[case], form, table=name), sum(len(table.numbers) for table in found)
        if form == "csv":
            rows = list(csv.DictReader(io.StringIO(text)))
            assert len(rows) == count
            assert all(None not in row and None not in row.values() for row in rows)
        elif form == "json":
            assert len(json.loads(text)) == count
        else:
            assert len(text.splitlines()) > 3


def test_every_template_is_used():
    """A file of sentences that no section names and no other file imports would be forgotten."""
    from analog_samson.report.templates import pages
    from analog_samson.report.templates import sentences as environment

    for made in (environment(), pages()):
        texts = {name: made.loader.get_source(made, name)[0] for name in made.list_templates()}
        code = "".join(path.read_text() for path in Path(command.__file__).parent.glob("*.py"))
        for name in texts:
            other = "".join(text for key, text in texts.items() if key != name)
            assert name.startswith("sentences/") or f'"{name}"' in code + other, name


def test_report_of_two_runs_reads_as_expected(cases):
    assert_golden("report_two.txt", printed(cases["two runs"], "text"))


def test_report_speaks_of_the_metric_that_was_measured(cases):
    """Of a regression nothing is called accuracy or image, errors carry their unit, and worse is upward."""
    paths = cases["lower is better"]
    report = contents(*paths)
    html = render_page(report, page_groups(report))
    for text in (printed(paths, "text"), printed(paths, "json"), plain(html)):
        assert not re.search(r"accurac|\bimages?\b|\bpoints?\b(?! of one chip)", text, flags=re.IGNORECASE)
    assert "The RMSE of robust is 62.1 ± 0.5 mg/dl after 1 year" in headline_of(report)
    assert "It is better than mlp on the same chips: -7.6 mg/dl" in headline_of(report)
    said = sentences(report, "lifetime")
    assert re.search(r"mlp: Threshold 58\.9 mg/dl \(0\.58 mg/dl worse than digital\): the mean is above it", said)
    assert re.search(r"robust: .* the mean (is|rises) above it", said)
    assert "are at or below 58.9 mg/dl after 1 year" in sentences(report, "yield")
    (overview,) = tables(report, "overview")
    assert overview.title == "RMSE mg/dl"
    (details, _) = tables(report, "details")
    assert details.headers[1:2] == ("RMSE mg/dl",)
    assert details.rows[-1][5] == "11.3"
    (compared,) = tables(report, "comparison")
    assert compared.rows[-1][-1] == "robust is better"
    assert report.ranking.on(report.ranking.presets[0])[0].network == "robust"


def headline_of(report):
    said = command.headline(report)
    return f"{said.sentence} {said.second}"


def test_threshold_is_one_that_the_metric_can_have(cases):
    for case, threshold, between in (
        ("one run", 101.0, "0 to 100 %"),
        ("one run", float("nan"), "0 to 100 %"),
        ("lower is better", -1.0, "0 to inf mg/dl"),
    ):
        with pytest.raises(OptionError, match=re.escape(f"--threshold {threshold:g}: expected a value of ")) as caught:
            printed(cases[case], "text", threshold=threshold)
        assert between in str(caught.value)
    assert "Threshold 60.0 mg/dl" in printed(cases["lower is better"], "text", threshold=60.0)


def test_everything_is_computed_once(cases, tmp_path, monkeypatch):
    calls = {"compare": 0, "read_runs": 0}

    def counted(name, function):
        def call(*arguments, **options):
            calls[name] += 1
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(contents_module, "compare", counted("compare", comparison.compare))
    monkeypatch.setattr(command, "read_runs", counted("read_runs", command.read_runs))
    aged = []
    monkeypatch.setattr(contents_module, "lifetimes", lambda r, at: aged.append(r) or lifetime.lifetimes(r, at))
    paths = cases["two runs"]
    make_report(paths, "text", out=tmp_path / "page.html", html=True, say=lambda text: None)
    assert (tmp_path / "page.html").exists()
    assert calls == {"compare": 1, "read_runs": 1}
    assert len(aged) == len(paths)


# Sections from outside


@pytest.fixture
def registry(monkeypatch):
    """The registry, as it was when the test is over."""
    sections()
    monkeypatch.setattr(section_module, "SECTIONS", dict(section_module.SECTIONS))


def spread_table(report):
    rows = [{"network": r.checkpoint, "widest": max(s.value.std or 0 for s in r.states)} for r in report.simulated]
    columns = [Column("network"), Column("widest", format="{:.3f}".format)]
    return Table(title="Chip spread", frame=frame_of(rows), columns=columns)


SPREAD = Section(
    name="spread",
    title="Chip spread",
    table=spread_table,
    sentence="The widest spread is {{ table.frame.widest.max() | fixed(2) }} {{ metric | difference_unit }}.",
)


def test_section_of_a_plugin_is_in_every_format_and_stands_where_it_asks(cases, registry):
    register_section(SPREAD, before="lifetime")
    names = [section.name for section in sections()]
    assert names.index("spread") + 1 == names.index("lifetime")
    paths, report = cases["two runs"], contents(*cases["two runs"])
    for form in ("text", "md", "tex"):
        assert "The widest spread is 1.45 points." in printed(paths, form)
    assert json.loads(printed(paths, "json"))["tables"]["spread"][0]["network"] == "resnet20-sgd"
    assert printed(paths, "csv", table="spread").startswith("network,widest\n")
    html = render_page(report, page_groups(report))
    assert '<section id="spread">' in html
    assert '<a href="#spread">Chip spread</a>' in html


def test_section_of_an_installed_package_is_found(cases, registry, monkeypatch):
    class Entry:
        name = "spread"

        def load(self):
            return SPREAD

    monkeypatch.setattr(section_module, "entry_points", lambda group: [Entry()] if "report_sections" in group else [])
    assert "Chip spread" in printed(cases["one run"], "text", table="spread")


def test_section_that_would_hide_another_is_refused(registry):
    with pytest.raises(OptionError, match="'lifetime': registered twice"):
        register_section(replace(SPREAD, name="lifetime"))
    with pytest.raises(OptionError, match="no section 'nowhere' to precede; known: heat_map, over_time"):
        register_section(SPREAD, before="nowhere")


def test_table_that_is_unknown_or_absent_is_refused_with_a_remedy(cases):
    with pytest.raises(OptionError, match=r"expected one of .*did you mean 'lifetime'"):
        find_section("lifetimes")
    with pytest.raises(OptionError, match=r"no such table; run `analog-samson simulate \.\.\. --error-budget`"):
        printed(cases["two runs"], "text", table="error_budget")


@pytest.mark.parametrize(
    ("old", "new"), [("accuracy", "overview"), ("hurts", "error_budget"), ("helps", "mitigations")]
)
def test_tables_are_found_under_their_names_in_0_1(cases, old, new):
    assert printed(cases["one run"], "csv", table=old) == printed(cases["one run"], "csv", table=new)
