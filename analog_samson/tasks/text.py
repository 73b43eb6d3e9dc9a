"""Language: the next token, and a class for each token."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from analog_samson.errors import DataError
from analog_samson.results.metric import PERCENT, Metric
from analog_samson.tasks.batch import TARGET_KEYS, call, main_output, split_batch
from analog_samson.tasks.measured import MeasuredTask, whole_labels
from analog_samson.tasks.task import Task

if TYPE_CHECKING:
    import torchmetrics

IGNORED = -100  # a position without a label, as in torch's cross-entropy and in Hugging Face's batches
_LN2 = 0.6931471805599453


@dataclass(slots=True)
class _Tokens:
    count: int
    sums: Tensor  # loss [nats], tokens predicted right, tokens


@dataclass(frozen=True, kw_only=True)
class LanguageModeling(Task):
    """Predict each next token. The network returns logits (N, T, vocabulary).

    Metrics: cross-entropy [nats] a token, perplexity, next-token accuracy, and bits per byte where `bytes_per_token`
    is given. All tokens of the data count alike, whatever batch they are in.

    Attributes:
        shift: The targets are the inputs, and position t is judged by the token at t + 1, as in Hugging Face's
            batches. False: target t already is the token after input t.
        ignored: The label of positions that do not count.
        bytes_per_token: Mean length of a token of the text in bytes.
        headline_metric: "loss" or "perplexity".
    """

    name: ClassVar[str] = "language_modeling"
    shift: bool = True
    ignored: int = IGNORED
    bytes_per_token: float | None = None
    headline_metric: str = "loss"
    metrics: tuple[Metric, ...] = field(init=False)

    def __post_init__(self) -> None:
        lower: dict[str, Any] = {"higher_is_better": False, "decimals": 3}
        loss = Metric(name="loss", title="cross-entropy", unit="nats", lower=0.0, **lower)
        perplexity = Metric(name="perplexity", title="perplexity", lower=1.0, **lower)
        metrics = [perplexity, loss] if self.headline_metric == "perplexity" else [loss, perplexity]
        metrics.append(Metric(name="accuracy_percent", title="next-token accuracy", **PERCENT))
        if self.bytes_per_token is not None:
            metrics.append(Metric(name="bits_per_byte", title="bits per byte", unit="bits", lower=0.0, **lower))
        object.__setattr__(self, "metrics", tuple(metrics))

    def prepare(self, batch: Any) -> tuple[Any, Tensor]:
        """The batch as (inputs, int64 targets (N, T)); a batch of token ids alone is its own target.

        Raises:
            DataError: The targets are no whole numbers of two dimensions.
        """
        inputs, targets = token_batch(batch)
        labels = whole_labels(targets, "language_modeling", "(N, T)")
        if labels.ndim != 2:
            raise DataError(f"language_modeling: expected tokens (N, T), got {tuple(labels.shape)}")
        return inputs, labels

    def forward(self, model: nn.Module, batch: Any) -> Tensor:
        """Logits (N, T, vocabulary)."""
        return main_output(call(model, batch[0]))

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless there are logits for every target, and every target is in the vocabulary."""
        check_tokens(output, batch[1], self.ignored, "language_modeling")

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean cross-entropy [nats] over the tokens that count."""
        logits, targets = self._aligned(output, batch[1])
        return functional.cross_entropy(logits, targets, ignore_index=self.ignored)

    def start(self, device: torch.device) -> _Tokens:
        """Sums of zero, in double precision."""
        return _Tokens(0, torch.zeros(3, dtype=torch.float64, device=device))

    def update(self, state: _Tokens, output: Any, batch: Any) -> _Tokens:
        """Add one batch; nothing is read back from the device."""
        logits, targets = self._aligned(output, batch[1])
        counted = targets != self.ignored
        loss = functional.cross_entropy(logits.float(), targets, ignore_index=self.ignored, reduction="sum")
        right = (logits.argmax(-1) == targets) & counted & ~logits.isnan().any(-1)
        sums = torch.stack([loss.double(), right.sum().double(), counted.sum().double()])
        return _Tokens(state.count + len(batch[1]), state.sums + sums)

    def compute(self, state: _Tokens) -> dict[str, float]:
        """Means over all tokens.

        Raises:
            DataError: No token counts.
        """
        loss, right, count = state.sums.tolist()
        if count == 0:
            raise DataError("language_modeling: no token to predict: every target is ignored or has no successor")
        mean = loss / count
        values = {
            "loss": mean,
            "perplexity": float(torch.tensor(mean, dtype=torch.float64).exp()),
            "accuracy_percent": 100 * right / count,
        }
        if self.bytes_per_token is not None:
            values["bits_per_byte"] = mean / _LN2 / self.bytes_per_token
        return {metric.name: values[metric.name] for metric in self.metrics}

    def count(self, batch: Any) -> int:
        """Sequences in a batch."""
        return len(batch[1])

    def _aligned(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (positions, vocabulary) and the token that each has to predict."""
        if self.shift:
            logits, targets = logits[:, :-1], targets[:, 1:]
        return logits.flatten(0, 1), targets.flatten()


def token_batch(batch: Any) -> tuple[Any, Any]:
    """Inputs and targets; of a batch without targets, its token ids are the targets, padding left out."""
    if isinstance(batch, Tensor):
        return batch, batch
    if isinstance(batch, Mapping) and "input_ids" in batch and not any(key in batch for key in TARGET_KEYS):
        ids, mask = batch["input_ids"], batch.get("attention_mask")
        return dict(batch), ids if mask is None else ids.masked_fill(mask == 0, IGNORED)
    return split_batch(batch)


def check_tokens(output: Any, labels: Tensor, ignored: int, task: str) -> None:
    """Raise DataError unless logits (N, T, classes) fit labels (N, T)."""
    if not isinstance(output, Tensor) or output.ndim != 3 or output.shape[:2] != labels.shape:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise DataError(
            f"{task}: the network returns {got} for labels {tuple(labels.shape)}; expected logits (N, T, classes)"
        )
    counted = labels[labels != ignored]
    if counted.numel():
        low, high = torch.stack([counted.min(), counted.max()]).tolist()
        if low < 0 or high >= output.shape[2]:
            wrong = low if low < 0 else high
            raise DataError(
                f"{task}: label {wrong} in the data, the network has {output.shape[2]} outputs "
                f"(0 to {output.shape[2] - 1}); {ignored} marks positions without a label"
            )


@dataclass(frozen=True, kw_only=True)
class TokenClassification(MeasuredTask):
    """A class for each token. The network returns logits (N, T, classes); labels are (N, T).

    Metrics: F1 and accuracy, both over single tokens, not over whole entities.

    Attributes:
        classes: The number of classes.
        outside: The class "no entity": F1 is the micro average over the others. None: the macro average over all.
        ignored: The label of positions that do not count.
    """

    name: ClassVar[str] = "token_classification"
    classes: int
    outside: int | None = None
    ignored: int = IGNORED
    metrics: tuple[Metric, ...] = field(
        init=False,
        default=(
            Metric(name="f1_percent", title="F1", **PERCENT),
            Metric(name="accuracy_percent", title="token accuracy", **PERCENT),
        ),
    )

    def prepare(self, batch: Any) -> tuple[Any, Tensor]:
        """The batch as (inputs, int64 labels (N, T))."""
        inputs, labels = super().prepare(batch)
        return inputs, whole_labels(labels, self.name, "(N, T)")

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless logits, labels and the number of classes fit."""
        check_tokens(output, batch[1], self.ignored, self.name)
        if output.shape[2] != self.classes:
            raise DataError(f"{self.name}: the network has {output.shape[2]} outputs, the task {self.classes} classes")

    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """F1 and accuracy over the tokens with a label."""
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        kind: dict[str, Any] = {"num_classes": self.classes, "ignore_index": self.ignored}
        f1 = _f1_without(self.outside, kind) if self.outside is not None else MulticlassF1Score(average="macro", **kind)
        return {"f1_percent": f1, "accuracy_percent": MulticlassAccuracy(average="micro", **kind)}

    def compared(self, output: Any, batch: Any) -> tuple[Any, Any]:
        """Logits (N, classes, T) and labels, as torchmetrics takes them."""
        return output.transpose(1, 2), batch[1]

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean cross-entropy [nats] over the tokens with a label."""
        return functional.cross_entropy(output.flatten(0, 1), batch[1].flatten(), ignore_index=self.ignored)


def _f1_without(outside: int, kind: dict[str, Any]) -> "torchmetrics.Metric":
    """The micro average of F1 over all classes but one."""
    from torchmetrics.classification import MulticlassStatScores

    class EntityF1(MulticlassStatScores):
        higher_is_better = True

        def compute(self) -> Tensor:
            scores = super().compute()
            kept = torch.arange(len(scores), device=scores.device) != outside
            right, wrong, _, missed, _ = scores[kept].sum(0).double().unbind()
            return 2 * right / (2 * right + wrong + missed).clamp_min(1)

    return EntityF1(average=None, **kind)
