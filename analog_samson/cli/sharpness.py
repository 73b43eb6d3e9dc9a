"""`analog-samson sharpness`: how sharp checkpoints are, and whether that goes with their robustness."""

from pathlib import Path
from typing import Annotated

import typer

from analog_samson.runtime.older_python import StrEnum

EXAMPLE = """Example:

analog-samson sharpness --checkpoint runs/demo/sgd/training/checkpoint.safetensors \
--checkpoint runs/demo/samson/training/checkpoint.safetensors --data digits --method samson \
--robustness runs/demo/sgd/run --robustness runs/demo/samson/run
"""


class Method(StrEnum):
    """The neighbourhood in which the highest loss is sought."""

    SAMSON = "samson"
    SAM = "sam"
    ASAM = "asam"
    KESKAR = "keskar"


class Split(StrEnum):
    """A part of the data."""

    TRAIN = "train"
    TEST = "test"


def sharpness(
    checkpoint: Annotated[list[Path], typer.Option(help="Checkpoint file or zoo:NAME; repeat it to compare several.")],
    data: Annotated[str, typer.Option(help="digits, cifar10:DIR, cifar100:DIR, npz:FILE, folder:DIR.")],
    method: Annotated[
        list[Method] | None,
        typer.Option(help="Neighbourhood of eq. 10-12, or Keskar's box; may be repeated.", show_default="samson"),
    ] = None,
    rho: Annotated[
        float | None,
        typer.Option(
            help="Radius; keskar: relative half-width of the box.",
            show_default="sam 0.05, asam and samson 0.5, keskar 0.001",
        ),
    ] = None,
    p: Annotated[float, typer.Option(help="Norm of SAMSON: a number of 1 or more, or inf.")] = float("inf"),
    batch_size: Annotated[int, typer.Option(help="Images a minibatch: m of eq. 10.", min=1)] = 128,
    limit: Annotated[int | None, typer.Option(help="Use the first N images.", show_default="all", min=1)] = None,
    steps: Annotated[int, typer.Option(help="Climbing steps in each minibatch; 1 is that of training.", min=1)] = 1,
    selection: Annotated[
        str, typer.Option(help="What is perturbed: weights_only, paper or reference.")
    ] = "weights_only",
    model: Annotated[
        str | None, typer.Option(help="Network, for checkpoints that do not say it.", show_default=False)
    ] = None,
    normalization: Annotated[
        str | None, typer.Option(help="Of the input; default: the checkpoint's, the model's or the data's.")
    ] = None,
    split: Annotated[
        Split, typer.Option(help="Which images of --data; sharpness is of the training loss.")
    ] = Split.TRAIN,
    robustness: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run folder of one of the checkpoints, told by its content or label; may be repeated.", metavar="RUN"
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Write the raw rows there as well.", metavar="FILE.csv")] = None,
) -> None:
    from analog_samson.cli.progress import cell_progress
    from analog_samson.report.sharpness_text import print_study
    from analog_samson.simulation.sharpness_study import (
        StudyOptions,
        check_output,
        count_measures,
        save_rows,
        study_sharpness,
    )

    options = StudyOptions(
        checkpoints=tuple(map(str, checkpoint)),
        data=data,
        split=split.value,
        methods=tuple(each.value for each in method or (Method.SAMSON,)),
        rho=rho,
        p=p,
        selection=selection,
        steps=steps,
        batch_size=batch_size,
        limit=limit,
        model=model,
        normalization=normalization,
        robustness=tuple(map(str, robustness or ())),
        device=device,
    )
    if out is not None:
        check_output(out)
    with cell_progress(count_measures(options)) as progress:
        study = study_sharpness(options, progress=progress)
    typer.echo(print_study(study), nl=False)
    if out is not None:
        save_rows(study, out)
        typer.echo(f"wrote {out}", err=True)


sharpness.__doc__ = f"""How sharp the loss around trained weights is, and whether that goes with robustness to noise.

{EXAMPLE}"""
