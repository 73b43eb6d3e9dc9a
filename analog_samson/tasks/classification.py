"""One class out of several for each sample: accuracy, loss and calibration."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from analog_samson.errors import DataError
from analog_samson.tasks.metric import Metric
from analog_samson.tasks.task import Task

ACCURACY = Metric(
    name="accuracy", title="accuracy", unit="%", difference_unit="points", lower=0.0, upper=100.0, decimals=2
)
TOP5 = Metric(name="top5_accuracy", title="top-5 accuracy", unit="%", difference_unit="points", lower=0.0, upper=100.0)
LOSS = Metric(name="loss", title="cross-entropy", unit="nats", lower=0.0, higher_is_better=False, decimals=3)
CALIBRATION_ERROR = Metric(
    name="calibration_error",
    title="calibration error",
    unit="%",
    difference_unit="points",
    lower=0.0,
    upper=100.0,
    higher_is_better=False,
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
    """Batches (x, y) with labels y (N,); the network returns logits (N, classes).

    Metrics: top-1 and top-5 accuracy, mean cross-entropy, and the expected calibration error over 15 bins of
    confidence (Guo et al. 2017, eq. 3). A sample with a NaN among its logits counts as wrong.

    Attributes:
        classes: The number of classes of the data, checked against the logits; None takes that of the network.
    """

    name: ClassVar[str] = "classification"
    classes: int | None = None
    sample: str = "sample"
    metrics: tuple[Metric, ...] = field(default=(ACCURACY, TOP5, LOSS, CALIBRATION_ERROR))

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless logits, labels and the number of classes fit."""
        labels = batch[1]
        if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
            raise DataError(
                f"classification: expected integer labels of shape (samples,), got {_form(labels)}; "
                "for real-valued targets give task=Regression()"
            )
        if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(labels):
            raise DataError(
                f"classification: the network returns {_form(output)} for {len(labels)} samples; expected logits of "
                "shape (samples, classes)"
            )
        outputs = output.shape[1]
        if self.classes is not None and outputs != self.classes:
            raise DataError(
                f"the network has {outputs} outputs but the data has {self.classes} classes; use a network with "
                f"{self.classes} outputs"
            )
        low, high = (int(labels.min()), int(labels.max())) if len(labels) else (0, 0)
        if low < 0 or high >= outputs:
            wrong = low if low < 0 else high
            raise DataError(f"the data has label {wrong}, but the network's outputs are 0 to {outputs - 1}")

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean cross-entropy [nats]."""
        return functional.cross_entropy(output, batch[1])

    def start(self, device: torch.device) -> _State:
        """Counts of zero; sums in double precision."""
        zero = torch.zeros((), dtype=torch.int64, device=device)
        total = torch.zeros((), dtype=torch.float64, device=device)
        return _State(0, zero, zero, total, torch.zeros(2, _BINS, dtype=torch.float64, device=device))

    def update(self, state: _State, output: Any, batch: Any) -> _State:
        """Add one batch; nothing is read back from the device."""
        logits, labels = output, batch[1]
        right = self.outcomes(logits, batch)
        confidence = logits.softmax(1).amax(1).nan_to_num(0.0).double()
        place = (confidence * _BINS).long().clamp_(max=_BINS - 1)
        values = torch.stack([confidence, right.double()])
        top = logits.topk(min(5, logits.shape[1]), dim=1).indices
        right5 = (top == labels[:, None]).any(1) & ~logits.isnan().any(1)
        return _State(
            count=state.count + len(labels),
            correct=state.correct + right.sum(),
            correct5=state.correct5 + right5.sum(),
            loss=state.loss + functional.cross_entropy(logits, labels, reduction="sum").double(),
            bins=state.bins.index_add(1, place, values),
        )

    def compute(self, state: _State) -> dict[str, float]:
        """Percentages of all samples, and the mean loss."""
        confidence, correct = state.bins
        gap = float((correct - confidence).abs().sum()) / state.count
        return {
            ACCURACY.name: 100 * int(state.correct) / state.count,
            TOP5.name: 100 * int(state.correct5) / state.count,
            LOSS.name: float(state.loss) / state.count,
            CALIBRATION_ERROR.name: 100 * gap,
        }

    def outcomes(self, output: Any, batch: Any) -> Tensor:
        """Which samples have their label as the largest logit."""
        # argmax takes NaN for the largest number.
        return (output.argmax(1) == batch[1]) & ~output.isnan().any(1)


def _form(value: Any) -> str:
    """Shape and type of what should have been a tensor."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and type {str(value.dtype).removeprefix('torch.')}"
    return f"a {type(value).__name__}"
