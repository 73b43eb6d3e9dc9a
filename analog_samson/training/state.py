"""The state that a training goes on from, and the files that are made from it after each epoch."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from analog_samson import rng
from analog_samson.errors import RunError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.results.contents import same_answers
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.tasks.batch import tensors_of
from analog_samson.training.epoch import Training, final_weights
from analog_samson.training.folder import CHECKPOINT_FILE, STATE_FILE, TrainingFolder
from analog_samson.training.stored_state import take_up

_STORED_OUTPUTS = 1000  # of each output tensor


def resume(training: Training, store: TrainingFolder | None, metadata: Mapping[str, Any]) -> None:
    """Take up the state after the last finished epoch, and make the other files from it again.

    Raises RunError where the state is damaged or of another training, or where the network answers otherwise than it
    did with these weights.
    """
    context = training.context
    state = context.broadcast_object(context.on_main_process(lambda: store.load_state() if store else None))
    if state is not None:
        _check_code(training, take_up(training, state, STATE_FILE if store is None else str(store.path / STATE_FILE)))
        if store is not None:
            _publish(training, store, metadata)


def store_epoch(training: Training, store: TrainingFolder | None, metadata: Mapping[str, Any]) -> None:
    """Write the state first: it alone decides where a killed training goes on."""
    if store is None:
        return
    state = {
        "model": training.model.state_dict(),  # those that training continues with, also where an average is published
        "optimizer": training.step.optimizer.state_dict(),
        "average": training.average and training.average.state_dict(),
        "ranges": training.step.hardware and training.step.hardware.state_dict(),
        "history": [record.row() for record in training.history],
        "share": training.step.breakdown,
        "answers": _answers(training),
    }
    store.save_state(state)
    _publish(training, store, metadata)


@torch.no_grad()
def _answers(training: Training) -> list[float]:
    """Outputs on a few test samples, stored to detect that the code of the network changed between runs.

    A network that draws while it answers does so from a stream of its own.
    """
    with eval_mode(training.model), rng.stream(0, "first answers"):
        outputs = tensors_of(training.data.task.run(training.model, next(iter(training.data.few))))
        return [float(value) for output in outputs for value in output.flatten()[:_STORED_OUTPUTS]]


def _check_code(training: Training, before: list[float] | None) -> None:
    """before: None in a state of a version that did not store it."""
    if before is not None and not same_answers(before, _answers(training)):
        raise RunError(
            f"the code of the network ({type(training.model).__name__}) has changed since this training began: with "
            "the same weights it gives other outputs; choose another output folder, or restore the code to resume"
        )


def _publish(training: Training, store: TrainingFolder, metadata: Mapping[str, Any]) -> None:
    store.write_history([record.row() for record in training.history])
    with final_weights(training):
        save_checkpoint(store.path / CHECKPOINT_FILE, training.model, _description(training, metadata))


def _description(training: Training, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint's metadata: nothing in it depends on when or where it was trained."""
    last, options = training.history[-1], training.options
    stated = {name: value for name, value in options.resolved().items() if value is not None}
    if stated.get("p") == math.inf:
        stated["p"] = "inf"  # JSON has no infinity
    if training.context.size > 1:
        stated["processes"] = training.context.size
    headline = training.data.task.headline.name
    return {
        **training.data.description(),
        "training": stated,
        "epochs": last.epoch,
        headline: last.test_values[headline],
        **({"input_ranges": ranges} if (ranges := training.input_ranges()) else {}),
        **metadata,
    }
