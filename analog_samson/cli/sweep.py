"""`analog-samson sweep`: many simulations, checkpoints by presets by seeds, by several processes."""

import sys
from pathlib import Path
from typing import Annotated

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.shared import PoolOptions, PresetFolders
from analog_samson.options import OUTPUT, option
from analog_samson.simulation.many_options import SweepOptions

EXAMPLE = """analog-samson sweep sgd=a.safetensors samson=b.safetensors --preset pcm_nandakumar_2019 --seeds 0-4
--data cifar10:DIR --workers 2 --out runs/sweep"""


class SweepCommand(PoolOptions, PresetFolders, SweepOptions):
    """Simulate every checkpoint on every preset with every seed, each in a run folder of its own.

    summary.csv in --out gives mean and interval of every condition over the chips of all its seeds.
    """

    NAME = "sweep"

    out: Annotated[
        Path, option("Folder for the run folders and summary.csv; rerun the same command to resume.", OUTPUT, "DIR")
    ] = Path("runs/sweep")


@takes(SweepCommand, EXAMPLE)
def sweep(given: Given) -> None:
    from analog_samson.cli.progress import cell_progress
    from analog_samson.simulation.jobs import plan_jobs
    from analog_samson.simulation.sweep import SUMMARY_FILE, run_sweep

    options = SweepCommand.from_text(given)
    pool = options.pool
    jobs = plan_jobs(options.replace(threads=None), options.out)  # a worker has the threads that its pool gives it
    print(f"{len(jobs)} simulations, {pool}", file=sys.stderr)
    with cell_progress(len(jobs)) as progress:
        run_sweep(jobs, options.out, pool, done=lambda place: progress(str(jobs[place])))
    print("\n".join(map(str, jobs)))
    print(f"wrote {options.out / SUMMARY_FILE}", file=sys.stderr)
