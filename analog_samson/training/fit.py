"""Train a classifier for noisy hardware by any of the methods and their ingredients, resumable bit for bit."""

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analog_samson.data import ImageSet, Normalization, choose_normalization
from analog_samson.data.batches import Batches, Normalizer, on_device_if_small
from analog_samson.errors import DataError, ModelError, OptionError, list_faults
from analog_samson.runtime.state_check import check_initialised, check_storable
from analog_samson.sharpness.left_out import warn_left_out
from analog_samson.sharpness.perturb import expect_moving
from analog_samson.tasks.evaluation import Evaluation, evaluate
from analog_samson.training.average import WeightAverage
from analog_samson.training.distill import Teacher, TeacherOnDevice, with_distillation
from analog_samson.training.distributed import ALONE, World
from analog_samson.training.epoch import Run, run_epoch
from analog_samson.training.folder import CHECKPOINT_FILE, TrainingFolder
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import Progress, TrainResult
from analog_samson.training.state import resume, store_epoch
from analog_samson.training.step import Updater, limit_weights
from analog_samson.training.weight_noise import expect_weights

_EVALUATION_BATCH = 500


def fit(
    model: nn.Module,
    train_set: ImageSet,
    test_set: ImageSet,
    options: TrainOptions,
    *,
    folder: Path | str | None = None,
    metadata: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    teacher: Teacher | None = None,
    world: World = ALONE,
) -> TrainResult:
    """Train `model` in place on its own device; it is left in eval mode, with its averaged weights if those are on.

    folder: state and checkpoint are written there after each epoch. The same call again goes on after the last
    finished epoch and ends with the same weights (bit for bit on a CPU), whenever the process was killed.
    metadata: plain values for the checkpoint, such as the model's name; they too have to be the same for a training
    to be continued. teacher: a network whose answers are learnt too (options.distill_weight, distill_temperature).
    world: the processes that train together (see `joined_world`); each calls this with the same arguments and gets the
    same result. The first one alone writes files and calls `progress`, which sees the images of that process.
    Draws from streams named by options.seed only; the caller's stream stays. Raises DataError,
    RunError, TrainingError.

    >>> from analog_samson.data import open_data
    >>> from analog_samson.models.build import build_model
    >>> options = TrainOptions(seed=0, epochs=1, method="samson", rho=0.5, clip=0.3)
    >>> digits, test = open_data("digits", "train"), open_data("digits", "test")
    >>> fit(build_model("digits_cnn"), digits, test, options).evaluation.count
    500
    """
    run = _prepare(model, train_set, test_set, options, teacher, world)
    described = dict(metadata or {})
    with _opened(run, folder, described, teacher) as opened:
        resume(run, opened, described)
        done = len(run.history)
        for epoch in range(done, run.options.epochs):
            run.history.append(run_epoch(run, epoch, progress if world.is_first else None))
            store_epoch(run, opened, described)
    _leave_final(run)
    last = run.history[-1]
    return TrainResult(
        history=tuple(run.history),
        evaluation=Evaluation(last.test_accuracy_percent, last.test_loss, len(test_set)),
        perturbation_share=run.updater.share,
        checkpoint=None if folder is None else Path(folder) / CHECKPOINT_FILE,
        resumed_after=done,
    )


def _prepare(
    model: nn.Module,
    train_set: ImageSet,
    test_set: ImageSet,
    options: TrainOptions,
    teacher: Teacher | None,
    world: World,
) -> Run:
    """Check that network, data, options and teacher fit together, before anything is written."""
    check_initialised(model)
    normalization = _normalization(train_set, options)
    options = with_distillation(options.replace(normalization=normalization), teacher)
    if teacher is not None and teacher.model is model:
        raise OptionError("the teacher is the very network that is trained; give a copy of it (copy.deepcopy)")
    _check_batch(options, world)
    device = _device(model)
    _check_sets(model, train_set, test_set, normalization, device)
    if options.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    layout: dict[str, Any] = {"device": device, "channels_last": options.channels_last}
    ascent, optimizer = options.ascent(model), _optimizer(model, options)
    if ascent is not None:
        expect_moving(ascent)
        warn_left_out(ascent, options.method, stacklevel=3)
    if options.clips or options.is_noisy or options.moves_weights_only:
        expect_weights(model, trained=options.clips)
    run = Run(
        model=model,
        updater=Updater(model=model, optimizer=optimizer, ascent=ascent, options=options, world=world),
        options=options,
        train_set=train_set,
        test_set=test_set,
        images=on_device_if_small(train_set.images, device),
        labels=train_set.labels.to(device),
        normalize=Normalizer(normalization, train_set.channels, **layout),
        test_batches=Batches(world.images(test_set), normalization, batch_size=_EVALUATION_BATCH, **layout),
        teacher=_on_device(teacher, train_set, options, device),
        world=world,
    )
    if options.ema_decay is not None:
        run.average = WeightAverage(model, options.ema_decay)
    return run


def _on_device(
    teacher: Teacher | None, train_set: ImageSet, options: TrainOptions, device: torch.device
) -> TeacherOnDevice | None:
    if teacher is None:
        return None
    assert options.normalization is not None
    ready = TeacherOnDevice(
        teacher, options.normalization, device=device, channels_last=options.channels_last, bf16=options.bf16
    )
    few = Batches(train_set.take(2), teacher.normalization, batch_size=2, device=device)
    try:
        evaluate(ready.model, few)
    except DataError as error:
        raise DataError(f"the teacher: {error}") from error
    return ready


def _check_batch(options: TrainOptions, world: World) -> None:
    """Every process needs two images a pass, for batch-norm has to see a variance."""
    part = options.ascent_fraction or 1.0
    sizes = {"batch_size": float(options.batch_size), "ascent_fraction": part * options.batch_size}
    faults = [
        f"{name}: {size:g} images a pass for {world.size} processes; expected at least two for each"
        for name, size in sizes.items()
        if world.size > 1 and size < 2 * world.size
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


def _check_sets(
    model: nn.Module, train_set: ImageSet, test_set: ImageSet, normalization: Normalization, device: torch.device
) -> None:
    if len(train_set) < 2:
        raise DataError(f"{train_set.name}: training needs at least 2 images, got {len(train_set)}")
    lacking = ", and state the number of classes if one lacks some (npz:FILE,classes=N)"
    for what, name, more in (("channels", "channels", ""), ("num_classes", "classes", lacking)):
        train, test = getattr(train_set, what), getattr(test_set, what)
        if train != test:
            raise DataError(
                f"training data {train_set.name} has {train} {name}, test data {test_set.name} has {test}; "
                f"use two parts of one dataset{more}"
            )
    few = Batches(train_set.take(2), normalization, batch_size=2, device=device)
    evaluate(model, few)  # the number of outputs and of channels, seen before the first step


def _optimizer(model: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=options.learning_rate,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )


def _opened(
    run: Run, folder: Path | str | None, metadata: Mapping[str, Any], teacher: Teacher | None
) -> AbstractContextManager[TrainingFolder | None]:
    """The folder, in the first process; the others have none, and find the mistakes that the first one finds."""
    if folder is None and run.world.size == 1:
        return nullcontext()
    identity = _identity(run, metadata, teacher)
    run.world.agree(identity)
    if folder is None:
        return nullcontext()
    return run.world.only_first(lambda: TrainingFolder.open(folder, identity)) or nullcontext()


def _identity(run: Run, metadata: Mapping[str, Any], teacher: Teacher | None) -> dict[str, Any]:
    """What has to be the same for a training to be continued."""
    taught = {} if teacher is None else {"teacher_weights_sha256": _weights_sha256(teacher.model)}
    if teacher is not None:
        taught["teacher_normalization"] = teacher.normalization.text()
    return {
        **metadata,
        **run.options.resolved(),
        "train_data": run.train_set.name,
        "train_fingerprint": run.train_set.fingerprint,
        "test_data": run.test_set.name,
        "test_fingerprint": run.test_set.fingerprint,
        "initial_weights_sha256": _weights_sha256(run.model),
        **taught,
        **({"processes": run.world.size} if run.world.size > 1 else {}),
    }


def _weights_sha256(model: nn.Module) -> str:
    check_storable(model)
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _leave_final(run: Run) -> None:
    """What the caller finds in the model."""
    if run.average is not None:
        run.average.copy_to_model()
        limit_weights(run.model, run.options)
    run.model.eval()
