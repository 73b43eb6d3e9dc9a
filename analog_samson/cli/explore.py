"""`analog-samson explore`: the hardware that a network would need."""

from pathlib import Path
from typing import Annotated

import typer

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.shared import PoolOptions, PresetFolders, command_line
from analog_samson.options import OUTPUT, option
from analog_samson.simulation.explore_options import ExploreOptions

EXAMPLE = """analog-samson explore --checkpoint zoo:resnet32_cifar10 --data cifar10:DIR --preset pcm_rasch_2023
--vary periphery.adc_bits=4..10 --vary programming.scale=0.25..2 --keep "digital - 1" --at 1y"""


class ExploreCommand(PoolOptions, PresetFolders, ExploreOptions):
    """Map which hardware keeps a network's accuracy: over numbers of a preset, or over its layers.

    Few points are simulated, each in a run folder below --out; rerun the same command to resume. Another --keep uses
    them again.
    """

    NAME = "explore"

    html: Annotated[bool, option("Write report.html into --out.", OUTPUT)] = True
    out: Annotated[Path, option("Folder for the points, explore.csv and report.html.", OUTPUT, "DIR")] = Path(
        "runs/explore"
    )


@takes(ExploreCommand, EXAMPLE)
def explore(given: Given) -> None:
    from analog_samson.errors import RunError
    from analog_samson.report.exploration import best_found, holds
    from analog_samson.report.exploration_page import exploration_text, write_exploration
    from analog_samson.results.lock import locked
    from analog_samson.simulation.explore import explore as explore_map
    from analog_samson.simulation.explore_layers import explore_layers

    options, command = ExploreCommand.from_text(given), command_line()
    search = explore_layers if options.layers else explore_map
    with locked(options.out):
        found = search(options, options.out, options.pool, command=command, say=lambda text: typer.echo(text, err=True))
        typer.echo(exploration_text(found), nl=False)
        for file in write_exploration(found, options.out, command, html=options.html):
            typer.echo(f"wrote {file}", err=True)
    if not holds(found):
        raise RunError(f"--keep {found.keep!r}: nothing holds it. {best_found(found)}")
