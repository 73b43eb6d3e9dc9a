"""One class out of several for each sample: accuracy, loss and calibration."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from analog_samson.results.metric import ACCURACY, LOSS, PERCENT, Metric
from analog_samson.tasks.batch import call, first_tensor, main_output
from analog_samson.tasks.batch_check import check_batch
from analog_samson.tasks.labels import check_fit, labelled
from analog_samson.tasks.task import Task

TOP5 = Metric(name="top5_percent", title="top-5 accuracy", counted=True, **PERCENT)
CALIBRATION_ERROR = Metric(
    name="calibration_error_percent", title="calibration error", higher_is_better=False, **PERCENT
)
_BINS = 15  # of equal width, as in Guo et al. 2017


@dataclass(slots=True)
class _State:
    count: int
    correct: Tensor
    correct5: Tensor
    loss: Tensor
    bins: Tensor  # (2, bins): sum of confidences, correct samples


@dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """Batches with labels (N,), in any form of `batch.split_batch`; the network returns logits (N, classes).

    Metrics: top-1 accuracy and mean cross-entropy; with `detailed` also top-5 accuracy and the expected calibration
    error over 15 bins of confidence (Guo et al. 2017, eq. 3). A sample with a NaN among its logits counts as wrong.

    Attributes:
        classes: The number of classes of data whose labels are known to be right, checked against the logits. None:
            every batch is checked.
        detailed: Four metrics in place of two.
        label_smoothing: In the loss that is trained, from 0 (off) to 1; no metric has it.
    """

    name: ClassVar[str] = "classification"
    averaged: ClassVar[tuple[str, ...]] = (ACCURACY.name, LOSS.name, TOP5.name)
    classes: int | None = None
    detailed: bool = False
    label_smoothing: float = 0.0
    metrics: tuple[Metric, ...] = field(init=False)

    def __post_init__(self) -> None:
        metrics = (ACCURACY, LOSS, TOP5, CALIBRATION_ERROR) if self.detailed else (ACCURACY, LOSS)
        object.__setattr__(self, "metrics", metrics)

    def prepare(self, batch: Any) -> tuple[Any, Tensor]:
        """The batch as (inputs, int64 labels); NaN inputs and negative labels are refused."""
        inputs, labels = labelled(batch)
        if self.classes is None and len(labels):
            check_batch(first_tensor(inputs), labels)
        return inputs, labels

    def forward(self, model: nn.Module, batch: Any) -> Tensor:
        """Logits (N, classes)."""
        return main_output(call(model, batch[0]))

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless logits, labels and the number of classes fit."""
        check_fit(output, batch[1], self.classes)

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean cross-entropy [nats]."""
        return functional.cross_entropy(output, batch[1], label_smoothing=self.label_smoothing)

    def outcomes(self, output: Any, batch: Any) -> Tensor:
        """Whether the largest logit of each sample is that of its label; a sample with a NaN is wrong."""
        # argmax takes NaN for the largest number.
        return (output.argmax(1) == batch[1]) & ~output.isnan().any(1)

    def sample_values(self, output: Any, batch: Any) -> dict[str, Tensor]:
        """100 where a sample is right, also within the first five classes, and its cross-entropy."""
        values = {
            ACCURACY.name: 100.0 * self.outcomes(output, batch),
            LOSS.name: functional.cross_entropy(output, batch[1], reduction="none"),
        }
        if self.detailed:
            values[TOP5.name] = 100.0 * _among_five(output, batch[1])
        return values

    def class_scores(self, output: Any, batch: Any) -> tuple[Tensor, Tensor]:
        """The logits and the labels."""
        return output, batch[1]

    def start(self, device: torch.device) -> _State:
        """Counts of zero; sums in double precision."""
        zero = torch.zeros((), dtype=torch.int64, device=device)
        total = torch.zeros((), dtype=torch.float64, device=device)
        return _State(0, zero, zero, total, torch.zeros(2, _BINS, dtype=torch.float64, device=device))

    def update(self, state: _State, output: Any, batch: Any) -> _State:
        """Add one batch; nothing is read back from the device."""
        logits, labels = output, batch[1]
        right = self.outcomes(output, batch)
        state.count += len(labels)
        state.correct = state.correct + right.sum()
        state.loss = state.loss + functional.cross_entropy(logits, labels, reduction="sum").double()
        if self.detailed:
            state.correct5 = state.correct5 + _among_five(logits, labels).sum()
            confidence = logits.softmax(1).amax(1).nan_to_num(0.0).double()
            place = (confidence * _BINS).long().clamp_(max=_BINS - 1)
            state.bins = state.bins.index_add(1, place, torch.stack([confidence, right.double()]))
        return state

    def compute(self, state: _State) -> dict[str, float]:
        """Percentages of all samples, and the mean loss."""
        values = {ACCURACY.name: 100 * int(state.correct) / state.count, LOSS.name: float(state.loss) / state.count}
        if self.detailed:
            confidence, correct = state.bins
            values[TOP5.name] = 100 * int(state.correct5) / state.count
            values[CALIBRATION_ERROR.name] = 100 * float((correct - confidence).abs().sum()) / state.count
        return values


def _among_five(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the label of each sample is among its five largest logits; a sample with a NaN is wrong."""
    top = logits.topk(min(5, logits.shape[1]), dim=1).indices
    return (top == labels[:, None]).any(1) & ~logits.isnan().any(1)
