"""An experiment as a list of independent cells: one training and its measurements each. Pure; nothing is read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from analog_samson.errors import OptionError, list_faults
from analog_samson.experiments.catalogue import Networks
from analog_samson.experiments.schema import (
    BorrowedChoice,
    GivenChoice,
    Method,
    PretrainedStart,
    Scale,
    Setting,
    TunedChoice,
    Tuning,
)

UNTRAINED, PRETRAINING = "none", "pretraining"
_WITHOUT_SELECTION = ("sgd", UNTRAINED)
# (setting, method) -> the options that tuning has chosen
Choices = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What is done differently from the file. only: run the cells that this names."""

    limit_epochs: int | None = None
    limit_images: int | None = None
    seeds: tuple[int, ...] | None = None
    instances: int | None = None
    only: str = ""
    network: str | None = None
    data: str | None = None

    def __post_init__(self) -> None:
        counts = {"limit_epochs": self.limit_epochs, "limit_images": self.limit_images, "instances": self.instances}
        faults = [f"{name}: expected at least 1, got {n}" for name, n in counts.items() if n is not None and n < 1]
        if self.seeds is not None and (not self.seeds or min(self.seeds) < 0 or len({*self.seeds}) < len(self.seeds)):
            faults.append(f"seeds: expected different whole numbers of 0 or above, got {list(self.seeds)}")
        if faults:
            raise OptionError(list_faults("reproduce", faults))

    def notes(self) -> list[str]:
        """What the reader of a result has to know: numbers made so are not those of the experiment."""
        given = {
            f"at most {self.limit_epochs} epochs a training": self.limit_epochs,
            f"the first {self.limit_images} images of each set only": self.limit_images,
            f"{self.instances} simulated chips": self.instances,
            f"network {self.network} in place of each": self.network,
            f"data {self.data} in place of each": self.data,
        }
        return [text for text, value in given.items() if value is not None]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training with its measurements. training: fields of TrainOptions but the seed; empty if nothing is trained.

    folder: where it lies below --out. chosen: the hyper-parameters among `training` that belong to this method.
    start: None for fresh weights, the folder of another cell, or the name of a file. distill: from that start.
    sample: the first training images that are used, None is all. holdout: share of them to test on instead of the
    test set, for tuning; scored: so many of those decide between candidates, None is all.
    """

    folder: str
    setting: Setting
    method: str
    seed: int
    network: str
    data: str
    training: Mapping[str, Any]
    passes: int  # with a climb in every step and on the whole batch
    chosen: Mapping[str, Any] = field(default_factory=dict)
    start_cell: str | None = None
    start_file: str | None = None
    distill: bool = False
    sample: int | None = None
    holdout: float | None = None
    scored: int | None = None

    @property
    def gradients(self) -> float:
        """Gradients a step: a climb that several steps share, or on a part of the batch, costs that part of one."""
        if self.passes < 2:
            return self.passes
        return 1 + self.training.get("ascent_fraction", 1) / self.training.get("ascent_every", 1)

    def is_named(self, only: str) -> bool:
        """Whether one of the texts between the commas is part of its folder, or of `SETTING/METHOD/`."""
        names = (self.folder, f"{self.setting.name}/{self.method}/")
        return any(text in name for text in only.split(",") for name in names)


def plan_cells(networks: Networks, scale: Scale, overrides: Overrides, choices: Choices) -> list[Cell]:
    """The final trainings: every setting and method of the scale with each seed, pretrainings first.

    Methods that are tuned and have no choice yet are left out.
    """
    cells = list(plan_pretrainings(networks, scale, overrides))
    for setting, method in pairs(networks, scale):
        chosen = _chosen(networks, setting, method, choices)
        if chosen is None:
            continue
        seeds = planned_seeds(setting, method, scale, overrides)
        cells += [_cell(setting, method, chosen, seed, overrides) for seed in seeds]
    return cells


def plan_candidates(networks: Networks, scale: Scale, overrides: Overrides) -> list[Cell]:
    """The trainings of the tuning stage: the grid of every method in the settings that are tuned."""
    tuning = networks.own.tuning
    if tuning is None:
        return []
    sources = {(_choosing(networks, s).name, m.name): (_choosing(networks, s), m) for s, m in pairs(networks, scale)}
    return [
        _candidate(setting, setting.chosen, method, chosen, tuning, overrides)
        for setting, method in sources.values()
        if isinstance(setting.chosen, TunedChoice) and method.grid
        for chosen in candidates(method)
    ]


def count_planned(networks: Networks, scale: Scale, overrides: Overrides) -> int:
    """How many networks a scale shows, tuned or not."""
    return sum(len(planned_seeds(setting, method, scale, overrides)) for setting, method in pairs(networks, scale))


def plan_pretrainings(networks: Networks, scale: Scale, overrides: Overrides) -> Iterator[Cell]:
    """The networks that settings of the scale begin with, trained once with the first seed."""
    for setting in networks.settings:
        if setting.name in scale.settings and isinstance(setting.start, PretrainedStart):
            yield Cell(
                folder=_pretraining_folder(setting),
                setting=setting,
                method=PRETRAINING,
                seed=0,
                network=overrides.network or setting.network,
                data=overrides.data or setting.data,
                training=_limited(setting.start.training.given() | {"method": "sgd"}, overrides),
                passes=1,
            )


def candidates(method: Method) -> list[dict[str, Any]]:
    """Every combination of a method's grid; one empty choice for a method without."""
    return [dict(zip(method.grid, values, strict=True)) for values in product(*method.grid.values())]


def pairs(networks: Networks, scale: Scale) -> list[tuple[Setting, Method]]:
    """What a scale trains, in the order of the file; an experiment that shares networks names its own methods."""
    settings = [setting for setting in networks.settings if setting.name in scale.settings]
    usual = [method.name for method in networks.methods] if networks.shared else scale.methods
    return [
        (setting, method)
        for setting in settings
        for method in networks.methods
        if method.name in (setting.methods or usual)
        if method.options.method != UNTRAINED or setting.start.model != "random"  # fresh weights are no result
    ]


def label(chosen: Mapping[str, Any]) -> str:
    """Hyper-parameters as part of a folder's name.

    >>> label({"rho": 0.5, "clip": 0.2})
    '_rho0.5_clip0.2'
    """
    return "".join(f"_{name}{value if isinstance(value, str) else f'{value:g}'}" for name, value in chosen.items())


def planned_seeds(setting: Setting, method: Method, scale: Scale, overrides: Overrides) -> tuple[int, ...]:
    """Of the trainings of a method; without training it is one network, whatever the seed."""
    seeds = tuple(range(setting.seeds or scale.seeds)) if overrides.seeds is None else overrides.seeds
    return seeds[:1] if method.options.method == UNTRAINED else seeds


def _candidate(
    setting: Setting,
    tuned: TunedChoice,
    method: Method,
    chosen: Mapping[str, Any],
    tuning: Tuning,
    overrides: Overrides,
) -> Cell:
    """A training on all but the held-out images, as long as the setting's choice says."""
    cell = _cell(setting, method, chosen, tuning.seed, overrides, holdout=tuning.holdout)
    length = {} if tuned.epochs is None else {"epochs": min(tuned.epochs, cell.training["epochs"])}
    return replace(cell, training={**cell.training, **length}, sample=tuned.sample, scored=tuned.images)


def _cell(
    setting: Setting,
    method: Method,
    chosen: Mapping[str, Any],
    seed: int,
    overrides: Overrides,
    holdout: float | None = None,
) -> Cell:
    stage = f"{setting.name}/tune" if holdout else setting.name
    start = setting.start
    return Cell(
        folder=f"{stage}/{method.name}{label(chosen)}/seed{seed}",
        setting=setting,
        method=method.name,
        seed=seed,
        network=overrides.network or setting.network,
        data=overrides.data or setting.data,
        training=_training(setting, method, chosen, overrides),
        passes=method.passes,
        chosen=chosen,
        start_cell=_pretraining_folder(setting) if start.model == "pretraining" else None,
        start_file=start.file if start.model == "checkpoint" else None,
        distill=_all_options(setting, method, chosen).get("teacher") is not None,
        holdout=holdout,
    )


def _training(setting: Setting, method: Method, chosen: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    if method.options.method == UNTRAINED:
        return {}
    options = _all_options(setting, method, chosen)
    options.pop("teacher", None)
    if options["method"] not in _WITHOUT_SELECTION:
        options = {"selection": setting.selection} | options
    return _limited(options, overrides)


def _all_options(setting: Setting, method: Method, chosen: Mapping[str, Any]) -> dict[str, Any]:
    return setting.training.given() | method.options.given() | dict(chosen)


def _limited(options: dict[str, Any], overrides: Overrides) -> dict[str, Any]:
    if overrides.limit_epochs is None:
        return options
    return options | {"epochs": min(options["epochs"], overrides.limit_epochs)}


def _chosen(networks: Networks, setting: Setting, method: Method, choices: Choices) -> Mapping[str, Any] | None:
    """The hyper-parameters of a method in a setting; None where they are still to be tuned."""
    source = _choosing(networks, setting)
    name = method.like or method.name
    if isinstance(source.chosen, GivenChoice):
        table = source.chosen.options.get(name)
        return {} if table is None else table.given()
    return choices.get((source.name, name)) if method.grid or method.like else {}


def _choosing(networks: Networks, setting: Setting) -> Setting:
    """The setting whose choices hold: the setting itself, or the one that it borrows from."""
    if isinstance(setting.chosen, BorrowedChoice):
        return next(one for one in networks.own.settings if one.name == setting.chosen.setting)
    return setting


def _pretraining_folder(setting: Setting) -> str:
    return f"{setting.name}/pretraining/seed0"
