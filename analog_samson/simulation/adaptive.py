"""Chips measured on part of the test samples: which, and what they tell of all of them."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.analysis.image_sample import LEAST, ImageSample, even_sample, neyman_sample
from analog_samson.errors import DataError, OptionError
from analog_samson.results.condition import DIGITAL, Condition
from analog_samson.tasks.scoring import Scores, Watch, score
from analog_samson.tasks.task import Task

Images = Literal["all", "adaptive"]
ADAPTIVE: Images = "adaptive"
KEY = "images"  # of what a run stores


def check_images(images: str, task: Task, count: int | None = None) -> None:
    """Raise OptionError for adaptive images whose values would be no estimates of those on all samples.

    Args:
        images: "all" or "adaptive".
        task: What is measured.
        count: How many test samples there are, where that is known.
    """
    lost = ", ".join(metric.name for metric in task.metrics if metric.name not in task.averaged)
    if images not in get_args(Images):
        raise OptionError(f"images: expected one of {', '.join(get_args(Images))}, got {images!r}")
    if images == ADAPTIVE and lost:
        raise OptionError(
            f"images adaptive: {lost} of task {task.name} is no mean over samples, so a part of them cannot estimate "
            "it; leave it out"
        )
    if images == ADAPTIVE and count is not None and count < 2 * LEAST:
        raise OptionError(f"images adaptive: expected {2 * LEAST} test samples or more, got {count}; leave it out")


class SampleScores:
    """Collects what strata are made from while a network is scored: a `watch` of `score`.

    The margin of the right class where a task chooses one of several, else the value of the headline metric.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._found: list[Tensor] = []

    def __call__(self, output: Any, batch: Any) -> None:
        """Take those of one batch."""
        scores = self._task.class_scores(output, batch)
        if scores is None:
            self._found.append(self._task.sample_values(output, batch)[self._task.headline.name])
            return
        logits, labels = scores
        right = labels[:, None]
        others = logits.scatter(1, right, -torch.inf).amax(1)
        self._found.append(logits.gather(1, right)[:, 0] - others)

    @property
    def known(self) -> bool:
        """Whether a network was scored."""
        return bool(self._found)

    def values(self) -> np.ndarray:
        """One a sample, float64."""
        return torch.cat(self._found).double().cpu().numpy()


def sample_scores(images: str, task: Task) -> SampleScores | None:
    """What collects the scores of the digital network; None where all samples are measured.

    Raises:
        OptionError: As `check_images`.
    """
    check_images(images, task)
    return SampleScores(task) if images == ADAPTIVE else None


@dataclass(frozen=True)
class ChipImages:
    """The samples of every chip of a run.

    Attributes:
        sample: How they are drawn.
        seed: Of the run; each chip draws from its own stream. Times, calibrations, presets and networks share the keys.
        purpose: Names the stream.
    """

    sample: ImageSample
    seed: int
    purpose: str = KEY

    def places(self, instance: int) -> np.ndarray:
        """The samples of a chip, ascending."""
        generator = rng.generator(self.seed, self.purpose, instance)
        return self.sample.places(torch.rand(self.sample.count, generator=generator, dtype=torch.float64).numpy())

    def score(
        self, network: nn.Module, data: Iterable[Any], task: Task, instance: int, *, bf16: bool, watch: Watch | None
    ) -> tuple[Scores, np.ndarray]:
        """Score a chip on its samples.

        Returns:
            Estimates of the metrics on all samples, with the outcomes of those that were drawn; and the values of the
            headline metric, one for each of these.
        """
        from analog_samson.data.picked import pick_samples  # data loads models, which simulations need not

        places, found = self.places(instance), _Values(task, watch)
        scores = score(network, pick_samples(data, torch.from_numpy(places)), task, bf16=bf16, watch=found)
        if scores.count != len(places):
            raise DataError(
                f"images adaptive: the data gave {scores.count} of the {len(places)} samples that were drawn; expected "
                "tensors with samples along their first axis, the same in each pass"
            )
        values = {name: torch.cat(parts).double().cpu().numpy() for name, parts in found.values.items()}
        estimates = {name: self.sample.estimate(places, each) for name, each in values.items()}
        return replace(scores, values=estimates), values[task.headline.name]


class _Values:
    """Collects the values of single samples, and lets another watch see the same."""

    def __init__(self, task: Task, watch: Watch | None) -> None:
        self._task, self._watch = task, watch
        self.values: dict[str, list[Tensor]] = {}

    def __call__(self, output: Any, batch: Any) -> None:
        for name, value in self._task.sample_values(output, batch).items():
            self.values.setdefault(name, []).append(value)
        if self._watch is not None:
            self._watch(output, batch)


def measures_all(condition: Condition) -> bool:
    """Whether a cell is measured on all samples in any case: it is that of no chip."""
    return condition.stage == DIGITAL or condition.sigma_c == 0


def choose_images(
    model: nn.Module,
    scores: SampleScores,
    moments: Iterable[AbstractContextManager[nn.Module]],
    data: Iterable[Any],
    task: Task,
    *,
    seed: int,
    instances: int,
    halfwidth: float | None = None,
    bf16: bool = False,
) -> ChipImages:
    """Choose how samples are drawn, by a pilot on one chip, of which no value is recorded.

    Args:
        model: The digital network.
        scores: What it gave; where there are none, it is scored.
        moments: For each condition of the chip, the context in which the network is in it.
        data: Batches of the task.
        task: How a batch is fed and scored.
        seed: Of the run; the pilot draws from a stream of its own.
        instances: How many chips there are at least.
        halfwidth: Of the 95 % interval that is wanted.
        bf16: Run the network under bfloat16 autocast.

    Raises:
        OptionError: There are too few samples.
    """
    if not scores.known:
        score(model, data, task, bf16=bf16, watch=scores)
    found = scores.values()
    check_images(ADAPTIVE, task, len(found))
    pilot = ChipImages(even_sample(found), seed, "images pilot")
    places, variances = pilot.places(0), []
    for chip in moments:
        with chip as network:
            _, values = pilot.score(network, data, task, 0, bf16=bf16, watch=None)
        variances.append(pilot.sample.variances(places, values))
    return ChipImages(neyman_sample(pilot.sample, np.array(variances), halfwidth=halfwidth, instances=instances), seed)
