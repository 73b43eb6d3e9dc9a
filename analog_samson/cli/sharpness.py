"""`analog-samson sharpness`: how sharp checkpoints are, and whether that goes with their robustness."""

from pathlib import Path
from typing import Annotated

import typer

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.progress import cell_progress
from analog_samson.options import option
from analog_samson.report.sharpness_text import print_study
from analog_samson.simulation.sharpness_study import (
    StudyOptions,
    check_output,
    count_measures,
    save_rows,
    study_sharpness,
)

EXAMPLE = """analog-samson sharpness --checkpoint runs/demo/sgd/training/checkpoint.safetensors
--checkpoint runs/demo/samson/training/checkpoint.safetensors --data digits --method samson
--robustness runs/demo/sgd/run --robustness runs/demo/samson/run"""


class SharpnessCommand(StudyOptions):
    """Measure the sharpness of checkpoints; with run folders, its correlation with their robustness."""

    out: Annotated[Path | None, option("Write the raw rows there as well.", metavar="FILE.csv")] = None


@takes(SharpnessCommand, EXAMPLE)
def sharpness(given: Given) -> None:
    options = SharpnessCommand.from_text(given)
    if options.out is not None:
        check_output(options.out)
    with cell_progress(count_measures(options)) as progress:
        study = study_sharpness(options, progress=progress)
    typer.echo(print_study(study), nl=False)
    if options.out is not None:
        save_rows(study, options.out)
