"""The figures of an error budget: effects, layers, mitigations, and what becomes of single decisions."""

from collections.abc import Mapping
from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analog_samson.analysis.decisions import Outcomes
from analog_samson.analysis.error_budget import LAYERS_SHOWN, ErrorBudget, drawn_remedies
from analog_samson.report.artists import (
    Look,
    axis_title,
    difference_cells,
    heat,
    legend,
    look,
    steps,
    value_cells,
)
from analog_samson.report.drawing import Drawing, Layout
from analog_samson.report.interval_chart import interval_chart
from analog_samson.results.metric import Metric

CLASSES_SHOWN = 20


def effects(budget: ErrorBudget) -> Drawing | None:
    """What is gained without each effect, and lost with it alone."""
    looks = {"gain": look(0, "gained without it"), "loss": look(1, "lost with it alone")}
    rows = [
        {
            "heading": effect.name,
            "note": "",
            "series": series,
            **difference_cells(found, budget.metric, budget.coverage),
        }
        for effect in budget.effects
        for series, found in (("gain", effect.gain_without), ("loss", effect.loss_alone))
        if found is not None
    ]
    return interval_chart(pd.DataFrame(rows), looks, _change(budget.metric)) if rows else None


def layers(budget: ErrorBudget) -> Drawing | None:
    """What is lost with each layer alone on the device, of the most sensitive ones."""
    shown = budget.layers[:LAYERS_SHOWN]
    if not shown:
        return None
    rows = []
    for layer in shown:
        cells = difference_cells(layer.lost, budget.metric, budget.coverage)
        if layer.nats is not None:
            ends = {"mean": layer.nats.mean, "low": layer.nats.low, "high": layer.nats.high}
            cells |= {name: float("nan") if end is None else end for name, end in ends.items()}
        note = "" if layer.macs_percent is None else f"{layer.macs_percent:.1f} % of MACs"
        rows.append({"heading": layer.path, "note": note, "series": "", **cells})
    label = "rise of the loss (nats)" if shown[0].nats else f"lost {_change(budget.metric)}"
    return interval_chart(pd.DataFrame(rows), {"": look(0)}, f"{label} with this layer alone")


def mitigations(budget: ErrorBudget) -> Drawing | None:
    """The metric with each mitigation; a line shows the run as it is."""
    shown = drawn_remedies(budget)
    if len(shown) < 2:
        return None
    looks = {"kept": look(0, "layers kept digital"), "other": look(1, "other mitigations")}
    rows = [
        {
            "heading": remedy.name,
            "note": "" if not remedy.digital_macs_percent else f"{remedy.digital_macs_percent:.1f} % of MACs digital",
            "series": "kept" if remedy.layers else "other",
            **value_cells(remedy.value, budget.metric, budget.coverage),
        }
        for remedy in shown
    ]
    used = {row["series"] for row in rows}
    looks = {name: one for name, one in looks.items() if name in used}
    return interval_chart(pd.DataFrame(rows), looks, axis_title(budget.metric), reference=budget.as_is.mean)


def margins(budget: ErrorBudget) -> Drawing | None:
    """Two histograms of the margin, digital and on the device."""
    if budget.outcomes is None:
        return None
    return Drawing(draw=partial(_draw_margins, budget.outcomes, budget.label), height=0.8)


def confusion(budget: ErrorBudget) -> Drawing | None:
    """Decisions by true class; None for two classes, or too many to read."""
    outcomes = budget.outcomes
    if outcomes is None or not 2 < outcomes.classes <= CLASSES_SHOWN:
        return None
    return Drawing(draw=partial(_draw_confusion, outcomes), height=1.2, narrow_height=1.0)


def _change(metric: Metric) -> str:
    unit = metric.difference_unit or metric.unit
    return f"{metric.title} ({unit})" if unit else metric.title


def _draw_margins(outcomes: Outcomes, label: str, axes: Axes, layout: Layout) -> None:
    """The open bin at the right stands for all larger margins."""
    width = outcomes.edges[1] - outcomes.edges[0]
    edges = [*outcomes.edges, outcomes.edges[-1] + width]
    looks = [_unmarked(0, "digital"), _unmarked(1, f"after {label}")]
    for one, shares in zip(looks, (outcomes.digital_shares, outcomes.aged_shares), strict=True):
        heights = [100 * share for share in shares]
        frame = {"x": [edges[0], *edges, edges[-1]], "y": [0.0, heights[0], *heights, 0.0]}
        steps(axes, pd.DataFrame(frame), one, fill=True)
    axes.set_xlabel("margin: top output minus runner-up")
    axes.set_ylabel("samples (%)")
    axes.set_ylim(bottom=0)
    legend(axes, looks, layout)


def _unmarked(place: int, label: str) -> Look:
    return Look(colour=look(place).colour, label=label)


def _draw_confusion(outcomes: Outcomes, axes: Axes, layout: Layout) -> None:
    """Rows: true classes, columns: decisions on the chips, in percent of the class; the diagonal is grey."""
    size = outcomes.classes
    frame = _confusion_cells(outcomes.aged_confusion, size)
    heat(axes, frame, size=7 if layout.narrow else 8.5)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xticks(range(size))
    axes.set_yticks(range(size))
    axes.grid(visible=False)
    axes.set_aspect("equal")
    axes.set_xlabel("decision on the device")
    axes.set_ylabel("true class")


def _confusion_cells(counts: Mapping[tuple[int, int], int], size: int) -> pd.DataFrame:
    """The cells of the heat map: the errors as strong as their share of the largest error."""
    frame = pd.DataFrame([(*pair, count) for pair, count in counts.items()], columns=["row", "column", "count"])
    percent = 100 * frame["count"] / frame.groupby("row")["count"].transform("sum")
    right = frame["row"] == frame["column"]
    worst = percent[~right].max() if (~right).any() else 1.0
    shown = (percent >= 0.5) & (size <= 10)
    return frame.assign(
        share=(percent / (worst or 1.0)).where(~right, 0.14).fillna(0.0),
        role=["muted" if one else "series-2" for one in right],
        text=[f"{value:.0f}" if one else "" for value, one in zip(percent, shown, strict=True)],
    )
