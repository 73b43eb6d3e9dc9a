"""The interface between a network with its data and everything that simulates, scores or trains it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from analog_samson.results.metric import Metric
from analog_samson.tasks.batch import call


class Task(ABC):
    """How to feed a batch to a network and score its outputs.

    One task serves any number of evaluations at a time: what accumulates lies in the state that `start` gives. A task
    draws nothing.

    Attributes:
        name: What the command line and stored runs call it.
        metrics: What `compute` returns; the first is the headline of a report.
        averaged: Names of the metrics that are means over samples, whose terms `sample_values` gives.
    """

    name: ClassVar[str]
    metrics: tuple[Metric, ...]
    averaged: ClassVar[tuple[str, ...]] = ()

    def prepare(self, batch: Any) -> Any:
        """The batch as the other methods take it. Raises DataError for what is no batch of this task."""
        return batch

    def forward(self, model: nn.Module, batch: Any) -> Any:
        """The network's output for a batch (inputs, targets); see `batch.call` for how inputs are given."""
        return call(model, batch[0])

    def run(self, model: nn.Module, batch: Any) -> Any:
        """The network's output for a batch as the data gives it: how calibration feeds a network."""
        return self.forward(model, self.prepare(batch))

    @abstractmethod
    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError, with the shapes seen, where output and batch cannot be scored by this task."""

    @abstractmethod
    def loss(self, output: Any, batch: Any) -> Tensor:
        """The mean loss over the batch, a scalar with a gradient."""

    @abstractmethod
    def start(self, device: torch.device) -> Any:
        """An empty state that accumulates on `device`."""

    @abstractmethod
    def update(self, state: Any, output: Any, batch: Any) -> Any:
        """The state with the scores of one batch added."""

    @abstractmethod
    def compute(self, state: Any) -> dict[str, float]:
        """The value of each metric by its name."""

    def outcomes(self, output: Any, batch: Any) -> Tensor | None:
        """Whether each sample of the batch was right, bool (samples,); None where a task has no right and wrong."""
        return None

    def sample_values(self, output: Any, batch: Any) -> dict[str, Tensor]:
        """The value of each metric in `averaged` for each sample of the batch (samples,), in the metric's unit."""
        return {}

    def class_scores(self, output: Any, batch: Any) -> tuple[Tensor, Tensor] | None:
        """Logits (samples, classes) and labels (samples,), for a task that chooses one class out of several; else None.

        Margins and confusions in an error budget are made from them.
        """
        return None

    def count(self, batch: Any) -> int:
        """How many samples a batch (x, y) has."""
        return len(batch[1])

    @property
    def headline(self) -> Metric:
        """The metric that lifetimes, yield and comparisons are about."""
        return self.metrics[0]
