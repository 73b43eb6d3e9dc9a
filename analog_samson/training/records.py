"""What a training tells: after each step, after each epoch, at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from analog_samson.errors import AnalogSamsonError
from analog_samson.tasks.evaluation import Evaluation


class TrainingError(AnalogSamsonError):
    """The training cannot go on: its loss or its weights are no longer finite numbers."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One finished epoch, counted from 1.

    train_loss [nats, the loss that is minimised] and train_accuracy_percent: over the epoch's images as the first pass
    of each step saw them: augmented, under weight noise, and at perturbed weights where that is the only pass.
    test_loss and test_accuracy_percent: of the averaged weights where those are on. learning_rate: of the last step.
    """

    epoch: int
    train_loss: float
    train_accuracy_percent: float
    test_loss: float
    test_accuracy_percent: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainProgress:
    """A finished step, counted from 1; loss and accuracy over the epoch so far. `record` comes with the last one."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    accuracy_percent: float
    record: EpochRecord | None = None


Progress = Callable[[TrainProgress], None]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The outcome of `fit`.

    evaluation: the final weights on the test set. best: the epoch with the highest test accuracy; its weights are not
    kept, for choosing them by the test set would flatter the result. perturbation_share: of ||eps||^2 by kind of
    parameter at the first ascent, None for methods without one. checkpoint: the file, None without a folder.
    resumed_after: the epoch that the folder held already, 0 for a training from its start.
    """

    history: tuple[EpochRecord, ...]
    evaluation: Evaluation
    perturbation_share: Mapping[str, float] | None
    checkpoint: Path | None
    resumed_after: int = 0

    @property
    def best(self) -> EpochRecord:
        return max(self.history, key=lambda record: record.test_accuracy_percent)
