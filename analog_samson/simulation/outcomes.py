"""What a network decides image by image: margins between its outputs, and which class is taken for which."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.runtime.eval_mode import eval_mode

BINS = 40
NO_ANSWER = -1  # in place of a class, where an output is NaN


@dataclass(frozen=True)
class Decisions:
    """Of every image, in order, on the CPU: predicted class, true class (int64), margin (float32), summed loss [nats].

    Where an output is NaN the class is NO_ANSWER.
    The margin is the largest output minus the second largest, 0 where there is one output.
    """

    predicted: Tensor
    labels: Tensor
    margins: Tensor
    loss: float
    classes: int

    @property
    def accuracy_percent(self) -> float:
        """Top-1 accuracy, computed as `evaluate` does."""
        return 100 * int((self.predicted == self.labels).sum()) / len(self.labels)


def decide(model: nn.Module, data: Iterable[tuple[Tensor, Tensor]], *, bf16: bool = False) -> Decisions:
    """Run the network over the data in eval mode; draws nothing itself."""
    predicted, labels, margins, losses, classes = [], [], [], [], 1
    with eval_mode(model), torch.no_grad():
        for x, y in data:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
                logits = model(x)
            logits = logits.float()
            top = logits.topk(min(2, logits.shape[1]), dim=1).values
            predicted.append(logits.argmax(1).where(~logits.isnan().any(1), NO_ANSWER))
            labels.append(y)
            margins.append(top[:, 0] - top[:, -1])
            losses.append(nn.functional.cross_entropy(logits, y, reduction="sum").double())
            classes = logits.shape[1]
    return Decisions(
        predicted=torch.cat(predicted).cpu(),
        labels=torch.cat(labels).cpu(),
        margins=torch.cat(margins).cpu(),
        loss=float(torch.stack(losses).sum()),
        classes=classes,
    )


def bin_edges(margins: Tensor) -> list[float]:
    """Edges of equal bins from 0 to the margin that 99 % of the digital decisions stay below; one open bin follows."""
    top = float(torch.quantile(margins[:10_000_000].double(), 0.99)) or 1.0
    return [top * place / BINS for place in range(BINS + 1)]


def summarize_decisions(decisions: Decisions, edges: list[float], digital: Decisions) -> dict[str, Any]:
    """Decisions as a run folder stores them: counts, no single images.

    margins: images in each bin, the last one open. changed: images decided otherwise than by the digital network.
    confusion: [true, predicted, images] of every pair of classes that occurs, of images with an answer.
    """
    place = torch.bucketize(decisions.margins, torch.tensor(edges[1:]), right=True)
    answered = decisions.predicted != NO_ANSWER
    pairs = torch.bincount((decisions.labels * decisions.classes + decisions.predicted)[answered])
    return {
        "edges": edges,
        "margins": torch.bincount(place, minlength=len(edges)).tolist(),
        "changed": int((decisions.predicted != digital.predicted).sum()),
        "classes": decisions.classes,
        "confusion": [
            [int(pair) // decisions.classes, int(pair) % decisions.classes, int(pairs[pair])]
            for pair in pairs.nonzero().flatten()
        ],
    }
