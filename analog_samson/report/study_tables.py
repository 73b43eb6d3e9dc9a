"""The tables of several networks on several presets: differences, ranks, the frontier."""

from collections.abc import Sequence

from analog_samson.analysis.comparison import Comparison, Step
from analog_samson.analysis.ranking import Entry, Study, method_name
from analog_samson.analysis.statistics import difference_interval
from analog_samson.report.grid import Data, Grid
from analog_samson.report.wording import (
    NONE,
    interval,
    marked,
    mean_and_std,
    optional,
    signed,
    verdict,
)


def differences_grid(study: Study) -> Grid:
    """Every pair of networks on every preset at its last shared moment, the largest difference of a preset first."""
    ordered = sorted(
        study.differences,
        key=lambda pair: (study.presets.index(pair[0].first.preset), -abs(pair[1].difference.mean)),
    )
    data = tuple(
        (
            c.first.preset,
            method_name(c.second),
            method_name(c.first),
            s.time_seconds,
            *(s.difference.mean, s.difference.low, s.difference.high, s.difference.n, s.difference.significant),
            s.mark,
        )
        for c, s in ordered
    )
    columns = (
        "preset",
        "network",
        "minus",
        "time_seconds",
        "mean_points",
        "low_points",
        "high_points",
        "n",
        "significant",
    )
    return Grid(
        name="differences",
        title="Differences at the last time, points, same instances",
        headers=("preset", "state", "network", "minus", "difference", "95 % interval", "n", "what it says"),
        rows=tuple(_difference_row(comparison, step) for comparison, step in ordered),
        align="llllrrrl",
        data=Data(columns=(*columns, "mark"), rows=data),
    )


def ranks_grid(study: Study) -> Grid:
    """The rank of every network on every preset, with the ranks that the intervals leave open; best mean first."""
    ranks = {method: [study.entry(method, preset) for preset in study.presets] for method in study.methods}
    means = {method: _mean_rank(entries) for method, entries in ranks.items()}
    ordered = sorted(study.methods, key=lambda method: (means[method] is None, means[method]))
    data = tuple(
        (e.preset, e.method, e.state.time_seconds, e.rank, e.best_rank, e.worst_rank, e.state.mark)
        for p in study.presets
        for e in study.on(p)
    )
    return Grid(
        name="ranks",
        title="Ranks at the last time",
        headers=("network", *study.presets, "mean rank"),
        rows=tuple((m, *(_rank_cell(e) for e in ranks[m]), optional(means[m])) for m in ordered),
        align="l" + "r" * (len(study.presets) + 1),
        data=Data(columns=("preset", "network", "time_seconds", "rank", "best_rank", "worst_rank", "mark"), rows=data),
    )


def frontier_grid(study: Study) -> Grid:
    """Clean accuracy against accuracy on the device, and who is on the frontier; the most accurate there first."""
    entries = [entry for preset in study.presets for entry in study.on(preset)]
    data = tuple(
        (
            e.preset,
            e.method,
            e.state.time_seconds,
            None if e.result.digital is None else e.result.digital.value.mean,
            e.state.value.mean,
            e.state.value.std,
            e.state.value.n,
            e.on_frontier,
            e.state.mark,
        )
        for e in entries
    )
    columns = ("preset", "network", "time_seconds", "digital_percent", "mean_percent", "std", "n", "frontier", "mark")
    return Grid(
        name="frontier",
        title="Clean accuracy against accuracy on the device",
        headers=("preset", "network", "digital %", "state", "accuracy %", "frontier"),
        rows=tuple(_frontier_row(entry) for entry in entries),
        align="llrlrl",
        data=Data(columns=columns, rows=data),
    )


def _difference_row(comparison: Comparison, step: Step) -> tuple[str, ...]:
    first, second = method_name(comparison.first), method_name(comparison.second)
    difference = step.difference
    return (
        comparison.first.preset,
        marked(step.label, step.mark),
        second,
        first,
        signed(difference.mean),
        interval(*difference_interval(difference, comparison.first.metric)),
        str(difference.n),
        verdict(difference, second, first),
    )


def _rank_cell(entry: Entry | None) -> str:
    if entry is None:
        return NONE
    alone = entry.best_rank == entry.worst_rank
    places = str(entry.rank) if alone else f"{entry.rank} ({entry.best_rank} to {entry.worst_rank})"
    return marked(places, entry.state.mark)


def _mean_rank(entries: Sequence[Entry | None]) -> float | None:
    ranks = [entry.rank for entry in entries if entry is not None]
    return sum(ranks) / len(ranks) if ranks else None


def _frontier_row(entry: Entry) -> tuple[str, ...]:
    digital = entry.result.digital
    return (
        entry.preset,
        entry.method,
        NONE if digital is None else f"{digital.value.mean:.1f}",
        marked(entry.state.label, entry.state.mark),
        mean_and_std(entry.state.value),
        "yes" if entry.on_frontier else "no",
    )
