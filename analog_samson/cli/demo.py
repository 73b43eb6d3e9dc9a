"""`analog-samson demo`: what the product is for, in under a minute."""

from pathlib import Path
from typing import Annotated

from analog_samson.cli.ending import print_report
from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.progress import cell_progress
from analog_samson.cli.train_progress import training_progress
from analog_samson.options import Count, option
from analog_samson.presets.search import load_preset
from analog_samson.report.options import PrintOptions
from analog_samson.report.stress import stress_text
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


class DemoCommand(PrintOptions):
    """Train a digits network with SGD, SGD + clipping and SAMSON + clipping; age all on simulated PCM for a year.

    Takes under a minute on two idle cores; nothing is downloaded.
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
    if not options.quiet:
        print(f"\n{stress_text(folders)}")
    print_report(folders, options, out=options.out / "report.html", html=True)


def _one(contender: Contender, demo: DemoCommand) -> Path:
    """Train and simulate one contender, with a progress bar each."""
    prepared = prepare_contender(contender, demo.seed)
    if not demo.quiet:
        print(f"training with {contender.label}", flush=True)
    with training_progress(prepared.options.epochs, lines=demo.verbose, quiet=demo.quiet) as show:
        trained = prepared.run(training_folder(contender, demo.out), show)
    assert trained.checkpoint is not None
    options = demo_options(contender, trained.checkpoint, demo.preset, demo.instances, demo.seed)
    if not demo.quiet:
        print(f"simulating {demo.instances} chips on {demo.preset}", flush=True)
    with (
        cell_progress(count_cells(options), quiet=demo.quiet) as progress,
        simulate_contender(contender, options, demo.out, progress) as run,
    ):
        return run.path
