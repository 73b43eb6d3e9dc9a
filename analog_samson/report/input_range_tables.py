"""The input ranges of a run: what they clip, how much of the converters they use, and what the output loses."""

from collections.abc import Mapping
from typing import Any

from analog_samson.analysis.input_ranges import LIMIT, first_layer
from analog_samson.analysis.runs import Run
from analog_samson.report.contents import Contents
from analog_samson.report.formats import ABSENT, fixed
from analog_samson.report.table import Column, Table, frame_of

_SHARES = ("relative_error", "clipped", "codes_used")


def runs_with_ranges(report: Contents) -> list[Run]:
    """The runs with converters, whose input ranges are stored."""
    return [run for run in report.runs if run.meta["input_ranges"]]


def input_ranges(report: Contents, run: Run) -> Table:
    """One row a weight, in the order of the network."""
    stored = run.meta["input_ranges"]
    rows = [{name: one.get(name) for name in ("path", "value", *_SHARES, "adc_bound")} for one in stored]
    for row, one in zip(rows, stored, strict=True):
        row["rescaled"] = _rescaled(one)
    bounds = [Column("adc_bound", "ADC range", lambda bound: ABSENT if bound is None else f"{bound:.3g}")]
    return Table(
        title=f"Input ranges of converters ({_method(run)})",
        frame=frame_of(rows),
        columns=[
            Column("path", "layer"),
            Column("value", "range", lambda value: f"{value:.3g}"),
            Column("clipped", "inputs clipped %", lambda share: _percent(share, 2)),
            Column("codes_used", "DAC codes used %", _percent),
            Column("relative_error", "output error %", _percent),
            *(bounds if any(row["adc_bound"] is not None for row in rows) else ()),
            *([Column("rescaled", "inputs rescaled")] if any(row["rescaled"] for row in rows) else ()),
        ],
        folded=True,
    )


def range_facts(report: Contents, run: Run) -> Mapping[str, Any]:
    """Of the sentence about the first layer, which meets the data as they are."""
    path = first_layer(run.meta["plan"])
    found = next((one for one in run.meta["input_ranges"] if one["path"] == path), None)
    known = found is not None and all(found.get(name) is not None for name in _SHARES)
    return {"first": found if known else None, "limit": LIMIT}


def _method(run: Run) -> str:
    method, criterion = run.options.get("input_range", "std"), run.meta["input_ranges"][0].get("criterion")
    return f"{method} {criterion}" if criterion else str(method)


def _percent(share: float | None, digits: int = 1) -> str:
    return ABSENT if share is None else fixed(100 * share, digits)


def _rescaled(one: Mapping[str, Any]) -> str:
    if not one.get("exponents"):
        return ""
    return f"in {one['folded_into']}" if one["folded_into"] else f"{one['multiplications']} multiplications a sample"
