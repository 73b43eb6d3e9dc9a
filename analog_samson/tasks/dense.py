"""Images with a class for each pixel, and samples that belong to several classes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from analog_samson.errors import DataError
from analog_samson.results.metric import PERCENT, Metric
from analog_samson.tasks.measured import MeasuredTask, whole_labels

if TYPE_CHECKING:
    import torchmetrics


@dataclass(frozen=True, kw_only=True)
class Segmentation(MeasuredTask):
    """A class for each pixel. The network returns logits (N, classes, H, W); labels are (N, H, W).

    Logits of another height and width are resized to that of the labels (bilinear), as segmentation networks are
    scored. Metrics: mean intersection over union, over the classes that occur, and pixel accuracy.

    Attributes:
        classes: The number of classes.
        ignored: The label of pixels that do not count.
    """

    name: ClassVar[str] = "segmentation"
    classes: int
    ignored: int = 255
    metrics: tuple[Metric, ...] = field(
        init=False,
        default=(
            Metric(name="miou_percent", title="mean IoU", **PERCENT),
            Metric(name="accuracy_percent", title="pixel accuracy", **PERCENT),
        ),
    )

    def prepare(self, batch: Any) -> tuple[Any, Tensor]:
        """The batch as (inputs, int64 labels (N, H, W)); one-channel labels (N, 1, H, W) lose that dimension."""
        inputs, labels = super().prepare(batch)
        labels = whole_labels(labels, self.name, "(N, H, W)")
        labels = labels[:, 0] if labels.ndim == 4 and labels.shape[1] == 1 else labels
        if labels.ndim != 3:
            raise DataError(f"segmentation: expected labels (N, H, W), got {tuple(labels.shape)}")
        return inputs, labels

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless logits, labels and the number of classes fit."""
        labels = batch[1]
        if output.ndim != 4 or len(output) != len(labels) or output.shape[1] != self.classes:
            raise DataError(
                f"segmentation: the network returns {tuple(output.shape)} for labels {tuple(labels.shape)}; expected "
                f"logits (N, {self.classes}, H, W)"
            )
        counted = labels[labels != self.ignored]
        if counted.numel():
            low, high = torch.stack([counted.min(), counted.max()]).tolist()
            if low < 0 or high >= self.classes:
                raise DataError(
                    f"segmentation: label {low if low < 0 else high}; expected 0 to {self.classes - 1}, or "
                    f"{self.ignored} for pixels that do not count"
                )

    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """Intersection over union, and accuracy over pixels."""
        from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

        kind: dict[str, Any] = {"num_classes": self.classes, "ignore_index": self.ignored}
        return {
            "miou_percent": MulticlassJaccardIndex(average="macro", **kind),
            "accuracy_percent": MulticlassAccuracy(average="micro", **kind),
        }

    def compared(self, output: Any, batch: Any) -> tuple[Any, Any]:
        """Predicted classes and labels, pixel by pixel."""
        return self._resized(output, batch[1]).argmax(1), batch[1]

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean cross-entropy [nats] over the pixels that count."""
        return functional.cross_entropy(self._resized(output, batch[1]), batch[1], ignore_index=self.ignored)

    @staticmethod
    def _resized(logits: Tensor, labels: Tensor) -> Tensor:
        if logits.shape[2:] == labels.shape[1:]:
            return logits
        return functional.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)


@dataclass(frozen=True, kw_only=True)
class MultiLabel(MeasuredTask):
    """Any number of classes for each sample. Network and data give (N, classes); targets are 0 or 1.

    Metrics: mean average precision over the classes that occur (the area under precision over recall), and F1 at a
    probability of one half, macro average.

    Attributes:
        classes: The number of classes.
    """

    name: ClassVar[str] = "multi_label"
    classes: int
    metrics: tuple[Metric, ...] = field(
        init=False,
        default=(
            Metric(name="map_percent", title="mean average precision", **PERCENT),
            Metric(name="f1_percent", title="F1", **PERCENT),
        ),
    )

    def prepare(self, batch: Any) -> tuple[Any, Tensor]:
        """The batch as (inputs, int64 targets (N, classes)). Raises DataError for targets that are not 0 or 1."""
        inputs, targets = super().prepare(batch)
        if not isinstance(targets, Tensor) or targets.ndim != 2 or not bool(((targets == 0) | (targets == 1)).all()):
            got = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
            raise DataError(f"multi_label: expected targets (N, classes) of 0 and 1, got {got}")
        return inputs, targets.long()

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless outputs and targets have one shape."""
        if output.shape != batch[1].shape or output.shape[1] != self.classes:
            raise DataError(
                f"multi_label: the network returns {tuple(output.shape)} for targets {tuple(batch[1].shape)}; expected "
                f"(N, {self.classes}) for both"
            )

    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """Average precision and F1."""
        from torchmetrics.classification import MultilabelAveragePrecision, MultilabelF1Score

        return {
            "map_percent": MultilabelAveragePrecision(num_labels=self.classes),
            "f1_percent": MultilabelF1Score(num_labels=self.classes),
        }

    def compared(self, output: Any, batch: Any) -> tuple[Any, Any]:
        """Probabilities and targets."""
        return output.float().sigmoid(), batch[1]

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean binary cross-entropy [nats]."""
        return functional.binary_cross_entropy_with_logits(output, batch[1].to(output.dtype))
