"""Several simulations: networks by presets by seeds, each in a run folder of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analog_samson.errors import OptionError, list_faults
from analog_samson.models.huggingface import HUGGING_FACE, parse_huggingface
from analog_samson.models.weight_sources import split_copy
from analog_samson.models.zoo.search import checkpoint_path
from analog_samson.presets.search import load_preset
from analog_samson.results.links import refuse_links
from analog_samson.simulation.many_options import ManyOptions
from analog_samson.simulation.options import ErrorBudgetOptions, SimulateOptions

if TYPE_CHECKING:
    from analog_samson.simulation.drift import Progress


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """One of several simulations, and the run folder that it fills.

    Attributes:
        options: What is simulated.
        folder: Its run folder.
        budget: What its error budget is evaluated on; None for no error budget.
    """

    options: SimulateOptions
    folder: Path
    budget: ErrorBudgetOptions | None = None

    def __str__(self) -> str:
        return str(self.folder)

    def run(self, *, command: str, progress: "Progress" = lambda text: None) -> None:
        """Simulate or resume it, its error budget included."""
        from analog_samson.simulation.error_budget import open_error_budget
        from analog_samson.simulation.run import run_simulation

        run_simulation(self.options, self.folder, command=command, progress=progress).close()
        if self.budget is not None:
            with open_error_budget(self.options, self.folder, self.budget) as budget:
                budget.finish(progress)


def plan_jobs(options: ManyOptions, out: Path) -> list[SweepJob]:
    """Every checkpoint on every preset with every seed, each in OUT/LABEL/PRESET, or a folder for its seed in that.

    Paths among the options become absolute: other processes may run in other folders.

    Raises:
        OptionError: For a checkpoint that is not there, or anything named twice.
        PresetError: For a preset that cannot be read.
        RunError: For a symbolic link below `out`.
    """
    from analog_samson.simulation.paths import absolute_paths

    named = named_checkpoints(options.checkpoints, options.label)
    faults = [f"{label}: no file {path}" for label, path in named.items() if not _is_there(path)]
    names = [load_preset(preset).name for preset in options.preset]
    faults += [f"preset {name!r}: named twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if faults:
        raise OptionError(list_faults(options.NAME, faults))
    models = options.model * len(named) if len(options.model) == 1 else options.model or (None,) * len(named)
    jobs = []
    for (label, path), model in zip(named.items(), models, strict=True):
        for preset, name in zip(options.preset, names, strict=True):
            for seed, seed_folder in options.seed_folders.items():
                one = options.of_one(checkpoint=str(path), model=model, label=label, preset=preset, seed=seed)
                absolute = one.replace(**absolute_paths(dict(one)))
                folder = out / label / name / seed_folder
                jobs.append(SweepJob(options=absolute, folder=folder, budget=options.budget))
    refuse_links(out, [job.folder for job in jobs])
    return jobs


def _is_there(path: Path) -> bool:
    if str(path).startswith(HUGGING_FACE):
        return parse_huggingface(str(path)).folder is not None
    return checkpoint_path(split_copy(str(path))[0]).exists()


def count_cells(options: SimulateOptions) -> int:
    """How many evaluations a run takes, for a progress bar."""
    methods, at = len({*options.calibrate}), options.calibrate_at
    later = 0 if at is None else methods * sum(time > at for time in {*options.times})
    noisy = sum(options.instances if sigma > 0 else 1 for sigma in options.sigmas)
    return (1 + methods) * (options.instances * len({*options.times}) + noisy) + options.instances * later


def count_evaluations(jobs: Sequence[SweepJob]) -> int:
    """How many evaluations the simulations take, without their error budgets."""
    return sum(count_cells(job.options) for job in jobs)


def named_checkpoints(texts: Sequence[str], labels: Sequence[str] = ()) -> dict[str, Path]:
    """Checkpoints by label; `NAME=FILE` names one, else it takes the name of its file, or of its folder.

    Args:
        texts: FILE, zoo:NAME or NAME=FILE.
        labels: The names, in place of all that `texts` say; empty where these decide.

    >>> named_checkpoints(["runs/sgd/checkpoint.safetensors", "best=a.pt"])
    {'sgd': PosixPath('runs/sgd/checkpoint.safetensors'), 'best': PosixPath('a.pt')}
    """
    found: dict[str, Path] = {}
    for text in [f"{label}={text}" for label, text in zip(labels, texts, strict=True)] if labels else texts:
        name, equals, rest = text.partition("=")
        path = Path(rest if equals else text).expanduser()
        name = name if equals else _label(path)
        if name in found:
            raise OptionError(f"checkpoints {found[name]} and {path}: both are called {name}; give NAME=FILE for one")
        if not name or "/" in name or name in (".", ".."):
            raise OptionError(f"checkpoint {text!r}: {name!r} cannot be the name of a folder; give NAME=FILE")
        found[name] = path
    return found


def _label(named: Path) -> str:
    """The folder's name for a file called checkpoint, or also for its folder called training, else the file's."""
    text, copy = split_copy(str(named))
    path, end = checkpoint_path(text), "" if copy is None else f"-{copy}"
    if path.stem != "checkpoint":
        return path.stem + end
    parents = [parent for parent in path.parent.parts if parent not in ("training", "..", ".", "/")]
    return (parents[-1] if parents else path.stem) + end
