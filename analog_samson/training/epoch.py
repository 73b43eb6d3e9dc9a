"""One epoch: batches in, weights moved, a record out. Everything random is named by (seed, purpose, epoch)."""

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.data import ImageSet, augment
from analog_samson.data.augment import suits_augmentation
from analog_samson.evaluation import Batches, Evaluation, Normalizer, evaluate
from analog_samson.robust import additive_noise, clip_to_std, clip_weights
from analog_samson.sharpness.perturb import Ascent, perturbed
from analog_samson.sharpness.share import format_share, perturbation_share
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import EpochRecord, Progress, TrainingError, TrainProgress

_logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Run:
    """A training under way. `history` and `share` (of ||eps||^2, from the first step) grow; the rest stays."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ascent: Ascent | None
    options: TrainOptions
    train_set: ImageSet
    test_set: ImageSet
    images: Tensor  # of train_set, on the device where they fit
    labels: Tensor  # of train_set, on the device
    normalize: Normalizer
    test_batches: Batches
    history: list[EpochRecord] = field(default_factory=list)
    share: dict[str, float] | None = None

    @property
    def device(self) -> torch.device:
        return self.labels.device


@dataclass
class _Totals:
    """Sums over the epoch so far, kept on the device."""

    loss: Tensor
    correct: Tensor
    images: int = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self.loss += loss.detach() * len(labels)
        self.correct += (logits.detach().argmax(1) == labels).sum()
        self.images += len(labels)

    def mean_loss(self) -> float:
        return self.loss.item() / self.images

    def accuracy_percent(self) -> float:
        return 100 * self.correct.item() / self.images


def run_epoch(run: Run, epoch: int, progress: Progress | None) -> EpochRecord:
    """Train on every image once, then evaluate; epoch counts from 0. Raises TrainingError."""
    started = time.perf_counter()
    totals = _train(run, epoch, progress)
    _check_weights(run.model, epoch)
    evaluation = evaluate(run.model, run.test_batches, bf16=run.options.bf16)
    record = _record(run, epoch, totals, evaluation, time.perf_counter() - started)
    if progress is not None:
        progress(_progress(run, epoch, _steps(run), totals, record))
    return record


def _train(run: Run, epoch: int, progress: Progress | None) -> _Totals:
    run.model.train()
    totals = _Totals(
        torch.zeros((), dtype=torch.float64, device=run.device), torch.zeros((), dtype=torch.int64, device=run.device)
    )
    noise = rng.generator(run.options.seed, "noise", epoch, device=run.device)
    with rng.stream(run.options.seed, "epoch", epoch):  # for dropout and other draws inside the network
        for step, (x, y) in enumerate(_batches(run, epoch)):
            _set_learning_rate(run, epoch, step)
            totals.add(*_step(run, x, y, noise, f"epoch {epoch + 1}, step {step + 1}"), y)
            if progress is not None and step + 1 < _steps(run):
                progress(_progress(run, epoch, step + 1, totals))
    return totals


def _steps(run: Run) -> int:
    """Batches an epoch; a last batch of one image is left out, for batch-norm needs two."""
    whole, rest = divmod(len(run.train_set), run.options.batch_size)
    return whole + (rest > 1 or whole == 0)


def _batches(run: Run, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Normalised training batches in the epoch's own order, under its own augmentation."""
    order = torch.randperm(len(run.train_set), generator=rng.generator(run.options.seed, "shuffle", epoch))
    draws = rng.generator(run.options.seed, "augment", epoch)
    augmented = run.options.augment and suits_augmentation(run.train_set)
    for index in order.split(run.options.batch_size)[: _steps(run)]:
        images = run.images[index.to(run.images.device)]
        images = augment(images, generator=draws) if augmented else images
        yield run.normalize(images), run.labels[index.to(run.device)]


def _set_learning_rate(run: Run, epoch: int, step: int) -> None:
    rate = run.options.learning_rates().at(epoch, step, _steps(run))
    for group in run.optimizer.param_groups:
        group["lr"] = rate


def _step(run: Run, x: Tensor, y: Tensor, noise: torch.Generator, where: str) -> tuple[Tensor, Tensor]:
    """Update the weights once; loss and logits are those of the first pass."""
    loss, logits = _backward(run, x, y, noise, where)
    if run.ascent is not None:
        if run.share is None:
            run.share = perturbation_share(run.ascent)
            _logger.info(format_share(run.share))
        with perturbed(run.ascent):
            _backward(run, x, y, noise, where)
    run.optimizer.step()
    _limit_weights(run)
    return loss, logits


def _backward(run: Run, x: Tensor, y: Tensor, noise: torch.Generator, where: str) -> tuple[Tensor, Tensor]:
    """Fresh gradients of the mean loss at the present weights, under weight noise if that is on."""
    run.optimizer.zero_grad()
    with _weight_noise(run, noise):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=run.options.bf16):
            logits = run.model(x)
        loss = F.cross_entropy(logits.float(), y, label_smoothing=run.options.label_smoothing)
        if not torch.isfinite(loss):
            raise TrainingError(_diverged(f"the loss is {loss.item()}", where))
        loss.backward()
    return loss, logits


def _weight_noise(run: Run, generator: torch.Generator) -> AbstractContextManager[None]:
    if not run.options.noise:
        return nullcontext()
    return additive_noise(run.model, run.options.noise, generator=generator)


def _limit_weights(run: Run) -> None:
    if run.options.clip is not None:
        clip_weights(run.model, run.options.clip)
    if run.options.clip_std is not None:
        clip_to_std(run.model, run.options.clip_std)


def _check_weights(model: nn.Module, epoch: int) -> None:
    """A state with NaN or Inf in it must not replace the last good one."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise TrainingError(_diverged(f"{name} holds NaN or Inf", f"the end of epoch {epoch + 1}"))


def _diverged(what: str, where: str) -> str:
    return (
        f"training diverged at {where}: {what}; try a lower learning rate, a warm-up or a smaller rho "
        "(the checkpoint of the epoch before is kept where a folder was given)"
    )


def _record(run: Run, epoch: int, totals: _Totals, evaluation: Evaluation, seconds: float) -> EpochRecord:
    return EpochRecord(
        epoch=epoch + 1,
        train_loss=totals.mean_loss(),
        train_accuracy_percent=totals.accuracy_percent(),
        test_loss=evaluation.loss,
        test_accuracy_percent=evaluation.accuracy_percent,
        learning_rate=run.optimizer.param_groups[0]["lr"],
        seconds=round(seconds, 3),
    )


def _progress(run: Run, epoch: int, step: int, totals: _Totals, record: EpochRecord | None = None) -> TrainProgress:
    return TrainProgress(
        epoch=epoch + 1,
        epochs=run.options.epochs,
        step=step,
        steps=_steps(run),
        loss=totals.mean_loss(),
        accuracy_percent=totals.accuracy_percent(),
        record=record,
    )
