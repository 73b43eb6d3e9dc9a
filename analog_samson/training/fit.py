"""Train a network for noisy hardware by any of the methods and their ingredients, resumable bit for bit."""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analog_samson import rng
from analog_samson.crossbar.observe import Example
from analog_samson.crossbar.plan import plan_conversion
from analog_samson.crossbar.survey import needs_example
from analog_samson.data import ImageSet, Normalization, choose_normalization
from analog_samson.errors import DataError, ModelError, OptionError, list_faults
from analog_samson.runtime.state_check import check_initialised, check_storable
from analog_samson.sharpness.left_out import warn_left_out
from analog_samson.sharpness.perturb import expect_moving
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.scoring import Scores, score
from analog_samson.tasks.task import Task
from analog_samson.tasks.whole import WholeModelTask
from analog_samson.training.average import WeightAverage
from analog_samson.training.data import ImageData, TrainingData, batches_of_own
from analog_samson.training.distill import Teacher, TeacherOnDevice, with_distillation
from analog_samson.training.distributed import SINGLE_PROCESS, DistributedContext
from analog_samson.training.epoch import Training, run_epoch
from analog_samson.training.folder import CHECKPOINT_FILE, TrainingFolder
from analog_samson.training.hardware_aware import HardwareForward
from analog_samson.training.optimizer import make_optimizer
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import Progress, TrainResult
from analog_samson.training.state import resume, store_epoch
from analog_samson.training.step import TrainStep, limit_weights
from analog_samson.training.weight_noise import expect_weights

_RANGE_BATCHES = 4  # that the input ranges of a hardware-aware training begin with


def fit(
    model: nn.Module,
    train_set: ImageSet | Iterable[Any],
    test_set: ImageSet | Iterable[Any],
    options: TrainOptions,
    *,
    task: Task | None = None,
    folder: Path | str | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    teacher: Teacher | None = None,
    context: DistributedContext = SINGLE_PROCESS,
) -> TrainResult:
    """Train `model` in place on its own device; it is left in eval mode, with its averaged weights if those are on.

    Draws from streams named by options.seed only.

    Args:
        model: The network.
        train_set: An image set, which is shuffled, augmented and normalised here, or batches on the device of the
            network in any form that the task takes: a list, a DataLoader or any iterable that can be iterated again.
        test_set: Of the same kind.
        options: Those of the training.
        task: What the batches are for: its loss is minimised, its metrics are measured after each epoch. None is
            image classification.
        folder: State and checkpoint are written there after each epoch. The same call again resumes after the last
            finished epoch and ends with the same weights (bit for bit on a CPU), whenever the process was killed.
        metadata: Plain values for the checkpoint, such as the model's name; a resumed training needs the same ones.
        progress: Called after each step, in the main process alone and with the samples of that process.
        teacher: A network whose outputs are learnt too, see options.distill_weight and distill_temperature.
        context: The processes that train together (see `joined_processes`). Each calls this with the same arguments
            and gets the same result; the main process alone writes files.

    Raises:
        DataError: Data, network and task do not fit.
        OptionError: An option has no effect on this data, or processes were given different options.
        RunError: The folder holds another training, or cannot be written.
        TrainingError: The loss or a weight is no longer finite.

    >>> from analog_samson.data import open_data
    >>> from analog_samson.models.build import build_model
    >>> options = TrainOptions(seed=0, epochs=1, method="samson", rho=0.5, clip=0.3)
    >>> digits, test = open_data("digits", "train"), open_data("digits", "test")
    >>> fit(build_model("digits_cnn"), digits, test, options).scores.count
    500
    """
    training = _prepare(model, train_set, test_set, options, task, teacher, context)
    described = dict(metadata or {})
    with _opened(training, folder, described, teacher) as opened:
        resume(training, opened, described)
        done = len(training.history)
        for epoch in range(done, training.options.epochs):
            training.history.append(run_epoch(training, epoch, progress if context.is_main else None))
            store_epoch(training, opened, described)
    _leave_final(training)
    return TrainResult(
        history=tuple(training.history),
        scores=Scores(dict(training.history[-1].test_values), training.data.test_count()),
        input_ranges=training.input_ranges(),
        perturbation_breakdown=training.step.breakdown,
        checkpoint=None if folder is None else Path(folder) / CHECKPOINT_FILE,
        resumed_after=done,
        metrics=training.data.task.metrics,
    )


def _prepare(
    model: nn.Module,
    train_set: ImageSet | Iterable[Any],
    test_set: ImageSet | Iterable[Any],
    options: TrainOptions,
    task: Task | None,
    teacher: Teacher | None,
    context: DistributedContext,
) -> Training:
    """Check that network, data, task, options and teacher fit together, before anything is written."""
    check_initialised(model)
    if teacher is not None and teacher.model is model:
        raise OptionError("the teacher is the network that is trained; give a copy of it (copy.deepcopy)")
    device = _device(model)
    sets = [given for given in (train_set, test_set) if isinstance(given, ImageSet)]
    task = _task(task, options, teacher, sets[0].num_classes if sets else None)
    if sets:
        options = options.replace(normalization=_normalization(sets[0], options))
    options = with_distillation(options, teacher)
    _check_processes(options, context, bool(sets))
    data: TrainingData
    if isinstance(train_set, ImageSet) and isinstance(test_set, ImageSet):
        data = ImageData(train_set, test_set, options, task, device=device, context=context)
    elif isinstance(train_set, ImageSet) or isinstance(test_set, ImageSet):
        raise DataError("train_set and test_set: one is an image set, the other is not; give two of one kind")
    else:
        data = batches_of_own(train_set, test_set, options, task)
    score(model, data.few, task)  # the number of outputs and of channels, before the first step
    if options.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    ascent = options.ascent(model)
    if ascent is not None:
        expect_moving(ascent)
        warn_left_out(ascent, options.method, stacklevel=3)
    if options.clips or options.is_noisy or options.moves_weights_only:
        expect_weights(model, trained=options.clips)
    hardware = _hardware(model, data, options, context)
    optimizer = make_optimizer(model, options, hardware)
    step = TrainStep(
        model=model,
        optimizer=optimizer,
        task=task,
        ascent=ascent,
        options=options,
        hardware=hardware,
        context=context,
    )
    return Training(
        model=model,
        step=step,
        options=options,
        data=data,
        device=device,
        teacher=None if teacher is None else _on_device(teacher, data, options, device),
        average=None if options.ema_decay is None else WeightAverage(model, options.ema_decay),
        context=context,
    )


def _task(task: Task | None, options: TrainOptions, teacher: Teacher | None, classes: int | None) -> Task:
    """The task of the training, with what the options add to its loss."""
    task = Classification(classes=classes) if task is None else task
    if isinstance(task, WholeModelTask):
        raise OptionError(f"task {task.name}: measures whole networks and has no loss to train with")
    if isinstance(task, Classification):
        return replace(task, label_smoothing=options.label_smoothing) if options.label_smoothing else task
    idle = ["label_smoothing"] * (options.label_smoothing > 0) + ["a teacher"] * (teacher is not None)
    if idle:
        raise OptionError(f"{' and '.join(idle)}: only for classification, not for task {task.name}; leave it out")
    return task


def _on_device(teacher: Teacher, data: TrainingData, options: TrainOptions, device: torch.device) -> TeacherOnDevice:
    if not isinstance(data, ImageData) or options.normalization is None:
        raise OptionError("a teacher: distillation needs image sets, not batches of your own; leave it out")
    ready = TeacherOnDevice(
        teacher, options.normalization, device=device, channels_last=options.channels_last, bf16=options.bf16
    )
    try:
        data.check(ready.model, teacher.normalization)
    except DataError as error:
        raise DataError(f"the teacher: {error}") from error
    return ready


def _check_processes(options: TrainOptions, context: DistributedContext, has_images: bool) -> None:
    """Every process needs two samples a pass, because batch norm needs a variance."""
    if context.size == 1:
        return
    if not has_images:
        raise OptionError("several processes train on image sets only; start one process for batches of your own")
    part = options.ascent_fraction or 1.0
    sizes = {"batch_size": float(options.batch_size), "ascent_fraction": part * options.batch_size}
    faults = [
        f"{name}: {size:g} images a pass for {context.size} processes; expected at least two for each"
        for name, size in sizes.items()
        if size < 2 * context.size
    ]
    if faults:
        raise OptionError(list_faults("training options", faults))


def _device(model: nn.Module) -> torch.device:
    devices = {parameter.device for parameter in model.parameters() if parameter.requires_grad}
    if len(devices) != 1:
        found = ", ".join(map(str, devices)) or "no parameter that requires a gradient"
        raise ModelError(f"training {type(model).__name__}: expected parameters on one device, got {found}")
    return devices.pop()


def _normalization(train_set: ImageSet, options: TrainOptions) -> Normalization:
    given = options.normalization
    return given or choose_normalization(data_spec=train_set.name, channels=train_set.channels)[0]


def _hardware(
    model: nn.Module, data: TrainingData, options: TrainOptions, context: DistributedContext
) -> HardwareForward | None:
    """The converters of a hardware-aware training, with ranges that fit its first batches."""
    preset = options.hardware_aware
    if preset is None:
        return None
    if context.size > 1:
        raise OptionError("hardware_aware: input ranges are learned in one process only; start one process")
    task = data.task
    with rng.stream(options.seed, "first batches"):
        batches = [batch.prepared for batch in islice(data.epoch(0), _RANGE_BATCHES)]
    example = Example(batch=batches[0], run=task.forward, count=False)
    plan = plan_conversion(model, preset, example=example if needs_example(model) else None)
    return HardwareForward(model, plan, batches, seed=options.seed, run=task.forward)


def _opened(
    training: Training, folder: Path | str | None, metadata: Mapping[str, Any], teacher: Teacher | None
) -> AbstractContextManager[TrainingFolder | None]:
    """The folder, in the main process; the others have none, and raise what it raises."""
    if folder is None and training.context.size == 1:
        return nullcontext()
    identity = _identity(training, metadata, teacher)
    training.context.expect_same_options(identity)
    if folder is None:
        return nullcontext()
    return training.context.on_main_process(lambda: TrainingFolder.open(folder, identity)) or nullcontext()


def _identity(training: Training, metadata: Mapping[str, Any], teacher: Teacher | None) -> dict[str, Any]:
    """What has to be the same for a training to be continued."""
    taught = {} if teacher is None else {"teacher_weights_sha256": _weights_sha256(teacher.model)}
    if teacher is not None:
        taught["teacher_normalization"] = teacher.normalization.text()
    return {
        **metadata,
        **training.options.resolved(),
        **training.data.identity(),
        "initial_weights_sha256": _weights_sha256(training.model),
        **taught,
        **({"processes": training.context.size} if training.context.size > 1 else {}),
    }


def _weights_sha256(model: nn.Module) -> str:
    check_storable(model)
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _leave_final(training: Training) -> None:
    """What the caller finds in the model."""
    if training.average is not None:
        training.average.copy_to_model()
        limit_weights(training.model, training.options)
    training.model.eval()
