"""The numbers of an experiment as tables, beside what the paper printed; spread and n stand with each."""

from collections.abc import Callable, Sequence
from functools import partial

from analog_samson.analysis.correlation import METHOD_OF_INTERVAL, correlate
from analog_samson.analysis.correlation import Correlation as Coefficient
from analog_samson.analysis.statistics import Difference, Summary, difference_interval, paired_difference, summarize
from analog_samson.experiments.plan import UNTRAINED
from analog_samson.experiments.results import CellResult, ExperimentResults, options_text, pool, spread
from analog_samson.experiments.schema import Method, Printed, Setting
from analog_samson.experiments.shown import AccuracyTable, ConditionTables, Correlation, SigmaCurves, TimeBars
from analog_samson.report.formats import ABSENT, interval, signed
from analog_samson.report.rendering import Block
from analog_samson.report.table import Table, text_table
from analog_samson.results.metric import ACCURACY
from analog_samson.units import parse_duration

_METRICS = {"top1_percent": "top-1", "top5_percent": "top-5"}
_DIGITS = 2
_Picker = Callable[[CellResult], Sequence[float]]


def result_blocks(outcome: ExperimentResults) -> list[Block]:
    """Tables, then notes; at least a note where nothing is finished."""
    blocks: list[Block] = [f"{outcome.experiment.name}, scale {outcome.scale_name}: {outcome.experiment.title}"]
    for setting in outcome.settings:
        blocks += setting_blocks(outcome, setting)
    return [*blocks, *tuning_grids(outcome), *outcome.notes()]


def setting_blocks(outcome: ExperimentResults, setting: Setting) -> list[Block]:
    """What is shown of one setting."""
    match outcome.experiment.shows:
        case AccuracyTable() as shows:
            return [_accuracy(outcome, shows, setting, metric) for metric in shows.metrics]
        case SigmaCurves() as shows:
            return [_sigma(outcome, setting, shows.adabs)]
        case TimeBars() as shows:
            return [_time(outcome, shows, setting)]
        case Correlation() as shows:
            return [_networks(outcome, shows, setting), _coefficients(outcome, shows, setting)]
        case ConditionTables():
            return [_conditions(outcome, setting, adabs) for adabs in (False, True)]
    return []


def tuning_grids(outcome: ExperimentResults) -> list[Table]:
    """Candidates and choices of every setting where there are some."""
    grids = (_tuning(outcome, setting) for setting in outcome.networks.settings)
    return [grid for grid in grids if grid.rows]


def drop_points(outcome: ExperimentResults, result: CellResult, adabs: bool) -> list[float]:
    """Robustness as the paper measures it: accuracy without noise minus that at the largest sigma_c, chip by chip."""
    sigmas = _sigmas(outcome)
    quiet = result.at_sigma(min(sigmas), adabs)[0]
    return [quiet - accuracy for accuracy in result.at_sigma(max(sigmas), adabs)]


def points_of(outcome: ExperimentResults, shows: Correlation, setting: Setting) -> list[tuple[Method, float, Summary]]:
    """Each network's method, sharpness and points lost."""
    return [
        (method, result.sharpness[shows.measure.file], summarize(drop_points(outcome, result, shows.adabs)))
        for method, results in outcome.rows(setting)
        for result in results
    ]


def _accuracy(outcome: ExperimentResults, shows: AccuracyTable, setting: Setting, metric: str) -> Table:
    found = {m.name: {r.cell.seed: r.clean[metric] for r in results} for m, results in outcome.rows(setting)}
    base = found.get(shows.baseline, {})
    trained = outcome.methods[shows.baseline].options.method != UNTRAINED
    rows = []
    for method, _ in outcome.rows(setting):
        values = found[method.name]
        difference = None if method.name == shows.baseline else _against(base, values, trained=trained)
        printed = outcome.paper(setting, method.name, metric)
        baseline = outcome.paper(setting, shows.baseline, metric)
        rows.append(
            (
                method.title,
                spread(summarize(list(values.values())), outcome.digits),
                str(len(values)),
                ABSENT if difference is None else signed(difference.mean, outcome.digits),
                ABSENT if difference is None else interval(difference_interval(difference, ACCURACY), outcome.digits),
                *_beside(printed, baseline, outcome.digits),
            )
        )
    headers = ("method", "here", "n", "minus base", "95 % interval", "paper", "n", "minus base")
    beside = outcome.paper_title(setting)
    title = f"{setting.title}: test accuracy, {_METRICS[metric]} [%]; paper: {beside}"
    return text_table(title=title, headers=headers, rows=tuple(rows), align="lrrrrrrr")


def _against(base: dict[int, float], values: dict[int, float], *, trained: bool) -> Difference | None:
    """Paired over the seeds; a baseline that was not trained is one network for all of them."""
    if base and not trained:
        base = dict.fromkeys(values, next(iter(base.values())))
    return paired_difference(base, values)


def _beside(printed: Printed | None, baseline: Printed | None, digits: int) -> tuple[str, str, str]:
    if printed is None:
        return ABSENT, ABSENT, ABSENT
    text = f"{printed.mean:.{digits}f}" + ("" if printed.std is None else f" ± {printed.std:.{digits}f}")
    is_base = baseline is None or baseline.method == printed.method
    difference = ABSENT if is_base or baseline is None else signed(printed.mean - baseline.mean, digits)
    return text, str(printed.n), difference


def _sigma(outcome: ExperimentResults, setting: Setting, adabs: bool) -> Table:
    columns = [_at_sigma(sigma, adabs, "") for sigma in _sigmas(outcome)]
    return _columns(outcome, setting, f"accuracy [%] over sigma_c{_adapted(adabs)}", columns)


def _time(outcome: ExperimentResults, shows: TimeBars, setting: Setting) -> Table:
    columns = [("digital", CellResult.digital), _at_time(shows.time, shows.adabs, "after ")]
    preset = outcome.scale.evaluation.preset if outcome.scale.evaluation else ""
    return _columns(outcome, setting, f"accuracy [%] on {preset}{_adapted(shows.adabs)}", columns)


def _conditions(outcome: ExperimentResults, setting: Setting, adabs: bool) -> Table:
    evaluation = outcome.scale.evaluation
    assert evaluation is not None
    columns = [
        ("digital", CellResult.digital),
        *(_at_time(time, adabs, "") for time in evaluation.times),
        *(_at_sigma(sigma, adabs, "sigma ") for sigma in evaluation.sigmas),
    ]
    return _columns(outcome, setting, f"accuracy [%] on {evaluation.preset} and over sigma_c{_adapted(adabs)}", columns)


def _sigmas(outcome: ExperimentResults) -> tuple[float, ...]:
    return outcome.scale.evaluation.sigmas if outcome.scale.evaluation else ()


def _at_time(time: str, adabs: bool, prefix: str) -> tuple[str, _Picker]:
    return f"{prefix}{time}", partial(CellResult.at_time, seconds=parse_duration(time), adabs=adabs)


def _at_sigma(sigma: float, adabs: bool, prefix: str) -> tuple[str, _Picker]:
    return f"{prefix}{sigma:g}", partial(CellResult.at_sigma, sigma=sigma, adabs=adabs)


def _columns(outcome: ExperimentResults, setting: Setting, title: str, columns: Sequence[tuple[str, _Picker]]) -> Table:
    """A row for each method, a column for each quantity; n counts trainings and chips."""
    rows = []
    for method, results in outcome.rows(setting):
        chips = [[pick(result) for result in results] for _, pick in columns]
        rows.append((method.title, *(spread(pool(values), _DIGITS) for values in chips), _count(chips)))
    headers = ("method", *(name for name, _ in columns), "n")
    align = "l" + "r" * len(columns) + "l"
    trained = [results for _, results in outcome.rows(setting) if results[0].cell.training]
    seeds = {tuple(result.cell.seed for result in results) for results in trained}
    told = "; rows with different seeds are on different chips" if len(seeds) > 1 else ""
    return text_table(title=f"{setting.title}: {title}{told}", headers=headers, rows=tuple(rows), align=align)


def _count(chips: Sequence[Sequence[Sequence[float]]]) -> str:
    trainings, most = len(chips[0]), max(len(values) for column in chips for values in column)
    return f"{most} chips" if trainings == 1 else f"{trainings} trainings x {most} chips"


def _networks(outcome: ExperimentResults, shows: Correlation, setting: Setting) -> Table:
    rows = []
    for method, results in outcome.rows(setting):
        for result in results:
            drop = summarize(drop_points(outcome, result, shows.adabs))
            rows.append(
                (
                    method.title,
                    method.family,
                    f"{result.sharpness[shows.measure.file]:.4g}",
                    spread(drop, _DIGITS),
                    f"{drop.n} chips",
                )
            )
    title = f"{setting.title}: sharpness and points lost between the ends of sigma_c{_adapted(shows.adabs)}"
    headers = ("method", "combined with", "sharpness", "points lost", "n")
    return text_table(title=title, headers=headers, rows=tuple(rows), align="llrrl")


def _coefficients(outcome: ExperimentResults, shows: Correlation, setting: Setting) -> Table:
    """Within each family, as the paper looks at it, and over all networks, where the family is an effect too."""
    points = [(method.family, sharpness, drop.mean) for method, sharpness, drop in points_of(outcome, shows, setting)]
    families = dict.fromkeys(family for family, _, _ in points)
    rows = []
    for group in (*families, "all"):
        chosen = [point for point in points if group in (point[0], "all")]
        found = correlate([x for _, x, _ in chosen], [y for _, _, y in chosen])
        rows.append((group, *map(_coefficient, found), str(len(chosen))))
    headers = ("networks", *(one.kind for one in correlate([0.0], [0.0])), "n")
    title = f"{setting.title}: correlation of sharpness with points lost, {METHOD_OF_INTERVAL}"
    return text_table(title=title, headers=headers, rows=tuple(rows), align="lrrrr")


def _coefficient(one: Coefficient) -> str:
    if one.value is None:
        return ABSENT
    ends = interval((one.low, one.high), _DIGITS)
    return f"{one.value:.2f}" if ends == ABSENT else f"{one.value:.2f} {ends}"


def _tuning(outcome: ExperimentResults, setting: Setting) -> Table:
    """Every candidate of a setting with its score; the chosen one is marked."""
    titles = {method.name: method.title for method in outcome.networks.methods}
    rows = tuple(
        (titles[choice.method], options_text(options), f"{score:.2f}", "chosen" if options == choice.chosen else "")
        for choice in outcome.choices
        if choice.setting == setting.name and choice.method in titles
        for options, score in choice.candidates
    )
    title = f"{setting.title}: score [%] of each candidate on held-out training images"
    return text_table(title=title, headers=("method", "candidate", "score", ""), rows=rows, align="llrl")


def _adapted(adabs: bool) -> str:
    return ", with AdaBS" if adabs else ""
