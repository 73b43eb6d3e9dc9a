"""A sweep: many simulations by several processes, and the summary of all."""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from analog_samson.analysis.runs import read_runs
from analog_samson.analysis.sweep_summary import summary_csv
from analog_samson.errors import RunError
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.runfile import RUN_FILE
from analog_samson.results.store import open_run
from analog_samson.runtime.workers import Outcomes, Pool, check_address, failures_text, outcomes
from analog_samson.simulation.jobs import SweepJob

SUMMARY_FILE = "summary.csv"


def run_sweep(
    jobs: Sequence[SweepJob], out: Path, pool: Pool, *, done: Callable[[int], None] = lambda place: None
) -> None:
    """Run the simulations that are missing and write SUMMARY_FILE into `out`, also where some of them failed.

    Args:
        jobs: As `plan_jobs` gives them for `out`.
        done: Called with the place of each job that succeeded, in the order in which they finish.

    Raises:
        RunError: With the mistakes in all jobs, after every job was tried; or when a worker was killed.
    """
    failures = dict.fromkeys(range(len(jobs)), "not finished")
    stopped: RunError | None = None
    try:
        for place, failure in job_outcomes(jobs, out, pool, "analog-samson sweep"):
            if failure is None:
                del failures[place]
                done(place)
            else:
                failures[place] = failure
    except RunError as error:
        stopped = error
    if out.is_dir():
        write_summary(jobs, failures, out / SUMMARY_FILE)
    if stopped is not None:
        raise stopped
    if failures:
        raise RunError(failures_text(jobs, failures))


def job_outcomes(jobs: Sequence[SweepJob], out: Path, pool: Pool, command: str) -> Outcomes:
    """Simulate or resume each job; yields the place of each finished one and None, or why it did not finish.

    Args:
        jobs: Their folders are below `out`.
        out: The folder that all workers have to see.
        pool: Who runs them.
        command: What the run folders say that made them.
    """
    there = [replace(job, folder=job.folder.absolute()) for job in jobs]
    task: Callable[[SweepJob], None] = partial(run_job, command=command)
    if pool.address is not None:
        check_address(pool)
        make_folder(out)  # workers that do not see it say so
        task = partial(run_job_elsewhere, command=command, out=out.absolute())
    for place, failure in outcomes(task, there, pool):
        yield place, failure or _absence(jobs[place])


def run_job(job: SweepJob, *, command: str) -> None:
    """Simulate or resume one job, with the threads that this process has."""
    job.run(command=command)


def run_job_elsewhere(job: SweepJob, *, command: str, out: Path) -> None:
    """`run_job` on a worker of a cluster; RunError names the machine where it lacks a file."""
    from analog_samson.simulation.paths import files_of

    missing = [str(path) for path in (*files_of(dict(job.options)), out) if not path.exists()]
    if missing:
        raise RunError(
            f"the worker on {socket.gethostname()} does not see {', '.join(missing)}; "
            "put it in a folder that this machine and all workers share"
        )
    run_job(job, command=command)


def _absence(job: SweepJob) -> str | None:
    """A message where a finished job has no folder here."""
    if (job.folder / RUN_FILE).is_file():
        return None
    return "its worker finished it, but not in this folder; choose an --out that this machine and all workers share"


def write_summary(jobs: Sequence[SweepJob], failures: Mapping[int, str], file: Path) -> None:
    """Write one row for every condition of the jobs that finished, over the chips of all their seeds.

    failures: by place, why a job did not finish; the rows of its checkpoint and preset name its seed.
    """
    finished = [job.folder for place, job in enumerate(jobs) if place not in failures]
    failed = [(_label_and_preset(jobs[place]), jobs[place].options.seed) for place in sorted(failures)]
    with ExitStack() as stack:
        folders = [stack.enter_context(open_run(folder)) for folder in finished]
        text = summary_csv(read_runs(folders) if folders else (), failed)
    write_atomically(file, text.encode())


def _label_and_preset(job: SweepJob) -> tuple[str, str]:
    return job.folder.parts[-3], job.folder.parts[-2]
