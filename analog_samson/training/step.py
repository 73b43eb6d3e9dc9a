"""One update of the weights: which passes a method makes, at which weights, and what happens to the weights after."""

import logging
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.chip.batchnorm import frozen_statistics
from analog_samson.errors import ModelError
from analog_samson.sharpness.perturb import Ascent, perturbed
from analog_samson.sharpness.perturbation_breakdown import format_breakdown, perturbation_breakdown
from analog_samson.sharpness.perturbations import RandomPerturbation
from analog_samson.sharpness.reuse import ReusedAscent, scaled
from analog_samson.tasks.task import Task
from analog_samson.training.batch import Batch
from analog_samson.training.distill import distillation_loss
from analog_samson.training.distributed import SINGLE_PROCESS, DistributedContext
from analog_samson.training.hardware_aware import HardwareForward
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


@dataclass(frozen=True, kw_only=True)
class StepIndex:
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


class EpochGenerators(NamedTuple):
    """Random streams of an epoch: weight noise, and random weight perturbation."""

    noise: torch.Generator
    perturbation: torch.Generator

    @classmethod
    def of(cls, seed: int, epoch: int, device: torch.device) -> "EpochGenerators":
        """Those of one epoch, on the device of the weights."""
        return cls(*(rng.generator(seed, name, epoch, device=device) for name in ("noise", "perturbation")))


class StepOutput(NamedTuple):
    """The first pass of a step: the mean loss, the network's output, and the batch it belongs to as prepared."""

    loss: Tensor
    output: Any
    prepared: Any


@dataclass(kw_only=True)
class TrainStep:
    """Makes the steps of a training.

    An ascent step that is reused starts anew with each epoch, so nothing of it has to be stored between epochs.

    Attributes:
        model: What holds the parameters.
        optimizer: What updates them.
        task: How a batch is fed to the network, and its loss.
        ascent: What is perturbed along the gradient; None for methods that do not.
        options: Those of the training.
        hardware: The converters that every product of a pass runs through; None computes exactly.
        context: The processes that train together. Each computes its ascent step from its own samples alone, unless
            options.ascent_sync; the gradient of the update is the average over all.
        breakdown: Fractions of ||eps||^2 by kind of parameter, filled in at the first ascent step.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    task: Task
    ascent: Ascent | None
    options: TrainOptions
    hardware: HardwareForward | None = None
    context: DistributedContext = SINGLE_PROCESS
    breakdown: dict[str, float] | None = None
    _random: RandomPerturbation | None = field(default=None, init=False)
    _reused: ReusedAscent | None = field(default=None, init=False)
    _replica: nn.Module | None = field(default=None, init=False)
    _failed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        perturbation = self.options.effective_perturbation()
        self._random = perturbation if isinstance(perturbation, RandomPerturbation) else None

    @contextmanager
    def epoch(self) -> Iterator[None]:
        """The steps of an epoch belong inside, in all processes."""
        self._replica = self.context.replica(self.model)
        try:
            yield
        finally:
            self._replica = None  # it holds the process group, whose threads must not outlive the training

    def __call__(self, batch: Batch, generators: EpochGenerators, index: StepIndex) -> StepOutput:
        """Update the weights once, then limit them."""
        if self.ascent is not None:
            output = self._at_worst(self.ascent, batch, generators, index)
        elif self._random is not None:
            output = self._at_random(self._random, batch, generators, index)
        else:
            output = self._pass(batch, generators, index)
        self.optimizer.step()
        limit_weights(self.model, self.options)
        if self.hardware is not None:
            self.hardware.keep_positive()
        return output

    def _at_worst(self, ascent: Ascent, batch: Batch, generators: EpochGenerators, index: StepIndex) -> StepOutput:
        """The gradient at the worst nearby weights, with a pass to find them unless an earlier step's are reused."""
        every, factor = self.options.ascent_every or 1, self.options.ramp(index.now)
        if index.step % every:
            assert self._reused is not None
            with self._reused.applied(factor):
                return self._pass(batch, generators, index)
        first = batch.first(self.options.ascent_fraction or 1.0)
        output = self._pass(first, generators, index, averaged=self.options.ascent_sync)
        if self.breakdown is None:
            self.breakdown = perturbation_breakdown(ascent)
            _logger.info(format_breakdown(self.breakdown))
        with self._perturbed(ascent, every, factor):
            self._pass(batch, generators, index)
        return output

    def _perturbed(self, ascent: Ascent, every: int, factor: float) -> AbstractContextManager[object]:
        """Perturb along the present gradients, and keep the step if later ones reuse it."""
        if every == 1:
            return perturbed(scaled(ascent, factor))
        self._reused = ReusedAscent(ascent)
        self._reused.update_direction()
        return self._reused.applied(factor)

    def _at_random(
        self, perturbation: RandomPerturbation, batch: Batch, generators: EpochGenerators, index: StepIndex
    ) -> StepOutput:
        """The gradient at weights moved at random, mixed with that of the clean ones.

        Batch-norm statistics are recorded at the clean weights where there is a pass there.
        """
        moved = random_perturbation(
            self.model,
            perturbation.resized(self.options.ramp(index.now)),
            generator=generators.perturbation,
            selection=self.options.selected,
        )
        mixed = self.options.perturbed_share or 1.0
        if mixed == 1:
            with moved:
                return self._pass(batch, generators, index)
        output = self._pass(batch, generators, index, weight=1 - mixed, averaged=False)
        with moved, frozen_statistics(self.model):
            self._pass(batch, generators, index, weight=mixed, clear=False)
        return output

    def _pass(
        self,
        batch: Batch,
        generators: EpochGenerators,
        index: StepIndex,
        *,
        weight: float = 1.0,
        clear: bool = True,
        averaged: bool = True,
    ) -> StepOutput:
        """Gradients of weight * loss at the present weights, under weight noise if that is on.

        Args:
            batch: What to run.
            generators: For noise.
            index: For messages.
            weight: Of the loss.
            clear: Replace the present gradients; otherwise add to them.
            averaged: Average all present gradients over the processes; otherwise they stay those of this one.
        """
        if clear:
            self.optimizer.zero_grad()
        weight *= batch.shard.weight
        network = self.model if self._replica is None else self._replica
        device = next(self.model.parameters()).device
        hardware = nullcontext() if self.hardware is None else self.hardware.applied()
        with self._noise(generators.noise), hardware, nullcontext() if averaged else self.context.no_sync(network):
            with torch.autocast(device.type, torch.bfloat16, enabled=self.options.bf16):
                output = self.task.forward(network, batch.prepared)
            output = output.float() if isinstance(output, Tensor) and output.is_floating_point() else output
            if index.step == 0:
                self.task.check(output, batch.prepared)
            loss = self._loss(output, batch)
            checked = self._checked(loss, index)
            (checked if weight == 1 else weight * checked).backward()
        if averaged and self.context.size > 1:
            _check_average(self.model, index)
        return StepOutput(loss, output, batch.prepared)

    def _checked(self, loss: Tensor, index: StepIndex) -> Tensor:
        """The loss, which has to be finite.

        A process with a loss that is not must not leave the others waiting for its gradient: it goes on with NaN,
        which all of them then find in the average.
        """
        finite = bool(torch.isfinite(loss))
        if not finite and self.context.size == 1:
            raise TrainingError(diverged(f"the loss is {loss.item()}", str(index)))
        self._failed = self._failed or not finite
        return loss * math.nan if self._failed else loss

    def _noise(self, generator: torch.Generator) -> AbstractContextManager[None]:
        options = self.options
        if options.noise_preset is not None:
            return preset_noise(self.model, options.noise_preset, options.noise_seconds(), generator=generator)
        if options.noise:
            return additive_noise(self.model, options.noise, generator=generator)
        if options.noise_sigma_c:
            return relative_noise(self.model, options.noise_sigma_c, generator=generator)
        return nullcontext()

    def _loss(self, output: Any, batch: Batch) -> Tensor:
        hard = self.task.loss(output, batch.prepared)
        if batch.teacher is None:
            return hard
        weight, temperature = self.options.distill_weight, self.options.distill_temperature
        assert weight is not None
        assert temperature is not None
        return torch.lerp(hard, distillation_loss(output, batch.teacher, temperature), weight)


def _check_average(model: nn.Module, index: StepIndex) -> None:
    """What every process finds alike after the gradients were averaged."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    unused = [name for name, parameter in trained.items() if parameter.grad is None]
    if unused:
        raise ModelError(
            f"{', '.join(unused)}: not used by the output, so the gradients of several processes cannot be averaged; "
            "freeze such parameters (requires_grad_(False)), or train in one process"
        )
    norms = torch._foreach_norm([parameter.grad for parameter in trained.values() if parameter.grad is not None])
    if not torch.stack(list(norms)).isfinite().all():
        raise TrainingError(diverged("the loss or the gradient of a process is NaN or Inf", str(index)))


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
