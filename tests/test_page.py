"""The page: whole, self-contained, the same bytes for the same runs, and honest about what was extrapolated."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from helpers.runs import contents
from synthetic_runs import META, PLAN, PRESET, synthetic_records, synthetic_run

from analog_samson.errors import RunError
from analog_samson.report.citations import references
from analog_samson.report.page import page_groups, render_page, write_page

VOID = {"meta", "br", "hr", "img", "link", "input"}
SVG_VOID = {"path", "use", "rect", "circle"}


class Outline(HTMLParser):
    """Checks that tags are balanced and collects attributes, ids and the text of each section."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> inside {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def page_of(*paths: Path) -> tuple[str, Outline]:
    report = contents(*paths)
    html = render_page(report, page_groups(report))
    outline = Outline()
    outline.feed(html)
    return html, outline


@pytest.fixture
def sgd(tmp_path: Path) -> Path:
    return synthetic_run(tmp_path / "sgd", "resnet20-sgd")


@pytest.fixture
def samson(tmp_path: Path) -> Path:
    return synthetic_run(tmp_path / "samson", "resnet20-samson", fall=4.0)


def test_page_is_well_formed_and_every_link_inside_it_leads_somewhere(sgd: Path, samson: Path) -> None:
    for paths in ((sgd,), (sgd, samson)):
        html, outline = page_of(*paths)
        assert html.startswith("<!doctype html>")
        assert outline.faults == []
        assert outline.open == []
        assert len(outline.ids) == len(set(outline.ids))
        inside = {value[1:] for _, name, value in outline.attributes if name == "href" and value.startswith("#")}
        assert inside <= set(outline.ids)


def test_page_loads_nothing_from_anywhere(sgd: Path) -> None:
    html, outline = page_of(sgd)
    loading = {"src", "srcset", "data", "action", "poster", "background"}
    assert not [found for found in outline.attributes if found[1] in loading]
    assert not re.search(r"@import|@font-face|url\((?!#)|<script|<link|<iframe", html)
    outside = {value for tag, name, value in outline.attributes if name == "href" and not value.startswith("#")}
    assert outside
    assert all(link.startswith(("https://doi.org/10.", "https://arxiv.org/abs/")) for link in outside)


def test_page_is_byte_identical_when_written_twice_and_from_shuffled_records(tmp_path: Path, sgd: Path) -> None:
    again = synthetic_run(tmp_path / "copy" / "sgd", "resnet20-sgd", records=synthetic_records("resnet20-sgd")[::-1])
    for name, run in (("a", sgd), ("b", again)):
        assert write_page(contents(run), tmp_path / name / "page.html") == tmp_path / name / "page.html"
    assert (tmp_path / "a" / "page.html").read_bytes() == (tmp_path / "b" / "page.html").read_bytes()
    files = [sorted((tmp_path / name / "figures").iterdir()) for name in ("a", "b")]
    assert [file.name for file in files[0]] == [
        f"{figure}.{kind}" for figure in ("gaussian", "over_time", "yield") for kind in ("pdf", "png", "svg")
    ]
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ", files[0][0].read_bytes())
    assert box is not None
    assert float(box[1]) == pytest.approx(3.3 * 72, abs=1)  # a column's width, in points
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_page_opens_with_the_answer(sgd: Path, samson: Path) -> None:
    for paths, facts in (
        (
            (sgd,),
            ["resnet20-sgd is 80.4 ± 1.5 % after 1 year extrapolated", "Digital 91.7 %; n = 5 chips."],
        ),
        ((sgd, samson), ["accuracy of resnet20-samson is 87.9 ± 0.5 %", "+7.6 points (95 % interval [6.4, 8.8])"]),
    ):
        html, outline = page_of(*paths)
        opening = outline.text[: outline.text.index("Hollow markers")]
        assert all(fact in opening for fact in facts), opening
        assert "on PCM, Nandakumar 2019" in opening
        assert re.search(r'<span class="score">8\d\.\d ± \d\.\d %</span>', html)
        assert '<span class="name">PCM, Nandakumar 2019</span>' in html


def test_page_tells_source_settings_hardware_commands_and_citations(sgd: Path) -> None:
    html, outline = page_of(sgd)
    expected = [
        *(row[0] for row in PLAN),
        *(row[3] for row in PLAN if row[3]),
        "fitted",
        PRESET["source"]["citation"],
        "0.26348, 1.965, -1.1731",
        "2592000 (30 days)",
        "no limit",
        META["command"],
        "analog-samson simulate --config sgd/run.toml --out sgd-again",
        "6,752",
        "95.1 %",
        "environment.torch2.10.0",
        "François Leduc-Primeau",
        "Malte J. Rasch",
        "analog-samson, version",
        "@article{rasch2023hardware,",
    ]
    assert [words for words in expected if words not in outline.text] == []
    assert 'href="https://doi.org/10.1000/example.2019"' in html


def test_figures_have_words_for_those_who_do_not_see_them(sgd: Path, samson: Path) -> None:
    """A screen reader says the caption, and the numbers are in the data below."""
    html, outline = page_of(sgd, samson)
    svgs = [value for tag, name, value in outline.attributes if tag == "svg" and name == "aria-labelledby"]
    assert len(svgs) == 10  # five figures, wide and narrow
    assert set(svgs) <= set(outline.ids)
    for name in ("over_time", "difference_over_time", "frontier", "yield", "gaussian"):
        assert f"{name}-csv" in outline.ids
        assert re.search(rf'<title id="{name}-wide-title">[^<]{{40,}}</title>', html)
    assert outline.text.count("n = 5 simulated chips") >= 3
    assert outline.text.count("band: 95 % t interval of the mean") == 2


def test_every_number_after_the_preset_ends_is_marked_and_the_mark_is_explained(sgd: Path, samson: Path) -> None:
    html, _ = page_of(sgd, samson)
    body = re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL)
    rows = re.findall(r"<tr[^>]*>.*?</tr>", body, flags=re.DOTALL)
    of_the_year = [row for row in rows if re.search(r"80\.4|87\.9|\+7\.6", row) and "<td" in row]
    assert len(of_the_year) == 5  # two in the overview, one in each details and in the comparison
    assert all("<sup>†</sup>" in row for row in of_the_year)
    tables = re.findall(r"(<table>.*?</table>)\s*</div>(.{0,60})", body, flags=re.DOTALL)
    assert all(("†" in table) == ("daggers" in after) for table, after in tables)
    cards = re.findall(r'<li class="card.*?</li>', body, flags=re.DOTALL)
    assert len(cards) == 2
    assert all("<sup>†</sup>" in card for card in cards)


def test_nothing_is_marked_extrapolated_when_the_preset_covers_it(tmp_path: Path) -> None:
    preset = PRESET | {"validity": {"max_seconds": 1e9}}
    html, _ = page_of(synthetic_run(tmp_path / "run", meta={"preset": preset}))
    body = re.sub(r'<section id="lifetime">.*?</section>', "", html, flags=re.DOTALL)  # looks beyond the last time
    assert "extrapolated" not in body


def test_page_shows_hostile_names_as_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    preset = PRESET | {"source": PRESET["source"] | {"doi": "javascript:alert(1)", "notes": evil}}
    meta = {"preset": preset, "command": evil, "plan": [META["plan"][2] | {"path": evil, "reason": evil}]}
    path = synthetic_run(tmp_path / "run", records=synthetic_records(evil), meta=meta, options={"note": evil})
    html, outline = page_of(path)
    assert "<script" not in html
    assert "javascript:" not in "".join(value for _, name, value in outline.attributes if name == "href")
    assert outline.faults == []
    assert evil in outline.text


def test_page_warns_when_the_run_is_not_finished(tmp_path: Path) -> None:
    records = [r for r in synthetic_records() if not ((r.time_seconds or 0) > 86000 and r.instance > 2)]
    _, outline = page_of(synthetic_run(tmp_path / "run", records=records))
    assert "not finished: 5 instances asked, 1d has 3, 1y has 3. The numbers below" in outline.text


@pytest.mark.parametrize(
    "stages", [{"digital"}, {"gaussian"}, {"digital", "programmed"}, {"drift"}, {"digital", "gaussian"}]
)
def test_page_is_written_when_little_was_measured(tmp_path: Path, stages: set[str]) -> None:
    records = [record for record in synthetic_records() if record.stage in stages]
    _, outline = page_of(synthetic_run(tmp_path / "run", records=records))
    assert outline.faults == []
    assert ("Equivalent σ" in outline.text) == ("gaussian" in stages)


def test_page_is_written_when_a_run_stored_nothing_about_itself(tmp_path: Path) -> None:
    nothing: dict[str, Any] = dict.fromkeys((*META, "checkpoint"))
    _, outline = page_of(synthetic_run(tmp_path / "run", meta=nothing))
    assert outline.faults == []
    assert not {"hardware", "preset"} & set(outline.ids)


def test_settings_mark_what_differs_between_runs(tmp_path: Path, sgd: Path) -> None:
    other = synthetic_run(tmp_path / "other", "other", options={"engine": "aihwkit", "extra": 1})
    html, _ = page_of(sgd, other)
    differs = re.findall(r'<tr class="differs"><th scope="row">([^<]+)</th>(.*?)</tr>', html)
    assert {name for name, _ in differs} >= {"engine", "extra", "checkpoint"}
    assert "seed" not in {name for name, _ in differs}
    assert dict(differs)["extra"] == '<td class="value">not given</td><td class="value">1</td>'


def test_hardware_is_told_once_when_runs_share_it_and_apart_when_not(tmp_path: Path, sgd: Path, samson: Path) -> None:
    assert page_of(sgd, samson)[1].text.count("crossbar tiles3") == 1
    other = synthetic_run(tmp_path / "big", "big", meta={"hardware": META["hardware"] | {"tiles": 40}})
    text = page_of(sgd, samson, other)[1].text
    assert "sgd, samson" in text
    assert "crossbar tiles40" in text


def test_digital_layers_are_grouped_by_type_and_reason(tmp_path: Path) -> None:
    norm = META["plan"][2]
    plan = [
        *META["plan"],
        norm | {"path": "blocks.1.norm"},
        norm | {"path": "odd", "reason": "kept digital by the user"},
    ]
    html, _ = page_of(synthetic_run(tmp_path / "run", meta={"plan": plan}))
    cell = '<td class="wrap">([^<]*)</td>'
    assert re.findall(rf'{cell}{cell}<td class="r">([^<]*)</td>', html) == [
        ("normalisation stays digital", "blocks.0.norm, blocks.1.norm", "64"),
        ("groups = 16", "blocks.1.depthwise", "144"),
        ("kept digital by the user", "odd", "32"),
    ]


def test_plan_of_an_older_run_is_shown_as_far_as_it_is_known(tmp_path: Path) -> None:
    """Runs of 0.1 stored no tiles, devices and multiply-accumulates of a layer."""
    known = ("path", "layer_type", "action", "reason", "parameters")
    plan = [{key: row[key] for key in known} for row in META["plan"]]
    _, outline = page_of(synthetic_run(tmp_path / "run", meta={"plan": plan}))
    assert outline.faults == []
    assert "blocks.0.conv" in outline.text


def test_page_leaves_no_half_file_when_its_place_cannot_be_written(tmp_path: Path, sgd: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot be made .*; choose another output folder"):
        write_page(contents(sgd), tmp_path / "file" / "report.html")


def test_references_name_each_source_and_link_dois_only() -> None:
    found = references([PRESET])
    assert [one.url for one in found] == [
        None,
        "https://arxiv.org/abs/2211.11561",
        "https://doi.org/10.1109/AICAS51828.2021.9458494",
        "https://doi.org/10.1038/s41467-023-40770-4",
        "https://doi.org/10.1000/example.2019",
    ]
    for one in found:
        assert one.bibtex.startswith("@")
        assert one.bibtex.count("{") == one.bibtex.count("}")


def test_templates_are_found_when_the_page_is_written_from_another_folder(tmp_path: Path, sgd: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from analog_samson.report.command import make_report
        make_report([Path(sys.argv[1])], "csv", out=Path(sys.argv[2]), html=True, say=print)
    """
    out = tmp_path / "elsewhere.html"
    command = [sys.executable, "-W", "error", "-c", code, str(sgd), str(out)]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == f"wrote {out} and {tmp_path / 'figures'}\n"
    assert out.stat().st_size > 10_000
