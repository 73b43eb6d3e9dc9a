"""The answer to a question, as a span of a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from analog_samson.errors import DataError
from analog_samson.results.metric import PERCENT, Metric
from analog_samson.tasks.batch import call, main_output, samples
from analog_samson.tasks.measured import MeasuredTask

if TYPE_CHECKING:
    import torchmetrics


@dataclass(frozen=True, kw_only=True)
class QuestionAnswering(MeasuredTask):
    """Find the answer to a question in a text. The network returns start and end logits (N, T).

    Batches are mappings with the network's inputs and, for each sample, "context" (the text), "offsets" (for each token
    the (first, last) character in the text, or None outside of it) and "answers" (the accepted texts). For the loss,
    "start_positions" and "end_positions" (N,).

    Metrics: F1 over words and exact match, both as SQuAD 1.1 defines them (Rajpurkar et al. 2016, section 6.1).

    Attributes:
        longest: The most tokens that an answer has.
    """

    name: ClassVar[str] = "question_answering"
    longest: int = 30
    metrics: tuple[Metric, ...] = field(
        init=False,
        default=(
            Metric(name="f1_percent", title="F1", **PERCENT),
            Metric(name="exact_match_percent", title="exact match", **PERCENT),
        ),
    )

    def prepare(self, batch: Any) -> tuple[Any, Any]:
        """The batch as (inputs of the network, what answers are judged by)."""
        needed = ("context", "offsets", "answers")
        if not isinstance(batch, Mapping) or any(key not in batch for key in needed):
            held = ", ".join(map(str, batch)) if isinstance(batch, Mapping) else type(batch).__name__
            raise DataError(f"question_answering: expected a mapping with {', '.join(needed)}, got {held}")
        judged = (*needed, "start_positions", "end_positions")
        targets = {key: batch[key] for key in judged if key in batch}
        return {key: value for key, value in batch.items() if key not in judged}, targets

    def count(self, batch: Any) -> int:
        """Questions in a batch."""
        return samples(batch[1]["answers"], batch[0])

    def forward(self, model: nn.Module, batch: Any) -> tuple[Tensor, Tensor]:
        """Start and end logits."""
        output = call(model, batch[0])
        if isinstance(output, tuple) and len(output) == 2:
            return output
        return main_output(output, "start_logits"), main_output(output, "end_logits")

    def check(self, output: Any, batch: Any) -> None:
        """Raise DataError unless there is a logit for every token."""
        for logits, offsets in zip(output[0], batch[1]["offsets"], strict=True):
            if logits.ndim != 1 or len(logits) < len(offsets):
                raise DataError(
                    f"question_answering: {tuple(logits.shape)} start logits for {len(offsets)} tokens of a sample"
                )

    def meters(self) -> dict[str, "torchmetrics.Metric"]:
        """One metric, which computes both values."""
        from torchmetrics.text import SQuAD

        return {"squad": SQuAD()}

    def compared(self, output: Any, batch: Any) -> tuple[Any, Any]:
        """Predicted and accepted texts in the form of torchmetrics."""
        judged, predicted, accepted = batch[1], [], []
        for place, answers in enumerate(judged["answers"]):
            offsets = judged["offsets"][place]
            start, end = (logits[place][: len(offsets)].float() for logits in output)
            text = best_span(start, end, offsets, judged["context"][place], self.longest)
            predicted.append({"prediction_text": text, "id": str(place)})
            texts = [answers] if isinstance(answers, str) else list(answers)
            accepted.append({"answers": {"answer_start": [0] * len(texts), "text": texts}, "id": str(place)})
        return predicted, accepted

    def compute(self, state: Any) -> dict[str, float]:
        """F1 and exact match [%]."""
        values = state["squad"].compute()
        return {"f1_percent": float(values["f1"]), "exact_match_percent": float(values["exact_match"])}

    def loss(self, output: Any, batch: Any) -> Tensor:
        """Mean cross-entropy [nats] of start and end. Raises DataError where the data has no positions."""
        if "start_positions" not in batch[1] or "end_positions" not in batch[1]:
            raise DataError("question_answering: the loss needs start_positions and end_positions in each batch")
        start, end = (
            functional.cross_entropy(logits, batch[1][key])
            for logits, key in zip(output, ("start_positions", "end_positions"), strict=True)
        )
        return (start + end) / 2


def best_span(start: Tensor, end: Tensor, offsets: Sequence[tuple[int, int] | None], context: str, longest: int) -> str:
    """The text between the tokens whose start and end logits have the largest sum; "" where no token is of the text."""
    inside = torch.tensor([place is not None for place in offsets], device=start.device)
    scores = start[:, None] + end[None, :]
    tokens = torch.arange(len(start), device=start.device)
    length = tokens[None, :] - tokens[:, None] + 1
    allowed = (length >= 1) & (length <= longest) & inside[:, None] & inside[None, :]
    if not bool(allowed.any()):
        return ""
    best = int(scores.nan_to_num(-torch.inf).masked_fill(~allowed, -torch.inf).argmax())
    first, last = offsets[best // len(start)], offsets[best % len(start)]
    return "" if first is None or last is None else context[first[0] : last[1]]
