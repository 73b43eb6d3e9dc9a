"""What README claims: every figure is one of the study's page or of a committed result, with what it rests on."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from analog_samson.analysis.statistics import summarize
from analog_samson.models.zoo.search import zoo_names

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(README.split())
STUDY = (ROOT / "docs" / "results" / "index.md").read_text(encoding="utf-8")


def table_after(text: str, heading: str, first: str) -> list[dict[str, str]]:
    """The rows of the first table after a heading whose first column is `first`, by column."""
    rest = text.partition(heading)[2]
    lines = rest[rest.index(f"| {first} |") :].partition("\n\n")[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", cell)]


@pytest.mark.parametrize(("place", "condition"), list(enumerate(["σ 0.4, AdaBS", "1 year, AdaBS"])))
def test_lead_of_ascent_with_clipping_is_told_with_the_interval_and_trainings_of_the_study(place, condition):
    (found,) = (
        row
        for row in table_after(STUDY, "## Primary contrasts", "setting")
        if row["setting"].startswith("ResNet-20 fine-tuned")
        and row["contrast"] == "SAMSON p=inf + clipping − SGD + clipping"
        and row["condition"] == condition
    )
    told = table_after(README, "## Results", "question")[place]
    assert numbers(told["answer"]) == numbers(found["points, 95 % interval"])
    assert numbers(told["n"])[0] == float(found["trainings"])


def test_failure_from_scratch_is_that_of_the_study():
    page = " ".join(STUDY.split())
    found = re.search(r"reaches ([\d.]+) % digitally, SGD \+ clipping ([\d.]+) %: a loss of", page)
    assert found is not None
    assert f"it reaches {found[1]} % digitally, clipped SGD {found[2]} %" in WORDS


def test_figures_with_converters_are_those_of_the_benchmark():
    rows = json.loads((ROOT / "benchmarks" / "results" / "zoo_on_hardware.json").read_text())["rows"]
    assert {row["network"] for row in rows} == set(zoo_names())
    assert {row["calibration_images"] for row in rows} == {1000}
    frame = pd.read_csv(ROOT / "benchmarks" / "results" / "input_ranges.csv", keep_default_na=False, na_values=[""])
    soup = frame[(frame.network == "resnet32_soup_cifar10") & (frame.ranges == "output_error")]
    drift = soup[(soup.stage == "drift") & (soup.calibration == "adabs") & (soup.time_seconds == 31536000.0)]
    chips, digital = summarize(list(drift.value)), soup[soup.stage == "digital"].value.iloc[0]
    assert set(soup.samples) == {"all / 4"}  # of 10,000
    told = table_after(README, "## Results", "question")[2]
    assert numbers(told["answer"]) == [pytest.approx(value, abs=0.006) for value in (chips.mean, chips.low, chips.high)]
    assert told["n"] == f"{chips.n} chips, 2,500 images each"
    assert f"digital {digital:.2f} %" in told["question"]


def test_figure_shows_what_was_measured():
    """Every network, calibration and time of the first figure, and the numbers of chips and images beside it."""
    frame = pd.read_csv(ROOT / "benchmarks" / "results" / "front_figure.csv")
    chips = frame[frame.stage == "drift"]
    counts = chips.groupby(["network", "calibration", "time_seconds"]).chip.nunique()
    assert len(counts) == 2 * 2 * 4
    for network, count in counts.groupby("network").unique().items():
        assert list(count) == [count[0]]
        assert f"{count[0]} chips of {'the published' if network == 'resnet32' else 'the trained'} network" in WORDS
    assert f"{frame.images.unique().item():,} test images" in WORDS


def test_readme_says_what_its_figures_rest_on():
    for fact in ("exact products", "1,000 training images", "first 2,500", "extrapolated"):
        assert fact in WORDS
    assert "identical to clipped ASAM with radius rho / c" in WORDS
    limits = WORDS.partition("## Is it for you?")[2].partition("## ")[0].lower()
    for missing in ("energy", "latency", "area", "temperature", "read noise", "adc"):
        assert missing in limits
    assert len(README.splitlines()) <= 100
