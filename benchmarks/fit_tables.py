"""The tables of `fit_coverage`: how often intervals hold true values."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from analog_samson.analysis.statistics import share_interval
from analog_samson.report.rendering import Block
from analog_samson.report.table import text_table

Results = Sequence[dict[str, Any]]


def _title(results: Results) -> str:
    design = results[0]["design"]
    counts = f"{design['devices']:,} devices at {design['targets']} targets"
    return f"{counts}, {design['times']} times, {design['reads']} reads"


def fit_coverage(results: Results) -> list[Block]:
    """One line for each number of each preset."""
    rows = [
        (
            row["preset"],
            row["key"],
            f"{row['true']:.4g}",
            f"{row['mean_estimate']:.4g}",
            f"{row['mean_width'] / 2:.2g}",
            f"{row['covered']} of {row['repetitions']}",
        )
        for row in results[0]["rows"]
    ]
    headers = ("preset", "number", "true", "mean estimate", "mean half-width", "intervals that hold it")
    return [text_table(title=_title(results), headers=headers, rows=tuple(rows), align="llrrrr")]


def fit_coverage_by_preset(results: Results) -> list[Block]:
    """One line for each preset."""
    rows = []
    for preset, group in groupby(results[0]["rows"], key=lambda row: row["preset"]):
        mine = list(group)
        covered, count = sum(row["covered"] for row in mine), sum(row["repetitions"] for row in mine)
        worst = min(mine, key=lambda row: row["covered"] / row["repetitions"])
        low, high = share_interval(worst["covered"], worst["repetitions"])
        rows.append(
            (
                preset,
                str(mine[0]["repetitions"]),
                str(len(mine)),
                f"{covered / count:.1%}",
                f"{worst['key']}: {worst['covered'] / worst['repetitions']:.1%} [{low:.1%}, {high:.1%}]",
                f"{mine[0]['processor_seconds_a_fit']:.2f}",
            )
        )
    headers = ("preset", "fits", "numbers", "intervals that hold the true value", "lowest of a number", "s a fit")
    return [text_table(title=_title(results), headers=headers, rows=tuple(rows), align="lrrrlr")]
