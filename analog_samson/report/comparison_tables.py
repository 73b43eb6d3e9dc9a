"""The tables that set networks side by side: paired differences, ranks, and clean against noisy."""

from functools import partial
from typing import TYPE_CHECKING, Any

from analog_samson.analysis.comparison import Comparison, Step
from analog_samson.analysis.ranking import RankedNetwork, has_networks_and_presets, network_name
from analog_samson.report.contents import Contents
from analog_samson.report.formats import (
    ABSENT,
    daggered,
    difference_unit,
    fixed,
    mean_and_std,
    shown_difference_interval,
    signed,
    titled,
    verdict,
)
from analog_samson.report.table import Column, Table, frame_of

if TYPE_CHECKING:
    import pandas as pd

MANY_ROWS = 20


def comparison(report: Contents, pair: Comparison) -> Table | None:
    """Paired differences of two results at every shared moment; None where they cannot be paired."""
    if not pair.steps:
        return None
    first, second = pair_names(report, pair)
    place = f" on {report.preset_title(pair.first.preset)}" if has_networks_and_presets(report.results) else ""
    unit = difference_unit(report.metric)
    return Table(
        title=f"{second} minus {first}{place}{f', {unit}' if unit else ''}, same instances",
        frame=frame_of(_step_row(pair, step) | {"says": step_verdict(report, pair, step)} for step in pair.steps),
        columns=[Column("label", "state", coverage="coverage"), *difference_columns(report)],
        data=frame_of(step_numbers(pair, step) for step in pair.steps),
        plain=not pair.leading,
        folded=report.has_ranks,
    )


def differences(report: Contents) -> Table | None:
    """Every pair of networks on every preset at its last shared moment, the largest difference of a preset first."""
    if len(report.ranking.networks) < 2:
        return None
    ordered = _ordered(report)
    unit = difference_unit(report.metric)
    return Table(
        title=f"Differences at the last time{f', {unit}' if unit else ''}, same instances",
        frame=frame_of(
            ({**_step_row(c, s), "says": step_verdict(report, c, s)} for c, s in ordered),
            ["preset", "network", "minus", "label", "difference", "coverage", "says"],
        ),
        columns=[
            Column("preset"),
            Column("label", "state", coverage="coverage"),
            Column("network"),
            Column("minus"),
            *difference_columns(report),
        ],
        data=difference_numbers(report),
        plain=not report.has_ranks,
        folded=len(ordered) > MANY_ROWS,
    )


def ranks(report: Contents) -> Table | None:
    """The rank of every network on every preset, with the ranks that the intervals leave open; best mean first."""
    ranking = report.ranking
    if len(ranking.networks) < 2:
        return None
    order = [*ranking.mean_ranks, *(name for name in ranking.networks if name not in ranking.mean_ranks)]
    rows = [
        {
            "network": network,
            **{preset: ranking.entry(network, preset) for preset in ranking.presets},
            "mean rank": ranking.mean_ranks.get(network),
        }
        for network in order
    ]
    numbers = (
        {
            "preset": entry.preset,
            "network": entry.network,
            "time_seconds": entry.state.time_seconds,
            **{name: getattr(entry, name) for name in ("rank", "best_rank", "worst_rank")},
            "coverage": entry.state.coverage,
        }
        for preset in ranking.presets
        for entry in ranking.on(preset)
    )
    return Table(
        title="Ranks at the last time",
        frame=frame_of(rows),
        columns=[
            Column("network"),
            *(Column(preset, format=_rank_cell) for preset in ranking.presets),
            Column("mean rank", format=fixed),
        ],
        data=frame_of(numbers, ["preset", "network", "time_seconds", "rank", "best_rank", "worst_rank", "coverage"]),
        plain=not report.has_ranks,
    )


def frontier(report: Contents) -> Table | None:
    """Digital value against value on the device, and who is on the frontier; the best there first."""
    ranking, metric = report.ranking, report.metric
    entries = [entry for preset in ranking.presets for entry in ranking.on(preset)]
    if len(ranking.networks) < 2 or not entries:
        return None
    rows = [
        {
            "preset": entry.preset,
            "network": entry.network,
            "digital": None if entry.result.digital is None else entry.result.digital.value.mean,
            "label": entry.state.label,
            "value": entry.state.value,
            "frontier": entry.on_frontier,
            "coverage": entry.state.coverage,
        }
        for entry in entries
    ]
    return Table(
        title=f"Digital {metric.title} against {metric.title} on the device",
        frame=frame_of(rows),
        columns=[
            Column("preset"),
            Column("network"),
            Column("digital", f"digital {metric.unit}".rstrip(), partial(fixed, digits=metric.decimals)),
            Column("label", "state", coverage="coverage"),
            Column("value", titled(metric), lambda value: mean_and_std(value, metric.decimals)),
            Column("frontier"),
        ],
        data=frontier_numbers(report),
        plain=not report.has_ranks,
        folded=len(entries) > MANY_ROWS,
    )


def difference_numbers(report: Contents) -> "pd.DataFrame":
    """The differences of every pair of networks on every preset at its last shared moment."""
    return frame_of((step_numbers(pair, step) for pair, step in _ordered(report)), STEP_NUMBERS)


def leading_numbers(report: Contents) -> "pd.DataFrame":
    """The differences to the first network of each preset, at every shared moment."""
    return frame_of((step_numbers(pair, step) for pair in report.leading for step in pair.steps), STEP_NUMBERS)


def frontier_numbers(report: Contents) -> "pd.DataFrame":
    """Every network on every preset, digitally and on the device: one row an entry."""
    return frame_of(_frontier_row(entry) for preset in report.ranking.presets for entry in report.ranking.on(preset))


def pair_names(report: Contents, pair: Comparison) -> tuple[str, str]:
    """What the two results of a comparison are called beside each other."""
    if has_networks_and_presets(report.results):
        return network_name(pair.first), network_name(pair.second)
    return report.label(pair.first), report.label(pair.second)


def step_verdict(report: Contents, pair: Comparison, step: Step) -> str:
    """Which of two networks is significantly better at a moment, or why the data does not decide."""
    if step.stage == "digital":
        return "one network, no instances"
    first, second = pair_names(report, pair)
    better = [f"{second} is better", f"{first} is better"]
    return verdict(step.difference, *(better if report.metric.higher_is_better else better[::-1]))


STEP_NUMBERS = (
    *("preset", "network", "minus", "stage", "time_seconds", "metric", "mean", "low", "high", "n"),
    *("significant", "coverage"),
)


def step_numbers(pair: Comparison, step: Step) -> dict[str, Any]:
    """A difference as exported."""
    found = step.difference
    return {
        "preset": pair.first.preset,
        "network": network_name(pair.second),
        "minus": network_name(pair.first),
        "stage": step.stage,
        "time_seconds": step.time_seconds,
        "metric": pair.first.metric.name,
        **{name: getattr(found, name) for name in ("mean", "low", "high", "n", "significant")},
        "coverage": step.coverage,
    }


def difference_columns(report: Contents) -> list[Column]:
    """The columns of a difference: its mean, its interval, how many chips, and what it says."""
    metric = report.metric
    return [
        Column("difference", format=lambda difference: signed(difference.mean, metric.decimals)),
        Column("difference", "95 % interval", lambda difference: shown_difference_interval(difference, metric)),
        Column("difference", "n", lambda difference: str(difference.n)),
        Column("says", "result"),
    ]


def _ordered(report: Contents) -> list[tuple[Comparison, Step]]:
    presets = report.ranking.presets
    return sorted(
        report.ranking.differences,
        key=lambda pair: (presets.index(pair[0].first.preset), -abs(pair[1].difference.mean)),
    )


def _step_row(pair: Comparison, step: Step) -> dict[str, Any]:
    return {
        "preset": pair.first.preset,
        "network": network_name(pair.second),
        "minus": network_name(pair.first),
        "label": step.label,
        "difference": step.difference,
        "coverage": step.coverage,
    }


def _rank_cell(entry: RankedNetwork | None) -> str:
    if entry is None:
        return ABSENT
    alone = entry.best_rank == entry.worst_rank
    shown = str(entry.rank) if alone else f"{entry.rank} ({entry.best_rank} to {entry.worst_rank})"
    return daggered(shown, entry.state.coverage)


def _frontier_row(entry: RankedNetwork) -> dict[str, Any]:
    value, digital = entry.state.value, entry.result.digital
    return {
        "preset": entry.preset,
        "network": entry.network,
        "time_seconds": entry.state.time_seconds,
        "metric": entry.result.metric.name,
        "digital": None if digital is None else digital.value.mean,
        **{name: getattr(value, name) for name in ("mean", "std", "n")},
        "on_frontier": entry.on_frontier,
        "coverage": entry.state.coverage,
    }
