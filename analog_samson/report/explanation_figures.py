"""The figures of an error budget: what hurts, where, what helps, and what becomes of single decisions."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from analog_samson.analysis.decisions import Outcomes
from analog_samson.analysis.error_budget import Effect, ErrorBudget, Layer, Remedy
from analog_samson.analysis.statistics import Ends, difference_interval, value_interval
from analog_samson.report.drawing import Drawing, Layout
from analog_samson.report.marks import annotate
from analog_samson.report.palette import LIGHT
from analog_samson.report.rows import Mark, PlainLook, Row, draw_looks, rows_drawing
from analog_samson.report.timeaxis import spread

LAYERS_SHOWN = 20
CLASSES_SHOWN = 20
FAR_POINTS = 25.0  # remedies that harm more than this would squeeze all others together
_FIRST = PlainLook(colour=LIGHT["series-1"], marker="o", label="gained without it")
_SECOND = PlainLook(colour=LIGHT["series-2"], marker="s", label="lost with it alone")


def error_budget_figures(budget: ErrorBudget) -> dict[str, Drawing]:
    """The figures that were measured for, by name."""
    found: dict[str, Drawing] = {}
    if budget.effects:
        rows = [_effect_row(effect, budget) for effect in budget.effects]
        found["hurts"] = rows_drawing(rows, "accuracy (points)", [_FIRST, _SECOND])
    if budget.layers:
        shown = budget.layers[:LAYERS_SHOWN]
        layers = [
            Row(heading=one.path, marks=(_layer_mark(one, budget),), note=_share(one.macs_percent)) for one in shown
        ]
        unit = "rise of the loss (nats)" if shown[0].nats else "accuracy lost (points)"
        found["where"] = rows_drawing(layers, f"{unit} with this layer alone", [_FIRST])
    if len(drawn_remedies(budget)) > 1:
        found["helps"] = Drawing(draw=partial(_draw_remedies, budget), height=0.85)
    if budget.outcomes is not None:
        found["margins"] = Drawing(draw=partial(_draw_margins, budget, budget.outcomes), height=0.8)
        if 2 < budget.outcomes.classes <= CLASSES_SHOWN:
            draw = partial(_draw_confusion, budget.outcomes)
            found["confusion"] = Drawing(draw=draw, height=1.2, narrow_height=1.0)
    return found


def drawn_remedies(budget: ErrorBudget) -> list[Remedy]:
    """The remedies of the figure: all but those that harm so much that nothing else could be told apart."""
    return [r for r in budget.remedies if r.gain is None or r.gain.mean > -FAR_POINTS]


def _effect_row(effect: Effect, budget: ErrorBudget) -> Row:
    looks = ((effect.gain_without, _FIRST), (effect.loss_alone, _SECOND))
    ends = [(d, difference_interval(d, budget.metric), look) for d, look in looks if d is not None]
    return Row(heading=effect.name, marks=tuple(_mark(d.mean, e, look, budget.mark) for d, e, look in ends))


def _layer_mark(layer: Layer, budget: ErrorBudget) -> Mark:
    nats, lost = layer.nats, layer.lost
    if nats is None:
        return _mark(lost.mean, difference_interval(lost, budget.metric), _FIRST, budget.mark)
    return _mark(nats.mean, (nats.low, nats.high), _FIRST, budget.mark)


def _mark(mean: float, ends: Ends, look: PlainLook, mark: str) -> Mark:
    return Mark(mean=mean, low=ends[0], high=ends[1], look=look, mark=mark)


def _share(macs_percent: float | None) -> str:
    return "" if macs_percent is None else f"{macs_percent:.1f} % of MACs"


def _draw_remedies(budget: ErrorBudget, axes: Axes, layout: Layout) -> None:
    """Accuracy over the digital share of the work; the line keeps ever more layers digital, as sensitive ones first."""
    shown = drawn_remedies(budget)
    base = next((r for r in shown if r.name.endswith("(as it is)")), None)
    line = [r for r in shown if r is base or r.layers]
    face = LIGHT["surface"] if budget.mark else LIGHT["series-1"]
    axes.plot([_x(r) for r in line], [r.value.mean for r in line], color=LIGHT["series-1"], zorder=2)
    for remedy in shown:
        x, accuracy = _x(remedy), remedy.value
        colour = LIGHT["series-1"] if remedy in line else LIGHT["series-2"]
        low, high = value_interval(accuracy, budget.metric)
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=colour, linewidth=2.2, alpha=0.4)
        fill = face if remedy in line else LIGHT["surface"] if budget.mark else colour
        axes.plot([x], [accuracy.mean], "o" if remedy in line else "s", color=colour, markerfacecolor=fill, zorder=4)
    axes.axhline(budget.digital, color=LIGHT["muted"], linewidth=1, linestyle=(0, (2, 2)))
    axes.margins(x=0.08 if layout.narrow else 0.05, y=0.15)
    _name_remedies(axes, shown, layout)
    axes.set_xlabel("share of MACs that is digital (%)")
    axes.set_ylabel("accuracy (%)")


def _x(remedy: Remedy) -> float:
    return remedy.digital_macs_percent or 0.0


def _name_remedies(axes: Axes, remedies: Sequence[Remedy], layout: Layout) -> None:
    """Names beside the marks, pushed apart where several stand at one place."""
    bottom, top = axes.get_ylim()
    left, right = axes.get_xlim()
    height = (0.085 if layout.narrow else 0.065) * (top - bottom)
    for side in (True, False):
        group = sorted(
            (r for r in remedies if (_x(r) < left + 0.6 * (right - left)) == side), key=lambda r: r.value.mean
        )
        places = spread([r.value.mean for r in group], [height] * len(group), bottom, top)
        for remedy, y in zip(group, places, strict=True):
            name = short_name(remedy).replace(" digital", "" if layout.narrow else " digital")
            ground = {"facecolor": LIGHT["surface"], "alpha": 0.8, "linewidth": 0, "pad": 0.6}
            style = {"ha": "left" if side else "right", "va": "center_baseline", "fontsize": 8.5, "bbox": ground}
            annotate(axes, name, _x(remedy), y, LIGHT["ink"], (8 if side else -8, 0), **style)


def short_name(remedy: Remedy) -> str:
    """A remedy's name in a figure.

    >>> from analog_samson.analysis.statistics import summarize
    >>> short_name(Remedy(name="2 most sensitive layers digital", value=summarize([90.0]), gain=None,
    ...                   digital_macs_percent=4.0, layers=("a", "b")))
    '2 layers digital'
    """
    if remedy.layers:
        return f"{len(remedy.layers)} layer{'s' if len(remedy.layers) > 1 else ''} digital"
    return "as it is" if remedy.name.endswith("(as it is)") else remedy.name.replace("compensation ", "comp. ")


def _draw_margins(budget: ErrorBudget, outcomes: Outcomes, axes: Axes, layout: Layout) -> None:
    """Two histograms; the open bin at the right stands for all larger margins."""
    width = outcomes.edges[1] - outcomes.edges[0]
    edges = [*outcomes.edges, outcomes.edges[-1] + width]
    looks = [
        PlainLook(colour=LIGHT["series-1"], marker="o", label="digital"),
        PlainLook(colour=LIGHT["series-2"], marker="s", label=f"after {budget.label}"),
    ]
    for look, shares in zip(looks, (outcomes.digital_shares, outcomes.aged_shares), strict=True):
        heights = [100 * share for share in shares]
        axes.stairs(heights, edges, color=look.colour, linewidth=1.6)
        axes.stairs(heights, edges, color=look.colour, alpha=0.12, fill=True, linewidth=0)
    axes.set_xlabel("margin: top output minus runner-up")
    axes.set_ylabel("images (%)")
    axes.set_ylim(bottom=0)
    draw_looks(axes, looks, layout)


def _draw_confusion(outcomes: Outcomes, axes: Axes, layout: Layout) -> None:
    """Rows: true classes, columns: decisions on the chips, in percent of the class; the diagonal is grey."""
    total, size = outcomes.aged_confusion, outcomes.classes
    sums = [sum(total.get((row, column), 0) for column in range(size)) for row in range(size)]
    worst = max((100 * n / sums[row] for (row, column), n in total.items() if row != column and sums[row]), default=1.0)
    for (row, column), count in total.items():
        share = 100 * count / sums[row] if sums[row] else 0.0
        colour = LIGHT["muted"] if row == column else LIGHT["series-2"]
        alpha = 0.12 if row == column else 0.06 + 0.5 * share / worst
        axes.add_patch(Rectangle((column - 0.49, row - 0.49), 0.98, 0.98, facecolor=colour, alpha=alpha, linewidth=0))
        if share >= 0.5 and size <= 10:
            style = {"ha": "center", "va": "center", "fontsize": 7 if layout.narrow else 8.5}
            annotate(axes, f"{share:.0f}", column, row, LIGHT["ink"], (0, 0), **style)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xticks(range(size))
    axes.set_yticks(range(size))
    axes.grid(visible=False)
    axes.set_aspect("equal")
    axes.set_xlabel("decision on the device")
    axes.set_ylabel("true class")
