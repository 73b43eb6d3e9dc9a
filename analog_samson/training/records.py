"""What a training reports: after each step, after each epoch, at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analog_samson.errors import AnalogSamsonError
from analog_samson.results.metric import ACCURACY, LOSS, Metric
from analog_samson.tasks.evaluation import Evaluation
from analog_samson.tasks.scoring import Scores


class TrainingError(AnalogSamsonError):
    """The training cannot go on: its loss or its weights are no longer finite numbers."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One finished epoch.

    Attributes:
        epoch: Counted from 1.
        train_loss: The mean of the loss that is minimised, over the samples of the epoch.
        train_values: The headline metric of the task by name, over the samples as the first pass of each step used
            them: augmented, under weight noise, and at perturbed weights where that is the only pass.
        test_values: Every metric of the task by name, of the averaged weights where those are on.
        learning_rate: Of the last step.
        seconds: How long the epoch took.
    """

    epoch: int
    train_loss: float
    train_values: Mapping[str, float]
    test_values: Mapping[str, float]
    learning_rate: float
    seconds: float

    @property
    def train_accuracy_percent(self) -> float:
        """The accuracy on training samples, of a classifier."""
        return self.train_values[ACCURACY.name]

    @property
    def test_accuracy_percent(self) -> float:
        """The accuracy on test samples, of a classifier."""
        return self.test_values[ACCURACY.name]

    @property
    def test_loss(self) -> float:
        """The mean cross-entropy on test samples [nats], of a classifier."""
        return self.test_values[LOSS.name]

    def row(self) -> dict[str, Any]:
        """One line of history.csv: plain values by column."""
        return {
            "epoch": self.epoch,
            "train_loss": self.train_loss,
            **{f"train_{name}": value for name, value in self.train_values.items()},
            **{f"test_{name}": self.test_values[name] for name in sorted(self.test_values, key=(LOSS.name).__ne__)},
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any], metrics: tuple[Metric, ...]) -> "EpochRecord":
        """The record of a line. Raises KeyError where a column is missing."""
        own = {name: row[name] for name in ("epoch", "train_loss", "learning_rate", "seconds")}
        headline = metrics[0].name
        tested = {metric.name: row[f"test_{metric.name}"] for metric in metrics}
        return cls(**own, train_values={headline: row[f"train_{headline}"]}, test_values=tested)


@dataclass(frozen=True, kw_only=True)
class TrainProgress:
    """A finished step.

    Attributes:
        epoch, epochs, step, steps: Counted from 1.
        loss: Mean over the epoch so far.
        metric: The headline metric of the task.
        value: Its value over the epoch so far.
        record: That of the epoch, with its last step.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    value: float
    metric: Metric = ACCURACY
    record: EpochRecord | None = None

    @property
    def update(self) -> int:
        """Steps since the training began, counted from 1, also where it was resumed."""
        return (self.epoch - 1) * self.steps + self.step

    def values(self) -> dict[str, float]:
        """Numbers for a logger: with the last step of an epoch those of its line in history.csv, else what is known."""
        if self.record is None:
            return {"train_loss": self.loss, f"train_{self.metric.name}": self.value}
        return {name: value for name, value in self.record.row().items() if name != "epoch"}


Progress = Callable[[TrainProgress], None]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The outcome of `fit`.

    Attributes:
        history: One record an epoch.
        scores: Every metric of the task on the test samples, with the final weights.
        perturbation_breakdown: Fractions of ||eps||^2 by kind of parameter at the first ascent step; None for methods
            without one.
        checkpoint: The file; None without a folder.
        resumed_after: The epoch that the folder held already; 0 for a training from its start.
        metrics: Those of the task, the headline first.
        input_ranges: Of each weight by path, as a hardware-aware training learned them; else empty.
    """

    history: tuple[EpochRecord, ...]
    scores: Scores
    perturbation_breakdown: Mapping[str, float] | None
    checkpoint: Path | None
    resumed_after: int = 0
    metrics: tuple[Metric, ...] = (ACCURACY, LOSS)
    input_ranges: Mapping[str, float] = field(default_factory=dict)

    @property
    def evaluation(self) -> Evaluation:
        """The scores of a classifier."""
        values = self.scores.values
        return Evaluation(values[ACCURACY.name], values[LOSS.name], self.scores.count)

    @property
    def best(self) -> EpochRecord:
        """The epoch with the best headline value on test samples.

        Its weights are not kept: choosing them by the test set would flatter the result.
        """
        metric = self.metrics[0]
        sign = 1 if metric.higher_is_better else -1
        return max(self.history, key=lambda record: sign * record.test_values[metric.name])
