"""Several simulations: networks by presets, points and seeds, each in a run folder of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, overload

from analog_samson.errors import OptionError, PresetError, list_faults
from analog_samson.models.huggingface import HUGGING_FACE, parse_huggingface
from analog_samson.models.weight_sources import split_copy
from analog_samson.models.zoo.search import checkpoint_path
from analog_samson.presets.changes import join_changes, split_changes, with_changes
from analog_samson.presets.search import load_preset
from analog_samson.results.links import refuse_links
from analog_samson.simulation.many_options import ManyOptions
from analog_samson.simulation.options import ErrorBudgetOptions, SimulateOptions
from analog_samson.simulation.paths import absolute_paths
from analog_samson.simulation.points import Point, split_point
from analog_samson.simulation.training_files import (
    Training,
    check_variation,
    folder_name,
    is_training_file,
    plan_trainings,
    training_name,
)

if TYPE_CHECKING:
    from analog_samson.simulation.drift import Progress


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """One of several simulations, and the run folder that it fills.

    Attributes:
        options: What is simulated.
        folder: Its run folder.
        budget: What its error budget is evaluated on; None for no error budget.
        point: What is varied there, see `points.plan_points`.
        training: That makes its checkpoint; None where that is given.
    """

    options: SimulateOptions
    folder: Path
    budget: ErrorBudgetOptions | None = None
    point: Point = field(default_factory=dict)
    training: Training | None = None

    def __str__(self) -> str:
        return str(self.folder)

    def run(self, *, command: str, progress: "Progress" = lambda text: None) -> None:
        """Simulate or resume it, its error budget included."""
        from analog_samson.simulation.error_budget import open_error_budget
        from analog_samson.simulation.run import run_simulation

        run_simulation(self.options, self.folder, command=command, progress=progress).close()
        if self.budget is not None:
            with open_error_budget(self.options, self.folder, self.budget) as budget:
                budget.finish(progress)


class Jobs(Sequence[SweepJob]):
    """The simulations of a sweep. Each is made on access, because there may be a million.

    Networks come first, then presets and points, then seeds.
    """

    def __init__(
        self, options: ManyOptions, out: Path, series: Sequence["Series"], places: Sequence[int] | None = None
    ) -> None:
        self.out, self.series = out, series
        self._options, self._seeds = options, list(options.seed_folders.items())
        self._places = range(len(series) * len(self._seeds)) if places is None else places
        self._latest: tuple[int, SimulateOptions, Path] | None = None

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> SweepJob: ...
    @overload
    def __getitem__(self, place: slice) -> "Jobs": ...
    def __getitem__(self, place: int | slice) -> "SweepJob | Jobs":
        if isinstance(place, slice):
            return Jobs(self._options, self.out, self.series, self._places[place])
        number, seed_place = divmod(self._places[place], len(self._seeds))
        one, (seed, seed_folder) = self.series[number], self._seeds[seed_place]
        if self._latest is None or self._latest[0] != number:  # seeds of one series follow each other
            self._latest = number, one.options(self._options), self.out / one.label / one.preset_name
        _, options, folder = self._latest
        return SweepJob(
            options=options.model_copy(update={"seed": seed}),
            folder=folder / seed_folder,
            budget=self._options.budget,
            point=one.point,
            training=one.training,
        )

    @property
    def trainings(self) -> list[Training]:
        """The trainings that make their checkpoints, each once."""
        if not any(one.training for one in self.series):
            return []
        used = dict.fromkeys(place // len(self._seeds) for place in self._places)
        found = {one.training.name: one.training for one in map(self.series.__getitem__, used) if one.training}
        return list(found.values())

    def at(self, places: Sequence[int]) -> "Jobs":
        """Some of them, by their places."""
        return Jobs(self._options, self.out, self.series, [self._places[place] for place in places])

    def below(self, out: Path) -> "Jobs":
        """The same simulations in a folder inside the output folder. Raises RunError for a symbolic link there."""
        refuse_links(self.out, [out])
        inside = Jobs(self._options, out, self.series, self._places)
        inside.refuse_links()
        return inside

    def refuse_links(self) -> None:
        """Raise RunError where a symbolic link leads to a run folder."""
        if self.out.is_dir():
            for job in self:
                refuse_links(self.out, [job.folder])


@dataclass(frozen=True, kw_only=True)
class Series:
    """What the seeds of one network on one preset share.

    Attributes:
        label: Of the network, with what the point changes among the options.
        checkpoint, model: As `SimulateOptions` takes them.
        preset: Text of the preset, with what the point changes.
        preset_name: Its name.
        point: What is varied, as `points.plan_points` gives it.
        training: As in `SweepJob`.
    """

    label: str
    checkpoint: str
    model: str | None
    preset: str
    preset_name: str
    point: Point
    training: Training | None = None

    def options(self, options: ManyOptions) -> SimulateOptions:
        """The options of its simulations, with the first seed and absolute paths. Raises OptionError."""
        named = {"checkpoint": self.checkpoint, "model": self.model, "label": self.label, "preset": self.preset}
        one = options.of_one(**named, seed=next(iter(options.seed_folders)))
        changed = split_point(self.point)[1]
        if changed:
            one = SimulateOptions.from_text(changed, dict(one))
        return one.replace(**absolute_paths(dict(one)))


def plan_jobs(options: ManyOptions, out: Path) -> Jobs:
    """Every checkpoint on every preset at every point with every seed, each in OUT/LABEL/PRESET, or a folder in that.

    Paths among the options become absolute: other processes may run in other folders.

    Raises:
        OptionError: For a checkpoint that is not there, a value that is wrong, or anything named twice.
        PresetError: For a preset that cannot be read, or values that no preset can have.
        RunError: For a symbolic link below `out`.
    """
    named = named_checkpoints(options.checkpoints, options.label)
    faults = [f"{label}: no file {path}" for label, path in named.items() if not _is_there(path)]
    names = [load_preset(preset).name for preset in options.preset]
    faults += [f"preset {name!r}: named twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if faults:
        raise OptionError(list_faults(options.NAME, faults))
    models = options.model * len(named) if len(options.model) == 1 else options.model or (None,) * len(named)
    hardware = _varied_presets(options)
    files = {label: path for label, path in named.items() if options.TRAINS and is_training_file(path)}
    points = [point for _, _, point in hardware]
    check_variation(named, files, points)
    trusted = [*options.model, options.data, options.calibration_data or "", options.task or ""]
    trained = plan_trainings(files, points, out, trusted=trusted, data=options.data, device=options.device)
    series = []
    for (label, path), model in zip(named.items(), models, strict=True):
        for text, name, point in hardware:
            training = trained.get(training_name(label, point))
            series.append(
                Series(
                    label=_varied_label(label, point),
                    checkpoint=str(path if training is None else training.checkpoint),
                    model=model,
                    preset=text,
                    preset_name=name,
                    point=point,
                    training=training,
                )
            )
    jobs = Jobs(options, out, series)
    for one in series[: len(hardware)]:  # what is wrong at a point is wrong for every network
        one.options(options)
    jobs.refuse_links()
    return jobs


def _varied_presets(options: ManyOptions) -> list[tuple[str, str, Point]]:
    """Text and name of the preset at every point; OptionError with every value that no preset can have."""
    found, faults = [], []
    for text in options.preset:
        name, own = split_changes(text)
        preset = load_preset(name)
        for point in options.points:
            changes = {**own, **split_point(point)[0]}
            try:
                changed = with_changes(preset, changes) if changes else preset
                found.append((join_changes(name, changes), changed.name, point))
            except (OptionError, PresetError) as error:
                faults += [line.strip() for line in str(error).splitlines()[-1:]]
    if faults:
        raise OptionError(list_faults(f"{options.NAME}: values that no preset can have", list(dict.fromkeys(faults))))
    return found


def _varied_label(label: str, point: Point) -> str:
    """The label of a network with its own options; it names a folder too."""
    options = {name: value for name, value in point.items() if "." not in name}
    return folder_name(training_name(label, point), options)


def _is_there(path: Path) -> bool:
    if str(path).startswith(HUGGING_FACE):
        return parse_huggingface(str(path)).folder is not None
    return checkpoint_path(split_copy(str(path))[0]).exists()


def count_cells(options: SimulateOptions) -> int:
    """How many evaluations a run takes, for a progress bar."""
    methods, at = len({*options.calibrate}), options.calibrate_at
    later = 0 if at is None else methods * sum(time > at for time in {*options.times})
    noisy = sum(options.instances if sigma > 0 else 1 for sigma in options.sigmas)
    return (1 + methods) * (options.instances * len({*options.times}) + noisy) + options.instances * later


def count_evaluations(jobs: Sequence[SweepJob]) -> int:
    """How many evaluations the simulations take, without their error budgets."""
    return sum(count_cells(job.options) for job in jobs)


def named_checkpoints(texts: Sequence[str], labels: Sequence[str] = ()) -> dict[str, Path]:
    """Checkpoints by label; `NAME=FILE` names one, else it takes the name of its file, or of its folder.

    Args:
        texts: FILE, zoo:NAME or NAME=FILE.
        labels: The names, in place of all that `texts` say; empty where these decide.

    >>> named_checkpoints(["runs/sgd/checkpoint.safetensors", "best=a.pt"])
    {'sgd': PosixPath('runs/sgd/checkpoint.safetensors'), 'best': PosixPath('a.pt')}
    """
    found: dict[str, Path] = {}
    for text in [f"{label}={text}" for label, text in zip(labels, texts, strict=True)] if labels else texts:
        name, equals, rest = text.partition("=")
        path = Path(rest if equals else text).expanduser()
        name = name if equals else _label(path)
        if name in found:
            raise OptionError(f"checkpoints {found[name]} and {path}: both are called {name}; give NAME=FILE for one")
        if not name or {*"/\\"} & {*name} or name in (".", ".."):
            raise OptionError(f"checkpoint {text!r}: {name!r} cannot be the name of a folder; give NAME=FILE")
        found[name] = path
    return found


def _label(named: Path) -> str:
    """The folder's name for a file called checkpoint, or also for its folder called training, else the file's."""
    text, copy = split_copy(str(named).removeprefix(HUGGING_FACE))
    path, end = checkpoint_path(text), "" if copy is None else f"-{copy}"
    if path.stem != "checkpoint":
        return path.stem + end
    parents = [parent for parent in path.parent.parts if parent not in ("training", "..", ".", path.anchor)]
    return (parents[-1] if parents else path.stem) + end
