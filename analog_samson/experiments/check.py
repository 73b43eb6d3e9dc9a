"""Checks between the parts of an experiment file that the schema alone cannot see."""

from collections import Counter
from collections.abc import Iterable, Iterator

from analog_samson.errors import did_you_mean
from analog_samson.experiments.schema import (
    BorrowedChoice,
    Experiment,
    GivenChoice,
    Method,
    OwnNetworks,
    Scale,
    Setting,
    TrainingTable,
    TunedChoice,
)
from analog_samson.experiments.shown import AccuracyTable, ConditionTables, WorstCase

_LENGTH = ("epochs", "batch_size")


def cross_faults(experiment: Experiment) -> list[str]:
    """Names that nothing bears, names borne twice, and tables that lack what others need."""
    faults = list(_kind_faults(experiment))
    if isinstance(experiment.networks, OwnNetworks):
        faults += _own_faults(experiment, experiment.networks)
    if (experiment.source.numbers == "printed") != bool(experiment.printed):
        faults.append("printed: expected numbers exactly where source.numbers is 'printed'")
    return faults


def _kind_faults(experiment: Experiment) -> Iterator[str]:
    analytic = isinstance(experiment.shows, WorstCase)
    if analytic != (experiment.networks.model == "none"):
        yield "networks.model: expected 'none' exactly where shows.model is 'worst_case'"


def _own_faults(experiment: Experiment, own: OwnNetworks) -> Iterator[str]:
    settings = {setting.name: setting for setting in own.settings}
    methods = [method.name for method in own.methods]
    yield from _twice("networks.settings", [setting.name for setting in own.settings])
    yield from _twice("networks.methods", methods)
    for place, method in enumerate(own.methods):
        if method.options.method is None:
            yield f"networks.methods[{place}].options.method: missing; expected how {method.name} trains, such as 'sgd'"
        yield from _unknown(f"networks.methods[{place}].grid", method.grid, TrainingTable.model_fields)
        yield from _like_faults(f"networks.methods[{place}].like", method, own)
    for place, setting in enumerate(own.settings):
        yield from _setting_faults(f"networks.settings[{place}]", setting, own, settings, methods)
    for name, scale in own.scales.items():
        yield from _scale_faults(f"networks.scales.{name}", scale, settings, methods, experiment)
    for place, number in enumerate(experiment.printed):
        yield from _unknown(f"printed[{place}].setting", [number.setting], settings)
        yield from _unknown(f"printed[{place}].method", [number.method], methods)
    if isinstance(experiment.shows, AccuracyTable):
        yield from _unknown("shows.baseline", [experiment.shows.baseline], methods)
    if isinstance(experiment.shows, ConditionTables):
        yield from _twice("shows.measures", [measure.title for measure in experiment.shows.measures])


def _like_faults(where: str, method: Method, own: OwnNetworks) -> Iterator[str]:
    if method.like is None:
        return
    yield from _unknown(where, [method.like], [other.name for other in own.methods if other.grid])
    if method.grid:
        yield f"{where}: {method.name} has a grid of its own; expected one or the other"
    tuned = {f"scales.{name}": scale.methods for name, scale in own.scales.items()} | {
        f"settings[{place}]": setting.methods
        for place, setting in enumerate(own.settings)
        if setting.methods is not None and isinstance(setting.chosen, TunedChoice)
    }
    for name, methods in tuned.items():
        if method.name in methods and method.like not in methods:
            yield f"{where}: {method.like!r} is not among the methods of networks.{name}, which tunes it"


def _setting_faults(
    where: str, setting: Setting, own: OwnNetworks, settings: dict[str, Setting], methods: list[str]
) -> Iterator[str]:
    missing = [name for name in _LENGTH if getattr(setting.training, name) is None]
    yield from (f"{where}.training.{name}: missing; a setting states its own" for name in missing)
    yield from _unknown(f"{where}.methods", setting.methods or (), methods)
    if setting.start.model == "random":
        tables = {f"{where}.training": setting.training} | {
            f"networks.methods[{place}].options": method.options
            for place, method in enumerate(own.methods)
            if method.name in (setting.methods or methods)
        }
        yield from (
            f"{at}.teacher: {setting.name} begins with fresh weights, which teach nothing"
            for at, table in tables.items()
            if table.teacher is not None
        )
    if setting.beside is not None:
        yield from _unknown(f"{where}.beside", [setting.beside], settings)
    match setting.chosen:
        case GivenChoice(options=options):
            yield from _unknown(f"{where}.chosen.options", options, methods)
        case BorrowedChoice(setting=other):
            yield from _unknown(f"{where}.chosen.setting", [other], settings)
            if other in settings and isinstance(settings[other].chosen, BorrowedChoice):
                yield f"{where}.chosen.setting: {other!r} borrows its own choices; expected one that has them"
        case TunedChoice() if own.tuning is None:
            yield f"{where}.chosen: 'tuned' needs a table networks.tuning"


def _scale_faults(
    where: str, scale: Scale, settings: dict[str, Setting], methods: list[str], experiment: Experiment
) -> Iterator[str]:
    yield from _unknown(f"{where}.settings", scale.settings, settings)
    yield from _unknown(f"{where}.methods", scale.methods, methods)
    shows, evaluation = experiment.shows, scale.evaluation
    if evaluation is None and not isinstance(shows, AccuracyTable):
        yield f"{where}.evaluation: missing; shows.model {shows.model!r} needs it"


def _twice(where: str, names: list[str]) -> Iterator[str]:
    yield from (f"{where}: the name {name!r} stands there twice" for name, n in Counter(names).items() if n > 1)


def _unknown(where: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    known = list(known)
    for name in names:
        if name not in known:
            yield f"{where}: unknown name {name!r}{did_you_mean(name, known) or '; known: ' + ', '.join(known)}"
