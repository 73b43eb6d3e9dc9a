"""Why a network loses accuracy on a device: extra evaluations of a run at one time, read as effects, layers, remedies.

The evaluations are in the folder `error_budget` of a run. Each belongs to a variant of the run: the same network on
the same simulated chips, with one thing changed. Every difference has a 95 % interval of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from analog_samson.analysis.decisions import Outcomes, read_outcomes
from analog_samson.analysis.statistics import Difference, Summary, improvement, paired_difference, summarize
from analog_samson.presets.validity import Validity
from analog_samson.results.condition import ADABS, UNCALIBRATED
from analog_samson.results.metric import LOSS, Metric, stored_metrics
from analog_samson.results.records import Record
from analog_samson.results.store import RunFolder
from analog_samson.units import format_duration

AS_IS = "as is"
FIRST_LAYER = "first layer"
LAYERS_SHOWN = 20  # in a figure
WITHOUT, ONLY, LAYER, REMEDY = "without", "only", "layer", "remedy"
_Values = Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One non-ideality: how much better the network is without it alone, and how much worse with it alone.

    Attributes:
        gain_without: Improvement over the run as it is; None for an effect that cannot be taken away.
        loss_alone: Positive is worse.
        against: The effect that is in force in every variant, and beside which alone `loss_alone` is measured; "" for
            the digital network.
    """

    name: str
    gain_without: Difference | None
    loss_alone: Difference | None
    against: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What is lost with this layer alone on the device, and its share of what is on the device [%].

    Attributes:
        lost: How much worse the metric is; positive is worse.
        nats: Rise of the mean cross-entropy, which separates layers long before a counted metric moves; None where it
            was not stored, or where it is the metric itself.
    """

    path: str
    layer_type: str
    lost: Difference
    nats: Difference | None
    macs_percent: float | None
    devices_percent: float | None

    @property
    def decides(self) -> Difference:
        """The difference that decides: the rise of the loss, or the metric where only that is significant or known."""
        return self.lost if self.nats is None or (self.lost.significant and not self.nats.significant) else self.nats


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """Something that may help: its value, its gain over the run as it is (positive is better), and what it costs.

    Attributes:
        digital_macs_percent: Share of all multiply-accumulates that are computed digitally.
        layers: Those kept digital.
    """

    name: str
    value: Summary
    gain: Difference | None
    digital_macs_percent: float | None
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """All answers at one time; what was not measured is empty, and `skipped` says why.

    unfinished: how many of the planned evaluations are missing. coverage: as that of a `State`. digital, as_is: values
    of `metric`.
    """

    metric: Metric
    time_seconds: float
    label: str
    coverage: str
    samples: int
    instances: int
    digital: float
    as_is: Summary
    effects: tuple[Effect, ...]
    layers: tuple[Layer, ...]
    remedies: tuple[Remedy, ...]
    outcomes: Outcomes | None
    skipped: tuple[str, ...]
    unfinished: int


def costly_first_layer(budget: ErrorBudget) -> Effect | None:
    """The first layer, where keeping it digital gains significantly, and at least a quarter of all that is lost."""
    lost = budget.metric.worse_by(budget.as_is.mean, budget.digital)
    for effect in budget.effects:
        gain = effect.gain_without
        if effect.name.startswith(FIRST_LAYER) and gain is not None and gain.significant and gain.mean > 0:
            return effect if gain.mean >= lost / 4 else None
    return None


def drawn_remedies(budget: ErrorBudget) -> list[Remedy]:
    """The mitigations of the figure: all but those that harm so much that nothing else could be told apart.

    That is a quarter of the metric's range, or half of the digital value where the range is unbounded, and more than
    the device costs.
    """
    metric, cost = budget.metric, abs(budget.metric.worse_by(budget.as_is.mean, budget.digital))
    span = metric.upper - metric.lower
    far = max(span / 4 if isfinite(span) else abs(budget.digital) / 2, cost)
    return [remedy for remedy in budget.remedies if remedy.gain is None or remedy.gain.mean > -far]


def read_error_budget(folder: RunFolder, validity: Validity) -> ErrorBudget | None:
    """The error budget in an opened folder; None where not even the network as it is was measured.

    validity: of the preset of the run.
    """
    records, metrics = folder.records(), stored_metrics(folder.meta("task"))
    metric = metrics[0]
    table, losses = _values(records, metric.name), _values(records, LOSS.name)
    digital, as_is = table.get(("digital", UNCALIBRATED)), table.get((AS_IS, UNCALIBRATED))
    variants, facts = folder.meta("variants") or [], folder.meta("error_budget") or folder.meta("explain")
    if not digital or not as_is or not facts:
        return None
    time, instances, samples = float(facts["time_seconds"]), int(facts["instances"]), int(facts["images"])
    measured = _Measured(metric, metric.step(samples), table, as_is, digital[0])
    planned = {(AS_IS, UNCALIBRATED), *(_key(variant) for variant in variants)}
    done = 1 + sum(min(instances, len(table.get(each, {}))) for each in planned)
    clean_loss = None if metric.name == LOSS.name else losses.get(("digital", UNCALIBRATED), {}).get(0)
    return ErrorBudget(
        metric=metric,
        time_seconds=time,
        label=format_duration(time),
        coverage=validity.coverage(time),
        samples=samples,
        instances=len(as_is),
        digital=digital[0],
        as_is=summarize(list(as_is.values()), measured.step),
        effects=_effects(_part(variants, WITHOUT, ONLY), measured),
        layers=_layers(_part(variants, LAYER), measured, losses, clean_loss),
        remedies=_remedies(_part(variants, REMEDY), measured),
        outcomes=read_outcomes(folder, len(as_is)),
        skipped=tuple(facts.get("skipped", ())),
        unfinished=int(facts.get("evaluations", 1 + instances * len(planned))) - done,
    )


def _key(variant: Mapping[str, Any]) -> tuple[str, str]:
    """(label, calibration) of a variant; 0.1 stored whether AdaBS was used."""
    return variant["label"], variant.get("calibration") or (ADABS if variant.get("adabs") else UNCALIBRATED)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Values by instance of every (variant, calibration), of the run as it is, and the value of the digital network."""

    metric: Metric
    step: float | None
    table: Mapping[tuple[str, str], _Values]
    as_is: _Values
    digital: float

    def of(self, variant: Mapping[str, Any]) -> _Values:
        return self.table.get(_key(variant), {})

    def improvement(self, before: _Values, after: _Values) -> Difference | None:
        return improvement(before, after, self.metric, self.step)


def _values(records: Sequence[Record], metric: str) -> dict[tuple[str, str], dict[int, float]]:
    """A metric by instance for each (variant, calibration); the digital network under "digital", uncalibrated."""
    table: dict[tuple[str, str], dict[int, float]] = {}
    for record in records:
        if record.metric == metric:
            label = "digital" if record.stage == "digital" else record.preset
            table.setdefault((label, record.calibration), {})[record.instance] = record.value
    return table


def _part(variants: Sequence[Mapping[str, Any]], *kinds: str) -> list[Mapping[str, Any]]:
    return [variant for variant in variants if variant["kind"] in kinds]


def _effects(variants: Sequence[Mapping[str, Any]], measured: _Measured) -> tuple[Effect, ...]:
    """Sorted by what taking the effect away gains, or where it cannot be by what it costs alone, the largest first."""
    alone = {variant["subject"]: measured.of(variant) for variant in variants if variant["kind"] == ONLY}
    found: dict[str, dict[str, Difference | None]] = {}
    against: dict[str, str] = {}
    for variant in variants:
        name, kind, beside = variant["subject"], variant["kind"], variant.get("against", "")
        values = measured.of(variant)
        whole = alone.get(beside, {}) if beside else dict.fromkeys(values, measured.digital)
        pair = (measured.as_is, values) if kind == WITHOUT else (values, whole)
        found.setdefault(name, {})[kind] = measured.improvement(*pair)
        against[name] = beside or against.get(name, "")
    known = [(name, d) for name, d in found.items() if any(d.values())]
    # What is planned and not measured yet is there as None, and stays last.
    ordered = sorted(known, key=lambda e: (-_mean(e[1].get(WITHOUT, e[1].get(ONLY))), -_mean(e[1].get(ONLY)), e[0]))
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
    measured: _Measured,
    losses: Mapping[tuple[str, str], _Values],
    clean_loss: float | None,
) -> tuple[Layer, ...]:
    """Sorted by the rise of the loss, or where that is not known by what the metric loses, the largest first."""
    found = []
    for variant in variants:
        values, nats = measured.of(variant), losses.get(_key(variant), {})
        lost = measured.improvement(values, dict.fromkeys(values, measured.digital))
        if lost is not None:
            rise = None if clean_loss is None else paired_difference(dict.fromkeys(nats, clean_loss), nats)
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


def _remedies(variants: Sequence[Mapping[str, Any]], measured: _Measured) -> tuple[Remedy, ...]:
    """The run as it is differs from itself by nothing, exactly: its gain has no interval."""
    found = []
    for variant in variants:
        values = measured.of(variant)
        if values:
            same = _key(variant) == (AS_IS, UNCALIBRATED)
            found.append(
                Remedy(
                    name=variant["subject"],
                    value=summarize(list(values.values()), measured.step),
                    gain=improvement(measured.as_is, values, measured.metric, None if same else measured.step),
                    digital_macs_percent=variant.get("digital_macs_percent"),
                    layers=tuple(variant.get("layers", ())),
                )
            )
    return tuple(found)
