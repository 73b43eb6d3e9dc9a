"""Checkpoints that a sweep trains itself: a TOML file with options of `train`, some of which may vary."""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo

from analog_samson.data import ImageSet
from analog_samson.data.samples import SAMPLES
from analog_samson.data.sources import SOURCES, absolute_data, data_path
from analog_samson.errors import OptionError, list_faults
from analog_samson.models.huggingface import HUGGING_FACE, absolute_huggingface
from analog_samson.models.own_code import MODEL_SCHEMES, code_fault, is_code
from analog_samson.models.zoo.search import PREFIX as ZOO
from analog_samson.results.links import refuse_links
from analog_samson.results.lock import LockedError, wait_until_free
from analog_samson.results.parts import read_part, write_part
from analog_samson.runtime.plain_values import parse_toml

if TYPE_CHECKING:
    from analog_samson.training.job import TrainJob
    from analog_samson.training.records import TrainProgress

CHECKPOINT = "checkpoint.safetensors"
VARIED = "training."  # before the name of an option that varies
TRAININGS = "trainings"  # their folder in the output folder
DONE_FILE = "trained.json"
MACHINE = ("device", "threads")  # which change no option of a training
CODE = {  # options that may name package.module:callable, and what precedes a colon in them otherwise
    "model": MODEL_SCHEMES,
    "distill_model": MODEL_SCHEMES,
    "data": (*SOURCES, *SAMPLES),
    "test_data": (*SOURCES, *SAMPLES),
    "task": (),
}
_TIMED_BATCHES = 5


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training that all simulations of its checkpoint share.

    Attributes:
        name: Of its network, and of its folder.
        folder: Where it is done.
        source: The file with its options.
        asked: The options that decide the network, as the file and the point of the sweep give them.
        options: All options of `train`, with absolute paths.
    """

    name: str
    source: Path
    folder: Path
    asked: Mapping[str, Any]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return f"training {self.name}"

    @property
    def checkpoint(self) -> Path:
        """The trained network."""
        return self.folder / CHECKPOINT

    def is_finished(self) -> bool:
        """Whether its checkpoint is there. Raises RunError where the folder holds a training with other options."""
        return read_part(self.folder / DONE_FILE, self.asked) is not None and self.checkpoint.is_file()

    def job(self) -> "TrainJob":
        """The options, checked as far as that needs no data. Raises OptionError."""
        from analog_samson.training.job import TrainJob

        try:
            job = TrainJob.from_text(self.options)
            _check_method(job)
            return job
        except OptionError as error:
            raise OptionError(f"{self}: {error}") from error

    def run(self) -> None:
        """Train or resume it, or wait for the process that does."""
        from analog_samson.training.job import prepare_training

        while not self.is_finished():
            try:
                result = prepare_training(self.job()).run(self.folder)
            except LockedError:
                wait_until_free(self.folder)
                continue
            values = {"epochs": len(result.history), **result.scores.values}
            write_part(self.folder / DONE_FILE, self.asked, values)

    def files(self) -> list[Path]:
        """The files and folders that it reads."""
        given = self.options
        found = [data_path(given[name]) for name in ("data", "test_data") if name in given]
        found += [Path(given[name]) for name in ("from_checkpoint", "distill") if _is_file(given.get(name))]
        return [path for path in found if path is not None]


def is_training_file(checkpoint: Path) -> bool:
    """Whether a checkpoint is to be trained first."""
    return checkpoint.suffix == ".toml"


def check_variation(named: Mapping[str, Path], files: Mapping[str, Path], points: Sequence[Mapping[str, str]]) -> None:
    """Raise OptionError where options of trainings vary and a checkpoint is not trained, or a name is taken.

    Args:
        named: Checkpoints by label.
        files: Those that are training files.
        points: What varies.
    """
    varied = list(dict.fromkeys(name for point in points for name in point if name.startswith(VARIED)))
    if varied and len(files) < len(named):
        given = ", ".join(str(path) for label, path in named.items() if label not in files)
        raise OptionError(f"{', '.join(varied)}: varies a training, but {given} is no training file (.toml)")
    if files and TRAININGS in named:
        raise OptionError(f"{TRAININGS}: is the folder of trainings; give another name to that checkpoint")


def plan_trainings(
    files: Mapping[str, Path],
    points: Sequence[Mapping[str, str]],
    out: Path,
    *,
    trusted: Collection[str],
    data: str,
    device: str,
) -> dict[str, Training]:
    """The trainings of every file at every point, by `training_name`; nothing is read but the files themselves.

    Args:
        files: Training files by the label of their network.
        points: What varies.
        out: The output folder of the sweep.
        trusted: Code (package.module:callable) that the files may name.
        data: Of those that name none.
        device: Of those that name none.

    Raises:
        OptionError: A file cannot be read, names other code, or options contradict each other.
        RunError: A symbolic link is in the way.
    """
    found: dict[str, Training] = {}
    for label, path in files.items():
        values = {"data": data, **_read(path, trusted)}
        for point in points:
            name = training_name(label, point)
            changes = {key.removeprefix(VARIED): value for key, value in point.items() if key.startswith(VARIED)}
            given = {**values, **changes}
            one = Training(
                name=name,
                folder=(out / TRAININGS / name).absolute(),
                source=path,
                asked={name: value for name, value in given.items() if name not in MACHINE},
                options={"device": device, **_absolute(given)},
            )
            if found.setdefault(name, one) != one:
                raise OptionError(f"{name}: two trainings have this name; choose values that differ beyond / and :")
    for one in found.values():
        one.job()  # contradictions are found now
    refuse_links(out.absolute(), [one.folder for one in found.values()])
    return found


def training_name(label: str, point: Mapping[str, str]) -> str:
    """The name of a network with those options of its training that vary.

    >>> training_name("samson", {"training.rho": "0.2", "read.scale": "0"})
    'samson-training.rho=0.2'
    """
    return folder_name(label, {name: value for name, value in point.items() if name.startswith(VARIED)})


def folder_name(label: str, options: Mapping[str, str]) -> str:
    """A label with options behind it, without what no folder can be called."""
    return re.sub(r"[/:]", "_", "-".join([label, *(f"{name}={value}" for name, value in options.items())]))


def _read(path: Path, trusted: Collection[str]) -> dict[str, Any]:
    """The options of `train` in a file."""
    from analog_samson.training.job import TrainJob

    try:
        values = parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"{path}: expected options of `train` as TOML, such as rho = 0.2 ({error})") from error
    try:
        TrainJob(**values)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error
    named = {name: str(values[name]) for name in CODE if name in values}
    faults = [
        code_fault(name, text) for name, text in named.items() if is_code(text, CODE[name]) and text not in trusted
    ]
    if faults:
        listed = list_faults(str(path), faults)
        raise OptionError(f"{listed}\n  if you trust that code, name it with --model, --data or --task too")
    return values


def variable_options() -> dict[str, FieldInfo]:
    """The options of `train` that may vary, by name: all but those of the machine and those that may name code."""
    from analog_samson.training.job import TrainJob

    return {name: field for name, field in TrainJob.model_fields.items() if name not in (*MACHINE, *CODE)}


def measure_training(training: Training, folder: Path) -> tuple[float, Path]:
    """About how long a training takes [s], from an epoch of a few batches, and the network after that epoch.

    Args:
        training: Is neither begun nor continued.
        folder: An empty folder for the few batches.

    Raises:
        AnalogSamsonError: What it needs is missing or does not fit together.
    """
    from analog_samson.training.job import prepare_training

    job, times = training.job(), list[float]()
    whole = prepare_training(job)
    batch = whole.options.batch_size
    limit = min(job.limit or _TIMED_BATCHES * batch, _TIMED_BATCHES * batch)

    def watch(now: "TrainProgress") -> None:
        times.append(perf_counter())
        if now.epoch > 1:  # the checkpoint of the first epoch is there
            raise _MeasuredError

    times.append(perf_counter())
    with suppress(_MeasuredError):
        prepare_training(job.replace(limit=limit)).run(folder, watch)
    steps = [later - earlier for earlier, later in pairwise(times)][1:-2] or [times[1] - times[0]]
    count = len(whole.train_set) if isinstance(whole.train_set, ImageSet) else len(whole.samples)
    return median(steps) * ceil(count / batch) * whole.options.epochs, folder / CHECKPOINT


def _check_method(job: "TrainJob") -> None:
    """Raise OptionError where training options contradict each other, before any data is read."""
    from analog_samson.training.options import TrainOptions
    from analog_samson.training.recipes import TRANSFORMER, recipe_for, with_recipe

    has_start, is_folder = job.from_checkpoint is not None, (job.model or "").startswith(HUGGING_FACE)
    recipe = TRANSFORMER if is_folder else recipe_for(job.data, fine_tuning=has_start)
    TrainOptions(seed=job.seed, **with_recipe(recipe, job.training()))


class _MeasuredError(Exception):
    """Ends a training of which enough has been seen."""


def _absolute(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options with absolute paths."""
    changed = {name: absolute_data(str(asked[name])) for name in ("data", "test_data") if name in asked}
    for name in ("from_checkpoint", "distill"):
        if _is_file(asked.get(name)):
            changed[name] = str(Path(asked[name]).expanduser().absolute())
    for name in ("model", "distill_model"):
        if str(asked.get(name, "")).startswith(HUGGING_FACE):
            changed[name] = absolute_huggingface(str(asked[name]))
    return {**asked, **changed}


def _is_file(checkpoint: object) -> bool:
    return isinstance(checkpoint, str) and not checkpoint.startswith(ZOO)
