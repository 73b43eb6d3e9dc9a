"""One epoch: batches in, weights moved, a record out. Everything random is named by (seed, purpose, epoch)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.tasks.scoring import Scores, score
from analog_samson.tasks.task import Task
from analog_samson.training.average import WeightAverage, trained_tensors
from analog_samson.training.data import TrainingData
from analog_samson.training.distill import TeacherOnDevice
from analog_samson.training.distributed import SINGLE_PROCESS, DistributedContext
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import EpochRecord, Progress, TrainingError, TrainProgress
from analog_samson.training.step import EpochGenerators, StepIndex, StepOutput, TrainStep, diverged, limit_weights


@dataclass(kw_only=True)
class Training:
    """A training under way: `history` grows, `step` notes the breakdown of the first ascent; the rest stays."""

    model: nn.Module
    step: TrainStep
    options: TrainOptions
    data: TrainingData
    device: torch.device
    teacher: TeacherOnDevice | None = None
    average: WeightAverage | None = None
    context: DistributedContext = SINGLE_PROCESS
    history: list[EpochRecord] = field(default_factory=list)

    def input_ranges(self) -> dict[str, float]:
        """The learned input range of each weight by path; none without a hardware-aware training."""
        hardware = self.step.hardware
        return {} if hardware is None else {path: one.item() for path, one in hardware.ranges.items()}


class _Totals:
    """Loss and scores of the epoch so far, accumulated on the device."""

    def __init__(self, task: Task, device: torch.device) -> None:
        self._task, self._state, self._count = task, task.start(device), 0
        self._loss = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, output: StepOutput) -> None:
        size = self._task.count(output.prepared)
        self._loss += output.loss.detach() * size
        with torch.no_grad():
            self._state = self._task.update(self._state, output.output, output.prepared)
        self._count += size

    def scores(self) -> Scores:
        """The mean of the loss that is minimised, and the headline metric."""
        name = self._task.headline.name
        if self._count == 0:
            return Scores({"minimised": 0.0, name: 0.0}, 0)
        values = self._task.compute(self._state)
        return Scores({"minimised": self._loss.item() / self._count, name: values[name]}, self._count)


def run_epoch(training: Training, epoch: int, progress: Progress | None) -> EpochRecord:
    """Train on every sample once, then evaluate; epoch counts from 0. Raises TrainingError."""
    started = time.perf_counter()
    context = training.context
    trained = context.pooled_scores(_train(training, epoch, progress), training.device)
    context.broadcast_tensors(_local_state(training))
    _check_weights(training.model, epoch)
    with final_weights(training):
        tested = _evaluate(training)
    record = EpochRecord(
        epoch=epoch + 1,
        train_loss=trained.values["minimised"],
        train_values={name: value for name, value in trained.values.items() if name != "minimised"},
        test_values=tested.values,
        learning_rate=training.step.optimizer.param_groups[0]["lr"],
        seconds=round(time.perf_counter() - started, 3),
    )
    record, training.step.breakdown = context.broadcast_object((record, training.step.breakdown))
    if progress is not None:
        progress(_progress(training, epoch, training.data.steps(), trained, record))
    return record


def _train(training: Training, epoch: int, progress: Progress | None) -> Scores:
    """The scores of this process's samples."""
    training.model.train()
    options, context, steps = training.options, training.context, training.data.steps()
    totals = _Totals(training.data.task, training.device)
    generators = EpochGenerators.of(options.seed, epoch, training.device)
    with training.step.epoch(), rng.stream(options.seed, *_network_stream(training, epoch)):
        for number, batch in enumerate(training.data.epoch(epoch)):
            rate = options.learning_rates().at(epoch, number, steps)
            for group in training.step.optimizer.param_groups:
                group["lr"] = rate
            if training.teacher is not None:
                batch = batch._replace(teacher=training.teacher(batch.prepared[0]))
            output = training.step(batch, generators, StepIndex(epoch=epoch, step=number, steps=steps))
            if context.counts(batch.shard):
                totals.add(output)
            if training.average is not None:
                training.average.add()
            if progress is not None and number + 1 < steps:
                progress(_progress(training, epoch, number + 1, totals.scores()))
    return totals.scores()


def _network_stream(training: Training, epoch: int) -> tuple[object, ...]:
    """The name of what dropout and the like draw from; other samples in another process need other draws."""
    own = () if training.context.is_main else ("process", training.context.rank)
    return ("epoch", epoch, *own)


@contextmanager
def final_weights(training: Training) -> Iterator[None]:
    """The model holds the result so far inside the block: its weights, or their average."""
    if training.average is None:
        yield
        return
    with training.average.in_model():
        limit_weights(training.model, training.options)
        yield


def _local_state(training: Training) -> list[Tensor]:
    """What each process would keep of its own: buffers, such as the statistics of batch norm, and their average."""
    return [*training.model.buffers(), *([] if training.average is None else training.average.tensors())]


def _evaluate(training: Training) -> Scores:
    """On all test samples; each process takes its own of them."""
    data = training.data
    own = Scores({metric.name: 0.0 for metric in data.task.metrics}, 0)
    if training.context.size == 1 or len(data.test):  # type: ignore[arg-type]  # of a very small set, some have none
        own = score(training.model, data.test, data.task, bf16=training.options.bf16)
    return training.context.pooled_scores(own, training.device)


def _check_weights(model: nn.Module, epoch: int) -> None:
    """A state with NaN or Inf in it must not replace the last good one."""
    for name, tensor in trained_tensors(model).items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise TrainingError(diverged(f"{name} holds NaN or Inf", f"the end of epoch {epoch + 1}"))


def _progress(
    training: Training, epoch: int, step: int, scores: Scores, record: EpochRecord | None = None
) -> TrainProgress:
    headline = training.data.task.headline
    return TrainProgress(
        epoch=epoch + 1,
        epochs=training.options.epochs,
        step=step,
        steps=training.data.steps(),
        loss=scores.values["minimised"],
        value=scores.values[headline.name],
        metric=headline,
        record=record,
    )
