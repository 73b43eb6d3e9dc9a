"""What the page says in words agrees with the CSV behind its own pictures, computed anew from nothing but the page."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from synthetic_error_budgets import synthetic_error_budget
from synthetic_runs import PRESET, synthetic_records, synthetic_run

from analog_samson.analysis.error_budget import ErrorBudget, Layer
from analog_samson.analysis.ranking import study as study_of
from analog_samson.analysis.runs import digest
from analog_samson.analysis.statistics import Difference
from analog_samson.report.explanation_tables import effects_grid, layers_grid
from analog_samson.report.page import render_page
from analog_samson.report.pictures import pictures
from analog_samson.report.sentences import ahead_sentence, hurts_sentence, intervals_sentence, where_sentence
from analog_samson.results.store import open_run
from analog_samson.units import SECONDS

Rows = list[dict[str, str]]
UNITS = {"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w", "year": "y"}


def page_of(*paths: Path) -> str:
    runs = digest([open_run(path) for path in paths])
    return render_page(runs, pictures(runs))


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
    """Three networks on three presets; on the last two, two of them are alike."""
    folder, paths = tmp_path_factory.mktemp("study"), []
    falls = {"one": (12.0, 4.0, 9.0), "two": (12.0, 11.9, 4.0), "three": (12.0, 12.0, 12.0)}
    for preset, falling in falls.items():
        for network, fall in zip(("a", "b", "c"), falling, strict=True):
            records = [
                type(r)(**{name: getattr(r, name) for name in r.__slots__} | {"preset": preset})
                for r in synthetic_records(network, fall=fall, seed=ord(network) if preset == "three" else 0)
                if r.stage != "gaussian"
            ]
            meta = {"preset": PRESET | {"name": preset}, "preset_sha256": f"{preset:0<64}"}
            paths.append(synthetic_run(folder / preset / network, network, records=records, meta=meta))
    return page_of(*paths)


def test_headline_gives_the_mean_and_spread_of_its_data(alone: str) -> None:
    last = at_last(data(alone, "accuracy_over_time"))
    assert f"scores {float(last['mean_percent']):.1f} ± {float(last['std']):.1f} % after 1 year." in headline(alone)
    assert last["mark"] in headline(alone)


def test_lifetime_is_where_the_line_through_the_data_crosses(alone: str) -> None:
    rows = [row for row in data(alone, "accuracy_over_time") if row["time_seconds"]]
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
    below = np.interp(grid, logs, [float(row["mean_percent"]) for row in rows]) < threshold
    return float(10 ** grid[below.argmax()]) if below.any() else math.inf


def seconds(words: str) -> float:
    found = re.match(r"([\d.]+) (\w+?)s?\b", words)
    assert found is not None, words
    return float(found[1]) * SECONDS[UNITS[found[2]]]


def test_yield_counts_the_chips_of_the_data(alone: str) -> None:
    rows = data(alone, "yield")
    last = max(float(row["time_seconds"]) for row in rows if row["time_seconds"])
    steps = [row for row in rows if row["time_seconds"] and float(row["time_seconds"]) == last]
    found = re.match(r"(\d+) of (\d+) chips .* are at or above ([\d.]+) %", says(alone, "yield-section"))
    assert found is not None
    passed, n, threshold = int(found[1]), int(found[2]), float(found[3])
    shares = [float(row["share"]) for row in steps if float(row["accuracy_percent"]) >= threshold]
    assert passed == round(n * max(shares, default=0.0))


def test_hurts_names_the_effects_that_the_data_shows_in_order(alone: str) -> None:
    rows = [row for row in data(alone, "hurts") if row["quantity"] == "gain_without"]
    seen = [row for row in rows if row["significant"] == "true" and float(row["mean_points"]) > 0]
    expected = sorted(seen, key=lambda row: -float(row["mean_points"]))
    said = re.findall(
        r"aking ([\w ()]+) away gains ([\d.]+) points \(95 % interval \[(.*?)\]\)", says(alone, "hurts-section")
    )
    assert [name for name, *_ in said] == [row["effect"] for row in expected]
    for (_, mean, between), row in zip(said, expected, strict=True):
        assert mean == f"{float(row['mean_points']):.1f}"
        assert between == f"{float(row['low_points']):.1f}, {float(row['high_points']):.1f}"


CLIPPED = {"input clipping": 6.0, "drift": 5.0, "programming noise": 1.5, "read noise": 0.0}


def error_budget_of(path: Path, **settings: object) -> ErrorBudget:
    """The budget of a synthetic run."""
    synthetic_error_budget(synthetic_run(path, "net"), **settings)  # type: ignore[arg-type]
    (run,) = digest([open_run(path)])
    assert run.error_budget is not None
    return run.error_budget


def test_hurts_names_what_is_seen_only_alone_and_what_it_is_measured_from(tmp_path: Path) -> None:
    """Taking clipping away is not possible, and taking drift away was not measured here: both are seen alone."""
    skip = ("without drift", "without programming noise")
    found = error_budget_of(tmp_path / "run", skip=skip, alone=CLIPPED, against="input clipping")
    said = hurts_sentence(found)
    assert re.search(
        r"^Significant only in isolation after 1y \(extrapolated\): input clipping costs [56]\.\d points", said
    )
    assert re.search(r"drift costs [45]\.\d points \(95 % interval \[", said)
    assert "No single effect" not in said
    assert said.endswith(
        "Gains are measured from the run as it is, losses alone from input clipping, which is always there and is "
        "itself measured from the digital network, on these 400 images."
    )
    rows = {row[0]: row for row in effects_grid(found).rows}
    assert rows["input clipping"][1:3] == ("-", "-")
    for name in ("input clipping", "drift"):
        assert rows[name][-1] == "costs accuracy alone"
    assert rows["read noise"][-1] == "not significant"
    assert "(alone: beside input clipping, which is always there)" in effects_grid(found).title


def test_effects_alone_are_not_charged_with_what_clipping_costs(tmp_path: Path) -> None:
    found = error_budget_of(tmp_path / "run", alone=CLIPPED, against="input clipping")
    for effect in found.effects:
        assert effect.loss_alone is not None
        assert effect.loss_alone.mean == pytest.approx(CLIPPED[effect.name], abs=0.5)
    assert found.effects[0].name == "input clipping"
    data = effects_grid(found).data
    assert data is not None
    assert {row[2:5] for row in data.rows if row[2] == "drift"} == {
        ("drift", "gain_without", "as it is"),
        ("drift", "loss_alone", "input clipping"),
    }
    assert ("input clipping", "loss_alone", "digital") in {row[2:5] for row in data.rows}


def layer(path: str, nats: tuple[float, float], points: tuple[float, float]) -> Layer:
    """A layer with (mean, half-width) of both losses over four chips."""
    lost, rise = (
        Difference(mean=m, low=m - w, high=m + w, n=4, significant=not m - w <= 0 <= m + w) for m, w in (points, nats)
    )
    return Layer(path=path, layer_type="Conv2d", lost=lost, nats=rise, macs_percent=None, devices_percent=None)


@pytest.mark.parametrize(
    ("second", "lost"),
    [(layer("b", (0.35, 0.01), (6.0, 9.0)), "0.350 nats"), (layer("b", (0.1, 0.2), (6.0, 1.0)), "0.100 nats")],
)
def test_where_names_the_layer_with_the_largest_significant_loss(tmp_path: Path, second: Layer, lost: str) -> None:
    """The layer with the largest mean has a wide interval; that of the other is significant in nats or in points."""
    layers = (layer("a", (0.48, 1.4), (6.8, 14.0)), second)
    found = replace(error_budget_of(tmp_path / "run"), layers=layers)
    assert str(where_sentence(found)).startswith(
        f"The layer with the largest significant loss is b: alone on the device it costs {lost}"
    )
    assert [row[-1] for row in layers_grid(found).rows] == ["not significant", "loses"]
    none = replace(found, layers=layers[:1])
    assert str(where_sentence(none)).startswith("No layer alone loses significantly")


def test_what_one_moment_says_is_shown_within_what_accuracies_can_be(tmp_path: Path) -> None:
    wide = Difference(mean=9.0, low=-105.1, high=124.1, n=2, significant=False)
    found = error_budget_of(tmp_path / "run")
    effect = replace(found.effects[0], gain_without=wide, loss_alone=wide)
    found = replace(found, effects=(effect,))
    assert effects_grid(found).rows[0][1:5] == ("+9.0", "[-100.0, 100.0]") * 2
    assert "+9.0 points (95 % interval [-100.0, 100.0])" in hurts_sentence(found)
    data = effects_grid(found).data
    assert data is not None
    assert data.rows[0][6:8] == (-105.1, 124.1), "raw values stay"


def test_sentences_say_on_how_many_images_they_hold(alone: str) -> None:
    for section in ("hurts-section", "where-section", "helps-section"):
        assert "on these 400 images." in says(alone, section)


def pair_of(folder: Path, instances: int) -> tuple[Path, Path]:
    """Two networks on the same chips; the second is better."""
    found = [
        synthetic_run(folder / name, name, instances=instances, fall=fall, options={"instances": instances})
        for name, fall in (("weak", 12.0), ("strong", 4.0))
    ]
    return found[0], found[1]


@pytest.mark.parametrize("turned", [False, True])
def test_ahead_gives_spread_number_of_chips_and_difference(tmp_path: Path, turned: bool) -> None:
    """The same sentence whichever run comes first."""
    paths = pair_of(tmp_path, 5)
    runs = digest([open_run(path) for path in (paths[::-1] if turned else paths)])
    said = ahead_sentence(study_of(runs), PRESET["name"])
    assert said == (
        "On pcm_nandakumar_2019, strong has 87.9 % after 1y (extrapolated), significantly more than weak. "
        "Its n = 5 chips spread by ± 0.5. Against weak: +7.6 points (95 % interval "
        "[6.4, 8.8]), on these test images."
    )


def test_single_chips_have_a_difference_and_no_interval_and_that_is_said(tmp_path: Path) -> None:
    runs = digest([open_run(path) for path in pair_of(tmp_path, 1)])
    found = study_of(runs)
    assert intervals_sentence(found).startswith("No difference has an interval")
    said = ahead_sentence(found, PRESET["name"])
    assert re.search(r", the highest \(one chip: no interval\)\. Against weak: \+\d", said)
    assert "spread" not in said


def test_networks_that_cannot_be_compared_are_not_said_to_be_alike(tmp_path: Path) -> None:
    paths = [synthetic_run(tmp_path / name, name, meta={"seed": place}) for place, name in enumerate("ab")]
    said = ahead_sentence(study_of(digest([open_run(path) for path in paths])), PRESET["name"])
    assert "not compared with every other network. Its n = 5 chips" in said


def test_where_names_the_layer_that_loses_most_in_the_data(alone: str) -> None:
    worst = max(data(alone, "where"), key=lambda row: float(row["mean_nats"]))
    said = says(alone, "where-section")
    assert worst["significant_nats"] == "true"
    assert f"The most sensitive layer is {worst['layer']}: " in said
    assert (
        f"costs {float(worst['mean_nats']):.3f} nats of loss (95 % interval [{float(worst['low_nats']):.3f}, " in said
    )
    assert f"and {float(worst['mean_points']):.1f} points" in said
    assert f"{float(worst['macs_percent']):.1f} % of the MACs" in said


def test_helps_names_the_remedy_that_gains_most_in_the_data(alone: str) -> None:
    rows = [row for row in data(alone, "helps") if row["significant"] == "true"]
    best = max(rows, key=lambda row: float(row["mean_points"]))
    said = says(alone, "helps-section")
    assert best["remedy"] in said
    assert f"+{float(best['mean_points']):.1f} points" in said


def test_decisions_give_the_medians_of_the_histograms(alone: str) -> None:
    rows = data(alone, "margins")
    said = numbers(says(alone, "decisions"))
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
            gains = [sign * float(row["mean_points"]) for sign, row in zip(signs, own, strict=True)]
            wins[network] += all(row["significant"] == "true" for row in own) and min(gains) > 0
    said = dict(re.findall(r"(\w)(?: is significantly better than every other network)? on (\d) of 3", headline(study)))
    assert {name: int(times) for name, times in said.items()} == {n: count for n, count in wins.items() if count}
    assert sum(wins.values()) == 2, "two presets with a winner, one without: the test sees both"
    assert "on the other no network is" in headline(study)


def test_study_says_what_its_intervals_cover(study: str) -> None:
    rows = data(study, "differences")
    assert len(rows) == 9
    assert "Each of the 9 differences has its own 95 % interval" in says(study, "comparison")
    assert "about one in twenty is significant by chance" in says(study, "comparison")


def test_significant_in_the_data_is_whether_the_interval_excludes_zero(study: str, alone: str) -> None:
    for page, name in ((study, "differences"), (alone, "hurts"), (alone, "where"), (alone, "helps")):
        for row in data(page, name):
            if row["low_points"] and "as it is" not in row.get("remedy", ""):
                outside = float(row["low_points"]) > 0 or float(row["high_points"]) < 0
                assert outside == (row["significant"] == "true"), row
