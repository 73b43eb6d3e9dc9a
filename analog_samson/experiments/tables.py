"""The numbers of an experiment as tables, beside what the paper printed; spread and n stand with each."""

from collections.abc import Callable, Sequence
from functools import partial

from analog_samson.experiments.results import CellResult, pool
from analog_samson.experiments.schema import Method, Printed, Setting
from analog_samson.experiments.shown import AccuracyTable, Correlation, SigmaCurves, StudyTable, TimeBars
from analog_samson.experiments.view import View, spread
from analog_samson.report.grid import Block, Grid
from analog_samson.report.statistics import Difference, Summary, paired_difference, summarize
from analog_samson.report.wording import NONE, interval, signed
from analog_samson.sharpness.correlation import METHOD_OF_INTERVAL, correlate
from analog_samson.sharpness.correlation import Correlation as Coefficient
from analog_samson.units import parse_duration

_METRICS = {"top1_percent": "top-1", "top5_percent": "top-5"}
_DIGITS = 2
_Picker = Callable[[CellResult], list[float]]


def result_blocks(view: View) -> list[Block]:
    """Tables, then notes; at least a note where nothing is finished."""
    shows = view.experiment.shows
    blocks: list[Block] = [f"{view.experiment.name}, scale {view.scale_name}: {view.experiment.title}"]
    for setting in view.settings:
        match shows:
            case AccuracyTable():
                blocks += [_accuracy(view, shows, setting, metric) for metric in shows.metrics]
            case SigmaCurves():
                blocks.append(_sigma(view, setting, shows.adabs))
            case TimeBars():
                blocks.append(_time(view, shows, setting))
            case Correlation():
                blocks += [_networks(view, shows, setting), _coefficients(view, shows, setting)]
            case StudyTable():
                blocks += [_study(view, setting, adabs) for adabs in (False, True)]
    return [*blocks, *view.notes()]


def drop_points(view: View, result: CellResult, adabs: bool) -> list[float]:
    """Robustness as the paper measures it: accuracy without noise minus that at the largest sigma_c, chip by chip."""
    sigmas = view.scale.evaluation.sigmas if view.scale.evaluation else ()
    quiet = result.at_sigma(min(sigmas), adabs)[0]
    return [quiet - accuracy for accuracy in result.at_sigma(max(sigmas), adabs)]


def _accuracy(view: View, shows: AccuracyTable, setting: Setting, metric: str) -> Grid:
    found = {m.name: {r.cell.seed: r.clean[metric] for r in results} for m, results in view.rows(setting)}
    base = found.get(shows.baseline, {})
    rows = []
    for method, _ in view.rows(setting):
        values = found[method.name]
        difference = None if method.name == shows.baseline else _against(base, values)
        printed = view.paper(setting, method.name, metric)
        baseline = view.paper(setting, shows.baseline, metric)
        rows.append(
            (
                method.title,
                spread(summarize(list(values.values())), view.digits),
                str(len(values)),
                NONE if difference is None else signed(difference.mean, view.digits),
                NONE if difference is None else interval(difference.low, difference.high, view.digits),
                *_beside(printed, baseline, view.digits),
            )
        )
    headers = ("method", "here", "n", "minus base", "95 % interval", "paper", "n", "minus base")
    beside = view.paper_title(setting)
    title = f"{setting.title}: test accuracy, {_METRICS[metric]} [%]; paper: {beside}"
    return Grid(title=title, headers=headers, rows=tuple(rows), align="lrrrrrrr")


def _against(base: dict[int, float], values: dict[int, float]) -> Difference | None:
    """Paired over the seeds; a baseline that was not trained is one network for all of them."""
    if len(base) == 1:
        base = dict.fromkeys(values, next(iter(base.values())))
    return paired_difference(base, values)


def _beside(printed: Printed | None, baseline: Printed | None, digits: int) -> tuple[str, str, str]:
    if printed is None:
        return NONE, NONE, NONE
    text = f"{printed.mean:.{digits}f}" + ("" if printed.std is None else f" ± {printed.std:.{digits}f}")
    is_base = baseline is None or baseline.method == printed.method
    difference = NONE if is_base or baseline is None else signed(printed.mean - baseline.mean, digits)
    return text, str(printed.n), difference


def _sigma(view: View, setting: Setting, adabs: bool) -> Grid:
    sigmas = view.scale.evaluation.sigmas if view.scale.evaluation else ()
    columns = [(f"{sigma:g}", partial(CellResult.at_sigma, sigma=sigma, adabs=adabs)) for sigma in sigmas]
    return _columns(view, setting, f"accuracy [%] over sigma_c{_adapted(adabs)}", columns)


def _time(view: View, shows: TimeBars, setting: Setting) -> Grid:
    seconds = parse_duration(shows.time)
    columns: list[tuple[str, _Picker]] = [
        ("digital", CellResult.digital),
        (f"after {shows.time}", partial(CellResult.at_time, seconds=seconds, adabs=shows.adabs)),
    ]
    preset = view.scale.evaluation.preset if view.scale.evaluation else ""
    return _columns(view, setting, f"accuracy [%] on {preset}{_adapted(shows.adabs)}", columns)


def _study(view: View, setting: Setting, adabs: bool) -> Grid:
    evaluation = view.scale.evaluation
    assert evaluation is not None
    columns: list[tuple[str, _Picker]] = [("digital", CellResult.digital)]
    for time in evaluation.times:
        columns.append((time, partial(CellResult.at_time, seconds=parse_duration(time), adabs=adabs)))
    for sigma in evaluation.sigmas:
        columns.append((f"sigma {sigma:g}", partial(CellResult.at_sigma, sigma=sigma, adabs=adabs)))
    return _columns(view, setting, f"accuracy [%] on {evaluation.preset} and over sigma_c{_adapted(adabs)}", columns)


def _columns(view: View, setting: Setting, title: str, columns: Sequence[tuple[str, _Picker]]) -> Grid:
    """A row for each method, a column for each quantity; n counts trainings and chips."""
    rows = []
    for method, results in view.rows(setting):
        chips = [[pick(result) for result in results] for _, pick in columns]
        rows.append((method.title, *(spread(pool(values), _DIGITS) for values in chips), _count(chips)))
    headers = ("method", *(name for name, _ in columns), "n")
    align = "l" + "r" * len(columns) + "l"
    return Grid(title=f"{setting.title}: {title}", headers=headers, rows=tuple(rows), align=align)


def _count(chips: Sequence[Sequence[Sequence[float]]]) -> str:
    trainings, most = len(chips[0]), max(len(values) for column in chips for values in column)
    return f"{most} chips" if trainings == 1 else f"{trainings} trainings x {most} chips"


def _networks(view: View, shows: Correlation, setting: Setting) -> Grid:
    rows = []
    for method, results in view.rows(setting):
        for result in results:
            drop = summarize(drop_points(view, result, shows.adabs))
            rows.append(
                (method.title, method.family, f"{result.sharpness:.4g}", spread(drop, _DIGITS), f"{drop.n} chips")
            )
    title = f"{setting.title}: sharpness and points lost between the ends of sigma_c{_adapted(shows.adabs)}"
    headers = ("method", "combined with", "sharpness", "points lost", "n")
    return Grid(title=title, headers=headers, rows=tuple(rows), align="llrrl")


def _coefficients(view: View, shows: Correlation, setting: Setting) -> Grid:
    """Within each family, as the paper looks at it, and over all networks together."""
    points = points_of(view, shows, setting)
    groups = {family: [p for p in points if p[0].family == family] for family in ("plain", "clipping", "noise")}
    rows = []
    for name, group in ({name: group for name, group in groups.items() if group} | {"all": points}).items():
        found = correlate([x for _, x, _ in group], [drop.mean for _, _, drop in group])
        rows.append((name, *(_coefficient(one) for one in found), str(len(group))))
    headers = ("networks", *(c.kind for c in correlate([0.0], [0.0])), "n")
    title = f"{setting.title}: correlation of sharpness with points lost, {METHOD_OF_INTERVAL}"
    return Grid(title=title, headers=headers, rows=tuple(rows), align="lrrrr")


def points_of(view: View, shows: Correlation, setting: Setting) -> list[tuple[Method, float, Summary]]:
    """Each network's method, sharpness and points lost."""
    return [
        (method, result.sharpness, summarize(drop_points(view, result, shows.adabs)))
        for method, results in view.rows(setting)
        for result in results
        if result.sharpness is not None
    ]


def _coefficient(one: Coefficient) -> str:
    if one.value is None:
        return NONE
    ends = interval(one.low, one.high, _DIGITS)
    return f"{one.value:.2f}" if ends == NONE else f"{one.value:.2f} {ends}"


def _adapted(adabs: bool) -> str:
    return ", with AdaBS" if adabs else ""
