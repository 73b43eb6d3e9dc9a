"""The key numbers at the top of a page."""

from dataclasses import dataclass

from analog_samson.analysis.equivalent_sigma import EquivalentSigma, Verdict
from analog_samson.analysis.ranking import has_networks_and_presets, series_places
from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import value_interval
from analog_samson.analysis.summary import Result, State
from analog_samson.report.contents import MOST_CURVES, Contents
from analog_samson.report.formats import (
    ABSENT,
    daggered,
    difference_unit,
    fixed,
    in_unit,
    moment,
    sigma_interval,
    sigma_value,
    upper_first,
    value,
)
from analog_samson.report.standing import Standing, standing
from analog_samson.results.metric import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One number.

    Attributes:
        title: What it is.
        value: The number, with a dagger where it has a coverage.
        unit: Its spread and unit, in small.
        note: A line below.
        series: Place of the result whose colour the card carries.
    """

    title: str
    value: str
    unit: str = ""
    note: str = ""
    series: int | None = None


def cards(report: Contents) -> list[Card]:
    """For one result its stages and hardware, for several networks and presets the best on each, else each result.

    None of more results than curves can show.
    """
    results = report.results
    if len(results) > MOST_CURVES:
        return []
    if has_networks_and_presets(results):
        places = dict(zip(map(id, results), series_places(results), strict=True))
        best = [found for preset in report.ranking.presets if (found := standing(report.ranking, preset))]
        return [_preset_card(report, found, places[id(found.best.result)]) for found in best]
    if len(results) == 1:
        return [*_stage_cards(results[0]), *_hardware_cards(report.runs[0])]
    return [_result_card(result, report.label(result), place) for place, result in enumerate(results)]


def _stage_cards(result: Result) -> list[Card]:
    metric, found = result.metric, []
    if result.digital:
        shown = fixed(result.digital.value.mean, metric.decimals)
        found.append(Card(title="Digital", value=shown, unit=metric.unit, note="no hardware"))
    ends = {state.label: state for state in (*result.states[:1], *result.states[-1:])}
    found += [_state_card(state, metric) for state in ends.values()]
    last = result.states[-1] if result.states else None
    if last and last.drop is not None:
        shown = daggered(fixed(last.drop, metric.decimals), last.coverage)
        found.append(Card(title="Lost", value=shown, unit=difference_unit(metric), note="since digital"))
    if last and last.equivalent:
        found.append(_sigma_card(last.equivalent, last.coverage))
    return found


def _state_card(state: State, metric: Metric) -> Card:
    title = "Programmed" if state.time_seconds is None else upper_first(moment(state.time_seconds))
    low, high = value_interval(state.value, metric)
    between = f"95 %: {fixed(low, metric.decimals)} to {fixed(high, metric.decimals)}"
    note = "one chip: no spread" if state.value.n == 1 else "no interval" if low is None else between
    return Card(title=title, value=_mean(state, metric), unit=_spread(state, metric), note=note)


def _sigma_card(equivalent: EquivalentSigma, coverage: str) -> Card:
    between = sigma_interval(equivalent).strip("[]").replace(", ", " to ")
    above = equivalent.verdict is Verdict.ABOVE
    return Card(
        title="Equivalent sigma_c",
        value=daggered(f"{equivalent.value:g}" if above else sigma_value(equivalent), coverage),
        unit="above the curve" if above else "",
        note="no interval" if between == ABSENT else f"95 %: {between}",
    )


def _hardware_cards(run: Run) -> list[Card]:
    summary = run.meta["hardware"] or {}
    if not {"analog_macs_percent", "tiles"} <= summary.keys():
        return []
    note = f"of the MACs, on {summary['tiles']:,} tiles"
    return [Card(title="Analog", value=fixed(summary["analog_macs_percent"]), unit="%", note=note)]


def _result_card(result: Result, label: str, place: int) -> Card:
    metric = result.metric
    digital = "" if result.digital is None else f"digital {value(result.digital.value.mean, metric)}"
    if not result.states:
        return Card(title=label, value=ABSENT, note=f"{digital}, not simulated yet".lstrip(", "), series=place)
    last = result.states[-1]
    sigma = f"equivalent sigma_c {sigma_value(last.equivalent)}" if last.equivalent else ""
    note = ", ".join(part for part in (moment(last.time_seconds), digital, sigma) if part)
    return Card(title=label, value=_mean(last, metric), unit=_spread(last, metric), note=note, series=place)


def _preset_card(report: Contents, found: Standing, place: int) -> Card:
    """The best network on a preset, and whether significantly so."""
    best, metric = found.best, report.metric
    return Card(
        title=report.preset_title(best.preset),
        value=_mean(best.state, metric),
        unit=_spread(best.state, metric),
        note=f"{best.network}, {found.verdict}",
        series=place,
    )


def _mean(state: State, metric: Metric) -> str:
    return daggered(fixed(state.value.mean, metric.decimals), state.coverage)


def _spread(state: State, metric: Metric) -> str:
    std = state.value.std
    return metric.unit if std is None else in_unit(f"± {fixed(std, metric.decimals)}", metric)
