"""`analog-samson demo`: what the product is for, in under two minutes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from analog_samson.simulation.demonstration import Contender

EXAMPLE = "Example:\n\nanalog-samson demo --out runs/demo"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the trainings, runs and report.html.")] = Path("runs/demo"),
    preset: Annotated[str, typer.Option(help="Hardware preset, by name or TOML file.")] = "pcm_nandakumar_2019",
    instances: Annotated[int, typer.Option(help="Simulated chips, each programmed once.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Names every random draw.")] = 0,
) -> None:
    from analog_samson.presets.search import load_preset
    from analog_samson.report.command import make_report
    from analog_samson.simulation.demonstration import CONTENDERS

    load_preset(preset)  # a wrong name is told before the trainings
    folders = [_one(contender, out, preset, instances, seed) for contender in CONTENDERS]
    print(make_report(folders, "text", out=out / "report.html", html=True, say=print), end="")


def _one(contender: "Contender", out: Path, preset: str, instances: int, seed: int) -> Path:
    """Train and simulate one contender, with a progress bar each."""
    from analog_samson.cli.progress import cell_progress
    from analog_samson.cli.train_progress import training_progress
    from analog_samson.simulation.demonstration import (
        demo_options,
        prepare_contender,
        simulate_contender,
        training_folder,
    )
    from analog_samson.simulation.options import count_cells

    prepared = prepare_contender(contender, seed)
    print(f"training with {contender.label}")
    with training_progress(prepared.options.epochs) as show:
        trained = prepared.run(training_folder(contender, out), show)
    assert trained.checkpoint is not None
    options = demo_options(contender, trained.checkpoint, preset, instances, seed)
    print(f"simulating {instances} chips on {preset}")
    with (
        cell_progress(count_cells(options)) as progress,
        simulate_contender(contender, options, out, progress) as run,
    ):
        return run.path


demo.__doc__ = f"""Train a digits network with SGD and with SAMSON, age both on simulated PCM for a year, and report.

Takes under a minute on two cores; nothing is downloaded.

{EXAMPLE}
"""
