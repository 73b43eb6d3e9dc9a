"""What an exploration says in words and tables."""

from collections.abc import Sequence

import pandas as pd

from analog_samson.analysis.exploration import Boundary, Cell, Margin, Verdict
from analog_samson.analysis.explored import Exploration, Held, LayerChoice, LayerExploration
from analog_samson.analysis.labels import and_list
from analog_samson.presets.axis import Axis
from analog_samson.report.formats import (
    ABSENT,
    mean_and_std,
    moment,
    shown_interval,
    tagged,
    titled,
    upper_first,
    value,
)
from analog_samson.report.table import Table, frame_of, text_table
from analog_samson.results.condition import UNCALIBRATED


def kept(found: Held) -> str:
    """The threshold in a sentence: what is at least or at most how much, and when."""
    side = "above" if found.metric.higher_is_better else "below"
    limit = value(found.threshold, found.metric)
    when = tagged(moment(found.time_seconds or None), found.coverage)
    return f"{found.metric.title} at or {side} {limit} {when}"


def setting(found: Held) -> str:
    """Which network on what, and how it was tested."""
    calibration = "" if found.calibration == UNCALIBRATED else f", calibrated with {found.calibration}"
    written = "" if found.keep[0].isdigit() else f" ({found.keep}; digital {value(found.digital, found.metric)})"
    return (
        f"{found.label} on {found.preset['name']}{calibration}: the threshold is "
        f"{value(found.threshold, found.metric)}{written}. Each point is the mean over at least {found.instances} "
        f"chips on {found.samples} samples. It holds or fails where the 95 % interval of that mean lies on one side "
        "of the threshold. All points meet the same chips."
    )


def map_headline(found: Exploration) -> str:
    """The answer in a sentence."""
    if found.cheapest is None:
        return f"No point of the map keeps {kept(found)}."
    limits = [limit for axis in range(len(found.axes)) if (limit := _own_limit(found, axis))]
    if not limits:
        return f"{upper_first(_point(found, found.cheapest))} is enough to keep {kept(found)}."
    others = ", each with the other as in the preset," if len(limits) > 1 else ""
    verb = "keep" if len(limits) > 1 or limits[0].endswith(("more", "fewer")) else "keeps"
    return f"{upper_first(', or '.join(limits))}{others} {verb} {kept(found)}."


def best_found(found: Exploration | LayerExploration) -> str:
    """What came nearest where nothing holds."""
    if isinstance(found, Exploration):
        return f"The best point found is {_point(found, found.best)}: {_measured(found, found.best)}."
    best = max(found.measured, key=lambda choice: choice.margin.margin.mean)
    return f"The best found is {_cost(best)}: {_value(found, best.margin)}."


def map_sentences(found: Exploration) -> list[str]:
    """What else the map says."""
    if found.cheapest is None:
        sentences = [best_found(found)]
    else:
        cell = found.cheapest
        measured = f": {_measured(found, cell)}" if cell in found.measured else ", which follows from measured points"
        sentences = [f"The least demanding point that holds is {_point(found, cell)}{measured}."]
    if found.own_cell is not None:
        sentences.append(f"The preset as it is: {_state(found, found.own_cell)}.")
    if pairs := found.found.contradictions():
        worse, better = pairs[0]
        sentences.append(
            f"The response is not monotone: {_point(found, worse)} holds, but {_point(found, better)}, which should be "
            "better, fails. The map may be wrong between measured points; look at one number at a time."
        )
    total = len(found.found.cells)
    share = f"{100 * len(found.measured) / total:.0f} %"
    sentences.append(f"The map took {len(found.measured)} of the {total} points of the grid ({share}).")
    return sentences


def boundary_table(found: Exploration) -> Table:
    """For each level of the first number, which levels of the last one hold."""
    axis, last = len(found.axes) - 1, found.axes[-1]
    lines = [(level,) for level in range(len(found.axes[0].levels))] if axis else [()]
    rows = []
    for line in lines:
        crossing = found.found.boundary((*line, 0), axis)
        start = [found.axes[0].text(line[0])] if line else []
        rows.append([*start, *_boundary_cells(found, crossing, axis)])
    sign = found.found.better[-1]
    side = "at least" if sign > 0 else "at most"
    headers = [*([found.axes[0].title] if axis else []), f"{last.title} {side}", "undecided", "fails from"]
    return text_table(f"What holds: {kept(found)}", headers, rows, "r" * len(headers))


def points_frame(found: Exploration) -> pd.DataFrame:
    """Every cell of the map, one row each: for CSV."""
    rows = []
    for cell in found.found.cells:
        margin = found.measured.get(cell)
        row: dict[str, object] = {a.path: a.levels[level] for a, level in zip(found.axes, cell, strict=True)}
        row |= {"verdict": found.verdict(cell).word, "simulated": margin is not None}
        rows.append({**row, **_numbers(found, margin), "folder": found.folders.get(cell)})
    return frame_of(rows)


def points_table(found: Exploration) -> Table:
    """The points that were simulated."""
    headers = [*(axis.title for axis in found.axes), titled(found.metric), "95 % interval", "verdict"]
    rows = [
        [*(axis.text(level) for axis, level in zip(found.axes, cell, strict=True)), *_margin_cells(found, margin)]
        for cell, margin in sorted(found.measured.items())
    ]
    return text_table("Simulated points", headers, rows, "r" * (len(headers) - 1) + "l")


def layers_headline(found: LayerExploration) -> str:
    """The answer in a sentence."""
    if found.chosen is None:
        return f"No choice that leaves a layer on the device keeps {kept(found)}."
    if not found.chosen.layers:
        return f"With all {found.layers} layers on the device the network keeps {kept(found)}."
    count = len(found.chosen.layers)
    names = f"{count} of {found.layers} layers" if count > 3 else and_list(found.chosen.layers)
    return f"With {names} digital the network keeps {kept(found)}."


def layers_sentences(found: LayerExploration) -> list[str]:
    """What that choice costs, or what came nearest."""
    if found.chosen is None:
        return [best_found(found)]
    return [f"{upper_first(_cost(found.chosen))}: {_value(found, found.chosen.margin)}."]


def choices_table(found: LayerExploration) -> Table:
    """The choices that were simulated."""
    headers = ["digital layers", "parameters %", "MACs %", titled(found.metric), "95 % interval", "verdict"]
    rows = [
        [
            str(len(choice.layers)),
            f"{choice.parameters_percent:.1f}",
            f"{choice.macs_percent:.1f}",
            *_margin_cells(found, choice.margin),
        ]
        for choice in found.measured
    ]
    return text_table("Choices of digital layers", headers, rows, "rrrrrl")


def ranking_table(found: LayerExploration) -> Table:
    """Every layer alone on the device."""
    chosen = found.chosen.layers if found.chosen else ()
    rows = [[path, f"{loss:.4g}", "yes" if path in chosen else "no"] for path, loss in found.ranking]
    return text_table("Each layer alone on the device", ["layer", "loss", "kept digital"], rows, "lrl")


def choices_frame(found: LayerExploration) -> pd.DataFrame:
    """The choices that were simulated, one row each: for CSV."""
    return frame_of(
        {
            "layers": " ".join(choice.layers),
            "count": len(choice.layers),
            "digital_parameters_percent": choice.parameters_percent,
            "digital_macs_percent": choice.macs_percent,
            "verdict": choice.margin.verdict.word,
            **_numbers(found, choice.margin),
        }
        for choice in found.measured
    )


def _own_limit(found: Exploration, axis: int) -> str:
    """From where on an axis holds with the others as in the preset; empty where that is outside the map."""
    own = [one.own_level for one in found.axes]
    own[axis] = 0
    if any(level is None for level in own):
        return ""
    crossing = found.found.boundary(tuple(level for level in own if level is not None), axis)
    if crossing.holds is None:
        return ""
    return _limit(found.axes[axis], crossing.holds, found.found.better[axis])


def _limit(axis: Axis, level: int, better: int) -> str:
    if axis.path.endswith("_bits"):
        return f"{axis.levels[level]} {axis.title} or {'more' if better > 0 else 'fewer'}"
    return f"{axis.title} of at {'least' if better > 0 else 'most'} {axis.text(level)}"


def _point(found: Exploration, cell: Cell) -> str:
    words = [
        f"{axis.levels[level]} {axis.title}" if axis.path.endswith("_bits") else f"{axis.title} {axis.text(level)}"
        for axis, level in zip(found.axes, cell, strict=True)
    ]
    return " with ".join(words)


def _measured(found: Exploration, cell: Cell) -> str:
    return _value(found, found.measured[cell])


def _value(found: Held, margin: Margin) -> str:
    return f"{value(margin.value.mean, found.metric)}, 95 % interval {shown_interval(margin.value, found.metric)}"


def _state(found: Exploration, cell: Cell) -> str:
    verdict = found.verdict(cell).word
    return f"{verdict} ({_measured(found, cell)})" if cell in found.measured else verdict


def _boundary_cells(found: Exploration, crossing: Boundary, axis: int) -> list[str]:
    levels = found.axes[axis]
    undecided = [levels.text(level) for level in (*sorted(crossing.undecided)[:1], *sorted(crossing.undecided)[-1:])]
    holds = "none" if crossing.holds is None else levels.text(crossing.holds)
    fails = ABSENT if crossing.fails is None else levels.text(crossing.fails)
    return [holds, " to ".join(dict.fromkeys(undecided)) or ABSENT, fails]


def _margin_cells(found: Held, margin: Margin) -> list[str]:
    metric = found.metric
    return [mean_and_std(margin.value, metric.decimals), shown_interval(margin.value, metric), margin.verdict.word]


def _numbers(found: Held, margin: Margin | None) -> dict[str, float | int | None]:
    names: Sequence[str] = ("mean", "std", "n", "low", "high")
    values = {name: getattr(margin.value, name) if margin else None for name in names}
    above = {f"margin_{name}": getattr(margin.margin, name) if margin else None for name in ("mean", "low", "high")}
    return {**values, "threshold": found.threshold, **above}


def _cost(choice: LayerChoice) -> str:
    layers = f"{len(choice.layers)} digital layers" if len(choice.layers) != 1 else "1 digital layer"
    names = f" ({', '.join(choice.layers)})" if choice.layers else ""
    return (
        f"{layers}{names}, with {choice.parameters_percent:.1f} % of all parameters and {choice.macs_percent:.1f} % of "
        "all multiply-accumulates digital"
    )


def holds(found: Exploration | LayerExploration) -> bool:
    """Whether something holds the threshold."""
    return (found.cheapest if isinstance(found, Exploration) else found.chosen) is not None


SIGNS = {Verdict.HOLDS: "✓", Verdict.UNDECIDED: "?", Verdict.FAILS: "✗"}
