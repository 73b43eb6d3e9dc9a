"""Why a network loses accuracy on a device: extra evaluations of a run at one time, read as effects, layers, remedies.

The evaluations are in the folder `error_budget` of a run. Each belongs to a variant of the run: the same network on
the same simulated chips, with one thing changed. Every difference has a 95 % interval of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from analog_samson.analysis.statistics import Difference, Summary, paired_difference, summarize
from analog_samson.presets.validity import Validity
from analog_samson.results.records import Record
from analog_samson.results.store import RunFolder
from analog_samson.units import format_duration

AS_IS = "as is"
WITHOUT, ONLY, LAYER, REMEDY = "without", "only", "layer", "remedy"
_Accuracies = Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One non-ideality: accuracy gained where it alone is taken away, lost where it alone is there [points].

    gain_without: over the run as it is; None for an effect that cannot be taken away. against: the effect that is in
    force in every variant, and beside which alone `loss_alone` is measured; "" for the digital network.
    """

    name: str
    gain_without: Difference | None
    loss_alone: Difference | None
    against: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What is lost with this layer alone on the device, and its share of what is on the device [%].

    lost: accuracy [points]. nats: rise of the mean cross-entropy, which tells layers apart long before images change
    their class; None where it was not stored.
    """

    path: str
    layer_type: str
    lost: Difference
    nats: Difference | None
    macs_percent: float | None
    devices_percent: float | None

    @property
    def decides(self) -> Difference:
        """The difference that decides: the rise of the loss, or accuracy where only that is significant or known."""
        return self.lost if self.nats is None or (self.lost.significant and not self.nats.significant) else self.nats


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """Something that may help: accuracy [%], gain over the run as it is [points], and what it costs.

    digital_macs_percent: share of all multiply-accumulates that are computed digitally. layers: those kept digital.
    """

    name: str
    accuracy: Summary
    gain: Difference | None
    digital_macs_percent: float | None
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What the network decides, image by image, digitally and on the aged chips together.

    edges: bin edges of the margin, top output minus runner-up; the last bin is open. Shares are of all images (0 to 1).
    changed: share of decisions that differ from the digital ones, by chip. confusion: images of a class (first) taken
    for another (second), of the digital network and of all chips together.
    """

    edges: tuple[float, ...]
    digital_shares: tuple[float, ...]
    aged_shares: tuple[float, ...]
    digital_median: float
    aged_median: float
    changed: Summary
    classes: int
    images: int
    chips: int
    digital_confusion: Mapping[tuple[int, int], int]
    aged_confusion: Mapping[tuple[int, int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """All answers at one time; what was not measured is empty, and `skipped` says why.

    unfinished: how many of the planned evaluations are missing. mark: as that of a `State`.
    """

    time_seconds: float
    label: str
    mark: str
    images: int
    instances: int
    digital: float
    as_is: Summary
    effects: tuple[Effect, ...]
    layers: tuple[Layer, ...]
    remedies: tuple[Remedy, ...]
    outcomes: Outcomes | None
    skipped: tuple[str, ...]
    unfinished: int


def read_error_budget(folder: RunFolder, validity: Validity) -> ErrorBudget | None:
    """The error budget in an opened folder; None where not even the network as it is was measured.

    validity: of the preset of the run.
    """
    records = folder.records()
    table, losses = _values(records, "accuracy_percent"), _values(records, "loss")
    digital, as_is = table.get(("digital", False)), table.get((AS_IS, False))
    variants, facts = folder.meta("variants") or [], folder.meta("error_budget") or folder.meta("explain")
    if not digital or not as_is or not facts:
        return None
    clean, time, instances = digital[0], float(facts["time_seconds"]), int(facts["instances"])
    images = int(facts["images"])
    planned = {(AS_IS, False), *((variant["label"], variant["adabs"]) for variant in variants)}
    done = 1 + sum(min(instances, len(table.get(each, {}))) for each in planned)
    return ErrorBudget(
        time_seconds=time,
        label=format_duration(time),
        mark=validity.mark(time),
        images=images,
        instances=len(as_is),
        digital=clean,
        as_is=summarize(list(as_is.values()), images=images),
        effects=_effects(_part(variants, WITHOUT, ONLY), table, (as_is, clean), images),
        layers=_layers(
            _part(variants, LAYER), (table, clean), (losses, losses.get(("digital", False), {}).get(0)), images
        ),
        remedies=_remedies(_part(variants, REMEDY), table, as_is, images),
        outcomes=_outcomes(folder, len(as_is)),
        skipped=tuple(facts.get("skipped", ())),
        unfinished=int(facts.get("evaluations", 1 + instances * len(planned))) - done,
    )


def _values(records: Sequence[Record], metric: str) -> dict[tuple[str, bool], dict[int, float]]:
    """A metric by instance for each (variant, AdaBS); the digital network under ("digital", False)."""
    table: dict[tuple[str, bool], dict[int, float]] = {}
    for record in records:
        if record.metric == metric:
            label = "digital" if record.stage == "digital" else record.preset
            table.setdefault((label, record.adabs), {})[record.instance] = record.value
    return table


def _part(variants: Sequence[Mapping[str, Any]], *kinds: str) -> list[Mapping[str, Any]]:
    return [variant for variant in variants if variant["kind"] in kinds]


def _effects(
    variants: Sequence[Mapping[str, Any]],
    table: Mapping[Any, _Accuracies],
    ends: tuple[_Accuracies, float],
    images: int,
) -> tuple[Effect, ...]:
    """Sorted by what taking the effect away gains, or where it cannot be by what it costs alone, the largest first.

    ends: accuracies of the run as it is, and that of the digital network.
    """
    as_is, clean = ends
    alone = {v["subject"]: table.get((v["label"], v["adabs"]), {}) for v in variants if v["kind"] == ONLY}
    found: dict[str, dict[str, Difference | None]] = {}
    against: dict[str, str] = {}
    for variant in variants:
        name, kind, beside = variant["subject"], variant["kind"], variant.get("against", "")
        values = table.get((variant["label"], variant["adabs"]), {})
        whole = alone.get(beside, {}) if beside else dict.fromkeys(values, clean)
        pair = (as_is, values) if kind == WITHOUT else (values, whole)
        found.setdefault(name, {})[kind] = paired_difference(*pair, images=images)
        against[name] = beside or against.get(name, "")
    measured = [(name, d) for name, d in found.items() if any(d.values())]
    # What is planned and not measured yet is there as None, and stays last.
    ordered = sorted(measured, key=lambda e: (-_mean(e[1].get(WITHOUT, e[1].get(ONLY))), -_mean(e[1].get(ONLY)), e[0]))
    return tuple(
        Effect(name=name, gain_without=d.get(WITHOUT), loss_alone=d.get(ONLY), against=against[name])
        for name, d in ordered
    )


def _mean(difference: Difference | None) -> float:
    if difference is None:
        return float("-inf")
    return difference.mean if isfinite(difference.mean) else float("inf")


def _layers(
    variants: Sequence[Mapping[str, Any]],
    accuracy: tuple[Mapping[Any, _Accuracies], float],
    loss: tuple[Mapping[Any, _Accuracies], float | None],
    images: int,
) -> tuple[Layer, ...]:
    """Sorted by the rise of the loss, or where that is not known by lost accuracy, the largest first.

    accuracy, loss: values of every variant, and that of the digital network.
    """
    found = []
    for variant in variants:
        key = variant["label"], variant["adabs"]
        values, nats = accuracy[0].get(key, {}), loss[0].get(key, {})
        lost = paired_difference(values, dict.fromkeys(values, accuracy[1]), images=images)
        if lost is not None:
            rise = None if loss[1] is None else paired_difference(dict.fromkeys(nats, loss[1]), nats)
            found.append(
                Layer(
                    path=variant["subject"],
                    layer_type=variant["layer_type"],
                    lost=lost,
                    nats=rise,
                    macs_percent=variant.get("macs_percent"),
                    devices_percent=variant.get("devices_percent"),
                )
            )
    return tuple(sorted(found, key=lambda layer: (-_mean(layer.nats or layer.lost), layer.path)))


def _remedies(
    variants: Sequence[Mapping[str, Any]], table: Mapping[Any, _Accuracies], as_is: _Accuracies, images: int
) -> tuple[Remedy, ...]:
    """The run as it is differs from itself by nothing, exactly: its gain has no interval."""
    found = []
    for variant in variants:
        key = variant["label"], variant["adabs"]
        values = table.get(key, {})
        if values:
            found.append(
                Remedy(
                    name=variant["subject"],
                    accuracy=summarize(list(values.values()), images=images),
                    gain=paired_difference(as_is, values, images=None if key == (AS_IS, False) else images),
                    digital_macs_percent=variant.get("digital_macs_percent"),
                    layers=tuple(variant.get("layers", ())),
                )
            )
    return tuple(found)


def _outcomes(folder: RunFolder, instances: int) -> Outcomes | None:
    digital = folder.meta("outcomes/digital")
    aged = [one for i in range(instances) if (one := folder.meta(f"outcomes/{i}")) is not None]
    if digital is None or not aged:
        return None
    images, edges = sum(digital["margins"]), tuple(digital["edges"])
    counts = [sum(column) for column in zip(*(one["margins"] for one in aged), strict=True)]
    return Outcomes(
        edges=edges,
        digital_shares=tuple(count / images for count in digital["margins"]),
        aged_shares=tuple(count / images / len(aged) for count in counts),
        digital_median=histogram_median(edges, digital["margins"]),
        aged_median=histogram_median(edges, counts),
        changed=summarize([one["changed"] / images for one in aged]),
        classes=digital["classes"],
        images=images,
        chips=len(aged),
        digital_confusion=_confusion([digital]),
        aged_confusion=_confusion(aged),
    )


def _confusion(outcomes: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], int]:
    total: dict[tuple[int, int], int] = {}
    for one in outcomes:
        for true, predicted, count in one["confusion"]:
            total[true, predicted] = total.get((true, predicted), 0) + count
    return total


def histogram_median(edges: Sequence[float], counts: Sequence[int]) -> float:
    """The value that half of the counts lie below, linear within its bin; the last edge where it is in the open bin.

    >>> histogram_median([0.0, 1.0, 2.0], [1, 3, 0])
    1.3333333333333333
    """
    half, below = sum(counts) / 2, 0
    for place, count in enumerate(counts):
        if below + count >= half and count:
            if place + 1 >= len(edges):
                return float(edges[-1])
            return float(edges[place] + (half - below) / count * (edges[place + 1] - edges[place]))
        below += count
    return float(edges[-1])
