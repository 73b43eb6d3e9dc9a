"""Train a classifier: SGD, SAM, ASAM or SAMSON, with weight clipping and weight noise, resumable bit for bit."""

import hashlib
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analog_samson.checkpoint import save_checkpoint
from analog_samson.data import ImageSet, Normalization, choose_normalization
from analog_samson.errors import DataError, ModelError
from analog_samson.evaluation import Batches, Evaluation, Normalizer, evaluate, on_device_if_small
from analog_samson.training.epoch import Run, run_epoch
from analog_samson.training.folder import CHECKPOINT_FILE, TrainingFolder
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import EpochRecord, Progress, TrainResult

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
) -> TrainResult:
    """Train `model` in place on its own device; it is left in eval mode.

    folder: state and checkpoint are written there after each epoch. The same call again goes on after the last
    finished epoch and ends with the same weights (bit for bit on a CPU), whenever the process was killed.
    metadata: plain values for the checkpoint, such as the model's name; they too have to be the same for a training
    to be continued. Draws from streams named by options.seed only; the caller's stream stays. Raises DataError,
    RunError, TrainingError.

    >>> from analog_samson.data import open_data
    >>> from analog_samson.models import build_model
    >>> options = TrainOptions(seed=0, epochs=1, method="samson", rho=0.5, clip=0.3)
    >>> digits, test = open_data("digits", "train"), open_data("digits", "test")
    >>> fit(build_model("digits_cnn"), digits, test, options).evaluation.count
    500
    """
    run = _prepare(model, train_set, test_set, options)
    described = dict(metadata or {})
    store: AbstractContextManager[TrainingFolder | None] = nullcontext()
    if folder is not None:
        store = TrainingFolder.open(folder, _identity(run, described))
    with store as opened:
        _resume(run, opened, described)
        done = len(run.history)
        for epoch in range(done, run.options.epochs):
            run.history.append(run_epoch(run, epoch, progress))
            _store(run, opened, described)
    model.eval()
    last = run.history[-1]
    return TrainResult(
        history=tuple(run.history),
        evaluation=Evaluation(last.test_accuracy_percent, last.test_loss, len(test_set)),
        perturbation_share=run.share,
        checkpoint=None if folder is None else Path(folder) / CHECKPOINT_FILE,
        resumed_after=done,
    )


def _prepare(model: nn.Module, train_set: ImageSet, test_set: ImageSet, options: TrainOptions) -> Run:
    """Check that network, data and options fit together, before anything is written."""
    normalization = _normalization(train_set, options)
    options = replace(options, normalization=normalization)
    device = _device(model)
    _check_sets(model, train_set, test_set, normalization, device)
    if options.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    layout: dict[str, Any] = {"device": device, "channels_last": options.channels_last}
    return Run(
        model=model,
        optimizer=_optimizer(model, options),
        ascent=options.ascent(model),
        options=options,
        train_set=train_set,
        test_set=test_set,
        images=on_device_if_small(train_set.images, device),
        labels=train_set.labels.to(device),
        normalize=Normalizer(normalization, train_set.channels, **layout),
        test_batches=Batches(test_set, normalization, batch_size=_EVALUATION_BATCH, **layout),
    )


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
    for what, name in (("channels", "channels"), ("num_classes", "classes")):
        train, test = getattr(train_set, what), getattr(test_set, what)
        if train != test:
            raise DataError(
                f"training data {train_set.name} has {train} {name}, test data {test_set.name} has {test}; "
                "use two parts of one dataset"
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


def _identity(run: Run, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be the same for a training to be continued."""
    return {
        **metadata,
        **run.options.resolved(),
        "train_data": run.train_set.name,
        "train_fingerprint": run.train_set.fingerprint,
        "test_data": run.test_set.name,
        "test_fingerprint": run.test_set.fingerprint,
        "initial_weights_sha256": _weights_sha256(run.model),
    }


def _weights_sha256(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _resume(run: Run, store: TrainingFolder | None, metadata: Mapping[str, Any]) -> None:
    """Take up the state after the last finished epoch, and make the other files from it again."""
    state = store.load_state() if store else None
    if store is not None and state is not None:
        run.model.load_state_dict(state["model"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.history.extend(EpochRecord(**row) for row in state["history"])
        run.share = state["share"]
        _publish(run, store, metadata)


def _store(run: Run, store: TrainingFolder | None, metadata: Mapping[str, Any]) -> None:
    """The state first: it alone decides where a killed training goes on."""
    if store is None:
        return
    state = {
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "history": [asdict(record) for record in run.history],
        "share": run.share,
    }
    store.save_state(state)
    _publish(run, store, metadata)


def _publish(run: Run, store: TrainingFolder, metadata: Mapping[str, Any]) -> None:
    store.write_history([asdict(record) for record in run.history])
    save_checkpoint(store.path / CHECKPOINT_FILE, run.model, _description(run, metadata))


def _description(run: Run, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint's metadata: nothing in it depends on when or where it was trained."""
    last, options = run.history[-1], run.options
    training = {name: value for name, value in options.resolved().items() if value is not None}
    if training.get("p") == math.inf:
        training["p"] = "inf"  # JSON has no infinity
    return {
        "num_classes": run.train_set.num_classes,
        "in_channels": run.train_set.channels,
        "data": run.train_set.name,
        "data_fingerprint": run.train_set.fingerprint,
        "test_data": run.test_set.name,
        "normalization": options.normalization and options.normalization.metadata(),
        "training": training,
        "epochs": last.epoch,
        "accuracy_percent": last.test_accuracy_percent,
        **metadata,
    }
