"""A sweep: checkpoints by presets by seeds, every simulation in a run folder of its own, and their summary."""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from analog_samson.analysis.runs import digest
from analog_samson.analysis.sweep_summary import summary_csv
from analog_samson.errors import OptionError, RunError, list_faults
from analog_samson.models.zoo.search import checkpoint_path
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.links import refuse_links
from analog_samson.results.runfile import RUN_FILE
from analog_samson.results.store import open_run
from analog_samson.runtime.workers import Pool, check_address, failures_text, outcomes

if TYPE_CHECKING:
    from analog_samson.simulation.options import SimulateOptions

SUMMARY_FILE = "summary.csv"


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

    The paths among the options become absolute: workers may run in another folder.

    Args:
        base: All other options.

    Raises:
        OptionError: For a checkpoint that is not there, or anything named twice.
        PresetError: For a preset that cannot be read.
        RunError: For a symbolic link below `out`.
    """
    from analog_samson.simulation.paths import absolute_paths

    faults = [f"{label}: no file {path}" for label, path in checkpoints.items() if not checkpoint_path(path).is_file()]
    names = _preset_names(presets)
    faults += [f"preset {name!r}: named twice" for name in sorted({n for n in names if names.count(n) > 1})]
    faults += [f"seed {seed}: named twice" for seed in sorted({s for s in seeds if seeds.count(s) > 1})]
    if faults:
        raise OptionError(list_faults("sweep", faults))
    planned = [
        (replace(base, checkpoint=str(path), preset=preset, seed=seed, label=label), out / label / name / f"seed{seed}")
        for label, path in checkpoints.items()
        for preset, name in zip(presets, names, strict=True)
        for seed in seeds
    ]
    refuse_links(out, [folder for _, folder in planned])
    return [
        SimulationCell(options=replace(options, **absolute_paths(vars(options))), folder=folder)
        for options, folder in planned
    ]


def run_sweep(
    cells: Sequence[SimulationCell], out: Path, pool: Pool, *, done: Callable[[int], None] = lambda place: None
) -> None:
    """Run the simulations that are missing and write SUMMARY_FILE into `out`, also where some of them failed.

    Args:
        cells: As `plan_sweep` gives them for `out`.
        done: Called with the place of each cell that succeeded, in the order in which they finish.

    Raises:
        RunError: With the mistakes in all cells, after every cell was tried; or when a worker was killed.
    """
    there = [replace(cell, folder=cell.folder.absolute()) for cell in cells]
    task = run_simulation_cell
    if pool.address is not None:
        check_address(pool)
        make_folder(out)  # workers that do not see it say so
        task = run_simulation_elsewhere
    failures = dict.fromkeys(range(len(cells)), "not finished")
    stopped: RunError | None = None
    try:
        for place, failure in outcomes(task, there, pool):
            failure = failure or _absence(cells[place])
            if failure is None:
                del failures[place]
                done(place)
            else:
                failures[place] = failure
    except RunError as error:
        stopped = error
    if out.is_dir():
        write_summary(cells, failures, out / SUMMARY_FILE)
    if stopped is not None:
        raise stopped
    if failures:
        raise RunError(failures_text(cells, failures))


def run_simulation_cell(cell: SimulationCell) -> None:
    """The task of a sweep: simulate or continue one cell, with the threads that this process has."""
    from analog_samson.simulation.run import run_simulation

    run_simulation(cell.options, cell.folder, command="analog-samson sweep").close()


def run_simulation_elsewhere(cell: SimulationCell) -> None:
    """`run_simulation_cell` on a worker of a cluster; RunError names the machine where it lacks a file."""
    from analog_samson.simulation.paths import files_of

    out = cell.folder.parents[2]
    missing = [str(path) for path in (*files_of(vars(cell.options)), out) if not path.exists()]
    if missing:
        raise RunError(
            f"the worker on {socket.gethostname()} does not see {', '.join(missing)}; "
            "put it in a folder that this machine and all workers share"
        )
    run_simulation_cell(cell)


def _absence(cell: SimulationCell) -> str | None:
    """A message where a finished cell has no folder here."""
    if (cell.folder / RUN_FILE).is_file():
        return None
    return "its worker finished it, but not in this folder; choose an --out that this machine and all workers share"


def write_summary(cells: Sequence[SimulationCell], failures: Mapping[int, str], file: Path) -> None:
    """Write one row for every condition of the cells that finished, over the chips of all their seeds.

    failures: by place, why a cell did not finish; the rows of its checkpoint and preset name its seed.
    """
    finished = [cell.folder for place, cell in enumerate(cells) if place not in failures]
    failed = [(_label_and_preset(cells[place]), cells[place].options.seed) for place in sorted(failures)]
    with ExitStack() as stack:
        folders = [stack.enter_context(open_run(folder)) for folder in finished]
        text = summary_csv(digest(folders) if folders else (), failed)
    write_atomically(file, text.encode())


def _label_and_preset(cell: SimulationCell) -> tuple[str, str]:
    return cell.folder.parts[-3], cell.folder.parts[-2]


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
