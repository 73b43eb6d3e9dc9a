"""Independent cells, run one after the other or by several processes: joblib's loky, Dask or Ray.

A cell takes its random numbers from streams of its own and writes to a folder of its own, so workers, backend and
order change no number. Each worker gets its share of the cores: two pools of two threads on two cores are slower
than one thread each, by far. The number of threads can change the last digit of a sum (measured: of `weight_error`
alone; accuracies and losses were equal bit for bit): fix it where files have to be equal to the byte.
"""

import asyncio
import functools
import importlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count, islice
from types import ModuleType
from typing import Any, Generic, TypeVar

from analog_samson.errors import AnalogSamsonError, InstallationError, OptionError, RunError, did_you_mean, list_faults
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.runtime.local_workers import TRIES, Outcome, Outcomes, Product, killed_message, run_local

T = TypeVar("T")
Task = Callable[[T], Product | None]
Done = Callable[[int], None]

CONNECT_SECONDS = 3.0
_IN_FLIGHT = 1000  # cells that a cluster of unknown size holds: what the driver keeps is bounded by it
_WATCH_SECONDS = 0.3
_HOST_AND_PORT = re.compile(r"(?:(?P<scheme>\w+)://)?\[?(?P<host>[^\[\]/]+?)\]?:(?P<port>\d+)/?")
_ONE_CELL = threading.Lock()  # a Dask worker with several threads shares torch's random stream among them


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The processes that run the cells.

    workers: how many cells run at a time; None means one, and on a cluster as many as it takes. cores: of one machine,
    None for those of this one. threads_each: of a worker, None for its share of the cores, and one on a cluster.
    address: of a running Dask or Ray cluster, None to start the workers on this machine.

    >>> Pool(workers=2, cores=8).threads
    4
    """

    workers: int | None = None
    backend: str = "loky"
    cores: int | None = None
    threads_each: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        faults = [f"{name}: expected at least 1, got {n}" for name, n in self._counts() if n is not None and n < 1]
        if self.backend not in BACKENDS:
            hint = did_you_mean(self.backend, BACKENDS)
            faults.append(f"backend: expected one of {', '.join(BACKENDS)}, got {self.backend!r}{hint}")
        if self.address is not None and self.backend == "loky":
            faults.append("address: loky runs on this machine; choose dask or ray for a cluster")
        if faults:
            raise OptionError(list_faults("sweep", faults))

    @property
    def threads(self) -> int:
        """Threads of one worker."""
        if self.threads_each is not None or self.address is not None:
            return self.threads_each or 1
        return max(1, (self.cores or os.cpu_count() or 1) // (self.workers or 1))

    @property
    def in_flight(self) -> int:
        """How many cells a cluster holds at a time, running or waiting."""
        return self.workers or _IN_FLIGHT

    @property
    def in_process(self) -> bool:
        """Whether the cells run in this process, one after the other."""
        return self.backend == "loky" and self.workers in (None, 1)

    def __str__(self) -> str:
        many = "as many at a time as the cluster takes" if self.address else "1 at a time"
        many = many if self.workers is None else f"{self.workers} at a time"
        where = f" on {self.address}" if self.address else ""
        return f"{many}{where}, with {self.threads} thread{'s' if self.threads > 1 else ''} each"

    def _counts(self) -> tuple[tuple[str, int | None], ...]:
        return ("workers", self.workers), ("cores", self.cores), ("threads", self.threads_each)


@dataclass(frozen=True)
class _Guarded(Generic[T]):
    """The task of one cell as a worker runs it: one cell at a time, the user's mistakes returned as text.

    parent: process id of the driver if the worker is its child, which must not outlive it; else None.
    """

    task: Callable[[T], Product | None]
    threads: int
    parent: int | None = None

    def __call__(self, place: int, cell: T) -> Outcome:
        if self.parent is not None:
            end_with_parent(self.parent)
        import torch

        keep_freed_memory()
        with _ONE_CELL:
            torch.set_num_threads(self.threads)
            try:
                return place, self.task(cell)
            except AnalogSamsonError as error:
                return place, str(error)


@functools.cache
def end_with_parent(parent: int) -> None:
    """End this process, a child of the process `parent`, soon after that one is gone, however it ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent watch").start()


def run_cells(task: Task[T], cells: Sequence[T], pool: Pool, *, done: Done = lambda place: None) -> None:
    """Run `task` on every cell, and raise for those that failed.

    Args:
        task: A function of a module, since it goes to other processes; so do the cells, which must be picklable.
        cells: What to run; messages call each by its text.
        pool: Who runs them; with one worker on loky everything runs in this process.
        done: Called with the place of each cell that succeeded, in the order in which they finish.

    Raises:
        RunError: With the mistakes in all cells, after every cell was tried; a worker that was killed counts as one.
        InstallationError: If the backend is not installed.

    An exception that is no AnalogSamsonError ends everything at once.
    """
    failures: dict[int, str] = {}
    for place, failure in outcomes(task, cells, pool):
        if isinstance(failure, str):
            failures[place] = failure
        else:
            done(place)
    if failures:
        raise RunError(failures_text(cells, failures))


def failures_text(cells: Sequence[object], failures: dict[int, str]) -> str:
    """One message for the cells that failed, by their places."""
    return list_faults(f"{len(cells)} cells", [f"{cells[place]}: {failures[place]}" for place in sorted(failures)])


def outcomes(task: Task[T], cells: Iterable[T], pool: Pool) -> Outcomes:
    """Run `task` on every cell; yields the place of each finished one and what `task` gave, or why it failed as text.

    Cells are taken one by one as there is room for them, so there may be a million.
    """
    if pool.in_process:
        yield from map(_Guarded(task, pool.threads), count(), cells)
    else:
        yield from BACKENDS[pool.backend](task, cells, pool)


def _loky(task: Task[T], cells: Iterable[T], pool: Pool) -> Outcomes:
    guarded = _Guarded(task, pool.threads, parent=os.getpid())
    yield from run_local(guarded, cells, workers=pool.workers or 1, threads=pool.threads)


def _dask(task: Task[T], cells: Iterable[T], pool: Pool) -> Outcomes:
    """Dask itself runs a cell again whose worker was killed, as often as its scheduler allows."""
    distributed = _import("dask.distributed", "dask")
    guarded, waiting = _Guarded(task, pool.threads), iter(enumerate(cells))
    places: dict[str, int] = {}
    with _dask_client(distributed, pool) as client:

        def submit(place: int, cell: T) -> Any:
            future = client.submit(guarded, place, cell, pure=False)
            places[future.key] = place
            return future

        running = distributed.as_completed([submit(*each) for each in islice(waiting, pool.in_flight)])
        try:
            for future in running:
                place = places.pop(future.key)
                try:
                    yield future.result()
                except distributed.KilledWorker:
                    yield place, killed_message(times=TRIES)
                for each in islice(waiting, 1):
                    running.add(submit(*each))
        except (asyncio.CancelledError, futures.CancelledError) as error:
            raise RunError(
                "the cluster lost its work, perhaps because the scheduler was restarted; run the same command again"
            ) from error
        except ModuleNotFoundError as error:
            raise InstallationError(
                f"a worker of {pool.address}: {error}; install the same version of analog-samson on every worker"
            ) from error


@contextmanager
def _dask_client(distributed: ModuleType, pool: Pool) -> Iterator[Any]:
    """A client of the cluster at the pool's address, or of one that lasts as long as the client."""
    with ExitStack() as stack:
        if pool.address is None:
            dask = importlib.import_module("dask")
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": TRIES - 1}))
            cluster = distributed.LocalCluster(
                n_workers=pool.workers or 1, threads_per_worker=1, dashboard_address="127.0.0.1:0"
            )
            yield stack.enter_context(distributed.Client(stack.enter_context(cluster)))
            return
        with _reached(pool):
            client = distributed.Client(pool.address, timeout=CONNECT_SECONDS)
        yield stack.enter_context(client)


def _ray(task: Task[T], cells: Iterable[T], pool: Pool) -> Outcomes:
    ray = _import("ray", "ray")
    with _reached(pool):
        ray.init(address=pool.address, num_cpus=None if pool.address else pool.workers or 1, include_dashboard=False)
    try:
        guarded, remote = _Guarded(task, pool.threads), ray.remote(max_retries=TRIES - 1)(_call)
        waiting, places = iter(enumerate(cells)), dict[Any, int]()

        def submit(place: int, cell: T) -> Any:
            reference = remote.remote(guarded, place, cell)
            places[reference] = place
            return reference

        running = [submit(*each) for each in islice(waiting, pool.in_flight)]
        while running:
            (finished, *_), running = ray.wait(running)
            place = places.pop(finished)
            try:
                yield ray.get(finished)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                yield place, killed_message(times=TRIES)
            running += [submit(*each) for each in islice(waiting, 1)]
    finally:
        ray.shutdown()


def _call(guarded: _Guarded[T], place: int, cell: T) -> Outcome:
    """What Ray runs: it takes functions alone."""
    return guarded(place, cell)


def check_address(pool: Pool) -> None:
    """Raise OptionError, within a few seconds, where nothing answers at the address of the pool's cluster."""
    match = _HOST_AND_PORT.fullmatch(pool.address or "")
    if match:
        with _reached(pool):
            greets = pool.backend == "dask" and match["scheme"] in (None, "tcp")
            _knock(match["host"], int(match["port"]), greets=greets)


@contextmanager
def _reached(pool: Pool) -> Iterator[None]:
    """For connecting to a cluster: what hinders it becomes one sentence."""
    try:
        yield
    except (OSError, ValueError, OverflowError) as error:
        if pool.address is None:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        what = {"dask": "Dask scheduler", "ray": "Ray cluster"}[pool.backend]
        raise OptionError(
            f"--address {pool.address}: no {what} answers there ({reason}); start one, or leave --address out "
            "to use this machine"
        ) from error


def _knock(host: str, port: int, *, greets: bool) -> None:
    """Raise OSError where nothing listens, or nothing that speaks first: no timeout of Dask's bounds its handshake."""
    with socket.create_connection((host, port), CONNECT_SECONDS) as connection:
        if greets and not connection.recv(1):
            raise ConnectionError("the connection was closed")


def _import(module: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InstallationError(
            f"backend {extra}: {module} cannot be imported ({error}); pip install 'analog-samson[{extra}]', "
            "or leave --backend out: loky needs nothing more"
        ) from error


BACKENDS: dict[str, Callable[..., Outcomes]] = {"loky": _loky, "dask": _dask, "ray": _ray}
