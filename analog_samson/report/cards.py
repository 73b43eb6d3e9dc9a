"""The key numbers at the top of a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from analog_samson.analysis.equivalent_sigma import Verdict
from analog_samson.analysis.ranking import Entry, Study, is_study, series_places, study
from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import value_interval
from analog_samson.analysis.summary import Result, State
from analog_samson.report.captions import moment
from analog_samson.report.sentences import and_list, is_paired, level_with, not_beaten
from analog_samson.report.wording import optional, series_labels, sigma_interval, sigma_value
from analog_samson.results.metric import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One number: what it is, the number, its spread and unit in small, a line below, and a tag.

    series: place of the result whose colour the card carries.
    """

    title: str
    value: str
    unit: str = ""
    note: str = ""
    mark: str = ""
    series: int | None = None


def cards(runs: Sequence[Run]) -> list[Card]:
    """For one result its stages and what is on the tiles, in a study the best on each preset, else one per result."""
    results = [result for run in runs for result in run.results]
    if is_study(results):
        seen, places = study(runs), dict(zip(map(id, results), series_places(results), strict=True))
        best = [entries[0] for preset in seen.presets if (entries := seen.on(preset))]
        return [_preset_card(seen, entry, places[id(entry.result)]) for entry in best]
    if len(results) == 1:
        return [*_stage_cards(results[0]), *_hardware_cards(runs[0])]
    labelled = zip(results, series_labels(results), strict=True)
    return [_result_card(result, label, place) for place, (result, label) in enumerate(labelled)]


def _stage_cards(result: Result) -> list[Card]:
    found = []
    if result.digital:
        found.append(Card(title="Digital", value=f"{result.digital.value.mean:.1f}", unit="%", note="no hardware"))
    ends = {state.label: state for state in (*result.states[:1], *result.states[-1:])}
    found += [_state_card(state, result.metric) for state in ends.values()]
    last = result.states[-1] if result.states else None
    if last and last.drop is not None:
        found.append(
            Card(title="Lost", value=optional(last.drop), unit="points", note="since digital", mark=_mark(last))
        )
    if last and last.equivalent:
        found.append(_sigma_card(last))
    return found


def _state_card(state: State, metric: Metric) -> Card:
    title = "Programmed" if state.time_seconds is None else moment(state).capitalize()
    low, high = value_interval(state.value, metric)
    note = "one chip: no spread" if low is None or high is None else f"95 %: {low:.1f} to {high:.1f}"
    return Card(title=title, value=f"{state.value.mean:.1f}", unit=_spread(state), note=note, mark=_mark(state))


def _sigma_card(state: State) -> Card:
    assert state.equivalent is not None
    between = sigma_interval(state.equivalent).strip("[]").replace(", ", " to ")
    note = "no interval" if between == "-" else f"95 %: {between}"
    above = state.equivalent.verdict is Verdict.ABOVE
    value = f"{state.equivalent.value:g}" if above else sigma_value(state.equivalent)
    unit = "above the curve" if above else ""
    return Card(title="Equivalent sigma_c", value=value, unit=unit, note=note, mark=_mark(state))


def _hardware_cards(run: Run) -> list[Card]:
    summary = run.meta["hardware"] or {}
    if not {"analog_macs_percent", "tiles"} <= summary.keys():
        return []
    note = f"of the MACs, on {summary['tiles']:,} tiles"
    return [Card(title="Analog", value=f"{summary['analog_macs_percent']:.1f}", unit="%", note=note)]


def _result_card(result: Result, label: str, place: int) -> Card:
    digital = "" if result.digital is None else f"digital {result.digital.value.mean:.1f} %"
    if not result.states:
        return Card(title=label, value="-", note=f"{digital}, not simulated yet".lstrip(", "), series=place)
    last = result.states[-1]
    parts = [moment(last), digital, f"equivalent sigma_c {sigma_value(last.equivalent)}" if last.equivalent else ""]
    note = ", ".join(part for part in parts if part)
    value = f"{last.value.mean:.1f}"
    return Card(title=label, value=value, unit=_spread(last), note=note, mark=_mark(last), series=place)


def _preset_card(seen: Study, best: Entry, place: int) -> Card:
    """The best network on a preset, and whether significantly so."""
    if best.state.value.n == 1:
        level = level_with(seen, best)
        says = f"{f'level with {and_list(level)}' if level else 'highest'}; one chip: no interval"
    else:
        equal = not_beaten(seen, best)
        first = seen.ahead(best.preset) is best
        alone = "significantly better than all others" if first else "not compared with every other network"
        says = f"not significantly different from {and_list(equal)}" if equal else alone
        says = says if is_paired(seen, best) else "highest; not compared on the same chips"
    note = f"{best.method}, {says}"
    value, mark = f"{best.state.value.mean:.1f}", _mark(best.state)
    return Card(title=best.preset, value=value, unit=_spread(best.state), note=note, mark=mark, series=place)


def _spread(state: State) -> str:
    return "%" if state.value.std is None else f"± {state.value.std:.1f} %"


def _mark(state: State) -> str:
    return state.mark
