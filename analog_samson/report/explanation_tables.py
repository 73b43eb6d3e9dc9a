"""The tables of an error budget: what hurts, where, what helps, and what becomes of single decisions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from analog_samson.analysis.decisions import Outcomes
from analog_samson.analysis.error_budget import Effect, ErrorBudget, Layer, Remedy
from analog_samson.analysis.statistics import Difference, Summary, difference_interval
from analog_samson.report.grid import Data, Grid
from analog_samson.report.wording import NONE, interval, marked, mean_and_std, optional, signed, verdict
from analog_samson.results.metric import Metric

PAIRS_SHOWN = 10
_DIFFERENCE = ("mean_points", "low_points", "high_points", "n", "significant")
_NATS = ("mean_nats", "low_nats", "high_nats", "significant_nats")


def effects_grid(budget: ErrorBudget) -> Grid:
    """What each effect costs, the costliest first."""
    headers = ("effect", "gained without it", "95 % interval", "lost with it alone", "95 % interval", "what it says")
    data = tuple(
        (effect.name, kind, against, *_difference_data(difference))
        for effect in budget.effects
        for kind, against, difference in (
            ("gain_without", "as it is", effect.gain_without),
            ("loss_alone", effect.against or "digital", effect.loss_alone),
        )
        if difference is not None
    )
    return Grid(
        name="hurts",
        title=f"What hurts at {_moment(budget)}, points{_beside(budget)}",
        headers=headers,
        rows=tuple(_effect_row(effect, budget.metric) for effect in budget.effects),
        align="lrrrrl",
        data=_dated(budget, ("effect", "quantity", "against", *_DIFFERENCE), data),
    )


def layers_grid(budget: ErrorBudget) -> Grid:
    """What each layer alone on the device loses, the most sensitive first."""
    data = tuple(
        (
            *(layer.path, layer.layer_type, *_difference_data(layer.lost)),
            *(*_nats_data(layer.nats), layer.macs_percent, layer.devices_percent),
        )
        for layer in budget.layers
    )
    return Grid(
        name="where",
        title=f"Where: one layer alone on the device at {_moment(budget)}",
        headers=(
            *("layer", "type", "rise of loss, nats", "95 % interval", "lost points", "95 % interval"),
            *("MACs %", "devices %", "what it says"),
        ),
        rows=tuple(_layer_row(layer, budget.metric) for layer in budget.layers),
        align="llrrrrrrl",
        data=_dated(budget, ("layer", "type", *_DIFFERENCE, *_NATS, "macs_percent", "devices_percent"), data),
    )


def remedies_grid(budget: ErrorBudget) -> Grid:
    """What each remedy gains and what it costs in digital work."""
    data = tuple(
        (
            remedy.name,
            remedy.value.mean,
            remedy.value.std,
            *_difference_data(remedy.gain),
            remedy.digital_macs_percent,
            " ".join(remedy.layers),
        )
        for remedy in budget.remedies
    )
    return Grid(
        name="helps",
        title=f"What helps at {_moment(budget)}",
        headers=("remedy", "accuracy %", "gained points", "95 % interval", "digital MACs %", "what it says"),
        rows=tuple(_remedy_row(remedy, budget.metric) for remedy in budget.remedies),
        align="lrrrrl",
        data=_dated(
            budget, ("remedy", "accuracy_percent", "std", *_DIFFERENCE, "digital_macs_percent", "layers"), data
        ),
    )


def margins_grid(budget: ErrorBudget, outcomes: Outcomes) -> Grid:
    """Medians of the margin and how many decisions change; the histogram is its data."""
    aged = f"after {_moment(budget)}"
    changed = mean_and_std(_hundredfold(outcomes.changed))
    edges = (*outcomes.edges, None)
    shares = zip(outcomes.digital_shares, outcomes.aged_shares, strict=True)
    data = tuple((edges[i], edges[i + 1], digital, old) for i, (digital, old) in enumerate(shares))
    return Grid(
        name="margins",
        title="Margin of a decision: top output minus runner-up",
        headers=("network", "median margin", "decisions changed %"),
        rows=(
            ("digital", f"{outcomes.digital_median:.2f}", NONE),
            (aged, f"{outcomes.aged_median:.2f}", changed),
        ),
        align="lrr",
        data=_dated(budget, ("margin_from", "margin_to", "digital_share", "aged_share"), data),
    )


def confusion_grid(budget: ErrorBudget, outcomes: Outcomes) -> Grid:
    """The pairs of classes that are confused most on the device; every pair is in its data."""
    digital, aged = outcomes.digital_confusion, outcomes.aged_confusion
    sizes = _class_sizes(outcomes)
    pairs = sorted({*digital, *aged})
    shares = {pair: _pair_shares(pair, outcomes, sizes.get(pair[0], 0)) for pair in pairs}
    wrong = [pair for pair in pairs if pair[0] != pair[1] and shares[pair][1] > 0]
    worst = sorted(wrong, key=lambda pair: (-shares[pair][1], pair))[:PAIRS_SHOWN]
    data = tuple((*pair, digital.get(pair, 0), aged.get(pair, 0) / outcomes.chips) for pair in pairs)
    return Grid(
        name="confusion",
        title=f"Classes confused most after {_moment(budget)}, % of the class",
        headers=("class", "taken for", "digital", "on the device", "change"),
        rows=tuple(
            (
                str(pair[0]),
                str(pair[1]),
                f"{shares[pair][0]:.1f}",
                f"{shares[pair][1]:.1f}",
                signed(shares[pair][1] - shares[pair][0]),
            )
            for pair in worst
        ),
        align="rrrrr",
        data=_dated(budget, ("class", "taken_for", "digital_images", "aged_images_mean"), data),
    )


def _effect_row(effect: Effect, metric: Metric) -> tuple[str, ...]:
    gain, loss = effect.gain_without, effect.loss_alone
    return effect.name, *_points_cells(gain, metric), *_points_cells(loss, metric), _effect_says(effect)


def _effect_says(effect: Effect) -> str:
    """What is seen of the effect: where it is taken away, and where it is alone unless that says the same."""
    gain, loss = effect.gain_without, effect.loss_alone
    if loss is None or not loss.significant:
        return _says(gain or loss, "costs accuracy", "does no harm")
    alone = _says(loss, "costs accuracy alone", "does no harm alone")
    if gain is None or not gain.significant:
        return alone
    away = _says(gain, "costs accuracy", "does no harm")
    return away if (gain.mean > 0) == (loss.mean > 0) else f"{away}, {alone}"


def _beside(budget: ErrorBudget) -> str:
    """What stands beside an effect that is alone, where it is not the digital network."""
    beside = next((effect.against for effect in budget.effects if effect.against), None)
    return "" if beside is None else f" (alone: beside {beside}, which is always there)"


def _layer_row(layer: Layer, metric: Metric) -> tuple[str, ...]:
    shares = (optional(layer.macs_percent), optional(layer.devices_percent))
    says = _says(layer.decides, "loses", "gains")
    nats = (NONE, NONE) if layer.nats is None else _nats_cells(layer.nats)
    return layer.path, layer.layer_type, *nats, *_points_cells(layer.lost, metric), *shares, says


def _remedy_row(remedy: Remedy, metric: Metric) -> tuple[str, ...]:
    digital = optional(remedy.digital_macs_percent)
    says = NONE if remedy.name.endswith("(as it is)") else _says(remedy.gain, "helps", "harms")
    return remedy.name, mean_and_std(remedy.value), *_points_cells(remedy.gain, metric), digital, says


def _points_cells(difference: Difference | None, metric: Metric) -> tuple[str, str]:
    if difference is None:
        return NONE, NONE
    return signed(difference.mean), interval(*difference_interval(difference, metric))


def _nats_cells(difference: Difference) -> tuple[str, str]:
    return signed(difference.mean, 3), interval(difference.low, difference.high, 3)


def _says(difference: Difference | None, above: str, below: str) -> str:
    return NONE if difference is None else verdict(difference, above, below, sentence="{}")


def _dated(budget: ErrorBudget, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> Data:
    """Every row with the time that it holds for, and the mark of that time."""
    when = (budget.time_seconds, budget.mark)
    return Data(columns=("time_seconds", "mark", *columns), rows=tuple((*when, *row) for row in rows))


def _difference_data(difference: Difference | None) -> tuple[Any, ...]:
    if difference is None:
        return (None,) * len(_DIFFERENCE)
    return difference.mean, difference.low, difference.high, difference.n, difference.significant


def _nats_data(difference: Difference | None) -> tuple[Any, ...]:
    if difference is None:
        return (None,) * len(_NATS)
    return difference.mean, difference.low, difference.high, difference.significant


def _moment(budget: ErrorBudget) -> str:
    return marked(budget.label, budget.mark)


def _hundredfold(summary: Summary) -> Summary:
    std = None if summary.std is None else 100 * summary.std
    return replace(summary, mean=100 * summary.mean, std=std)


def _class_sizes(outcomes: Outcomes) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for (true, _), count in outcomes.digital_confusion.items():
        sizes[true] = sizes.get(true, 0) + count
    return sizes


def _pair_shares(pair: tuple[int, int], outcomes: Outcomes, size: int) -> tuple[float, float]:
    """Percent of the class that is taken for the other: digitally, and on the chips on average."""
    digital, aged = outcomes.digital_confusion.get(pair, 0), outcomes.aged_confusion.get(pair, 0)
    if size == 0:  # the digital network answered no image of the class with a number
        return 0.0, 0.0
    return 100 * digital / size, 100 * aged / size / outcomes.chips
