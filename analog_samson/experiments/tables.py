"""The numbers of an experiment as tables, beside what the paper printed; spread and n stand with each."""

from collections.abc import Callable, Sequence

from analog_samson.experiments.coefficients import accuracy_coefficients, drop_coefficients, drop_points
from analog_samson.experiments.conditions import after, at_sigma, digital, noisy
from analog_samson.experiments.contrasts import seeds_of
from analog_samson.experiments.findings import fair_seeds, finding_blocks, judged
from analog_samson.experiments.plan import UNTRAINED
from analog_samson.experiments.results import CellResult, pool
from analog_samson.experiments.schema import Method, Printed, Setting
from analog_samson.experiments.shown import AccuracyTable, Correlation, SigmaCurves, StudyTable, TimeBars
from analog_samson.experiments.view import View, options_text, spread
from analog_samson.report.grid import Block, Grid
from analog_samson.report.statistics import Difference, paired_difference, points_interval, summarize
from analog_samson.report.wording import NONE, interval, signed

_METRICS = {"top1_percent": "top-1", "top5_percent": "top-5"}
_DIGITS = 2
GRADIENTS = "gradients a step"
STEP_TIME = "time of a step"
_Picker = Callable[[CellResult], Sequence[float]]


def result_blocks(view: View) -> list[Block]:
    """Tables, then notes; at least a note where nothing is finished."""
    blocks: list[Block] = [f"{view.experiment.name}, scale {view.scale_name}: {view.experiment.title}"]
    for setting in view.settings:
        blocks += setting_blocks(view, setting)
    return [*blocks, *tuning_grids(view), *view.notes()]


def setting_blocks(view: View, setting: Setting) -> list[Block]:
    """What is shown of one setting."""
    match view.experiment.shows:
        case AccuracyTable() as shows:
            return [_accuracy(view, shows, setting, metric) for metric in shows.metrics]
        case SigmaCurves() as shows:
            return [_sigma(view, setting, shows.adabs)]
        case TimeBars() as shows:
            return [_time(view, shows, setting)]
        case Correlation() as shows:
            return [_networks(view, shows, setting), drop_coefficients(view, shows, setting)]
        case StudyTable() as shows:
            tables = [_study(view, setting, adabs) for adabs in (False, True)]
            findings = finding_blocks(view, shows, setting)
            sharpness = accuracy_coefficients(view, shows, setting, judged(shows))
            return [*tables, *findings, *_price(view, shows, setting), *sharpness]
    return []


def tuning_grids(view: View) -> list[Grid]:
    """Candidates and choices of every setting where there are some."""
    grids = (_tuning(view, setting) for setting in view.networks.settings)
    return [grid for grid in grids if grid.rows]


def _accuracy(view: View, shows: AccuracyTable, setting: Setting, metric: str) -> Grid:
    found = {m.name: {r.cell.seed: r.clean[metric] for r in results} for m, results in view.rows(setting)}
    base = found.get(shows.baseline, {})
    trained = view.methods[shows.baseline].options.method != UNTRAINED
    rows = []
    for method, _ in view.rows(setting):
        values = found[method.name]
        difference = None if method.name == shows.baseline else _against(base, values, trained=trained)
        printed = view.paper(setting, method.name, metric)
        baseline = view.paper(setting, shows.baseline, metric)
        rows.append(
            (
                method.title,
                spread(summarize(list(values.values())), view.digits),
                str(len(values)),
                NONE if difference is None else signed(difference.mean, view.digits),
                NONE if difference is None else interval(*points_interval(difference), view.digits),
                *_beside(printed, baseline, view.digits),
            )
        )
    headers = ("method", "here", "n", "minus base", "95 % interval", "paper", "n", "minus base")
    beside = view.paper_title(setting)
    title = f"{setting.title}: test accuracy, {_METRICS[metric]} [%]; paper: {beside}"
    return Grid(title=title, headers=headers, rows=tuple(rows), align="lrrrrrrr")


def _against(base: dict[int, float], values: dict[int, float], *, trained: bool) -> Difference | None:
    """Paired over the seeds; a baseline that was not trained is one network for all of them."""
    if base and not trained:
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
    columns = [(f"{sigma:g}", at_sigma(sigma, adabs).pick) for sigma in sigmas]
    return _columns(view, setting, f"accuracy [%] over sigma_c{_adapted(adabs)}", columns)


def _time(view: View, shows: TimeBars, setting: Setting) -> Grid:
    columns: list[tuple[str, _Picker]] = [
        ("digital", CellResult.digital),
        (f"after {shows.time}", after(shows.time, shows.adabs).pick),
    ]
    preset = view.scale.evaluation.preset if view.scale.evaluation else ""
    return _columns(view, setting, f"accuracy [%] on {preset}{_adapted(shows.adabs)}", columns)


def _study(view: View, setting: Setting, adabs: bool) -> Grid:
    evaluation = view.scale.evaluation
    assert evaluation is not None
    columns = [(one.name, one.pick) for one in (digital(), *noisy(evaluation, adabs))]
    return _columns(view, setting, f"accuracy [%] on {evaluation.preset} and over sigma_c{_adapted(adabs)}", columns)


def _price(view: View, shows: StudyTable, setting: Setting) -> list[Grid]:
    """Accuracy where methods are compared beside the gradients of a training step, and beside its time if measured."""
    conditions, found = [digital(), *judged(shows)], priced(view, shows, setting)
    times = step_times(view, setting, found)
    rows = []
    for place, (method, results) in enumerate(found):
        values = [[one.pick(result) for result in results] for one in conditions]
        accuracies = (spread(pool(chips), _DIGITS) for chips in values)
        measured = () if times is None else (f"{times[place]:.2f}",)
        rows.append((method.title, f"{results[0].cell.gradients:g}", *measured, *accuracies, _count(values)))
    priced_by = (GRADIENTS,) if times is None else (GRADIENTS, STEP_TIME)
    headers = ("method", *priced_by, *(one.title for one in conditions), "n")
    title = f"{setting.title}: accuracy [%] over the price of the training"
    grid = Grid(title=title, headers=headers, rows=tuple(rows), align="l" + "r" * (len(headers) - 2) + "l")
    return [grid] if len(rows) > 1 else []


def step_times(view: View, setting: Setting, found: Sequence[tuple[Method, object]]) -> list[float] | None:
    """How long a training step of these methods takes, over one of the cheapest; None unless all were measured."""
    known = view.step_times.get(setting.name, {})
    times = [known[method.name] for method, _ in found if method.name in known]
    return times if len(times) == len(found) else None


def priced(view: View, shows: StudyTable, setting: Setting) -> list[tuple[Method, list[CellResult]]]:
    """The methods whose price is shown, the cheapest first, on the seeds that all of them have."""
    found = fair_seeds({m.name: results for m, results in view.rows(setting) if m.name in (shows.price or ())})
    rows = [(view.methods[name], results) for name, results in found.items()]
    return sorted(rows, key=lambda row: row[1][0].cell.gradients)


def _columns(view: View, setting: Setting, title: str, columns: Sequence[tuple[str, _Picker]]) -> Grid:
    """A row for each method, a column for each quantity; n counts trainings and chips."""
    rows = []
    for method, results in view.rows(setting):
        chips = [[pick(result) for result in results] for _, pick in columns]
        rows.append((method.title, *(spread(pool(values), _DIGITS) for values in chips), _count(chips)))
    headers = ("method", *(name for name, _ in columns), "n")
    align = "l" + "r" * len(columns) + "l"
    seeds = {tuple(seeds_of(results)) for _, results in view.rows(setting) if results[0].cell.training}
    told = "; rows of other seeds are on other chips: compare them in the differences below" if len(seeds) > 1 else ""
    return Grid(title=f"{setting.title}: {title}{told}", headers=headers, rows=tuple(rows), align=align)


def _count(chips: Sequence[Sequence[Sequence[float]]]) -> str:
    trainings, most = len(chips[0]), max(len(values) for column in chips for values in column)
    return f"{most} chips" if trainings == 1 else f"{trainings} trainings x {most} chips"


def _networks(view: View, shows: Correlation, setting: Setting) -> Grid:
    rows = []
    for method, results in view.rows(setting):
        for result in results:
            drop = summarize(drop_points(view, result, shows.adabs))
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
    return Grid(title=title, headers=headers, rows=tuple(rows), align="llrrl")


def _tuning(view: View, setting: Setting) -> Grid:
    """Every candidate of a setting with its score; the chosen one is marked."""
    titles = {method.name: method.title for method in view.networks.methods}
    rows = tuple(
        (titles[choice.method], options_text(options), f"{score:.2f}", "chosen" if options == choice.chosen else "")
        for choice in view.choices
        if choice.setting == setting.name and choice.method in titles
        for options, score in choice.candidates
    )
    title = f"{setting.title}: score [%] of each candidate on held-out training images"
    return Grid(title=title, headers=("method", "candidate", "score", ""), rows=rows, align="llrl")


def _adapted(adabs: bool) -> str:
    return ", with AdaBS" if adabs else ""
