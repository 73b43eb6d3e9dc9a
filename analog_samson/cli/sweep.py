"""`analog-samson sweep`: many simulations, checkpoints by presets by points by seeds, by several processes."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.globs import expanded
from analog_samson.cli.shared import PoolOptions, PresetFolders
from analog_samson.errors import OptionError, RunError
from analog_samson.options import MACHINE, OUTPUT, Written, option
from analog_samson.simulation.many_options import SweepOptions

if TYPE_CHECKING:
    from analog_samson.runtime.workers import Pool
    from analog_samson.simulation.jobs import Jobs
    from analog_samson.simulation.training_files import Training

EXAMPLE = """analog-samson sweep sgd=a.safetensors samson=b.safetensors --preset pcm_rasch_2023 --seeds 0-4
--vary periphery.adc_bits=4,6,8 --data cifar10:DIR --workers 2 --out runs/sweep"""
MOST_ON_A_PAGE = 1000  # runs


def _parse_shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text.strip())
    if found is None or not int(found[1]) < int(found[2]):
        raise ValueError(f"expected NUMBER/COUNT, such as 0/8 to 7/8, got {text!r}")
    return int(found[1]), int(found[2])


class SweepCommand(PoolOptions, PresetFolders, SweepOptions):
    """Simulate every checkpoint on every preset at every point with every seed, each in a run folder of its own.

    Tables, one SQLite file and one page in --out cover all of them.
    """

    NAME = "sweep"

    plan: Annotated[
        bool, option("Only print how many simulations there are and about how long they take here.", MACHINE)
    ] = False
    shard: Annotated[
        tuple[int, int] | None,
        option(
            "Run one part of the sweep, as a job of a job array: the first of eight is 0/8. It writes below "
            "--out/shards.",
            MACHINE,
            "NUMBER/COUNT",
            default="all of it",
        ),
        Written(_parse_shard, lambda value: f"{value[0]}/{value[1]}"),
    ] = None
    merge: Annotated[bool, option("Simulate nothing: put together what the shards below --out finished.", MACHINE)] = (
        False
    )
    send_runs: Annotated[
        bool,
        option(
            "Send run folders to the workers and back: they need to see the inputs, but not --out.",
            MACHINE,
            needs="address",
        ),
    ] = False
    html: Annotated[bool, option("Write report.html into --out.", OUTPUT)] = True
    out: Annotated[
        Path, option("Folder for the run folders and tables; rerun the same command to resume.", OUTPUT, "DIR")
    ] = Path("runs/sweep")

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.shard is not None and self.merge:
            yield "--shard and --merge exclude each other: merge when all shards have ended"


@takes(SweepCommand, EXAMPLE)
def sweep(given: Given) -> None:
    from analog_samson.cli.progress import cell_progress
    from analog_samson.results.gathered import GATHERED
    from analog_samson.results.lock import locked
    from analog_samson.simulation.jobs import plan_jobs
    from analog_samson.simulation.sweep import (
        SUMMARY_FILE,
        count_finished,
        merge_shards,
        run_sweep,
        run_trainings,
        shard_folder,
    )

    options = SweepCommand.from_text(expanded(given))
    pool = options.pool
    jobs = plan_jobs(options.replace(threads=None), options.out)  # a worker has the threads that its pool gives it
    if options.shard is not None:
        number, count = options.shard
        jobs = jobs[number::count].below(shard_folder(options.out, number, count))
    if options.send_runs and jobs.trainings:
        raise OptionError("--send-runs: workers that do not see --out cannot read what is trained there; leave it out")
    if options.plan:
        _print_plan(jobs, pool)
        return
    if not jobs and not options.merge:
        _say(f"--shard {number}/{count}: there are fewer simulations than shards; nothing to do")
        return
    with locked(jobs.out):
        if options.merge:
            merge_shards(jobs)
        else:
            untrained: dict[str, str] = {}
            if trainings := _in_turn(jobs.trainings, options.shard):
                _say(f"{len(trainings)} trainings, {pool}")
                with cell_progress(len(trainings)) as progress:
                    untrained = run_trainings(
                        trainings, pool, out=options.out, done=lambda training: progress(str(training))
                    )
            _say(f"{len(jobs)} simulations, {pool}")
            if finished := count_finished(jobs):
                _say(f"{finished} of {len(jobs)} were finished already")
            with cell_progress(len(jobs)) as progress:
                run_sweep(
                    jobs,
                    pool,
                    untrained=untrained,
                    send=options.send_runs,
                    done=lambda place: progress(str(jobs[place])),
                )
        for job in jobs:
            print(job)
        _say(f"wrote {jobs.out / SUMMARY_FILE} and {jobs.out / GATHERED}")
        if options.shard is None:
            _report(jobs, html=options.html)


def _in_turn(trainings: "list[Training]", shard: tuple[int, int] | None) -> "list[Training]":
    """The trainings in an order of the shard's own, so that shards which run at a time begin with different ones."""
    number, count = shard or (0, 1)
    first = number * len(trainings) // count
    return trainings[first:] + trainings[:first]


def _report(jobs: "Jobs", *, html: bool) -> None:
    """Print the answer of all runs, and write their page where it is wanted; where they fit on one."""
    from analog_samson.cli.ending import print_report
    from analog_samson.report.options import PrintOptions
    from analog_samson.report.page import PAGE_NAME

    if len(jobs) > MOST_ON_A_PAGE:
        _say(
            f"no report: {len(jobs)} runs are more than {MOST_ON_A_PAGE}; `analog-samson report RUN...` makes one of "
            "some"
        )
        return
    try:
        print_report([job.folder for job in jobs], PrintOptions(), format="answer", out=jobs.out / PAGE_NAME, html=html)
    except RunError as error:
        _say(f"no report: {error}")


def _print_plan(jobs: "Jobs", pool: "Pool") -> None:
    from analog_samson.cli.progress import rough_duration
    from analog_samson.simulation.estimate import estimate

    found = estimate(jobs, pool)
    if jobs.trainings:
        print(
            f"{len(jobs.trainings)} trainings, {found.trainings} of them not finished: about "
            f"{rough_duration(found.training_seconds)} of one worker here, from a few batches of one of each file"
        )
    print(f"{found.simulations} simulations, {found.evaluations} evaluations of a network on the data")
    print(f"about {rough_duration(found.seconds)} of one worker here, from one chip of each network on each preset")
    if found.workers is not None and found.workers > 1:
        print(
            f"about {rough_duration(found.seconds / min(found.workers, found.simulations))} of {found.workers} workers"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr)
