"""A training as the command line asks for it: names of model, data and files in, a network ready to be trained out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analog_samson import rng
from analog_samson.data import ImageSet, choose_normalization, open_data
from analog_samson.data.held_out import hold_out
from analog_samson.errors import OptionError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import Checkpoint, load_checkpoint, load_into
from analog_samson.models.restore import restore_model, stated_model
from analog_samson.presets.search import load_preset
from analog_samson.runtime.devices import bfloat16_notes, find_device
from analog_samson.runtime.state_check import check_storable
from analog_samson.sharpness.methods import worst_case_methods
from analog_samson.training.distill import Teacher, with_distillation
from analog_samson.training.distributed import ALONE, World
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions, parse_ratio
from analog_samson.training.recipes import recipe_for, with_recipe
from analog_samson.training.records import Progress, TrainResult
from analog_samson.units import parse_duration

HOLDOUT = 0.1


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """What is asked for. options: fields of TrainOptions that were given; the recipe of the data fills in the rest.

    Options may be texts as the command line takes them: noise "0.94/25", noise_preset by name or file, noise_time "1d".
    distill: the checkpoint of a teacher; distill_model: its network, where the file does not say (None: the student's).
    holdout: the share of the training images to test on, in place of test data. limit: the first training images
    only. threads: of the CPU, None leaves torch's own choice, or divides the cores among several processes.
    """

    data: str
    seed: int
    model: str | None = None
    test_data: str | None = None
    holdout: float | None = None
    limit: int | None = None
    from_checkpoint: Path | None = None
    distill: Path | None = None
    distill_model: str | None = None
    normalization: str | None = None
    device: str = "cpu"
    threads: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.holdout is not None and self.test_data is not None:
            raise OptionError("holdout and test_data: both say what to test on; give one of them")
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise OptionError(f"holdout: expected a share of the images between 0 and 1, got {self.holdout!r}")
        if self.distill_model is not None and self.distill is None:
            raise OptionError("distill_model: has no effect without distill, the checkpoint of the teacher")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads: expected at least 1, got {self.threads}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedTraining:
    """Everything loaded and checked, nothing written. notes: lines that say what was decided for the user."""

    model: nn.Module
    train_set: ImageSet
    test_set: ImageSet
    options: TrainOptions
    metadata: Mapping[str, Any]
    notes: tuple[str, ...]
    teacher: Teacher | None = None
    world: World = ALONE

    def run(self, out: Path, progress: Progress | None = None) -> TrainResult:
        return fit(
            self.model,
            self.train_set,
            self.test_set,
            self.options,
            folder=out,
            metadata=self.metadata,
            progress=progress,
            teacher=self.teacher,
            world=self.world,
        )


def prepare_training(job: TrainJob, world: World = ALONE) -> PreparedTraining:
    """Load what the job names. Initial weights are drawn from the job's seed. Raises AnalogSamsonError.

    Sets the number of CPU threads, and the present GPU of a process among several.
    """
    device = _device(job, world)
    threads = job.threads or world.threads()
    if threads is not None:
        torch.set_num_threads(threads)
    start = None if job.from_checkpoint is None else load_checkpoint(job.from_checkpoint)
    name = _model_name(job, start)
    train_set, test_set, parts, held_out = _sets(job)
    normalization, origin = choose_normalization(
        text=job.normalization,
        metadata=None if start is None else start.metadata,
        model_name=name,
        data_spec=job.data,
        channels=train_set.channels,
    )
    recipe = recipe_for(train_set, fine_tuning=start is not None)
    given = with_recipe(recipe, read_texts(job.options))
    options = TrainOptions(seed=job.seed, normalization=normalization, **given)
    teacher, taught = _teacher(job, name, train_set)
    notes = (parts, f"normalization {normalization} ({origin})", f"recipe: {recipe.name}", *_processes(options, world))
    notes = (*notes, *bfloat16_notes(options.bf16, device))
    return PreparedTraining(
        model=_model(name, train_set, start, job.seed).to(device),
        train_set=train_set,
        test_set=test_set,
        options=with_distillation(options, teacher),
        metadata=_metadata(name, start) | taught | held_out,
        notes=notes if teacher is None else (*notes, _teacher_note(taught["distilled_from"], teacher)),
        teacher=teacher,
        world=world,
    )


def read_texts(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with texts of the command line turned into what TrainOptions takes; others stay.

    >>> read_texts({"noise": "1/25", "noise_time": "1h", "clip": 0.2})
    {'noise': 0.04, 'noise_time': 3600.0, 'clip': 0.2}
    """
    readers: dict[str, Callable[[str], Any]] = {
        "noise": parse_ratio,
        "noise_time": parse_duration,
        "noise_preset": load_preset,
    }
    return {
        name: readers[name](value) if name in readers and isinstance(value, str) else value
        for name, value in options.items()
    }


def _device(job: TrainJob, world: World) -> torch.device:
    """What the job names; of GPUs, each process takes one of its own."""
    device = find_device(job.device)
    if world.size == 1 or device.type == "cpu":
        return device
    count = torch.cuda.device_count()
    if device.index is not None:
        raise OptionError(f"device {job.device!r}: each of {world.size} processes takes its own GPU; give cuda")
    if world.local_size > count:
        raise OptionError(f"device {job.device!r}: {world.local_size} processes, {count} GPUs; start one for each GPU")
    torch.cuda.set_device(world.local_rank)
    return torch.device("cuda", world.local_rank)


def _processes(options: TrainOptions, world: World) -> tuple[str, ...]:
    """A line that says how several processes share the work; none for a process alone."""
    if world.size == 1:
        return ()
    threads, climb = torch.get_num_threads(), ""
    if options.method in worst_case_methods():
        climb = ", each climbs by the whole batch" if options.ascent_sync else ", each climbs by its own images"
    return (
        f"{world.size} processes of {threads} CPU thread{'s' * (threads > 1)}: {options.batch_size} images a step in "
        f"{world.size} parts{climb}",
    )


def _model_name(job: TrainJob, start: Checkpoint | None) -> str:
    name = job.model or (start and stated_model(start))
    if not name:
        raise OptionError("model: name the network to train, for example --model resnet20")
    return name


def _model(name: str, train_set: ImageSet, start: Checkpoint | None, seed: int) -> nn.Module:
    with rng.stream(seed, "initial weights"):
        model = build_model(name, num_classes=train_set.num_classes, in_channels=train_set.channels)
    check_storable(model)
    if start is not None:
        load_into(model, start)
    return model


def _teacher(job: TrainJob, student: str, train_set: ImageSet) -> tuple[Teacher | None, dict[str, Any]]:
    """The network to distill from, and what the checkpoint tells of it."""
    if job.distill is None:
        return None, {}
    checkpoint = load_checkpoint(job.distill)
    known = checkpoint.metadata.get("model") == student  # which the user named, or which is no code
    name = job.distill_model or (student if known else stated_model(checkpoint, "--distill-model")) or student
    normalization, _ = choose_normalization(
        metadata=checkpoint.metadata, model_name=name, data_spec=job.data, channels=train_set.channels
    )
    teacher = Teacher(
        model=restore_model(checkpoint, name, num_classes=train_set.num_classes, in_channels=train_set.channels),
        normalization=normalization,
    )
    return teacher, {"distilled_from": {"model": name, "file": checkpoint.path.name, "sha256": checkpoint.sha256}}


def _teacher_note(source: Mapping[str, str], teacher: Teacher) -> str:
    return f"teacher: {source['model']} of {source['file']}, normalization {teacher.normalization}"


def _sets(job: TrainJob) -> tuple[ImageSet, ImageSet, str, dict[str, Any]]:
    """Training and test images, a line that says where the latter come from, and how to divide the data so again."""
    train = open_data(job.data, "train", limit=job.limit)
    if job.test_data is not None:
        return train, open_data(job.test_data, "test"), f"tested on {job.test_data}", {}
    if job.holdout is None:
        test = open_data(job.data, "test")
        if test.take(len(train)).fingerprint != train.fingerprint:
            return train, test, f"tested on the test part of {job.data}", {}
    share = HOLDOUT if job.holdout is None else job.holdout
    test, rest = hold_out(train, share)
    note = f"tested on {len(test)} images held out of {job.data} ({share:.0%})"
    return rest, test, note, {"held_out": {"share": share, "images": len(train)}}


def _metadata(name: str, start: Checkpoint | None) -> dict[str, Any]:
    if start is None:
        return {"model": name}
    return {"model": name, "started_from": {"file": start.path.name, "sha256": start.sha256}}
