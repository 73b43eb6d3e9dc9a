"""A training as the command line asks for it: names of model, data and files in, a network ready to be trained out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from analog_samson import rng
from analog_samson.data import ImageSet, choose_normalization, open_data
from analog_samson.data.chosen_task import choose_task
from analog_samson.data.feeding import Data, SampleBatches
from analog_samson.data.held_out import hold_out
from analog_samson.data.normalization import warn_of_normalization
from analog_samson.errors import OptionError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import Checkpoint, load_checkpoint, load_into
from analog_samson.models.huggingface import HUGGING_FACE
from analog_samson.models.restore import restore_model, stated_model
from analog_samson.options import Shown, Written
from analog_samson.runtime.devices import bfloat16_notes
from analog_samson.runtime.state_check import check_storable
from analog_samson.sharpness.perturbations import WorstCase
from analog_samson.tasks.task import Task
from analog_samson.training.distill import Teacher, with_distillation
from analog_samson.training.distributed import SINGLE_PROCESS, DistributedContext
from analog_samson.training.fit import fit
from analog_samson.training.method_options import TrainMethod
from analog_samson.training.options import COMPUTING, DISTILLATION, TrainOptions, TrainSeed
from analog_samson.training.recipes import FINE_TUNING, FROM_SCRATCH, TRANSFORMER, recipe_for, with_recipe
from analog_samson.training.records import Progress, TrainResult
from analog_samson.training.sample_job import open_inputs, trains_on_samples

HOLDOUT = 0.1
DATA = "Network and data"


class TrainJob(TrainOptions):
    """The options of `analog-samson train`: those of the training, and the names of model, data, files and machine.

    The recipe of the data fills in training options that are not given.
    """

    NAME = "train"

    data: Annotated[
        str,
        Field(
            description="digits, cifar10:DIR, cifar100:DIR, folder:DIR, shards:DIR, npz:FILE, text:FILE, pairs:FILE, "
            "audio:DIR, segmentation:DIR or module:callable."
        ),
        Shown(panel=DATA),
    ] = "digits"
    model: Annotated[
        str | None,
        Field(description="NAME, torchvision:NAME, timm:NAME, module:callable, or hf:DIR with its weights."),
        Shown(panel=DATA, default="the checkpoint's"),
    ] = None
    task: Annotated[
        str | None,
        Field(description="What is learnt: classification, regression, ... or package.module:callable."),
        Shown(panel=DATA, default="what network and data are made for, else classification"),
    ] = None
    test_data: Annotated[
        str | None,
        Field(description="Test data, named as --data."),
        Shown(panel=DATA, default="the test part of --data"),
    ] = None
    holdout: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Share of the training samples to test on, in the place of test data."),
        Shown(panel=DATA, default="0.1 if --data has one part"),
    ] = None
    limit: Annotated[
        int | None, Field(ge=1, description="Use the first N training samples."), Shown(panel=DATA, default="all")
    ] = None
    from_checkpoint: Annotated[
        Path | None,
        Field(description="Begin at these weights: .safetensors, .pt, .pth, .th or zoo:NAME."),
        Written(Path, metavar="FILE"),
        Shown(panel=DATA, default="random weights"),
    ] = None
    method: TrainMethod = "samson"
    distill: Annotated[
        Path | None,
        Field(description="Checkpoint or zoo:NAME of a teacher, whose outputs are learnt too."),
        Written(Path, metavar="FILE"),
        Shown(panel=DISTILLATION, default="no teacher"),
    ] = None
    distill_model: Annotated[
        str | None,
        Field(description="Network of the teacher."),
        Shown(panel=DISTILLATION, default="its checkpoint's, else --model"),
    ] = None
    seed: TrainSeed = 0
    device: Annotated[str, Field(description="cpu, cuda, cuda:N or auto."), Shown(panel=COMPUTING)] = "cpu"
    threads: Annotated[
        int | None,
        Field(ge=1, description="CPU threads of a process."),
        Shown(panel=COMPUTING, default="torch's own choice; torchrun: cores / processes"),
    ] = None

    def problems(self) -> Iterator[str]:
        """Those of files and names alone: the training options are checked when the recipe has filled them in."""
        if self.holdout is not None and self.test_data is not None:
            yield "holdout and test_data: both say what to test on; give one of them"
        if self.distill_model is not None and self.distill is None:
            yield "distill_model: has no effect without distill, the checkpoint of the teacher"

    @property
    def holdout_share(self) -> float:
        """The share of the training samples to test on, where it is needed."""
        return HOLDOUT if self.holdout is None else self.holdout

    def training(self) -> dict[str, Any]:
        """The training options that were given, but for seed and normalization."""
        names = [name for name in TrainOptions.model_fields if name not in ("seed", "normalization")]
        return {name: getattr(self, name) for name in names if name == "method" or name in self.model_fields_set}


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedTraining:
    """Everything loaded and checked, nothing written. notes: lines that say what was decided for the user."""

    model: nn.Module
    train_set: ImageSet | SampleBatches
    test_set: ImageSet | SampleBatches
    options: TrainOptions
    metadata: Mapping[str, Any]
    notes: tuple[str, ...]
    teacher: Teacher | None = None
    context: DistributedContext = SINGLE_PROCESS
    task: Task | None = None

    @property
    def samples(self) -> Data:
        """What is trained on."""
        return self.train_set if isinstance(self.train_set, ImageSet) else self.train_set.samples

    @property
    def unit(self) -> str:
        """What a sample is called."""
        return "images" if isinstance(self.train_set, ImageSet) else "samples"

    def run(self, out: Path, progress: Progress | None = None) -> TrainResult:
        return fit(
            self.model,
            self.train_set,
            self.test_set,
            self.options,
            task=self.task,
            folder=out,
            metadata=self.metadata,
            progress=progress,
            teacher=self.teacher,
            context=self.context,
        )


def prepare_training(job: TrainJob, context: DistributedContext = SINGLE_PROCESS) -> PreparedTraining:
    """Load what the job names. Initial weights are drawn from the job's seed. Raises AnalogSamsonError.

    Sets the number of CPU threads, and the present GPU of a process among several.
    """
    device = context.device(job.device)
    threads = job.threads or context.threads()
    if threads is not None:
        torch.set_num_threads(threads)
    start = None if job.from_checkpoint is None else load_checkpoint(job.from_checkpoint)
    name = _model_name(job, start)
    if trains_on_samples(job, name):
        return _of_samples(job, name, start, device, context)
    train_set, test_set, parts, held_out = _sets(job)
    normalization, origin = choose_normalization(
        text=job.normalization.text() if job.normalization else None,
        metadata=None if start is None else start.metadata,
        model_name=name,
        data_spec=job.data,
        channels=train_set.channels,
    )
    if start is not None:
        warn_of_normalization(start, normalization, origin)
    recipe = recipe_for(train_set.name, fine_tuning=start is not None)
    options = TrainOptions(seed=job.seed, normalization=normalization, **with_recipe(recipe, job.training()))
    teacher, taught = _teacher(job, name, train_set)
    notes = (
        parts,
        f"normalization {normalization} ({origin})",
        f"recipe: {recipe.name}",
        *_processes(options, context),
    )
    notes = (*notes, *bfloat16_notes(options.bf16, device))
    model = _model(name, train_set, start, job.seed).to(device)
    return PreparedTraining(
        model=model,
        train_set=train_set,
        test_set=test_set,
        options=with_distillation(options, teacher),
        metadata=_metadata(name, start) | taught | held_out,
        notes=notes if teacher is None else (*notes, _teacher_note(taught["distilled_from"], teacher)),
        teacher=teacher,
        context=context,
        task=None if job.task is None else choose_task(job.task, model, train_set),
    )


def _of_samples(
    job: TrainJob, name: str, start: Checkpoint | None, device: torch.device, context: DistributedContext
) -> PreparedTraining:
    """A training on texts, recordings and the like."""
    recipe = FROM_SCRATCH if start is None else FINE_TUNING
    recipe = TRANSFORMER if name.startswith(HUGGING_FACE) else recipe
    options = TrainOptions(seed=job.seed, **with_recipe(recipe, job.training()))
    found = open_inputs(job, name, start, batch_size=options.batch_size, device=device)
    return PreparedTraining(
        model=found.model.to(device),
        train_set=found.train,
        test_set=found.test,
        options=options,
        metadata=_metadata(name, start) | found.metadata,
        notes=(found.note, f"task {found.task.name}", f"recipe: {recipe.name}", *bfloat16_notes(options.bf16, device)),
        context=context,
        task=found.task,
    )


def _processes(options: TrainOptions, context: DistributedContext) -> tuple[str, ...]:
    """A line that says how several processes share the work; none for a process alone."""
    if context.size == 1:
        return ()
    threads, climb = torch.get_num_threads(), ""
    if isinstance(options.effective_perturbation(), WorstCase):
        climb = ", each climbs by the whole batch" if options.ascent_sync else ", each climbs by its own images"
    return (
        f"{context.size} processes of {threads} CPU thread{'s' * (threads > 1)}: {options.batch_size} images a step in "
        f"{context.size} parts{climb}",
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
    share = job.holdout_share
    test, rest = hold_out(train, share)
    note = f"tested on {len(test)} images held out of {job.data} ({share:.0%})"
    return rest, test, note, {"held_out": {"share": share, "images": len(train)}}


def _metadata(name: str, start: Checkpoint | None) -> dict[str, Any]:
    if start is None:
        return {"model": name}
    return {"model": name, "started_from": {"file": start.path.name, "sha256": start.sha256}}
