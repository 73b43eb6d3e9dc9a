"""The product in one go, on data that comes with scikit-learn: three trainings, one year on a chip, one page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analog_samson.results.links import refuse_links
from analog_samson.results.runfile import RUN_FILE
from analog_samson.results.store import RunFolder
from analog_samson.simulation.drift import Progress
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.training.job import PreparedTraining, TrainJob, prepare_training

TIMES = (1.0, 3600.0, 86400.0, 31536000.0)
SIGMAS = (0.0, 0.1, 0.2, 0.4, 0.6, 0.7)  # at the last, trainings differ clearly


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One training that the demonstration compares; options as in TrainOptions."""

    name: str
    label: str
    options: dict[str, Any] = field(default_factory=dict)


CONTENDERS = (
    Contender(name="sgd", label="SGD", options={"method": "sgd"}),
    Contender(name="clipped", label="SGD + clipping", options={"method": "sgd", "clip": 0.2}),
    Contender(
        name="samson",
        label="SAMSON-inf + clipping",
        options={"method": "samson", "rho": 0.5, "p": float("inf"), "clip": 0.2},
    ),
)


def prepare_contender(contender: Contender, seed: int) -> PreparedTraining:
    """The training of the digits network, ready to run."""
    job = TrainJob(data="digits", model="digits_cnn", seed=seed, threads=1, **contender.options)
    return prepare_training(job)


def training_folder(contender: Contender, out: Path) -> Path:
    """Where a contender is trained. Raises RunError for a link below `out`."""
    return _folder(contender, out, "training")


def demo_options(contender: Contender, checkpoint: Path, preset: str, instances: int, seed: int) -> SimulateOptions:
    """The simulation of one contender; all meet the same devices."""
    return SimulateOptions(
        checkpoint=str(checkpoint),
        data="digits",
        preset=preset,
        times=TIMES,
        sigmas=SIGMAS,
        instances=instances,
        seed=seed,
        label=contender.label,
        threads=1,
    )


def simulate_contender(
    contender: Contender, options: SimulateOptions, out: Path, progress: Progress = lambda text: None
) -> RunFolder:
    """Run or continue one contender's simulation; returns its run folder, opened."""
    folder = _folder(contender, out, "run")
    command = f"analog-samson simulate --config {folder / RUN_FILE} --out ANOTHER_FOLDER"
    return run_simulation(options, folder, command=command, progress=progress)


def _folder(contender: Contender, out: Path, name: str) -> Path:
    folder = out / contender.name / name
    refuse_links(out, [folder])
    return folder
