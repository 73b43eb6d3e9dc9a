"""The tables of one or several runs: overview, details, Gaussian sweep, comparison; and the notes below them."""

from collections.abc import Sequence
from math import isfinite

from analog_samson.analysis.comparison import Comparison, Step, compare, interval_count, unequal_options
from analog_samson.analysis.labels import calibration_title, listed_seeds
from analog_samson.analysis.ranking import is_study, method_name
from analog_samson.analysis.runs import Run, pilot_of
from analog_samson.analysis.statistics import difference_interval, sampling_half_width, value_interval
from analog_samson.analysis.stopping import stein_halfwidth, stein_total
from analog_samson.analysis.summary import Result, State
from analog_samson.report.data import state_data, step_data, sweep_data
from analog_samson.report.grid import Block, Grid
from analog_samson.report.wording import (
    NONE,
    coverage,
    interval,
    marked,
    mean_and_std,
    optional,
    series_labels,
    sigma_interval,
    sigma_value,
    signed,
    state_label,
    verdict,
)
from analog_samson.results.condition import UNCALIBRATED
from analog_samson.results.metric import Metric
from analog_samson.units import format_duration

SPREAD_NOTE = (
    "± is the sample standard deviation over the n instances (simulated chips); intervals are 95 %: "
    "Student's t for accuracies and differences, an inverted t-test for sigma_c."
)
SIGMA_NOTE = (
    "Equivalent sigma_c: the strength of the generic Gaussian conductance noise at which this network has "
    "the same mean accuracy."
)


def overview_grid(results: Sequence[Result]) -> Grid:
    """One row per checkpoint, preset and AdaBS: mean and std at every moment that any of them has."""
    moments = _moments(results)
    headers = ("checkpoint", "preset", "calibration", "n", *(label for label, _ in moments))
    rows = tuple(_overview_row(result, [key for _, key in moments]) for result in results)
    return Grid(
        name="accuracy",
        title="Accuracy %",
        headers=headers,
        rows=rows,
        align="lll" + "r" * (1 + len(moments)),
        data=state_data(results),
    )


def detail_grid(result: Result) -> Grid:
    """One row per moment with everything that is known about it."""
    states = all_states(result)
    swept = any(state.equivalent for state in states)
    sigma = ("equivalent sigma_c", "95 % interval") if swept else ()
    headers = ("state", "accuracy %", "std", "n", "95 % interval", "drop", *sigma, "weight error")
    rows = tuple(_detail_row(state, swept, result.metric) for state in states)
    calibrated = "" if result.calibration == UNCALIBRATED else f" with {calibration_title(result.calibration)}"
    title = f"{result.checkpoint} on {result.preset}{calibrated}"
    return Grid(
        name="details",
        title=title,
        headers=headers,
        rows=rows,
        align="l" + "r" * (len(headers) - 1),
        data=state_data([result]),
    )


def sweep_grid(results: Sequence[Result]) -> Grid:
    """Accuracy of every result over the sigma_c of the generic Gaussian model."""
    swept = [result for result in results if result.sweep]
    sigmas = sorted({point.sigma_c for result in swept for point in result.sweep})
    rows = tuple((f"{sigma:g}", *(_sweep_cell(result, sigma) for result in swept)) for sigma in sigmas)
    headers = ("sigma_c", *series_labels(swept))
    title = "Accuracy % with generic Gaussian conductance noise (n)"
    data = sweep_data(swept)
    return Grid(name="gaussian", title=title, headers=headers, rows=rows, align="r" * len(headers), data=data)


def comparison_block(comparison: Comparison, results: Sequence[Result]) -> Block:
    """Paired differences of two results over their moments, or the reason why there are none."""
    labels = dict(zip(map(id, results), series_labels(results), strict=True))
    first, second, place = labels[id(comparison.first)], labels[id(comparison.second)], ""
    if is_study(results):
        first, second = method_name(comparison.first), method_name(comparison.second)
        place = f" on {comparison.first.preset}"
    if comparison.obstacles:
        return f"{second} and {first} are not compared: {'; '.join(comparison.obstacles)}."
    headers = ("state", "difference", "95 % interval", "n", "what it says")
    rows = tuple(comparison_row(comparison, step, first, second) for step in comparison.steps)
    title = f"{second} minus {first}{place}, points, same instances"
    data = step_data([comparison])
    return Grid(name="comparison", title=title, headers=headers, rows=rows, align="lrrrl", data=data)


def comparison_row(comparison: Comparison, step: Step, first: str, second: str) -> tuple[str, ...]:
    """Cells of one moment of a comparison."""
    difference = step.difference
    label = marked(step.label, step.mark)
    says = verdict(difference, second, first) if step.stage != "digital" else "one network, no instances"
    between = interval(*difference_interval(difference, comparison.first.metric))
    return label, signed(difference.mean), between, str(difference.n), says


def notes(runs: Sequence[Run]) -> list[str]:
    """What a reader must know to read the numbers."""
    results = [result for run in runs for result in run.results]
    lines = [SPREAD_NOTE, *_difference_notes(runs), *unequal_options(runs)]
    if any(state.equivalent for result in results for state in result.states):
        lines.append(SIGMA_NOTE)
    lines += [note for run in runs for note in _run_notes(run, named=len(runs) > 1)]
    return lines + _image_notes(runs)


def _difference_notes(runs: Sequence[Run]) -> list[str]:
    """What the intervals of the differences cover."""
    comparisons, lines = compare(runs), []
    if count := interval_count(comparisons):
        images = {_images(run) for run in runs}
        known = f"{images.pop()} " if len(images) == 1 and None not in images else ""
        lines.append(coverage(count, f"these {known}test images"))
    apart = [one for one in comparisons if one.steps and not one.same_chips]
    if apart:
        names = "; ".join(f"{method_name(c.first)}, {method_name(c.second)} ({c.first.preset})" for c in apart)
        lines.append(f"Not the same layers on tiles, so chips drawn apart, which leaves intervals wider: {names}.")
    return lines


def all_states(result: Result) -> tuple[State, ...]:
    """Digital, if measured, and then the states in order."""
    return ((result.digital,) if result.digital else ()) + result.states


def _run_notes(run: Run, *, named: bool) -> list[str]:
    where = f"{run.name}: " if named else ""
    notes = [] if (unfinished := missing_instances(run)) is None else [f"{where}{unfinished}"]
    if len(run.parts) > 1:
        chips = sum(len({record.instance for record in part.records}) for part in run.parts)
        notes.append(f"{where}{chips} chips over {len(run.seeds)} seeds ({listed_seeds(run.seeds)}) are one sample.")
    if (stopping := _stopping_note(run)) is not None:
        notes.append(f"{where}{stopping}")
    if lost := sum(record.metric == "loss" and not isfinite(record.value) for record in run.records):
        notes.append(
            f"{where}{lost} of the losses measured are not finite: an image answered with NaN counts as wrong."
        )
    return notes


def _image_notes(runs: Sequence[Run]) -> list[str]:
    """What the finite number of test images adds, once for runs on as many images."""
    widths: dict[int, list[float]] = {}
    for run in runs:
        count = _images(run)
        simulated = [result for result in run.results if result.states]
        if count and simulated:
            found = [sampling_half_width(result.states[-1].value.mean, count, result.metric) for result in simulated]
            widths.setdefault(count, []).extend(width for width in found if width is not None)
    return [
        f"{count} test images; their own sampling error of {_range(found)} points comes on top."
        for count, found in widths.items()
        if found
    ]


def _images(run: Run) -> int | None:
    return run.samples


def _range(widths: Sequence[float]) -> str:
    low, high = f"±{min(widths):.1f}", f"±{max(widths):.1f}"
    return low if low == high else f"{low} to {high}"


def _stopping_note(run: Run) -> str | None:
    """How the number of instances was decided, and the half-width that the rule guarantees for the widest moment."""
    pilot, target = run.options.get("instances"), run.options.get("target_halfwidth")
    if pilot is None or target is None:
        return None
    widths = [
        stein_halfwidth([state.values[i] for i in range(pilot)], len(state.values), result.step)
        for result in run.results
        for state in result.times
        if len(state.values) >= pilot
    ]
    reached = f"; 95 % intervals by that rule are ±{max(widths):.2f} points or narrower" if widths else ""
    return (
        f"instances added to a pilot of {pilot} for intervals of ±{target:g} points (Stein's two-stage rule, "
        f"at most {run.options['max_instances']}){reached}."
    )


def missing_instances(run: Run) -> str | None:
    """A warning where moments or instances that were asked for are missing; None where nothing is."""
    if len(run.parts) > 1:
        found = [(part.meta["seed"], missing_instances(part)) for part in run.parts]
        return " ".join(f"seed {seed}: {text}" for seed, text in found if text is not None) or None
    states = [state for result in run.results for state in result.states]
    wanted = _wanted_instances(run, states)
    short = list(dict.fromkeys(f"{s.label} has {s.value.n}" for s in states if s.value.n < wanted))
    short += [f"{label} has none" for label in _missing_times(run) if states]
    short += _missing_sigmas(run) if states else []
    short += [f"{calibration_title(name)} has none" for name in _missing_calibrations(run) if states]
    if not short and (states or not wanted):
        return None
    return f"not finished: {wanted} instances asked, {', '.join(short) or 'none simulated yet'}."


def _wanted_instances(run: Run, states: Sequence[State]) -> int:
    """As many as asked for, as the pilot decided, or as any moment has."""
    asked, pilot = run.options.get("instances"), pilot_of(run.options)
    pilots = [[s.values[i] for i in range(pilot or 0) if i in s.values] for s in states]
    if pilot is not None and pilots and all(len(values) == pilot for values in pilots):
        target = run.options["target_halfwidth"]
        return min(
            run.options["max_instances"], max(stein_total(values, target, run.results[0].step) for values in pilots)
        )
    return asked if isinstance(asked, int) else max((state.value.n for state in states), default=0)


def _missing_calibrations(run: Run) -> list[str]:
    """Calibrations that were asked for and that no result has yet."""
    measured = {result.calibration for result in run.results if result.states}
    return [name for name in run.options.get("calibrate", ()) if name not in measured]


def _missing_sigmas(run: Run) -> list[str]:
    """Every sigma_c that was asked for and has fewer instances than that; without noise one is all there are."""
    asked, short = run.options.get("instances") or 1, []
    for result in (result for result in run.results if result.states):
        found = {point.sigma_c: point.value.n for point in result.sweep}
        for sigma in run.options.get("sigmas") or ():
            if found.get(sigma, 0) < (asked if sigma > 0 else 1):
                short.append(f"sigma_c {sigma:g} has {found.get(sigma) or 'none'}")
    return list(dict.fromkeys(short))


def _missing_times(run: Run) -> list[str]:
    """Times that were asked for and that a result of the run does not have yet."""
    simulated = [{state.time_seconds for state in result.times} for result in run.results if result.states]
    asked = run.options.get("times") or ()
    return [format_duration(time) for time in asked if any(time not in times for times in simulated)]


def _moments(results: Sequence[Result]) -> list[tuple[str, tuple[str, float | None]]]:
    """(label, key) of every moment: digital, programmed, then the times in order."""
    found = {(s.stage, s.time_seconds): s.label for result in results for s in all_states(result)}
    order = {"digital": -2.0, "programmed": -1.0}
    keys = sorted(found, key=lambda key: order.get(key[0], 0.0) if key[1] is None else key[1])
    return [(found[key], key) for key in keys]


def _overview_row(result: Result, keys: Sequence[tuple[str, float | None]]) -> tuple[str, ...]:
    by_key = {(state.stage, state.time_seconds): state for state in all_states(result)}
    counts = sorted({state.value.n for state in result.states})
    n = NONE if not counts else "-".join(str(count) for count in {counts[0]: 0, counts[-1]: 0})
    cells = (_overview_cell(by_key.get(key)) for key in keys)
    return (result.checkpoint, result.preset, calibration_title(result.calibration), n, *cells)


def _overview_cell(state: State | None) -> str:
    if state is None:
        return NONE
    return marked(mean_and_std(state.value), state.mark)


def _detail_row(state: State, swept: bool, metric: Metric) -> tuple[str, ...]:
    accuracy = state.value
    sigma = (sigma_value(state.equivalent), sigma_interval(state.equivalent)) if swept else ()
    return (
        state_label(state),
        f"{accuracy.mean:.1f}",
        optional(accuracy.std),
        str(accuracy.n),
        interval(*value_interval(accuracy, metric)),
        optional(state.drop),
        *sigma,
        NONE if state.weight_error is None else f"{state.weight_error.mean:.3f}",
    )


def _sweep_cell(result: Result, sigma: float) -> str:
    point = next((point for point in result.sweep if point.sigma_c == sigma), None)
    if point is None:
        return NONE
    return f"{mean_and_std(point.value)} ({point.value.n})"
