"""`analog-samson demo`: what the product is for, in under two minutes."""

from pathlib import Path
from typing import Annotated

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.progress import cell_progress
from analog_samson.cli.train_progress import training_progress
from analog_samson.options import Count, Options, option
from analog_samson.presets.search import load_preset
from analog_samson.report.command import make_report
from analog_samson.simulation.demonstration import (
    CONTENDERS,
    Contender,
    demo_options,
    prepare_contender,
    simulate_contender,
    training_folder,
)
from analog_samson.simulation.jobs import count_cells
from analog_samson.simulation.options import PRESET, PresetName, SeedOption


class DemoCommand(Options):
    """Train a digits network with SGD and with SAMSON, age both on simulated PCM for a year, and report.

    Takes under a minute on two cores; nothing is downloaded.
    """

    NAME = "demo"

    preset: PresetName = PRESET
    instances: Annotated[Count, option("Simulated chips, each programmed once.")] = 10
    seed: SeedOption = 0
    out: Annotated[Path, option("Folder for the trainings, runs and report.html.", metavar="DIR")] = Path("runs/demo")


@takes(DemoCommand, "analog-samson demo --out runs/demo")
def demo(given: Given) -> None:
    options = DemoCommand.from_text(given)
    load_preset(options.preset)  # a wrong name fails before the networks are trained
    folders = [_one(contender, options) for contender in CONTENDERS]
    print(make_report(folders, "text", out=options.out / "report.html", html=True, say=print), end="")


def _one(contender: Contender, demo: DemoCommand) -> Path:
    """Train and simulate one contender, with a progress bar each."""
    prepared = prepare_contender(contender, demo.seed)
    print(f"training with {contender.label}")
    with training_progress(prepared.options.epochs) as show:
        trained = prepared.run(training_folder(contender, demo.out), show)
    assert trained.checkpoint is not None
    options = demo_options(contender, trained.checkpoint, demo.preset, demo.instances, demo.seed)
    print(f"simulating {demo.instances} chips on {demo.preset}")
    with (
        cell_progress(count_cells(options)) as progress,
        simulate_contender(contender, options, demo.out, progress) as run,
    ):
        return run.path
