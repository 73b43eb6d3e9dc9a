"""Which times or chips a run has not simulated yet, and how the number of its chips was chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analog_samson.analysis.labels import calibration_title
from analog_samson.analysis.runs import Run, pilot_of
from analog_samson.analysis.statistics import sampling_half_width
from analog_samson.analysis.stopping import stein_halfwidth, stein_total
from analog_samson.analysis.summary import State
from analog_samson.results.condition import UNCALIBRATED, calibration_at, calibration_parts
from analog_samson.units import format_duration


def missing(run: Run) -> str | None:
    """A sentence that names the missing times or chips; None for a complete run."""
    if len(run.parts) > 1:
        found = [(part.meta["seed"], missing(part)) for part in run.parts]
        return " ".join(f"seed {seed}: {text}" for seed, text in found if text is not None) or None
    states = [state for result in run.results for state in result.states]
    wanted = _wanted_chips(run, states)
    short = [f"{state.label} has {state.value.n}" for state in states if state.value.n < wanted]
    if states:
        short += [*_missing_times(run), *_missing_sigmas(run), *_missing_calibrations(run)]
    if not short and (states or not wanted):
        return None
    return f"not finished: {wanted} instances asked, {', '.join(dict.fromkeys(short)) or 'none simulated yet'}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping:
    """Stein's rule as a run used it; reached: the half-width that it guarantees for the widest moment, if any."""

    pilot: int
    target: float
    largest: int
    reached: float | None


def stopping(run: Run) -> Stopping | None:
    """How the number of chips was decided; None where it was given."""
    pilot, target = run.options.get("instances"), run.options.get("target_halfwidth")
    if pilot is None or target is None:
        return None
    widths = [
        stein_halfwidth([state.values[i] for i in range(pilot)], len(state.values), result.step)
        for result in run.results
        for state in result.times
        if len(state.values) >= pilot
    ]
    reached = max(widths, default=None)
    return Stopping(pilot=pilot, target=target, largest=run.options["max_instances"], reached=reached)


def sampling_widths(runs: Sequence[Run]) -> dict[int, tuple[float, float]]:
    """By number of test samples, the least and the largest half-width that their finite number adds to a result."""
    widths: dict[int, list[float]] = {}
    for run in runs:
        for result in run.results if run.samples else ():
            if result.states:
                width = sampling_half_width(result.states[-1].value.mean, run.samples or 0, result.metric)
                widths.setdefault(run.samples or 0, []).extend([] if width is None else [width])
    return {count: (min(found), max(found)) for count, found in widths.items() if found}


def _wanted_chips(run: Run, states: Sequence[State]) -> int:
    """As many as asked for, as the pilot decided, or as any moment has."""
    asked, pilot = run.options.get("instances"), pilot_of(run.options)
    pilots = [[s.values[i] for i in range(pilot or 0) if i in s.values] for s in states]
    if pilot is not None and pilots and all(len(values) == pilot for values in pilots):
        target, step = run.options["target_halfwidth"], run.results[0].step
        return min(run.options["max_instances"], max(stein_total(values, target, step) for values in pilots))
    return asked if isinstance(asked, int) else max((state.value.n for state in states), default=0)


def _missing_times(run: Run) -> Iterator[str]:
    simulated = [
        ({state.time_seconds for state in result.times}, calibration_parts(result.calibration)[1])
        for result in run.results
        if result.states
    ]
    for time in run.options.get("times") or ():
        if any(time not in times and (at is None or time > at) for times, at in simulated):
            yield f"{format_duration(time)} has none"


def _missing_sigmas(run: Run) -> Iterator[str]:
    """Of every sigma_c that has fewer chips than asked for; without noise one is all there are.

    A calibration without a single sigma_c corrects chips only, see `chip.calibration.for_generic_noise`.
    """
    asked = run.options.get("instances") or 1
    for result in run.results:
        if not result.states or (result.calibration != UNCALIBRATED and not result.sweep):
            continue
        found = {point.sigma_c: point.value.n for point in result.sweep}
        for sigma in run.options.get("sigmas") or ():
            if found.get(sigma, 0) < (asked if sigma > 0 else 1):
                yield f"sigma_c {sigma:g} has {found.get(sigma) or 'none'}"


def _missing_calibrations(run: Run) -> Iterator[str]:
    measured = {result.calibration for result in run.results if result.states}
    asked = list(run.options.get("calibrate", ()))
    if (at := run.options.get("calibrate_at")) is not None:
        asked += [calibration_at(name, at) for name in asked]
    yield from (f"{calibration_title(name)} has none" for name in asked if name not in measured)
