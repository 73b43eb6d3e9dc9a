"""The tables of an error budget: effects, layers, mitigations, and what becomes of single decisions."""

from functools import partial
from typing import TYPE_CHECKING, Any

from analog_samson.analysis.decisions import Outcomes
from analog_samson.analysis.error_budget import Effect, ErrorBudget, Layer, Remedy
from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import Difference
from analog_samson.report.contents import Contents
from analog_samson.report.formats import (
    ABSENT,
    daggered,
    difference_unit,
    fixed,
    interval,
    mean_and_std,
    shown_difference_interval,
    signed,
    titled,
    verdict,
)
from analog_samson.report.table import Column, Table, frame_of

if TYPE_CHECKING:
    import pandas as pd

RunBudget = tuple[Run, ErrorBudget]
PAIRS_SHOWN = 10
_NO_NUMBERS = dict.fromkeys(("mean", "low", "high", "n", "significant"))


def effects(report: Contents, explained: RunBudget) -> Table | None:
    """What each effect costs, the costliest first."""
    found = explained[1]
    if not found.effects:
        return None
    unit, beside = _comma(difference_unit(found.metric)), against(found)
    alone = f" (alone: beside {beside}, which every variant has)" if beside else ""
    return Table(
        title=f"Error budget at {_moment(found)}{unit}{alone}",
        frame=frame_of(
            {"effect": e.name, "gain": e.gain_without, "loss": e.loss_alone, "says": _effect_says(e)}
            for e in found.effects
        ),
        columns=[
            Column("effect"),
            *_difference_columns(found, "gain", "gained without it"),
            *_difference_columns(found, "loss", "lost with it alone"),
            Column("says", "result"),
        ],
        data=_dated(found, (row for effect in found.effects for row in _effect_numbers(effect))),
    )


def layers(report: Contents, explained: RunBudget) -> Table | None:
    """What is lost with each layer alone on the device, the most sensitive first."""
    found = explained[1]
    if not found.layers:
        return None
    has_nats = any(layer.nats for layer in found.layers)
    nats = [
        Column("nats", "rise of loss, nats", lambda rise: ABSENT if rise is None else signed(rise.mean, 3)),
        Column("nats", "95 % interval", lambda rise: ABSENT if rise is None else interval((rise.low, rise.high), 3)),
    ]
    return Table(
        title=f"Layer sensitivity: one layer alone on the device at {_moment(found)}",
        frame=frame_of(_layer_row(layer) for layer in found.layers),
        columns=[
            Column("layer"),
            Column("type"),
            *(nats if has_nats else ()),
            *_difference_columns(found, "lost", f"lost {difference_unit(found.metric)}".rstrip()),
            Column("macs_percent", "MACs %", fixed),
            Column("devices_percent", "devices %", fixed),
            Column("says", "result"),
        ],
        data=_dated(found, map(_layer_numbers, found.layers)),
        folded=True,
    )


def mitigations(report: Contents, explained: RunBudget) -> Table | None:
    """What each mitigation gains and what it costs in digital work."""
    found = explained[1]
    if not found.remedies:
        return None
    return Table(
        title=f"Mitigations at {_moment(found)}",
        frame=frame_of(
            {
                "mitigation": remedy.name,
                "value": remedy.value,
                "gain": remedy.gain,
                "digital_macs_percent": remedy.digital_macs_percent,
                "says": ABSENT if is_base(remedy) else verdict(remedy.gain, "helps", "harms"),
            }
            for remedy in found.remedies
        ),
        columns=[
            Column("mitigation"),
            Column("value", titled(found.metric), lambda value: mean_and_std(value, found.metric.decimals)),
            *_difference_columns(found, "gain", f"gained {difference_unit(found.metric)}".rstrip()),
            Column("digital_macs_percent", "digital MACs %", fixed),
            Column("says", "result"),
        ],
        data=_dated(found, map(_remedy_numbers, found.remedies)),
    )


def margins(report: Contents, explained: RunBudget) -> Table | None:
    """Medians of the margin and how many decisions change; the histogram is its data."""
    outcomes = explained[1].outcomes
    if outcomes is None:
        return None
    changed, edges = outcomes.changed, (*outcomes.edges, None)
    spread = "" if changed.std is None else f" ± {fixed(100 * changed.std)}"
    rows = [
        {"network": "digital", "median": outcomes.digital_median, "changed": ABSENT},
        {
            "network": f"after {_moment(explained[1])}",
            "median": outcomes.aged_median,
            "changed": f"{fixed(100 * changed.mean)}{spread}",
        },
    ]
    shares = zip(outcomes.digital_shares, outcomes.aged_shares, strict=True)
    numbers = (
        {"margin_from": edges[i], "margin_to": edges[i + 1], "digital_share": digital, "aged_share": aged}
        for i, (digital, aged) in enumerate(shares)
    )
    return Table(
        title="Margin of a decision: top output minus runner-up",
        frame=frame_of(rows),
        columns=[
            Column("network"),
            Column("median", "median margin", partial(fixed, digits=2)),
            Column("changed", "decisions changed %", align="r"),
        ],
        data=_dated(explained[1], numbers),
    )


def confusion(report: Contents, explained: RunBudget) -> Table | None:
    """The pairs of classes that are confused most on the device; every pair is in its data."""
    outcomes = explained[1].outcomes
    if outcomes is None:
        return None
    pairs = sorted({*outcomes.digital_confusion, *outcomes.aged_confusion})
    rows = [_pair_row(pair, outcomes) for pair in pairs if pair[0] != pair[1]]
    worst = sorted((row for row in rows if row["aged"] > 0), key=lambda row: (-row["aged"], row["class"], row["other"]))
    numbers = (
        {
            "class": pair[0],
            "taken_for": pair[1],
            "digital_samples": outcomes.digital_confusion.get(pair, 0),
            "aged_samples_mean": outcomes.aged_confusion.get(pair, 0) / outcomes.chips,
        }
        for pair in pairs
    )
    return Table(
        title=f"Classes confused most after {_moment(explained[1])}, % of the class",
        frame=frame_of(worst[:PAIRS_SHOWN], ["class", "other", "digital", "aged", "change"]),
        columns=[
            Column("class", align="r"),
            Column("other", "taken for", align="r"),
            Column("digital", format=fixed),
            Column("aged", "on the device", fixed),
            Column("change", format=signed),
        ],
        data=_dated(explained[1], numbers),
    )


def against(found: ErrorBudget) -> str:
    """The effect beside which all others are measured alone; empty for the digital network."""
    return next((effect.against for effect in found.effects if effect.against), "")


def is_base(remedy: Remedy) -> bool:
    """Whether this is the run as it is, which all others are measured against."""
    return remedy.name.endswith("(as it is)")


def _effect_says(effect: Effect) -> str:
    """What is significant of the effect: where it is removed, and where it is alone unless that says the same."""
    gain, loss = effect.gain_without, effect.loss_alone
    if loss is None or not loss.significant:
        return verdict(gain or loss, "harms", "helps")
    alone = verdict(loss, "harms alone", "helps alone")
    if gain is None or not gain.significant:
        return alone
    removed = verdict(gain, "harms", "helps")
    return removed if (gain.mean > 0) == (loss.mean > 0) else f"{removed}, {alone}"


def _effect_numbers(effect: Effect) -> list[dict[str, Any]]:
    kinds = (
        ("gain_without", "as it is", effect.gain_without),
        ("loss_alone", effect.against or "digital", effect.loss_alone),
    )
    return [
        {"effect": effect.name, "quantity": quantity, "against": reference, **_numbers(difference)}
        for quantity, reference, difference in kinds
        if difference is not None
    ]


def _layer_row(layer: Layer) -> dict[str, Any]:
    return {
        "layer": layer.path,
        "type": layer.layer_type,
        "nats": layer.nats,
        "lost": layer.lost,
        "macs_percent": layer.macs_percent,
        "devices_percent": layer.devices_percent,
        "says": verdict(layer.decides, "loses", "gains"),
    }


def _layer_numbers(layer: Layer) -> dict[str, Any]:
    nats = {f"{name}_nats": value for name, value in _numbers(layer.nats).items() if name != "n"}
    shares = {"macs_percent": layer.macs_percent, "devices_percent": layer.devices_percent}
    return {"layer": layer.path, "type": layer.layer_type, **_numbers(layer.lost), **nats, **shares}


def _remedy_numbers(remedy: Remedy) -> dict[str, Any]:
    value = {"value": remedy.value.mean, "std": remedy.value.std}
    work = {"digital_macs_percent": remedy.digital_macs_percent, "layers": " ".join(remedy.layers)}
    return {"mitigation": remedy.name, **value, **_numbers(remedy.gain), **work}


def _pair_row(pair: tuple[int, int], outcomes: Outcomes) -> dict[str, Any]:
    """Percent of the class that is taken for another, digitally and on the chips on average."""
    size = sum(count for (true, _), count in outcomes.digital_confusion.items() if true == pair[0])
    # A class of size 0 is one that the digital network gave no number for.
    digital = 100 * outcomes.digital_confusion.get(pair, 0) / size if size else 0.0
    aged = 100 * outcomes.aged_confusion.get(pair, 0) / size / outcomes.chips if size else 0.0
    return {"class": pair[0], "other": pair[1], "digital": digital, "aged": aged, "change": aged - digital}


def _difference_columns(found: ErrorBudget, key: str, header: str) -> tuple[Column, Column]:
    metric = found.metric
    return (
        Column(key, header, lambda d: ABSENT if d is None else signed(d.mean, metric.decimals)),
        Column(key, "95 % interval", lambda d: shown_difference_interval(d, metric)),
    )


def _numbers(difference: Difference | None) -> dict[str, Any]:
    return _NO_NUMBERS if difference is None else {name: getattr(difference, name) for name in _NO_NUMBERS}


def _dated(found: ErrorBudget, rows: Any) -> "pd.DataFrame":
    """Every row with the time that it holds for, and the coverage of that time."""
    when = {"time_seconds": found.time_seconds, "coverage": found.coverage}
    return frame_of(when | row for row in rows)


def _moment(found: ErrorBudget) -> str:
    return daggered(found.label, found.coverage)


def _comma(unit: str) -> str:
    return f", {unit}" if unit else ""
