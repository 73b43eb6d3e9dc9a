"""Processes that train one network together (PyTorch DDP, started by torchrun): who does what, and how they agree.

Each process works on its part of every batch. Gradients are averaged over the processes once a step; everything else
that decides a number is the same in all of them, so they hold the same weights without sending them around.
"""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

# Its default arguments keep the process group that exists when it is imported (torch 2.10 does so in the first step of
# an optimizer). The group's threads then never end, and now and then one of them aborts the process at its exit.
import torch.distributed.nn.functional
from torch import Tensor, nn

from analog_samson.data import ImageSet
from analog_samson.errors import AnalogSamsonError, OptionError, list_faults
from analog_samson.results.metric import ACCURACY
from analog_samson.runtime.devices import find_device
from analog_samson.runtime.threads import usable_cores
from analog_samson.tasks.scoring import Scores
from analog_samson.training.batch import Shard
from analog_samson.training.records import TrainingError

T = TypeVar("T")
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "gloo/transport")


@dataclass(frozen=True, kw_only=True)
class DistributedContext:
    """The processes of a training as one of them sees it.

    Attributes:
        rank: The number of this process.
        size: The number of processes.
        local_rank, local_size: The same on this machine.

    >>> DistributedContext(rank=1, size=2).shard(64)
    Shard(whole=64, rank=1, size=2)
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def shard(self, whole: int) -> Shard:
        """This process's part of a batch; all of it in every process if there are fewer than two samples for each."""
        return Shard(whole, self.rank, self.size) if whole >= 2 * self.size else Shard(whole)

    def counts(self, shard: Shard) -> bool:
        """Whether this process counts the samples of the shard."""
        return self.is_main or shard.size == self.size

    def images(self, image_set: ImageSet) -> ImageSet:
        """The images that this process evaluates; possibly none of a very small set."""
        if self.size == 1:
            return image_set
        return image_set.pick(Shard(len(image_set), self.rank, self.size).index)

    def threads(self) -> int | None:
        """CPU threads of each process on this machine; None leaves torch's own choice to a single process."""
        return None if self.local_size == 1 else max(1, usable_cores() // self.local_size)

    def device(self, name: str) -> torch.device:
        """The named device; of several GPUs, each process takes one of its own. Raises OptionError."""
        found = find_device(name)
        if self.size == 1 or found.type == "cpu":
            return found
        count = torch.cuda.device_count()
        if found.index is not None:
            raise OptionError(f"device {name!r}: each of {self.size} processes takes its own GPU; give cuda")
        if self.local_size > count:
            raise OptionError(f"device {name!r}: {self.local_size} processes, {count} GPUs; start one for each GPU")
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def replica(self, model: nn.Module) -> nn.Module:
        """What to call in place of the model, for gradients to be averaged over the processes.

        A new one for each epoch: torch sums in another order in the first step than later, and a resumed training has
        to sum as one that was never stopped. Buffers are sent by `broadcast_tensors`, once an epoch.
        """
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel  # takes a second to import

        known = inspect.signature(DistributedDataParallel).parameters
        option = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # before torch 2.14
        return DistributedDataParallel(model, **{option: False})  # type: ignore[arg-type]

    def no_sync(self, replica: nn.Module) -> AbstractContextManager[None]:
        """Gradients of a pass inside the block, forward and backward, stay in this process."""
        return nullcontext() if self.size == 1 else replica.no_sync()  # type: ignore[operator]

    def broadcast_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors with those of the main process."""
        if self.size == 1:
            return
        for tensor in tensors:
            sent = tensor.detach().contiguous()  # a copy in another memory format, else the tensor itself
            dist.broadcast(sent, src=0)
            tensor.detach().copy_(sent)

    def pooled_scores(self, own: Scores, device: torch.device) -> Scores:
        """The scores of all samples, from those that each process made of its own: means weighted by samples."""
        if self.size == 1:
            return own
        sums = [value * own.count for value in own.values.values()]
        totals = torch.tensor([*sums, own.count], dtype=torch.float64, device=device)
        dist.all_reduce(totals)
        *sums, count = totals.tolist()
        values = {name: total / count for name, total in zip(own.values, sums, strict=True)}
        if ACCURACY.name in values:  # a whole number of samples is right: the quotient is that of one process
            values[ACCURACY.name] = 100 * round(values[ACCURACY.name] * count / 100) / count
        return Scores(values, int(count))

    def broadcast_object(self, value: T) -> T:
        """The value that the main process has; it has to be one that can be pickled."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def on_main_process(self, function: Callable[[], T]) -> T | None:
        """Call the function in the main process alone; its AnalogSamsonError is raised in all, so that none waits."""
        result, error = _attempt(function) if self.is_main else (None, None)
        error = self.broadcast_object(error)
        if error is not None:
            raise error
        return result

    def on_every_process(self, function: Callable[[], T]) -> T:
        """Call the function in every process; an AnalogSamsonError of any is raised in all."""
        result, error = _attempt(function)
        for rank, found in enumerate(self._all_gather_object(error)):
            if found is not None:
                raise found if rank == 0 else type(found)(f"process {rank} of {self.size}: {found}")
        return result  # type: ignore[return-value]  # without an error there is a result

    def expect_same_options(self, options: Mapping[str, Any]) -> None:
        """Raise OptionError in every process unless all were given the same options."""
        everyone = self._all_gather_object(dict(options))
        faults = [
            f"{name}: process 0 has {everyone[0].get(name)!r}, process {rank} {other.get(name)!r}"
            for rank, other in enumerate(everyone)
            for name in sorted({*everyone[0], *other})
            if everyone[0].get(name) != other.get(name)
        ]
        if faults:
            raise OptionError(list_faults("the processes of one training have to be given the same", faults))

    def _all_gather_object(self, value: T) -> list[T]:
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values


SINGLE_PROCESS = DistributedContext()


@contextmanager
def joined_processes() -> Iterator[DistributedContext]:
    """The processes that torchrun started, joined for the length of the block; `SINGLE_PROCESS` without torchrun.

    Over gloo on a CPU and NCCL on GPUs. A process group that the caller has made is used, and left to the caller.
    When another process ends before its time, TrainingError is raised here.

    >>> with joined_processes() as context:
    ...     context.size
    1
    """
    mine = not (dist.is_available() and dist.is_initialized())
    if mine and not _is_launched():
        yield SINGLE_PROCESS
        return
    if mine:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield _present_context()
    except RuntimeError as error:
        if not _is_loss_of_a_process(error):
            raise
        raise TrainingError(
            "another process of this training has ended, so this one ends as well; finished epochs are kept; rerun "
            "the same command to resume"
        ) from error
    finally:
        if mine:
            dist.destroy_process_group()


def _is_launched() -> bool:
    return dist.is_available() and dist.is_torchelastic_launched() and int(os.environ.get("WORLD_SIZE", "1")) > 1


def _present_context() -> DistributedContext:
    rank, size = dist.get_rank(), dist.get_world_size()
    local = (int(os.environ.get(name, default)) for name, default in (("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", size)))
    return DistributedContext(rank=rank, size=size, local_rank=next(local), local_size=next(local))


def _is_loss_of_a_process(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistBackendError | dist.DistNetworkError) or any(text in str(error) for text in _LOST)


def _attempt(function: Callable[[], T]) -> tuple[T | None, AnalogSamsonError | None]:
    try:
        return function(), None
    except AnalogSamsonError as error:
        return None, error
