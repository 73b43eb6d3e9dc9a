"""The tables of benchmarks that measure accuracy on simulated chips."""

import statistics
from collections.abc import Sequence
from typing import Any

from analog_samson.report.rendering import Block
from analog_samson.report.table import text_table
from analog_samson.units import format_duration

YEAR_SECONDS = 31536000.0
Results = Sequence[dict[str, Any]]


def adaptive_images(results: Results) -> list[Block]:
    """A row a network: ten chips on all samples, beside as many on part of them as an equal interval takes."""
    cases = [case for result in results for case in result["cases"]]
    return [
        text_table(
            title="95 % interval of ten chips on all samples, and as narrow a one with --images adaptive",
            headers=(
                *("network", "samples", "chips differ by, points", "half-width, points", "coverage %"),
                *("adaptive: chips", "samples each", "half-width", "coverage %", "forwards, ratio", "time, ratio"),
            ),
            rows=tuple(_adaptive_row(case) for case in cases),
            align="lrrrrrrrrrr",
        )
    ]


def _adaptive_row(case: dict[str, Any]) -> tuple[str, ...]:
    whole, part = case["all"], case["adaptive"]
    return (
        *(case["network"], f"{case['samples']:,}", f"{case['spread_points']:.2f}"),
        *(f"{whole['halfwidth']:.2f}", f"{whole['coverage']:.1f}", str(part["chips"]), f"{part['samples']:,}"),
        *(f"{part['halfwidth']:.2f}", f"{part['coverage']:.1f}"),
        f"{case['forwards_ratio']:.2f}",
        f"{case['seconds_ratio']:.2f}" if "seconds_ratio" in case else "not measured",
    )


def explore(results: Results) -> list[Block]:
    """The map, a row for each ADC resolution; and how often boundaries lie in their intervals."""
    return [block for result in results for block in (*_explore_map(result), _explore_coverage(result))]


def _explore_map(result: dict[str, Any]) -> list[Block]:
    found = result.get("map")
    if found is None:
        return []
    first, second = found["axes"]
    cells = {tuple(row["levels"]): row for row in found["rows"]}
    signs = {"holds": "+", "undecided": "?", "fails": "-"}

    def shown(row: dict[str, Any]) -> str:
        return signs[row["verdict"]] + ("" if row["mean"] is None else f" {row['mean']:.1f}")

    rows = [
        (f"{level}", *(shown(cells[level, other]) for other in found["axes"][second])) for level in found["axes"][first]
    ]
    minutes = found["seconds"] / 60
    return [
        text_table(
            title=f"{found['network']} on {found['preset']} after {format_duration(found['at_seconds'])}, "
            f"{found['keep']} = {found['threshold']:.1f} %: {found['simulated']} of {found['grid']} points "
            f"({100 * found['simulated'] / found['grid']:.0f} %) in {minutes:.0f} min",
            headers=(f"{first}, {second}", *(f"{level:g}" for level in found["axes"][second])),
            rows=rows,
            align="r" * (1 + len(found["axes"][second])),
        )
    ]


def _explore_coverage(result: dict[str, Any]) -> Block:
    return text_table(
        title="Boundaries in their intervals, by simulation",
        headers=("differences between chips", "ranges", "lines %", "whole maps %", "points simulated %"),
        rows=[
            (
                row["differences"],
                str(row["axes"]),
                *(f"{row[name]:.1f}" for name in ("lines_inside_percent", "maps_inside_percent", "simulated_percent")),
            )
            for row in result["coverage"]
        ],
        align="lrrrr",
    )


def zoo_on_hardware(results: Results) -> list[Block]:
    """One table: the states of a network on a preset side by side, without and with AdaBS."""
    rows = [_zoo_row(row) for result in results for row in result["rows"]]
    return [
        text_table(
            title="Accuracy %, mean and standard deviation over chips",
            headers=(
                *("network", "digital, all test images", "preset", "products", "after", "digital, these images"),
                *("no AdaBS", "AdaBS", "chips", "images"),
            ),
            rows=tuple(rows),
            align="lrlllrrrrr",
        )
    ]


def _zoo_row(row: dict[str, Any]) -> tuple[str, ...]:
    own, adapted = row["accuracy_percent"]["own"], row["accuracy_percent"]["adabs"]
    return (
        row["network"],
        f"{row['digital']['percent']:.2f}",
        row["preset"],
        "converters" if row["converters"] else "exact",
        format_duration(row["time_seconds"]) + (" (extrapolated)" if row["extrapolated"] else ""),
        f"{row['digital_percent_on_these_images']:.2f}",
        spread(own),
        spread(adapted),
        str(len(own)),
        f"{row['images']:,}",
    )


def zoo_after_a_year(results: Results) -> list[Block]:
    """One row a network: exact products beside converters, on the same chips and images."""
    found: dict[str, dict[bool, dict[str, Any]]] = {}
    for row in (row for result in results for row in result["rows"] if row["time_seconds"] == YEAR_SECONDS):
        found.setdefault(row["network"], {})[row["converters"]] = row
    return [
        text_table(
            title="Accuracy % after one year (extrapolated), mean ± standard deviation over chips",
            headers=(
                *("network", "digital", "exact products", "exact products, AdaBS", "converters", "converters, AdaBS"),
                *("chips", "images"),
            ),
            rows=tuple(_year_row(name, rows[False], rows[True]) for name, rows in found.items()),
            align="lrrrrrrr",
        )
    ]


def _year_row(name: str, exact: dict[str, Any], converted: dict[str, Any]) -> tuple[str, ...]:
    parts = [row["accuracy_percent"][kind] for row in (exact, converted) for kind in ("own", "adabs")]
    chips, images = {len(part) for part in parts}, {exact["images"], converted["images"]}
    if len(chips) > 1 or len(images) > 1:
        raise ValueError(f"{name}: {sorted(chips)} chips on {sorted(images)} images; measure both presets alike")
    digital = f"{exact['digital_percent_on_these_images']:.2f}"
    return (name, digital, *map(spread, parts), str(chips.pop()), f"{images.pop():,}")


def spread(accuracies: Sequence[float]) -> str:
    """Mean and standard deviation over chips, or the one value."""
    mean = f"{statistics.mean(accuracies):.2f}"
    return mean if len(accuracies) == 1 else f"{mean} ± {statistics.stdev(accuracies):.2f}"
