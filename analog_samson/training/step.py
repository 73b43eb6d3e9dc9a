"""One update of the weights: which passes a method makes, at which weights, and what happens to the weights after."""

import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.chip.batchnorm import frozen_statistics
from analog_samson.errors import DataError, ModelError
from analog_samson.sharpness.perturb import Ascent, perturbed
from analog_samson.sharpness.perturbation_breakdown import format_breakdown, perturbation_breakdown
from analog_samson.sharpness.perturbations import RandomPerturbation
from analog_samson.sharpness.reuse import ReusedAscent, scaled
from analog_samson.training.distill import distillation_loss
from analog_samson.training.distributed import ALONE, Shard, World
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import TrainingError
from analog_samson.training.weight_noise import (
    additive_noise,
    clip_to_std,
    clip_weights,
    preset_noise,
    random_perturbation,
    relative_noise,
)

_logger = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Normalised images, labels, and the logits of a teacher where there is one.

    part: which images of the batch these are, where several processes divide it; None is all of them.
    """

    x: Tensor
    y: Tensor
    soft: Tensor | None = None
    part: Shard | None = None

    @property
    def shard(self) -> Shard:
        return self.part or Shard(len(self.y))

    def first(self, share: float) -> "Batch":
        """The first images of the batch, at least two of them; the very same batch for a share of 1."""
        part = self.shard.first(share)
        if part == self.shard:
            return self
        count = len(part)
        return Batch(self.x[:count], self.y[:count], None if self.soft is None else self.soft[:count], part)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in the training a step is, all counted from 0."""

    epoch: int
    step: int
    steps: int

    @property
    def now(self) -> float:
        """Epochs since the start."""
        return self.epoch + self.step / self.steps

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}, step {self.step + 1}"


class Draws(NamedTuple):
    """Random streams of an epoch: weight noise, and the perturbations of rwp."""

    noise: torch.Generator
    perturbation: torch.Generator

    @classmethod
    def of(cls, seed: int, epoch: int, device: torch.device) -> "Draws":
        return cls(*(rng.generator(seed, name, epoch, device=device) for name in ("noise", "perturbation")))


class Seen(NamedTuple):
    """What the first pass of a step gave: the mean loss [nats], and logits with the labels of their images."""

    loss: Tensor
    logits: Tensor
    labels: Tensor


@dataclass(kw_only=True)
class Updater:
    """Makes the steps of a training. `share` (of ||eps||^2 by kind, at the first climb) is filled in; the rest stays.

    model: what holds the parameters. A climb that is reused starts anew with each epoch, so nothing of it has to be
    stored between epochs. world: the processes that train together. Each climbs along the gradient of its own images,
    without a word to the others, unless options.ascent_sync; the gradient of the update is the average over all.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ascent: Ascent | None
    options: TrainOptions
    world: World = ALONE
    share: dict[str, float] | None = None
    _reused: ReusedAscent | None = field(default=None, init=False)
    _replica: nn.Module | None = field(default=None, init=False)
    _failed: bool = field(default=False, init=False)

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """The steps of an epoch belong inside, in all processes."""
        self._replica = self.world.replica(self.model)
        try:
            yield
        finally:
            self._replica = None  # it holds the process group, whose threads must not outlive the training

    def step(self, batch: Batch, draws: Draws, place: Place) -> Seen:
        """Update the weights once, then limit them."""
        if self.ascent is not None:
            seen = self._climb(self.ascent, batch, draws, place)
        elif isinstance(self.options.effective_perturbation(), RandomPerturbation):
            seen = self._perturb(batch, draws, place)
        else:
            seen = self._pass(batch, draws, place)
        self.optimizer.step()
        limit_weights(self.model, self.options)
        return seen

    def _climb(self, ascent: Ascent, batch: Batch, draws: Draws, place: Place) -> Seen:
        """The gradient at the worst nearby weights; a pass to find them, unless those of an earlier step serve."""
        every, factor = self.options.ascent_every or 1, self.options.ramp(place.now)
        if place.step % every:
            assert self._reused is not None
            with self._reused.applied(factor):
                return self._pass(batch, draws, place)
        first = batch.first(self.options.ascent_fraction or 1.0)
        seen = self._pass(first, draws, place, averaged=self.options.ascent_sync)
        self._note_share(ascent)
        with self._at_worst(ascent, every, factor):
            self._pass(batch, draws, place)
        return seen

    def _at_worst(self, ascent: Ascent, every: int, factor: float) -> AbstractContextManager[object]:
        """Climb along the present gradients, and keep the direction if later steps are going to use it."""
        if every == 1:
            return perturbed(scaled(ascent, factor))
        self._reused = ReusedAscent(ascent)
        self._reused.update_direction()
        return self._reused.applied(factor)

    def _perturb(self, batch: Batch, draws: Draws, place: Place) -> Seen:
        """Random weight perturbation: the gradient at weights moved at random, mixed with that of the clean ones.

        Batch-norm statistics are recorded at the clean weights where there is a pass there.
        """
        mixed = self.options.perturbed_share
        if mixed is None or mixed == 1:
            with self._moved(draws, place):
                return self._pass(batch, draws, place)
        seen = self._pass(batch, draws, place, weight=1 - mixed, averaged=False)
        with self._moved(draws, place), frozen_statistics(self.model):
            self._pass(batch, draws, place, weight=mixed, clear=False)
        return seen

    def _moved(self, draws: Draws, place: Place) -> AbstractContextManager[None]:
        perturbation = self.options.effective_perturbation()
        assert isinstance(perturbation, RandomPerturbation)
        perturbation = perturbation.resized(self.options.ramp(place.now))
        selection = self.options.selected
        return random_perturbation(self.model, perturbation, generator=draws.perturbation, selection=selection)

    def _pass(
        self,
        batch: Batch,
        draws: Draws,
        place: Place,
        *,
        weight: float = 1.0,
        clear: bool = True,
        averaged: bool = True,
    ) -> Seen:
        """Gradients of weight * loss at the present weights, under weight noise if that is on.

        clear: in place of the gradients that are there, else added to them. averaged: all that is there then is
        averaged over the processes; else it stays that of this one.
        """
        if clear:
            self.optimizer.zero_grad()
        weight *= batch.shard.weight
        network = self.model if self._replica is None else self._replica
        with self._noise(draws.noise), nullcontext() if averaged else self.world.apart(network):
            with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=self.options.bf16):
                logits = logits_of(network(batch.x))
            loss = self._loss(logits.float(), batch)
            checked = self._checked(loss, place)
            (checked if weight == 1 else weight * checked).backward()
        if averaged and self.world.size > 1:
            _check_average(self.model, place)
        return Seen(loss, logits, batch.y)

    def _checked(self, loss: Tensor, place: Place) -> Tensor:
        """The loss, which has to be finite.

        A process that found one that is not must not leave the others waiting for its gradient: it goes on with NaN,
        which all of them then find in the average.
        """
        finite = bool(torch.isfinite(loss))
        if not finite and self.world.size == 1:
            raise TrainingError(diverged(f"the loss is {loss.item()}", str(place)))
        self._failed = self._failed or not finite
        return loss * math.nan if self._failed else loss

    def _noise(self, generator: torch.Generator) -> AbstractContextManager[None]:
        if self.options.noise_preset is not None:
            return preset_noise(
                self.model, self.options.noise_preset, self.options.noise_seconds(), generator=generator
            )
        if self.options.noise:
            return additive_noise(self.model, self.options.noise, generator=generator)
        if self.options.noise_sigma_c:
            return relative_noise(self.model, self.options.noise_sigma_c, generator=generator)
        return nullcontext()

    def _loss(self, logits: Tensor, batch: Batch) -> Tensor:
        hard = F.cross_entropy(logits, batch.y, label_smoothing=self.options.label_smoothing)
        if batch.soft is None:
            return hard
        weight, temperature = self.options.distill_weight, self.options.distill_temperature
        assert weight is not None
        assert temperature is not None
        return torch.lerp(hard, distillation_loss(logits, batch.soft, temperature), weight)

    def _note_share(self, ascent: Ascent) -> None:
        if self.share is None:
            self.share = perturbation_breakdown(ascent)
            _logger.info(format_breakdown(self.share))


def logits_of(output: object) -> Tensor:
    """The logits in what a training forward returns: it itself, or the first of several outputs.

    Auxiliary heads, which come after the first in the networks of torchvision, are not trained. Raises DataError.
    """
    first = output[0] if isinstance(output, tuple) and output else output
    if isinstance(first, Tensor):
        return first
    inside = "" if first is output else f" that begins with a {type(first).__name__}"
    raise DataError(
        f"the network returns a {type(output).__name__}{inside} in training; "
        "expected logits (images, classes), or a tuple that begins with them"
    )


def _check_average(model: nn.Module, place: Place) -> None:
    """What every process finds alike after the gradients were averaged."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    unused = [name for name, parameter in trained.items() if parameter.grad is None]
    if unused:
        raise ModelError(
            f"{', '.join(unused)}: no part of the output, so the gradients of several processes cannot be averaged; "
            "freeze such parameters (requires_grad_(False)), or train in one process"
        )
    norms = torch._foreach_norm([parameter.grad for parameter in trained.values() if parameter.grad is not None])
    if not torch.stack(list(norms)).isfinite().all():
        raise TrainingError(diverged("the loss or the gradient of a process is NaN or Inf", str(place)))


def limit_weights(model: nn.Module, options: TrainOptions) -> None:
    """Clip the crossbar weights that are trained as the options say; after every update, and on an average of them."""
    if options.clip is not None:
        clip_weights(model, options.clip, frozen=False)
    if options.clip_std is not None:
        clip_to_std(model, options.clip_std, frozen=False)


def diverged(what: str, where: str) -> str:
    """The message for a training that cannot go on."""
    return (
        f"training diverged at {where}: {what}; try a lower learning rate, a warm-up or a smaller rho "
        "(the checkpoint of the epoch before is kept where a folder was given)"
    )
