"""A grid of independent cells, run one after the other or by several processes: joblib on loky, Dask or Ray.

A cell takes its random numbers from streams of its own and writes to a folder of its own, so workers, backend and
order change no number. Each worker gets its share of the cores: two pools of two threads on two cores are slower
than one thread each, by far. The number of threads can change the last digit of a sum (measured: of `weight_error`
alone; accuracies and losses were equal bit for bit): fix it where files have to be equal to the byte.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Generic, TypeVar

from analog_samson.allocation import keep_freed_memory
from analog_samson.errors import AnalogSamsonError, InstallationError, OptionError, RunError, did_you_mean, list_faults
from analog_samson.results.links import refuse_links
from analog_samson.zoo.search import checkpoint_path

if TYPE_CHECKING:
    from analog_samson.simulation import SimulateOptions

T = TypeVar("T")
Done = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Who runs the cells. cores: of one machine, None for those of this one. address: of a Dask or Ray cluster.

    threads_each: of a worker, None for its share of the cores.

    >>> Pool(workers=2, cores=8).threads
    4
    """

    workers: int = 1
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
        return self.threads_each or max(1, (self.cores or os.cpu_count() or 1) // self.workers)

    def _counts(self) -> tuple[tuple[str, int | None], ...]:
        return ("workers", self.workers), ("cores", self.cores), ("threads", self.threads_each)


@dataclass(frozen=True)
class _Failure:
    """A user's mistake met in one cell; the others go on."""

    text: str


@dataclass(frozen=True)
class _Guarded(Generic[T]):
    """The task of one cell as a worker runs it: with its threads, its place given back, mistakes as values."""

    task: Callable[[T], None]
    threads: int

    def __call__(self, place: int, cell: T) -> tuple[int, _Failure | None]:
        import torch

        keep_freed_memory()
        torch.set_num_threads(self.threads)
        try:
            self.task(cell)
        except AnalogSamsonError as error:
            return place, _Failure(str(error))
        return place, None


def run_cells(task: Callable[[T], None], cells: Sequence[T], pool: Pool, *, done: Done = lambda place: None) -> None:
    """Run `task` on every cell; `done` gets the place of each finished one, in the order in which they finish.

    task: a function of a module, and cells that can be pickled, for they go to other processes. Every cell is tried;
    then RunError lists what went wrong in which. An exception that is no AnalogSamsonError ends everything at once.
    With one worker on loky everything runs in this process.
    """
    failures: dict[int, _Failure] = {}
    for place, failure in _results(_Guarded(task, pool.threads), cells, pool):
        if failure is None:
            done(place)
        else:
            failures[place] = failure
    if failures:
        raise RunError(
            list_faults(f"{len(cells)} cells", [f"{cells[p]}: {failures[p].text}" for p in sorted(failures)])
        )


def _results(guarded: _Guarded[T], cells: Sequence[T], pool: Pool) -> Iterator[tuple[int, _Failure | None]]:
    if pool.backend == "loky" and pool.workers == 1:
        yield from (guarded(place, cell) for place, cell in enumerate(cells))
        return
    import joblib

    with BACKENDS[pool.backend](pool):
        kind = "generator_unordered" if pool.backend == "loky" else "list"
        parallel = joblib.Parallel(return_as=kind, batch_size=1)
        yield from parallel(joblib.delayed(guarded)(place, cell) for place, cell in enumerate(cells))


@contextmanager
def _loky(pool: Pool) -> Iterator[None]:
    import joblib

    with joblib.parallel_config("loky", n_jobs=pool.workers, inner_max_num_threads=pool.threads):
        yield


@contextmanager
def _dask(pool: Pool) -> Iterator[None]:
    distributed = _import("dask.distributed", "dask")
    import joblib

    with ExitStack() as stack:
        where = pool.address
        if where is None:
            local = distributed.LocalCluster(n_workers=pool.workers, threads_per_worker=1, dashboard_address=None)
            where = stack.enter_context(local)
        stack.enter_context(distributed.Client(where))
        stack.enter_context(joblib.parallel_config("dask", n_jobs=pool.workers))
        yield


@contextmanager
def _ray(pool: Pool) -> Iterator[None]:
    ray = _import("ray", "ray")
    import joblib

    _import("ray.util.joblib", "ray").register_ray()
    ray.init(address=pool.address, num_cpus=pool.workers if pool.address is None else None, include_dashboard=False)
    try:
        with joblib.parallel_config("ray", n_jobs=pool.workers):
            yield
    finally:
        ray.shutdown()


def _import(module: str, extra: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InstallationError(
            f"backend {extra}: {module} cannot be imported ({error}); pip install 'analog-samson[{extra}]', "
            "or leave --backend out: loky needs nothing more"
        ) from error


BACKENDS: dict[str, Callable[[Pool], AbstractContextManager[None]]] = {"loky": _loky, "dask": _dask, "ray": _ray}


@dataclass(frozen=True, kw_only=True)
class SimulationCell:
    """One simulation of a sweep and the run folder that it fills."""

    options: "SimulateOptions"
    folder: Path

    def __str__(self) -> str:
        return str(self.folder)


def plan_sweep(
    base: "SimulateOptions", checkpoints: Mapping[str, Path], presets: Sequence[str], seeds: Sequence[int], out: Path
) -> list[SimulationCell]:
    """Every checkpoint (by label) on every preset with every seed, each in OUT/LABEL/PRESET/seedN.

    base: all other options. Raises OptionError for a checkpoint that is not there, PresetError for such a
    preset, RunError for a link below `out`.
    """
    faults = [f"{label}: no file {path}" for label, path in checkpoints.items() if not checkpoint_path(path).is_file()]
    names = _preset_names(presets)
    faults += [f"preset {name!r}: named twice" for name in sorted({n for n in names if names.count(n) > 1})]
    faults += [f"seed {seed}: named twice" for seed in sorted({s for s in seeds if seeds.count(s) > 1})]
    if faults:
        raise OptionError(list_faults("sweep", faults))
    cells = [
        SimulationCell(
            options=replace(base, checkpoint=str(path), preset=preset, seed=seed, label=label),
            folder=out / label / name / f"seed{seed}",
        )
        for label, path in checkpoints.items()
        for preset, name in zip(presets, names, strict=True)
        for seed in seeds
    ]
    refuse_links(out, [cell.folder for cell in cells])
    return cells


def run_simulation_cell(cell: SimulationCell) -> None:
    """The task of a sweep: simulate or continue one cell, with the threads that this process has."""
    from analog_samson.simulation import run_simulation

    run_simulation(cell.options, cell.folder, command="analog-samson sweep").close()


def _preset_names(presets: Sequence[str]) -> list[str]:
    from analog_samson.presets.search import load_preset

    return [load_preset(preset).name for preset in presets]


def parse_checkpoints(texts: Sequence[str]) -> dict[str, Path]:
    """Checkpoints by label; `NAME=FILE` names one, else it takes the name of its file, or of its folder.

    >>> parse_checkpoints(["runs/sgd/checkpoint.safetensors", "best=a.pt"])
    {'sgd': PosixPath('runs/sgd/checkpoint.safetensors'), 'best': PosixPath('a.pt')}
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        path = Path(rest if equals else text).expanduser()
        name = name if equals else _label(checkpoint_path(path))
        if name in found:
            raise OptionError(f"checkpoints {found[name]} and {path}: both are called {name}; give NAME=FILE for one")
        if not name or "/" in name or name in (".", ".."):
            raise OptionError(f"checkpoint {text!r}: {name!r} cannot be the name of a folder; give NAME=FILE")
        found[name] = path
    return found


def _label(path: Path) -> str:
    """The folder's name for a file called checkpoint, or also for its folder called training, else the file's."""
    if path.stem != "checkpoint":
        return path.stem
    parents = [parent for parent in path.parent.parts if parent not in ("training", "..", ".", "/")]
    return parents[-1] if parents else path.stem
