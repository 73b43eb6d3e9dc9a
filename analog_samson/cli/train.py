"""`analog-samson train`: a network from scratch or from a checkpoint, with SGD, SAM, ASAM, SAMSON or RWP."""

import sys
from pathlib import Path
from typing import Annotated

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.processes import told_once
from analog_samson.cli.train_progress import training_progress
from analog_samson.options import option
from analog_samson.training.description import describe_prepared, describe_result
from analog_samson.training.distributed import joined_processes
from analog_samson.training.folder import finished_epochs
from analog_samson.training.job import DATA, PreparedTraining, TrainJob, prepare_training
from analog_samson.training.method_options import METHOD
from analog_samson.training.noise_options import HARDWARE
from analog_samson.training.options import COMPUTING, DISTILLATION, RESULT, STEPS

EXAMPLE = """analog-samson train --model digits_cnn --data digits --method samson --rho 0.5 --clip 0.2 --out runs/digits

In several processes, which divide each batch among them:

torchrun --nproc-per-node 2 -m analog_samson train --model digits_cnn --data digits --method samson --out runs/digits"""


class TrainCommand(TrainJob):
    """Train a network from scratch, or fine-tune a checkpoint."""

    PANELS = (DATA, METHOD, HARDWARE, STEPS, DISTILLATION, COMPUTING, RESULT)

    out: Annotated[
        Path, option("Folder of this training; rerun the same command to resume one that was stopped.", RESULT, "DIR")
    ] = Path("runs/train")
    quiet: Annotated[bool, option("Print the result alone.", RESULT, flags=("--quiet",))] = False


@takes(TrainCommand, EXAMPLE)
def train(given: Given) -> None:
    with told_once(), joined_processes() as context:
        options = context.on_every_process(lambda: TrainCommand.from_text(given))
        job = options.part(TrainJob)
        _run(context.on_every_process(lambda: prepare_training(job, context)), options.out, quiet=options.quiet)


def _run(prepared: PreparedTraining, out: Path, *, quiet: bool) -> None:
    if not prepared.context.is_main:
        prepared.run(out)
        return
    epochs = prepared.options.epochs
    if not quiet:
        print(describe_prepared(prepared))
    try:
        with training_progress(epochs, quiet=quiet) as show:
            result = prepared.run(out, show)
    except KeyboardInterrupt:
        done = finished_epochs(out)
        print(
            f"\nstopped after epoch {done} of {epochs}, which is kept in {out}; the same command resumes",
            file=sys.stderr,
        )
        raise
    print(describe_result(result, prepared.unit))
