"""Two inputs compared by the cosine of their embeddings: how alike sentences are, and who speaks."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from analog_samson.errors import DataError
from analog_samson.results.metric import PERCENT, Metric
from analog_samson.tasks.batch import call, main_output, samples
from analog_samson.tasks.measured import MeasuredTask

if TYPE_CHECKING:
    import torchmetrics


class EmbeddingPairs(MeasuredTask):
    """Batches ((first, second), targets): first and second are inputs of the network, targets one number a pair."""

    def prepare(self, batch: Any) -> tuple[Any, Tensor]:
        """The batch as ((first, second), targets (N,)). Raises DataError for another form."""
        is_pair = isinstance(batch, tuple | list) and len(batch) == 2
        if not is_pair or not isinstance(batch[0], tuple | list) or len(batch[0]) != 2:
            raise DataError(f"{self.name}: expected batches ((first, second), targets), got a {type(batch).__name__}")
        targets = batch[1]
        if not isinstance(targets, Tensor) or targets.ndim != 1:
            got = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
            raise DataError(f"{self.name}: expected targets (N,), got {got}")
        return batch[0], targets

    def count(self, batch: Any) -> int:
        """Pairs in a batch."""
        return samples(batch[1], None)

    def forward(self, model: nn.Module, batch: Any) -> Tensor:
        """The cosine of the two embeddings (N,)."""
        first, second = (main_output(call(model, inputs), "embeddings") for inputs in batch[0])
        if first.ndim != 2 or first.shape != second.shape:
            raise DataError(
                f"{self.name}: expected embeddings (N, width), got {tuple(first.shape)}, {tuple(second.shape)}"
            )
        return functional.cosine_similarity(first.float(), second.float(), dim=1)

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless there is a cosine for each pair."""
        if output.shape != batch[1].shape:
            raise DataError(f"{self.name}: {len(output)} pairs of embeddings for {len(batch[1])} targets")


@dataclass(frozen=True, kw_only=True)
class SentenceSimilarity(EmbeddingPairs):
    """Likeness of two sentences, against a score that people gave.

    Metric: Spearman's rank correlation between the cosine of the embeddings and the scores, times 100.
    """

    name: ClassVar[str] = "sentence_similarity"
    metrics: tuple[Metric, ...] = field(
        init=False,
        default=(Metric(name="spearman_percent", title="Spearman correlation", **(PERCENT | {"lower": -100.0})),),
    )

    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """Spearman's correlation."""
        from torchmetrics.regression import SpearmanCorrCoef

        return {"spearman_percent": SpearmanCorrCoef()}

    def compared(self, output: Any, batch: Any) -> tuple[Any, Any]:
        """Cosines and scores."""
        return output, batch[1].to(output.dtype)

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean squared error of the cosine; the scores are cosines themselves."""
        return functional.mse_loss(output, batch[1].to(output.dtype))


@dataclass(frozen=True, kw_only=True)
class SpeakerVerification(EmbeddingPairs):
    """Whether two recordings share a speaker; targets are 1 where they do and else 0.

    Metric: the equal error rate, at the threshold of the cosine where both kinds of error are equally frequent.
    """

    name: ClassVar[str] = "speaker_verification"
    metrics: tuple[Metric, ...] = field(
        init=False,
        default=(Metric(name="eer_percent", title="equal error rate", higher_is_better=False, **PERCENT),),
    )

    def prepare(self, batch: Any) -> tuple[Any, Tensor]:
        """The batch as ((first, second), targets (N,)). Raises DataError for targets that are not 0 or 1."""
        pair, targets = super().prepare(batch)
        if not bool(((targets == 0) | (targets == 1)).all()):
            raise DataError("speaker_verification: expected targets 1 (same speaker) and 0")
        return pair, targets.long()

    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """The equal error rate."""
        from torchmetrics.classification import BinaryEER

        return {"eer_percent": BinaryEER()}

    def compared(self, output: Any, batch: Any) -> tuple[Any, Any]:
        """Cosines, moved to 0 to 1 so that they are taken as scores, and targets."""
        return (output + 1) / 2, batch[1]

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean squared error of the cosine against 1 for the same and 0 for other speakers."""
        return functional.mse_loss(output, batch[1].to(output.dtype))
