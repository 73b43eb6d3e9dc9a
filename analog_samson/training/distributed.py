"""Processes that train one network together (PyTorch DDP, started by torchrun): who does what, and how they agree.

Each process works on its part of every batch. Gradients are averaged over the processes once a step; everything else
that decides a number is the same in all of them, so they hold the same weights without sending them around.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist

# Its default arguments keep the process group that exists when it is imported (torch 2.10 does so in the first step of
# an optimizer). The group's threads then never end, and now and then one of them aborts the process at its exit.
import torch.distributed.nn.functional
from torch import Tensor, nn

from analog_samson.data import ImageSet
from analog_samson.errors import AnalogSamsonError, OptionError, list_faults
from analog_samson.tasks.evaluation import Evaluation
from analog_samson.training.records import TrainingError

T = TypeVar("T")
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo/transport")


@dataclass(frozen=True, slots=True)
class Shard:
    """The images of a batch of `whole` that one process works on: every `size`-th, beginning with number `rank`.

    So the first images of a batch, from which a climb may start, are spread over all processes.

    >>> Shard(5, rank=1, size=2).index, len(Shard(5, rank=1, size=2))
    (slice(1, 5, 2), 2)
    """

    whole: int
    rank: int = 0
    size: int = 1

    def __len__(self) -> int:
        return len(range(self.rank, self.whole, self.size))

    @property
    def index(self) -> slice:
        return slice(self.rank, self.whole, self.size)

    @property
    def weight(self) -> float:
        """Of the mean loss of these images, for the mean over processes to be the mean loss of the batch."""
        return len(self) * self.size / self.whole

    def first(self, share: float) -> "Shard":
        """The part of this process in the first images of the batch, at least two a process."""
        return replace(self, whole=min(self.whole, max(round(share * self.whole), 2 * self.size)))


@dataclass(frozen=True, kw_only=True)
class World:
    """The processes of a training as one of them sees it: its number `rank` of `size`, and the same on this machine.

    >>> World(rank=1, size=2).shard(64)
    Shard(whole=64, rank=1, size=2)
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """The process that writes and prints."""
        return self.rank == 0

    def shard(self, whole: int) -> Shard:
        """This process's part of a batch; all of it in every process where there are fewer than two images for each."""
        return Shard(whole, self.rank, self.size) if whole >= 2 * self.size else Shard(whole)

    def counts(self, shard: Shard) -> bool:
        """Whether the images of the part are this process's to count."""
        return self.is_first or shard.size == self.size

    def images(self, image_set: ImageSet) -> ImageSet:
        """The images that this process evaluates; none of a very small set, perhaps."""
        if self.size == 1:
            return image_set
        own = Shard(len(image_set), self.rank, self.size).index
        return replace(image_set, images=image_set.images[own], labels=image_set.labels[own])

    def threads(self) -> int | None:
        """CPU threads of each process on this machine; None leaves torch's own choice to a process alone."""
        return None if self.local_size == 1 else max(1, len(os.sched_getaffinity(0)) // self.local_size)

    def replica(self, model: nn.Module) -> nn.Module:
        """What to call in place of the model, for gradients to be averaged over the processes.

        A new one for each epoch: torch sums in another order in the first step than later, and a training that goes on
        after an epoch has to sum as one that was never stopped. Buffers are sent by `broadcast`, once an epoch.
        """
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel  # takes a second to import

        known = inspect.signature(DistributedDataParallel).parameters
        option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # before torch 2.14
        return DistributedDataParallel(model, **{option: False})  # type: ignore[arg-type]

    def apart(self, replica: nn.Module) -> AbstractContextManager[None]:
        """Gradients of a pass, forward and backward, that is made inside stay in this process."""
        return nullcontext() if self.size == 1 else replica.no_sync()  # type: ignore[operator]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors with those of the first process."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.detach().contiguous()  # a copy in another memory format, else the tensor itself
            dist.broadcast(sent, src=0)
            tensor.detach().copy_(sent)

    def total(self, values: Tensor) -> Tensor:
        """The sum over the processes, in every one of them; may overwrite `values`."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def pooled(self, own: Evaluation, device: torch.device) -> Evaluation:
        """The evaluation of all images, from those that each process made of its own."""
        if self.size == 1:
            return own
        correct = own.accuracy_percent * own.count / 100
        sums = torch.tensor([correct, own.loss * own.count, own.count], dtype=torch.float64, device=device)
        correct, loss, count = self.total(sums).tolist()
        return Evaluation(100 * round(correct) / count, loss / count, int(count))

    def first_of(self, value: T) -> T:
        """The value that the first process has; it has to be one that can be pickled."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def only_first(self, function: Callable[[], T]) -> T | None:
        """Call the function in the first process alone; a mistake found there is raised in all, none waits for ever."""
        result, error = _attempt(function) if self.is_first else (None, None)
        error = self.first_of(error)
        if error is not None:
            raise error
        return result

    def together(self, function: Callable[[], T]) -> T:
        """Call the function in every process; a mistake found in any is raised in all."""
        result, error = _attempt(function)
        for rank, found in enumerate(self._all_of(error)):
            if found is not None:
                raise found if rank == 0 else type(found)(f"process {rank} of {self.size}: {found}")
        return result  # type: ignore[return-value]  # without an error there is a result

    def agree(self, options: Mapping[str, Any]) -> None:
        """Raise OptionError in every process unless all were given the same options."""
        everyone = self._all_of(dict(options))
        faults = [
            f"{name}: process 0 has {everyone[0].get(name)!r}, process {rank} {other.get(name)!r}"
            for rank, other in enumerate(everyone)
            for name in sorted({*everyone[0], *other})
            if everyone[0].get(name) != other.get(name)
        ]
        if faults:
            raise OptionError(list_faults("the processes of one training have to be given the same", faults))

    def _all_of(self, value: T) -> list[T]:
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


ALONE = World()


@contextmanager
def joined_world() -> Iterator[World]:
    """The processes that torchrun started, joined for the length of the block; `ALONE` without torchrun.

    Over gloo on a CPU and NCCL on GPUs. A process group that the caller has made is used, and left to the caller.
    When another process ends before its time, TrainingError is raised here.

    >>> with joined_world() as world:
    ...     world.size
    1
    """
    mine = not (dist.is_available() and dist.is_initialized())
    if mine and not _is_launched():
        yield ALONE
        return
    if mine:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield _present_world()
    except RuntimeError as error:
        if not _is_loss_of_a_process(error):
            raise
        raise TrainingError(
            "another process of this training has ended, so this one ends as well; what was finished is kept, and the "
            "same command continues"
        ) from error
    finally:
        if mine:
            dist.destroy_process_group()


def _is_launched() -> bool:
    return dist.is_available() and dist.is_torchelastic_launched() and int(os.environ.get("WORLD_SIZE", "1")) > 1


def _present_world() -> World:
    rank, size = dist.get_rank(), dist.get_world_size()
    local = (int(os.environ.get(name, default)) for name, default in (("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", size)))
    return World(rank=rank, size=size, local_rank=next(local), local_size=next(local))


def _is_loss_of_a_process(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistBackendError | dist.DistNetworkError) or any(text in str(error) for text in _LOST)


def _attempt(function: Callable[[], T]) -> tuple[T | None, AnalogSamsonError | None]:
    try:
        return function(), None
    except AnalogSamsonError as error:
        return None, error
