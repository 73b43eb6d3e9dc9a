"""Worker processes on this machine, each in a pool of its own: a worker that is killed loses its own cell and no other.

A cell whose worker was killed is tried again after a pause. After three kills it counts as failed.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
Product = dict[str, bytes]  # what a task may send back
Outcome = tuple[int, str | Product | None]
Outcomes = Iterator[Outcome]  # the place of a cell, and why it failed, or what it gave

TRIES = 3  # of a cell whose worker is killed
PAUSE_SECONDS = 1.0  # before the second try; four times as long before the third
_IDLE_SECONDS = 300.0  # after which a worker without work ends
_THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"),
)
_idle: dict[int, list[Any]] = {}  # pools of one worker without work, by the threads of the worker


@dataclass(frozen=True)
class _Attempt:
    """A cell that runs, and how many workers were killed in it before."""

    worker: Any
    place: int
    cell: Any
    kills: int = 0


def run_local(task: Callable[[int, T], Outcome], cells: Iterable[T], *, workers: int, threads: int) -> Outcomes:
    """Run `task` on the place and the value of every cell, each in one of `workers` processes.

    Args:
        task: Gives the place and what came of the cell; an exception ends everything.
        cells: Taken one by one, as workers become free.
        workers: Most processes at a time.
        threads: Of the libraries in each process.

    Yields:
        What `task` gives, or the place and a message where the cell's worker was killed `TRIES` times.
    """
    from joblib.externals.loky.process_executor import BrokenProcessPool

    waiting = enumerate(cells)
    running: dict[Any, _Attempt] = {}

    def start(place: int, cell: T, kills: int = 0) -> None:
        worker = _take_worker(threads)
        running[worker.submit(task, place, cell)] = _Attempt(worker, place, cell, kills)

    try:
        while True:
            while len(running) < workers and (following := next(waiting, None)) is not None:
                start(*following)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                attempt = running[future]
                try:
                    outcome: Outcome = future.result()
                    _idle[threads].append(attempt.worker)
                    del running[future]
                except BrokenProcessPool as error:
                    attempt.worker.shutdown(kill_workers=True)
                    del running[future]
                    if attempt.kills + 1 < TRIES:
                        time.sleep(PAUSE_SECONDS * 4**attempt.kills)
                        start(attempt.place, attempt.cell, attempt.kills + 1)
                        continue
                    outcome = attempt.place, killed_message(_signals(error), TRIES)
                yield outcome
    finally:
        for attempt in running.values():
            attempt.worker.shutdown(kill_workers=True)


def killed_message(how: str = "", times: int = 0) -> str:
    """The reason recorded for a cell whose worker was killed; `how` names the signal, where known."""
    each = f" in each of {times} tries" if times else ""
    return (
        f"a worker was killed{how}{each}, perhaps for memory; run the same command again to try it once more, "
        "with fewer --workers if memory was short"
    )


def _take_worker(threads: int) -> Any:
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    idle = _idle.setdefault(threads, [])
    if idle:
        return idle.pop()
    environment = dict.fromkeys(_THREAD_VARIABLES, str(threads))
    return ProcessPoolExecutor(max_workers=1, timeout=_IDLE_SECONDS, env=environment)


def _signals(error: BaseException) -> str:
    codes = re.search(r"\{(.*?)\}", str(error))
    return f" ({codes[1]})" if codes else ""
