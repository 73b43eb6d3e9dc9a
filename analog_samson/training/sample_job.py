"""Networks and data of a training by name, where the data is no image set: texts, pairs, recordings, segmentations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from analog_samson import rng
from analog_samson.data.chosen_task import choose_task
from analog_samson.data.feeding import (
    Feeding,
    SampleBatches,
    as_embedder,
    guess_from_data,
    labelled_as_trained,
    tokenizer_of,
)
from analog_samson.data.held_out import hold_out
from analog_samson.data.samples import SAMPLES, is_samples, open_samples
from analog_samson.errors import OptionError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import Checkpoint, load_into
from analog_samson.models.huggingface import HUGGING_FACE, load_huggingface, parse_huggingface
from analog_samson.runtime.state_check import check_storable
from analog_samson.tasks.scoring import most_positions
from analog_samson.tasks.task import Task

if TYPE_CHECKING:
    from analog_samson.training.job import TrainJob

_OF_IMAGES = ("normalization", "distill", "distill_model", "augment", "channels_last")


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleInputs:
    """What a training goes through, loaded and checked.

    Attributes:
        model: The network, on the CPU.
        train: Training batches, in a new order in each epoch.
        test: Test batches.
        task: What the network learns.
        note: Where the test samples come from.
        metadata: What the checkpoint tells of the data.
    """

    model: nn.Module
    train: SampleBatches
    test: SampleBatches
    task: Task
    note: str
    metadata: dict[str, Any]


def trains_on_samples(job: "TrainJob", name: str) -> bool:
    """Whether the data is no image set, or the network one of Hugging Face."""
    return is_samples(job.data) or name.startswith(HUGGING_FACE)


def open_inputs(
    job: "TrainJob", name: str, start: Checkpoint | None, *, batch_size: int, device: torch.device
) -> SampleInputs:
    """Load what the job names.

    Args:
        job: The options.
        name: The network.
        start: A checkpoint to begin at.
        batch_size: Samples of a batch.
        device: Where the batches lie.

    Raises:
        OptionError: An option has no effect on such data, or the task is not known.
        DataError: The data cannot be read, or lacks what the task needs.
        ModelError: There is no such network.
    """
    idle = [job.typed(one) for one in _OF_IMAGES if one in job.model_fields_set and getattr(job, one)]
    if idle:
        raise OptionError(f"train: {', '.join(idle)}: has an effect on image sets only; leave it out")
    if not is_samples(job.data):
        raise OptionError(
            f"data {job.data}: networks of Hugging Face are trained on {', '.join(f'{kind}:' for kind in SAMPLES)} "
            "data; for images build the network yourself and name it as package.module:callable"
        )
    whole = open_samples(job.data, limit=job.limit)
    train, metadata = whole, dict[str, Any]()
    if job.test_data is not None:
        test, note = open_samples(job.test_data), f"tested on {job.test_data}"
    else:
        share = job.holdout_share
        test, train = hold_out(whole, share)
        note = f"tested on {len(test)} samples held out of {job.data} ({share:.0%})"
        metadata = {"held_out": {"share": share, "images": len(whole)}}
    metadata["data_fingerprint"] = train.fingerprint
    spec = parse_huggingface(name) if name.startswith(HUGGING_FACE) else None
    with rng.stream(job.seed, "initial weights"):
        model = build_model(name, num_classes=len(train.classes) or None) if spec is None else load_huggingface(spec)
    check_storable(model)
    if start is not None:
        load_into(model, start)
    classes = whole.classes
    train, test = (labelled_as_trained(part, model, classes) for part in (train, test))
    named = job.task or guess_from_data(train)
    tokenizer = tokenizer_of(spec, train, named)
    task = choose_task(named, model, train, tokenizer)
    feeding = Feeding(task, tokenizer, most_positions(model))
    layout: dict[str, Any] = {"batch_size": batch_size, "device": device}
    return SampleInputs(
        model=as_embedder(model, task),
        train=feeding.batches(train, shuffled=True, **layout),
        test=feeding.batches(test, **layout),
        task=task,
        note=note,
        metadata=metadata,
    )
