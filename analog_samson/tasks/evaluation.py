"""Accuracy and loss of any classifier on labelled images."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.results.metric import ACCURACY, LOSS
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.tasks.batch import feed, tensors_of
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.scoring import score
from analog_samson.tasks.task import Task

_MOST_ANSWERS = 10_000


@dataclass(frozen=True)
class Evaluation:
    """accuracy_percent: top-1. loss: mean cross-entropy in nats. count: images."""

    accuracy_percent: float
    loss: float
    count: int


def evaluate(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, bf16: bool = False) -> Evaluation:
    """Measure a classifier: `scoring.score` by the task `classification_of` the batches."""
    scores = score(model, batches, classification_of(batches), bf16=bf16)
    return Evaluation(scores.values[ACCURACY.name], scores.values[LOSS.name], scores.count)


def classification_of(batches: Iterable[Any]) -> Classification:
    """The task of labelled batches; those of an image set know their number of classes."""
    return Classification(classes=getattr(batches, "num_classes", None))


def data_faults(**given: Iterable[Any] | None) -> list[str]:
    """What is wrong with data, by the name of the argument, that is to be gone through for every chip."""
    return [
        f"{name}: a {type(data).__name__} can be gone through only once; give a list of batches or a DataLoader"
        for name, data in given.items()
        if isinstance(data, Iterator)
    ]


@torch.no_grad()
def first_answers(model: nn.Module, batches: Iterable[Any], task: Task | None = None) -> list[float]:
    """What the network answers in eval mode to the first batch: it tells other code under the same name.

    A network that draws while it answers does so from a stream of its own.
    """
    batch = next(iter(batches))
    with eval_mode(model), rng.stream(0, "first answers"):
        output = feed(model, batch) if task is None else task.run(model, batch)
        return [float(value) for tensor in tensors_of(output) for value in tensor.flatten()[:_MOST_ANSWERS]]
