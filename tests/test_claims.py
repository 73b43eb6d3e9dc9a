"""What README claims: every figure is one of the study's page or of a committed result, with what it rests on."""

import json
import re
from pathlib import Path
from statistics import fmean

import pytest

from analog_samson.models.zoo.search import zoo_names

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(README.split())
STUDY = (ROOT / "docs" / "results" / "index.md").read_text(encoding="utf-8")
NETWORKS = {"ResNet-20": "ResNet-20, fine-tuned", "ResNet-32": "ResNet-32, fine-tuned"}


def table_after(text: str, heading: str, first: str) -> list[dict[str, str]]:
    """The rows of the first table after a heading whose first column is `first`, by column."""
    rest = text.partition(heading)[2]
    lines = rest[rest.index(f"| {first} |") :].partition("\n\n")[0].splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, row, strict=True)) for row in rows]


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", cell)]


def test_table_of_trainings_is_that_of_the_study():
    told = table_after(README, "## What training changes", "network")
    assert {row["network"] for row in told} == set(NETWORKS)
    for row in told:
        page = table_after(STUDY, f"## {NETWORKS[row['network']]}", "method")
        (found,) = [one for one in page if one["method"] == row["fine-tuned with"]]
        columns = {"one year": "1 year", "one year, AdaBS": "1 year, AdaBS", "sigma 0.4, AdaBS": "σ 0.4, AdaBS"}
        for column in ("trainings", "digital", *columns):
            assert row[column] == found[columns.get(column, column)], (row, column)


@pytest.mark.parametrize("network", NETWORKS)
def test_lead_of_ascent_with_clipping_is_told_with_the_intervals_of_the_study(network):
    contrasts = table_after(STUDY, "## Primary contrasts", "setting")
    found = {
        row["condition"]: row
        for row in contrasts
        if row["setting"].startswith(f"{network} fine-tuned")
        and row["contrast"] == "SAMSON p=inf + clipping − SGD + clipping"
    }
    for condition in ("1 year, AdaBS", "σ 0.4, AdaBS"):
        mean, low, high = numbers(found[condition]["points, 95 % interval"])
        assert f"{mean}" in WORDS
        assert f"[{low:.2f}, {high:.2f}]" in WORDS, condition


def test_loss_from_scratch_and_ingredients_are_those_of_the_study():
    page = " ".join(STUDY.split())
    found = re.search(
        r"reaches ([\d.]+) % digitally, SGD \+ clipping ([\d.]+) %: a loss of ([\d.]+) points on all test images "
        r"\(([\d.]+) on the first",
        page,
    )
    assert found is not None
    ours, other, lost, few = found.groups()
    assert all(figure in WORDS for figure in (f"{ours} %", f"{other} %", f"{lost} points", few))
    rows = {row["ingredient"]: row for row in table_after(STUDY, "## ResNet-20, ingredients", "ingredient")}
    year, noisy = (
        [numbers(rows[name][column]) for name in ("SAMSON", "the teacher")] for column in list(rows["SAMSON"])[1:]
    )
    assert all(f"{-mean}" in WORDS for mean, *_ in year)
    assert all(f"{mean} ([{low}, {high}])" in WORDS for mean, low, high in noisy)


def test_figures_with_converters_are_those_of_the_benchmark():
    rows = json.loads((ROOT / "benchmarks" / "results" / "zoo_on_hardware.json").read_text())["rows"]
    year = [row for row in rows if row["time_seconds"] == 31536000.0]
    assert {row["network"] for row in year} == set(zoo_names())
    assert {row["calibration_images"] for row in rows} == {1000}
    assert {row["input_range"] for row in rows if row["converters"]} == {"output_error"}
    soup = {row["converters"]: row["accuracy_percent"] for row in year if row["network"] == "resnet32_soup_cifar10"}
    exact, own, converted = (fmean(soup[False]["adabs"]), fmean(soup[False]["own"]), soup[True])
    below = WORDS.partition("<!-- end zoo_after_a_year -->")[2].partition("## ")[0]
    assert numbers(below.replace("resnet32_soup_cifar10", "")) == [
        pytest.approx(value, abs=0.005) for value in (exact, fmean(converted["adabs"]), own, fmean(converted["own"]))
    ]


def test_readme_says_what_its_figures_rest_on():
    for fact in ("no converters", "exact products", "on 1,000 training images", "first 2,500", "extrapolated"):
        assert fact in WORDS
    assert "identical to clipped ASAM with radius rho / c" in WORDS
    limits = WORDS.partition("## What is not modelled")[2].partition("## ")[0].lower()
    for missing in ("energy", "latency", "area", "temperature", "read noise", "adc"):
        assert missing in limits
    assert not re.search(r"paper's order|decided against|tuned alike", WORDS, re.IGNORECASE)
