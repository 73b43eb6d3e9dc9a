"""The words around the figures: captions, and what a screen reader says instead of a picture."""

from collections.abc import Sequence

from analog_samson.analysis.comparison import Comparison
from analog_samson.analysis.equivalent_sigma import Verdict
from analog_samson.analysis.runs import Run
from analog_samson.analysis.summary import Result, State
from analog_samson.presets.validity import EXTRAPOLATED, INTERPOLATED
from analog_samson.report.wording import (
    duration_words,
    marked,
    series_labels,
    sigma_value,
    signed,
    state_label,
)


def moment(state: State) -> str:
    """When, in words: "after 1 year" or "right after programming"."""
    if state.time_seconds is None:
        return "right after programming"
    return f"after {duration_words(state.time_seconds)}"


def over_time_caption(runs: Sequence[Run]) -> str:
    """How to read accuracy over time."""
    results = [result for run in runs for result in run.results if result.states]
    parts = [f"Accuracy since programming, {chips(results)}. Line: mean; dots: single chips"]
    parts[0] += f"; {_band(results)}; dotted: digital accuracy, no hardware."
    limits = list({run.max_seconds for run in runs})
    if _any(EXTRAPOLATED, results):
        covered = (
            f"the {duration_words(limits[0])} that the preset covers"
            if len(limits) == 1 and limits[0]
            else "what a preset covers"
        )
        parts.append(f"Hollow markers lie beyond {covered}: extrapolated.")
    if _any(INTERPOLATED, results):
        parts.append("Half-filled ones lie between the times that the preset's source gives: interpolated.")
    parts.append("Each time has its own read noise, so the points of one chip are not one trajectory.")
    return " ".join(parts)


def gaussian_caption(runs: Sequence[Run]) -> str:
    """How to read the Gaussian curve."""
    results = [result for run in runs for result in run.results if result.sweep]
    points = [point.value.n for result in results for point in result.sweep if point.sigma_c > 0]
    text = f"Generic Gaussian model, {_chip_range(points)} at each strength."
    text += f" Line: mean; dots: single chips; {_band(results)}."
    if any(state.equivalent for result in results for state in result.times):
        text += " Markers: the drift times, where the curve has their mean accuracy; bars: 95 % interval"
        text += "; hollow: extrapolated" if _any(EXTRAPOLATED, results) else ""
        text += "; half-filled: interpolated." if _any(INTERPOLATED, results) else "."
        equivalents = [state.equivalent for result in results for state in result.times if state.equivalent]
        beyond = any(equivalent.verdict is Verdict.BEYOND for equivalent in equivalents)
        text += " Arrows: worse than the strongest noise of the sweep." if beyond else ""
    return text


def differences_caption(comparisons: Sequence[Comparison]) -> str:
    """How to read the paired differences."""
    counts = [step.difference.n for comparison in comparisons for step in comparison.steps if step.stage != "digital"]
    text = "Difference on the same simulated chips, with its 95 % t interval"
    text += f" ({_chip_range(counts)}). An interval that covers zero: not significant."
    marks = {step.mark for comparison in comparisons for step in comparison.steps}
    text += " Hollow: extrapolated." if EXTRAPOLATED in marks else ""
    return text + (" Half-filled: interpolated." if INTERPOLATED in marks else "")


def over_time_alternative(results: Sequence[Result]) -> str:
    """Accuracy over time in words."""
    lines = [
        f"{label}: {', '.join(f'{state_label(s)} {s.value.mean:.1f}' for s in result.states)} percent"
        for label, result in zip(series_labels(results), results, strict=True)
        if result.states
    ]
    return f"Line chart of accuracy over time since programming. {'; '.join(lines)}."


def gaussian_alternative(results: Sequence[Result]) -> str:
    """The Gaussian curve in words."""
    lines = []
    for label, result in zip(series_labels(results), results, strict=True):
        if result.sweep:
            first, last = result.sweep[0], result.sweep[-1]
            ends = " to ".join(f"{p.value.mean:.1f} percent at {p.sigma_c:g}" for p in (first, last))
            marks = ", ".join(f"{state_label(s)} at {sigma_value(s.equivalent)}" for s in result.times if s.equivalent)
            lines.append(f"{label} from {ends}" + (f", drift times: {marks}" if marks else ""))
    return f"Line chart of accuracy over sigma_c of the generic Gaussian model. {'; '.join(lines)}."


def differences_alternative(comparisons: Sequence[Comparison], labels: dict[int, str]) -> str:
    """The paired differences in words."""
    lines = []
    for comparison in comparisons:
        steps = ", ".join(f"{marked(s.label, s.mark)} {signed(s.difference.mean)}" for s in comparison.hardware_steps)
        lines.append(f"{labels[id(comparison.second)]} minus {labels[id(comparison.first)]}: {steps} points")
    return f"Chart of paired accuracy differences over time. {'; '.join(lines)}."


def chips(results: Sequence[Result]) -> str:
    """How many instances the states of the results have."""
    return _chip_range([state.value.n for result in results for state in result.states])


def _chip_range(counts: Sequence[int]) -> str:
    least, most = min(counts, default=0), max(counts, default=0)
    if least == most:
        return "one simulated chip" if most == 1 else f"n = {most} simulated chips"
    return f"n = {least} to {most} simulated chips"


def _band(results: Sequence[Result]) -> str:
    counts = [state.value.n for result in results for state in result.states]
    counts += [point.value.n for result in results for point in result.sweep]
    return (
        "no band, since one chip shows no spread"
        if max(counts, default=1) == 1
        else "band: 95 % t interval of the mean"
    )


def _any(mark: str, results: Sequence[Result]) -> bool:
    return any(state.mark == mark for result in results for state in result.states)
