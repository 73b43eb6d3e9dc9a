"""The state that a training goes on from, and the files that are made from it after each epoch."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from analog_samson.data.batches import Batches
from analog_samson.errors import RunError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.results.contents import same_answers
from analog_samson.tasks.evaluation import first_answers
from analog_samson.training.epoch import Run, final_weights
from analog_samson.training.folder import CHECKPOINT_FILE, STATE_FILE, TrainingFolder
from analog_samson.training.stored_state import take_up


def resume(run: Run, store: TrainingFolder | None, metadata: Mapping[str, Any]) -> None:
    """Take up the state after the last finished epoch, and make the other files from it again.

    Raises RunError where the state is damaged or of another training, or where the network answers otherwise than it
    did with these weights.
    """
    state = run.world.first_of(run.world.only_first(lambda: store.load_state() if store else None))
    if state is not None:
        _check_code(run, take_up(run, state, STATE_FILE if store is None else str(store.path / STATE_FILE)))
        if store is not None:
            _publish(run, store, metadata)


def store_epoch(run: Run, store: TrainingFolder | None, metadata: Mapping[str, Any]) -> None:
    """Write the state first: it alone decides where a killed training goes on."""
    if store is None:
        return
    state = {
        "model": run.model.state_dict(),  # the weights that training goes on with, also where an average is published
        "optimizer": run.updater.optimizer.state_dict(),
        "average": run.average and run.average.state_dict(),
        "history": [asdict(record) for record in run.history],
        "share": run.updater.share,
        "answers": _answers(run),
    }
    store.save_state(state)
    _publish(run, store, metadata)


def _answers(run: Run) -> list[float]:
    """To two test images, which tell whether the code of the network is still the same."""
    assert run.options.normalization is not None
    few = Batches(run.test_set.take(2), run.options.normalization, batch_size=2, device=run.device)
    return first_answers(run.model, few)


def _check_code(run: Run, before: list[float] | None) -> None:
    """before: None in a state of a version that did not store it."""
    if before is not None and not same_answers(before, _answers(run)):
        raise RunError(
            f"the code of the network ({type(run.model).__name__}) has changed since this training began: with the "
            "same weights it answers otherwise; choose another output folder, or put the code back to go on"
        )


def _publish(run: Run, store: TrainingFolder, metadata: Mapping[str, Any]) -> None:
    store.write_history([asdict(record) for record in run.history])
    with final_weights(run):
        save_checkpoint(store.path / CHECKPOINT_FILE, run.model, _description(run, metadata))


def _description(run: Run, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint's metadata: nothing in it depends on when or where it was trained."""
    last, options = run.history[-1], run.options
    training = {name: value for name, value in options.resolved().items() if value is not None}
    if training.get("p") == math.inf:
        training["p"] = "inf"  # JSON has no infinity
    if run.world.size > 1:
        training["processes"] = run.world.size
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
