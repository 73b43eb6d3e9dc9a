"""The four figures of the study's page, as SVG. Means over trainings with their standard deviation, or intervals."""

import io
from collections.abc import Sequence

import matplotlib
from analysis import SCRATCH, TUNED, Condition, Effect, Study
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ASCENTS = ("sgd", "sam", "asam", "samson_2", "samson_inf")
COLOURS = ("#343a40", "#004f9e", "#c4480c", "#12805a", "#9b1f6f")
MARKERS = ("o", "s", "^", "D", "v")
SIGMAS = tuple(Condition(f"sigma {sigma:g}", "1", f"{sigma:g}") for sigma in (0.0, 0.1, 0.2, 0.3, 0.4))
TIMES = tuple(Condition(time, "1", time) for time in ("1s", "1h", "1d", "1y"))
_STYLE = {"svg.hashsalt": "study", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False}


def figures(study: Study) -> dict[str, bytes]:
    """Each figure by its file name."""
    with matplotlib.rc_context(_STYLE | {"axes.spines.right": False}):
        drawn = {
            "resnet20_sigma.svg": _panels(study, SIGMAS, "σ of the relative weight noise"),
            "resnet20_time.svg": _panels(study, TIMES, "time after programming"),
            "fine_tuned.svg": _forest(
                study, [one for one in study.primary if one.setting != SCRATCH], with_setting=True
            ),
            "ingredients.svg": _forest(study, study.ingredients, with_setting=False),
        }
        return {name: _svg(figure) for name, figure in drawn.items()}


def _panels(study: Study, conditions: Sequence[Condition], label: str) -> Figure:
    """ResNet-20, fine-tuned: without clipping on the left, with clipping on the right, a curve for each ascent."""
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, ending, title in ((left, "", "no clipping"), (right, "_clip", "weight clipping")):
        tables = [study.means(TUNED, condition) for condition in conditions]
        for place, (ascent, colour, marker) in enumerate(zip(ASCENTS, COLOURS, MARKERS, strict=True)):
            rows = [table.loc[ascent + ending].dropna() for table in tables]
            x = [index + 0.05 * (place - 2) for index in range(len(rows))]
            axes.errorbar(
                x,
                [row.mean() for row in rows],
                yerr=[row.std(ddof=1) for row in rows],
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=1.2,
                capsize=2,
                label=study.titles[ascent],
            )
        axes.set_title(title, fontsize="medium")
        axes.set_xticks(range(len(conditions)), [condition.title for condition in conditions])
        axes.set_xlabel(label)
    left.set_ylabel("test accuracy (%)")
    left.legend(frameon=False, fontsize="small")
    return figure


def _forest(study: Study, effects: Sequence[Effect], *, with_setting: bool) -> Figure:
    """One line an effect, its interval in points; a panel for each condition."""
    conditions = list(dict.fromkeys(effect.condition for effect in effects))
    figure = Figure(figsize=(7.2, 0.9 + 0.3 * len(effects) / len(conditions)), layout="constrained")
    panels = figure.subplots(1, len(conditions), sharey=True)
    for axes, condition in zip(panels, conditions, strict=True):
        _interval_lines(axes, [effect for effect in effects if effect.condition == condition])
        axes.set_title(condition.title, fontsize="medium")
        axes.set_xlabel("difference (points)")
    here = [effect for effect in effects if effect.condition == conditions[0]]
    labels = [f"{study.titles[effect.method]} − {study.titles[effect.minus]}" for effect in here]
    if with_setting:
        labels = [
            f"{study.titles[effect.setting].partition(',')[0]}: {label}"
            for effect, label in zip(here, labels, strict=True)
        ]
    panels[0].set_yticks(range(len(here)), labels)
    panels[0].invert_yaxis()
    return figure


def _interval_lines(axes: Axes, effects: Sequence[Effect]) -> None:
    points = [effect.points for effect in effects]
    low = [effect.points - effect.low for effect in effects]
    high = [effect.high - effect.points for effect in effects]
    axes.errorbar(points, range(len(points)), xerr=[low, high], fmt="o", color=COLOURS[1], markersize=4, capsize=3)
    axes.axvline(0, color=COLOURS[0], linewidth=0.8)


def _svg(figure: Figure) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()
