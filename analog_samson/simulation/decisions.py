"""What a classifier decides sample by sample: margins between its outputs, and which class is taken for which."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analog_samson.tasks.task import Task

BINS = 40
NO_ANSWER = -1  # in place of a class, where an output is NaN


@dataclass(frozen=True)
class Decisions:
    """The decision on every sample, in order, on the CPU.

    Attributes:
        predicted: Classes, int64; NO_ANSWER where an output is NaN.
        labels: True classes, int64.
        margins: The largest output minus the second largest, float32; 0 where there is one output.
        classes: How many there are.
    """

    predicted: Tensor
    labels: Tensor
    margins: Tensor
    classes: int


class DecisionRecorder:
    """Collects decisions while a network is scored: the `watch` of `tasks.scoring.score`."""

    def __init__(self, task: Task) -> None:
        """Collect what `task` offers; tasks that choose no class have no decisions."""
        self._task = task
        self._found: list[tuple[Tensor, Tensor, Tensor]] = []
        self._classes = 0

    def __call__(self, output: Any, batch: Any) -> None:
        """Take the decisions on one batch."""
        scores = self._task.class_scores(output, batch)
        if scores is None:
            return
        logits, labels = scores
        top = logits.topk(min(2, logits.shape[1]), dim=1).values
        predicted = logits.argmax(1).where(~logits.isnan().any(1), NO_ANSWER)
        self._found.append((predicted, labels, top[:, 0] - top[:, -1]))
        self._classes = logits.shape[1]

    def decisions(self) -> Decisions | None:
        """Those on all batches; None where the task has none."""
        if not self._found:
            return None
        predicted, labels, margins = (torch.cat(parts).cpu() for parts in zip(*self._found, strict=True))
        return Decisions(predicted, labels, margins, self._classes)


def bin_edges(margins: Tensor) -> list[float]:
    """Edges of equal bins from 0 to the margin that 99 % of the digital decisions stay below; one open bin follows."""
    top = float(torch.quantile(margins[:10_000_000].double(), 0.99)) or 1.0
    return [top * place / BINS for place in range(BINS + 1)]


def summarize_decisions(decisions: Decisions, edges: list[float], digital: Decisions) -> dict[str, Any]:
    """Decisions as a run folder stores them: counts, no single samples.

    margins: samples in each bin, the last one open. changed: samples decided otherwise than by the digital network.
    confusion: [true, predicted, samples] of every pair of classes that occurs, of samples with an answer.
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
