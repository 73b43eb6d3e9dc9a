"""What the page says in words agrees with the CSV behind its own pictures, computed anew from nothing but the page."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import contents
from synthetic_error_budgets import synthetic_error_budget
from synthetic_runs import PRESET, synthetic_records, synthetic_run

from analog_samson.report.page import page_groups, render_page
from analog_samson.units import SECONDS

Rows = list[dict[str, str]]
UNITS = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w", "year": "y"}


def page_of(*paths: Path) -> str:
    report = contents(*paths)
    return render_page(report, page_groups(report))


def data(page: str, name: str) -> Rows:
    found = re.search(rf'<code id="{name}-csv">(.*?)</code>', page, re.DOTALL)
    assert found is not None, name
    return list(csv.DictReader(io.StringIO(unescape(found[1]))))


def text(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", html))).strip()


def headline(page: str) -> str:
    found = re.search(r"<h1.*?</h1>", page, re.DOTALL)
    assert found is not None
    return text(found[0])


def says(page: str, section: str) -> str:
    """The first sentence of a section."""
    found = re.search(rf'<section id="{section}">.*?<p class="says">(.*?)</p>', page, re.DOTALL)
    assert found is not None, section
    return text(found[1])


def numbers(words: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", words)]


def at_last(rows: Rows) -> dict[str, str]:
    return max((row for row in rows if row["time_seconds"]), key=lambda row: float(row["time_seconds"]))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = synthetic_run(tmp_path_factory.mktemp("alone") / "run", "net")
    synthetic_error_budget(path)
    return page_of(path)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two networks on three presets; on the last one they are alike."""
    folder, paths = tmp_path_factory.mktemp("study"), []
    falls = {"one": (12.0, 4.0), "two": (4.0, 9.0), "three": (12.0, 12.0)}
    for preset, falling in falls.items():
        for network, fall in zip(("a", "b"), falling, strict=True):
            records = [
                type(r)(**{name: getattr(r, name) for name in r.__slots__} | {"preset": preset})
                for r in synthetic_records(network, fall=fall, seed=ord(network) if preset == "three" else 0)
                if r.stage != "gaussian"
            ]
            meta = {"preset": PRESET | {"name": preset}, "preset_sha256": f"{preset:0<64}"}
            paths.append(synthetic_run(folder / preset / network, network, records=records, meta=meta))
    return page_of(*paths)


def test_headline_gives_the_mean_and_spread_of_its_data(alone: str) -> None:
    last = at_last(data(alone, "over_time"))
    assert f"is {float(last['mean']):.1f} ± {float(last['std']):.1f} % after 1 year" in headline(alone)
    assert last["coverage"] in headline(alone)


def test_lifetime_is_where_the_line_through_the_data_crosses(alone: str) -> None:
    rows = [row for row in data(alone, "over_time") if row["time_seconds"]]
    said = says(alone, "lifetime")
    threshold = numbers(said)[0]
    table = re.search(r'<section id="lifetime">.*?<tbody>(.*?)</tbody>', alone, re.DOTALL)
    assert table is not None
    for row in re.findall(r"<tr>(.*?)</tr>", table[1], re.DOTALL):
        cells = [text(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        crossed = crossing(rows, float(cells[0]))
        if cells[2].startswith("<"):
            assert crossed == float(rows[0]["time_seconds"])
        elif cells[2].startswith(">"):
            assert math.isinf(crossed)
        else:
            assert seconds(cells[2]) == pytest.approx(crossed, rel=0.15)  # the threshold is rounded on the page
    assert ("already" in said.split(";")[0]) == (crossing(rows, threshold) == float(rows[0]["time_seconds"]))


def crossing(rows: Rows, threshold: float) -> float:
    """The first time on a fine grid at which the mean is below the threshold, infinite if it never is."""
    logs = [math.log10(float(row["time_seconds"])) for row in rows]
    grid = np.linspace(logs[0], logs[-1], 20001)
    below = np.interp(grid, logs, [float(row["mean"]) for row in rows]) < threshold
    return float(10 ** grid[below.argmax()]) if below.any() else math.inf


def seconds(words: str) -> float:
    found = re.match(r"([\d.]+) (\w+?)s?\b", words)
    assert found is not None, words
    return float(found[1]) * SECONDS[UNITS[found[2]]]


def test_yield_counts_the_chips_of_the_data(alone: str) -> None:
    rows = data(alone, "yield")
    last = max(float(row["time_seconds"]) for row in rows if row["time_seconds"])
    steps = [row for row in rows if row["time_seconds"] and float(row["time_seconds"]) == last]
    found = re.match(r"(\d+) of (\d+) chips .* are at or above ([\d.]+) %", says(alone, "yield"))
    assert found is not None
    passed, n, threshold = int(found[1]), int(found[2]), float(found[3])
    shares = [float(row["share_as_good"]) for row in steps if float(row["value"]) >= threshold]
    assert passed == round(n * max(shares, default=0.0))


def test_error_budget_names_the_effects_that_the_data_shows_in_order(alone: str) -> None:
    rows = [row for row in data(alone, "error_budget") if row["quantity"] == "gain_without"]
    seen = [row for row in rows if row["significant"] == "true" and float(row["mean"]) > 0]
    expected = sorted(seen, key=lambda row: -float(row["mean"]))
    said = re.findall(
        r"emoving ([\w ()]+) gains ([\d.]+) points \(95 % interval \[(.*?)\]\)", says(alone, "error_budget")
    )
    assert [name for name, *_ in said] == [row["effect"] for row in expected]
    for (_, mean, between), row in zip(said, expected, strict=True):
        assert mean == f"{float(row['mean']):.1f}"
        assert between == f"{float(row['low']):.1f}, {float(row['high']):.1f}"


def test_layer_sensitivity_names_the_layer_that_loses_most_in_the_data(alone: str) -> None:
    worst = max(data(alone, "layer_sensitivity"), key=lambda row: float(row["mean_nats"]))
    said = says(alone, "layer_sensitivity")
    assert worst["significant_nats"] == "true"
    assert f"The most sensitive layer is {worst['layer']}: " in said
    assert (
        f"costs {float(worst['mean_nats']):.3f} nats of loss (95 % interval [{float(worst['low_nats']):.3f}, " in said
    )
    assert f"and {float(worst['mean']):.1f} points" in said
    assert f"{float(worst['macs_percent']):.1f} % of the MACs" in said


def test_mitigations_name_the_remedy_that_gains_most_in_the_data(alone: str) -> None:
    rows = [row for row in data(alone, "mitigations") if row["significant"] == "true"]
    best = max(rows, key=lambda row: float(row["mean"]))
    said = says(alone, "mitigations")
    assert best["mitigation"] in said
    assert f"+{float(best['mean']):.1f} points" in said


def test_decisions_give_the_medians_of_the_histograms(alone: str) -> None:
    rows = data(alone, "margins")
    said = numbers(says(alone, "margins"))
    for column, median in (("digital_share", said[0]), ("aged_share", said[1])):
        below = sum(float(row[column]) * overlap(row, median) for row in rows)
        assert below == pytest.approx(0.5, abs=0.01)


def overlap(row: Mapping[str, str], value: float) -> float:
    """Share of a bin that lies below a value."""
    low, high = float(row["margin_from"]), float(row["margin_to"] or "inf")
    return min(max((value - low) / (high - low), 0.0), 1.0)


def test_study_counts_the_presets_on_which_the_data_shows_a_winner(study: str) -> None:
    """A winner: the highest mean, and a significant difference to every other network."""
    wins: Counter[str] = Counter()
    rows = data(study, "differences")
    for preset in {row["preset"] for row in rows}:
        pairs = [row for row in rows if row["preset"] == preset]
        for network in {row["network"] for row in pairs} | {row["minus"] for row in pairs}:
            own = [row for row in pairs if network in (row["network"], row["minus"])]
            signs = [1 if row["network"] == network else -1 for row in own]
            gains = [sign * float(row["mean"]) for sign, row in zip(signs, own, strict=True)]
            wins[network] += all(row["significant"] == "true" for row in own) and min(gains) > 0
    said = dict(re.findall(r"(\w)(?: is significantly better than every other network)? on (\d) of 3", headline(study)))
    assert {name: int(times) for name, times in said.items()} == {n: count for n, count in wins.items() if count}
    assert sum(wins.values()) == 2, "two presets with a winner, one without: the test sees both"
    assert "on the other no network is" in headline(study)


def test_significant_in_the_data_is_whether_the_interval_excludes_zero(study: str, alone: str) -> None:
    for page, name in (
        (study, "differences"),
        (alone, "error_budget"),
        (alone, "layer_sensitivity"),
        (alone, "mitigations"),
    ):
        for row in data(page, name):
            if row["low"] and "as it is" not in row.get("mitigation", ""):
                outside = float(row["low"]) > 0 or float(row["high"]) < 0
                assert outside == (row["significant"] == "true"), row
