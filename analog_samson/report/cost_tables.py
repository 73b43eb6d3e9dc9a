"""The tables of what an inference costs: every figure with its assumption, and quality against energy."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from analog_samson.analysis.cost import Cost
from analog_samson.analysis.cost_figures import cost_figures, three_digits
from analog_samson.analysis.labels import and_list
from analog_samson.analysis.ranking import network_name
from analog_samson.analysis.run_cost import CostPoint
from analog_samson.report.contents import Contents
from analog_samson.report.formats import fixed, mean_and_std, titled
from analog_samson.report.table import Column, Table, frame_of


def cost_table(costs: Mapping[str, Cost]) -> Table:
    """Every figure of the costs with its assumption.

    Args:
        costs: By the heading of its column; of a single cost the heading is "value".
    """
    figures = {heading: cost_figures(cost) for heading, cost in costs.items()}
    headings = list(figures) if len(figures) > 1 else ["value"]
    rows = [
        {"figure": same[0].title, "assumption": "; ".join(dict.fromkeys(figure.assumption for figure in same))}
        | {heading: str(figure) for heading, figure in zip(headings, same, strict=True)}
        for same in zip(*figures.values(), strict=True)
    ]
    modes = and_list(list(dict.fromkeys(f"{cost.preset} ({cost.mode})" for cost in costs.values())))
    numbers = (
        {"networks": heading, "preset": cost.preset, "mode": cost.mode, **asdict(figure)}
        for heading, cost in costs.items()
        for figure in figures[heading]
    )
    return Table(
        title=f"Cost of an inference on {modes}",
        frame=frame_of(rows),
        columns=[
            Column("figure"),
            *(Column(heading, align="r") for heading in headings),
            Column("assumption", wrap=True),
        ],
        data=frame_of(numbers),
    )


def costs(report: Contents) -> Table | None:
    """The cost of every network on every preset with published figures; networks of equal cost share a column."""
    groups: dict[Cost, list[str]] = {}
    for run, cost in report.costs:
        names = groups.setdefault(cost, [])
        names += [name for name in dict.fromkeys(r.checkpoint for r in run.results) if name not in names]
    several = len({cost.preset for cost in groups}) > 1
    named = {
        f"{', '.join(names)}{f' on {cost.preset}' if several else ''}": cost for cost, names in groups.items() if names
    }
    return cost_table(named) if named else None


def cost_frontier(report: Contents) -> Table | None:
    """Energy against quality at the last moment, and who is on the frontier; the least energy first."""
    points, metric = sorted(report.cost_points, key=lambda point: point.joules), report.metric
    if not points:
        return None
    rows = [
        {
            "preset": point.entry.preset,
            "network": network_name(point.entry.result),
            "energy": 1e6 * point.joules,
            "digital": 100.0 * point.cost.digital_macs / (point.cost.digital_macs + point.cost.analog_macs),
            "label": point.entry.state.label,
            "value": point.entry.state.value,
            "frontier": point.on_frontier,
            "coverage": point.entry.state.coverage,
        }
        for point in points
    ]
    return Table(
        title=f"Energy against {metric.title} on the device",
        frame=frame_of(rows),
        columns=[
            Column("preset"),
            Column("network"),
            Column("energy", "energy of tiles uJ" if tiles_alone(points) else "energy uJ", three_digits),
            Column("digital", "digital MACs %", fixed),
            Column("label", "state", coverage="coverage"),
            Column("value", titled(metric), partial(mean_and_std, digits=metric.decimals)),
            Column("frontier"),
        ],
        data=frame_of(_numbers(point) for point in points),
    )


def tiles_alone(points: Sequence[CostPoint]) -> bool:
    """Whether networks are compared by the energy of tiles, since that of some digital MACs is not known."""
    return any(point.cost.joules is None for point in points)


def _numbers(point: CostPoint) -> dict[str, Any]:
    entry = point.entry
    return {
        "preset": entry.preset,
        "network": entry.network,
        "mode": point.cost.mode,
        "time_seconds": entry.state.time_seconds,
        "energy_joules": point.joules,
        "tile_joules": point.cost.tile_joules,
        "digital_macs": point.cost.digital_macs,
        "analog_macs": point.cost.analog_macs,
        "metric": entry.result.metric.name,
        **{name: getattr(entry.state.value, name) for name in ("mean", "std", "n")},
        "on_frontier": point.on_frontier,
        "coverage": entry.state.coverage,
    }
