"""The page in a real browser, where one is installed: no error, no request, no sideways scrolling, keyboard use."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser, browser
from helpers.runs import contents
from synthetic_error_budgets import synthetic_error_budget
from synthetic_runs import PRESET, synthetic_records, synthetic_run

from analog_samson.report.page import write_page

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)"),
    pytest.mark.xdist_group("browser"),  # one worker makes what these tests share
]
LONG = "generic_rasch_2021_state_independent"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of one run with an error budget, and one of three networks on two presets with long names."""
    folder = tmp_path_factory.mktemp("pages")
    alone = synthetic_run(folder / "alone", "resnet20-with-a-rather-long-name")
    synthetic_error_budget(alone, classes=10)
    runs = []
    for preset in ("pcm_nandakumar_2019", LONG):
        for fall, name in ((12.0, "sgd"), (4.0, "samson with clipping"), (9.0, "additive_noise")):
            records = [replace(r, preset=preset) for r in synthetic_records(name, fall=fall) if r.stage != "gaussian"]
            meta = {"preset": PRESET | {"name": preset}, "preset_sha256": f"{preset:0<64}"}
            runs.append(synthetic_run(folder / "study" / preset / name, name, records=records, meta=meta))
    return {
        "alone": write_page(contents(alone), folder / "alone.html"),
        "study": write_page(contents(*runs), folder / "study.html"),
    }


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["alone", "study"])
def test_page_fits_its_window_without_error_or_request(
    chromium: Browser, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    chromium.open(pages[name], width=width, dark=dark)
    assert chromium.ask("document.documentElement.scrollWidth") <= width
    assert chromium.ask("window.innerWidth") == width
    assert chromium.of("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded") == []
    requested = [event["request"]["url"] for event in chromium.of("Network.requestWillBeSent")]
    assert requested == [pages[name].resolve().as_uri()]


def test_page_reports_what_a_faulty_page_does(chromium: Browser, tmp_path: Path) -> None:
    """The checks above can fail."""
    page = tmp_path / "bad.html"
    page.write_text(
        '<meta name="viewport" content="width=device-width"><script>console.error("x")</script>'
        '<img src="http://127.0.0.1:9/x.png"><div style="width: 600px">wide</div>'
    )
    chromium.open(page, width=390)
    assert chromium.ask("document.documentElement.scrollWidth") > 390
    assert chromium.of("Runtime.consoleAPICalled")
    assert len(chromium.of("Network.requestWillBeSent")) == 2


def test_page_shows_the_figures_for_its_width(chromium: Browser, pages: dict[str, Path]) -> None:
    shown = "[...document.querySelectorAll('figure .KIND')].filter(e => e.offsetWidth > 0).length"
    figures = "document.querySelectorAll('figure').length"
    for width, kind, other in ((390, "narrow", "wide"), (1280, "wide", "narrow")):
        chromium.open(pages["alone"], width=width)
        count = chromium.ask(figures)
        assert count >= 8
        assert chromium.ask(shown.replace("KIND", kind)) == count
        assert chromium.ask(shown.replace("KIND", other)) == 0


def test_wide_tables_on_a_phone_keep_their_first_column_and_show_that_they_go_on(
    chromium: Browser, pages: dict[str, Path]
) -> None:
    chromium.open(pages["study"], width=390)
    chromium.ask("window.wide = [...document.querySelectorAll('.scroll')].find(e => e.scrollWidth > e.clientWidth), 0")
    chromium.ask("wide.scrollLeft = 1000, 0")
    assert chromium.ask("wide.scrollLeft") > 0
    places = "['tbody th', 'tbody td'].map(e => wide.querySelector(e).getBoundingClientRect().left - "
    first, second = chromium.ask(f"{places}wide.getBoundingClientRect().left)")
    assert abs(first) < 1
    assert second < 0 or chromium.ask("wide.scrollWidth - wide.clientWidth") < 60
    header = "document.querySelector('.scroll thead th').getBoundingClientRect()"
    assert chromium.ask(f"{header}.height") < 60  # a heading is not broken into letters
    assert chromium.ask(f"{header}.width") <= 0.42 * 390 + 1
    assert "gradient" in chromium.ask("getComputedStyle(wide).backgroundImage")


def test_settings_are_folded(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["study"], width=1280)
    assert chromium.ask("document.querySelector('table.settings').closest('details').open") is False


def test_page_follows_the_scheme_of_the_reader(chromium: Browser, pages: dict[str, Path]) -> None:
    colours = set()
    for dark in (False, True):
        chromium.open(pages["study"], width=1280, dark=dark)
        assert chromium.ask("getComputedStyle(document.body).color") != chromium.ask(
            "getComputedStyle(document.body).backgroundColor"
        )
        colours.add(chromium.ask("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


def test_page_is_walked_through_by_keyboard(chromium: Browser, pages: dict[str, Path]) -> None:
    """Every link, folded part, CSV and table that may be wider than the window takes the focus, in order."""
    chromium.open(pages["alone"], width=390)
    shown = "filter(e => e.checkVisibility({contentVisibilityAuto: true}))"  # not what is folded away
    wanted = f"[...document.querySelectorAll('a, summary, .scroll')].{shown}"
    count = chromium.ask(f"{wanted}.length")
    assert count > 20
    chromium.ask("window.seen = new Set(), 0")
    for _ in range(count + 5):
        for kind in ("rawKeyDown", "keyUp"):
            chromium.send("Input.dispatchKeyEvent", {"type": kind, "key": "Tab", "windowsVirtualKeyCode": 9})
        chromium.ask("seen.add(document.activeElement), 0")
    assert chromium.ask(f"{wanted}.filter(e => !seen.has(e)).map(e => e.outerHTML.slice(0, 80))") == []


def test_folded_data_opens_by_keyboard(chromium: Browser, pages: dict[str, Path]) -> None:
    chromium.open(pages["alone"], width=1280)
    chromium.ask("document.querySelector('details.data summary').focus(), 0")
    event = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
    chromium.send("Input.dispatchKeyEvent", {"type": "keyDown", **event})
    chromium.send("Input.dispatchKeyEvent", {"type": "keyUp", **event})
    assert chromium.ask("document.querySelector('details.data').open") is True
    assert chromium.ask("document.querySelector('details.data pre').innerText.split('\\n')[0]").startswith(
        "checkpoint,"
    )
