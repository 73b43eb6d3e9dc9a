"""One epoch: batches in, weights moved, a record out. Everything random is named by (seed, purpose, epoch)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.data import ImageSet, augment
from analog_samson.data.augment import suits_augmentation
from analog_samson.data.batches import Batches, Normalizer
from analog_samson.tasks.evaluation import Evaluation, evaluate
from analog_samson.training.average import WeightAverage, trained_tensors
from analog_samson.training.distill import TeacherOnDevice
from analog_samson.training.distributed import ALONE, World
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import EpochRecord, Progress, TrainingError, TrainProgress
from analog_samson.training.step import Batch, Draws, Place, Seen, Updater, diverged, limit_weights


@dataclass(kw_only=True)
class Run:
    """A training under way. `history` grows, `updater` notes the share of the first climb; the rest stays.

    test_batches: of the images that this process evaluates, where several do.
    """

    model: nn.Module
    updater: Updater
    options: TrainOptions
    train_set: ImageSet
    test_set: ImageSet
    images: Tensor  # of train_set, on the device where they fit
    labels: Tensor  # of train_set, on the device
    normalize: Normalizer
    test_batches: Batches
    teacher: TeacherOnDevice | None = None
    average: WeightAverage | None = None
    world: World = ALONE
    history: list[EpochRecord] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        return self.labels.device


@dataclass
class _Totals:
    """Sums over the epoch so far, kept on the device."""

    loss: Tensor
    correct: Tensor
    images: int = 0

    def add(self, seen: Seen) -> None:
        self.loss += seen.loss.detach() * len(seen.labels)
        self.correct += (seen.logits.detach().argmax(1) == seen.labels).sum()
        self.images += len(seen.labels)

    def of_all(self, world: World) -> "_Totals":
        """The sums over all processes."""
        if world.size == 1:
            return self
        own = torch.stack([self.loss, self.correct.double(), torch.full_like(self.loss, self.images)])
        loss, correct, images = world.total(own)
        return _Totals(loss, correct, int(images))

    def mean_loss(self) -> float:
        return self.loss.item() / self.images

    def accuracy_percent(self) -> float:
        return 100 * self.correct.item() / self.images


def run_epoch(run: Run, epoch: int, progress: Progress | None) -> EpochRecord:
    """Train on every image once, then evaluate; epoch counts from 0. Raises TrainingError."""
    started = time.perf_counter()
    totals = _train(run, epoch, progress).of_all(run.world)
    run.world.broadcast(_local_state(run))
    _check_weights(run.model, epoch)
    with final_weights(run):
        evaluation = _evaluate(run)
    record = _record(run, epoch, totals, evaluation, time.perf_counter() - started)
    record, run.updater.share = run.world.first_of((record, run.updater.share))
    if progress is not None:
        progress(_progress(run, epoch, _steps(run), totals, record))
    return record


def _train(run: Run, epoch: int, progress: Progress | None) -> _Totals:
    run.model.train()
    totals = _Totals(
        torch.zeros((), dtype=torch.float64, device=run.device), torch.zeros((), dtype=torch.int64, device=run.device)
    )
    draws = Draws.of(run.options.seed, epoch, run.device)
    with run.updater.epoch(), rng.stream(run.options.seed, *_stream_of_the_network(run, epoch)):
        for step, batch in enumerate(_batches(run, epoch)):
            _set_learning_rate(run, epoch, step)
            seen = run.updater.step(batch, draws, Place(epoch=epoch, step=step, steps=_steps(run)))
            if run.world.counts(batch.shard):
                totals.add(seen)
            if run.average is not None:
                run.average.add()
            if progress is not None and step + 1 < _steps(run):
                progress(_progress(run, epoch, step + 1, totals))
    return totals


def _steps(run: Run) -> int:
    """Batches an epoch; a last batch of one image is left out, for batch-norm needs two."""
    whole, rest = divmod(len(run.train_set), run.options.batch_size)
    return whole + (rest > 1 or whole == 0)


def _stream_of_the_network(run: Run, epoch: int) -> tuple[object, ...]:
    """The name of what dropout and the like draw from; other images in another process need other draws."""
    return ("epoch", epoch) if run.world.is_first else ("epoch", epoch, "process", run.world.rank)


def _batches(run: Run, epoch: int) -> Iterator[Batch]:
    """This process's part of each batch, in the epoch's own order and under its own augmentation.

    Order and augmentation are those of whole batches, whatever the number of processes.
    """
    order = torch.randperm(len(run.train_set), generator=rng.generator(run.options.seed, "shuffle", epoch))
    draws = rng.generator(run.options.seed, "augment", epoch)
    augmented = run.options.augment and suits_augmentation(run.train_set)
    window = run.test_set.images.shape[2:]
    for index in order.split(run.options.batch_size)[: _steps(run)]:
        part = run.world.shard(len(index))
        own = index[part.index]
        images = run.images[own.to(run.images.device)]
        if augmented:
            images = augment(images, generator=draws, window=window, whole=part.whole, part=part.index)
        x = run.normalize(images)
        yield Batch(x, run.labels[own.to(run.device)], None if run.teacher is None else run.teacher(x), part)


def _set_learning_rate(run: Run, epoch: int, step: int) -> None:
    rate = run.options.learning_rates().at(epoch, step, _steps(run))
    for group in run.updater.optimizer.param_groups:
        group["lr"] = rate


@contextmanager
def final_weights(run: Run) -> Iterator[None]:
    """The model holds what the training gives so far: its weights, or for the length of the block their average."""
    if run.average is None:
        yield
        return
    with run.average.in_model():
        limit_weights(run.model, run.options)
        yield


def _local_state(run: Run) -> list[Tensor]:
    """What each process would keep of its own: buffers, such as the statistics of batch-norm, and their average."""
    return [*run.model.buffers(), *([] if run.average is None else run.average.tensors())]


def _evaluate(run: Run) -> Evaluation:
    """On all test images; each process takes its own of them."""
    own = Evaluation(0.0, 0.0, 0)
    if len(run.test_batches) or not len(run.test_set):  # the latter is refused
        own = evaluate(run.model, run.test_batches, bf16=run.options.bf16)
    return run.world.pooled(own, run.device)


def _check_weights(model: nn.Module, epoch: int) -> None:
    """A state with NaN or Inf in it must not replace the last good one."""
    for name, tensor in trained_tensors(model).items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise TrainingError(diverged(f"{name} holds NaN or Inf", f"the end of epoch {epoch + 1}"))


def _record(run: Run, epoch: int, totals: _Totals, evaluation: Evaluation, seconds: float) -> EpochRecord:
    return EpochRecord(
        epoch=epoch + 1,
        train_loss=totals.mean_loss(),
        train_accuracy_percent=totals.accuracy_percent(),
        test_loss=evaluation.loss,
        test_accuracy_percent=evaluation.accuracy_percent,
        learning_rate=run.updater.optimizer.param_groups[0]["lr"],
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
