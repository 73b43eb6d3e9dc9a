"""A sweep: trainings, then many simulations by several processes or shards that are merged, and the tables of all."""

import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from analog_samson.analysis.completeness import missing as missing_conditions
from analog_samson.analysis.runs import META_KEYS, read_runs
from analog_samson.analysis.sweep_summary import SUMMARY_COLUMNS, summary_rows
from analog_samson.errors import AnalogSamsonError, RunError
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.csv_text import csv_text
from analog_samson.results.gathered import gather
from analog_samson.results.loaded import LoadedRun
from analog_samson.results.runfile import RUN_FILE
from analog_samson.results.store import open_run
from analog_samson.runtime.workers import Pool, check_address, failures_text, outcomes
from analog_samson.simulation.away import Files, JobAway, receive
from analog_samson.simulation.jobs import Jobs, SweepJob
from analog_samson.simulation.paths import files_of
from analog_samson.simulation.training_files import TRAININGS, Training

SUMMARY_FILE, FAILED_FILE, SHARDS = "summary.csv", "failed.csv", "shards"
_MISSING = "not finished"
Failures = Mapping[int, str]


def run_trainings(
    trainings: Sequence[Training], pool: Pool, *, out: Path, done: Callable[[Training], None] = lambda training: None
) -> dict[str, str]:
    """Run or resume the trainings that are not finished, each once; returns why others failed, by name.

    Args:
        trainings: In the order in which they begin. One that another process runs is waited for.
        pool: Who runs them.
        out: The output folder, which all workers have to see.
        done: Called with each training that succeeded, in the order in which they finish.
    """
    if pool.address is not None:
        check_address(pool)
        make_folder(out)
    failures, task = {}, partial(run_training, out=out.absolute() if pool.address else None)
    for place, failure in outcomes(task, trainings, pool):
        if isinstance(failure, str):
            failures[trainings[place].name] = failure
        else:
            done(trainings[place])
    return failures


def run_training(training: Training, *, out: Path | None) -> None:
    """Run or resume one training; `out` is a folder that a worker of a cluster has to see, else None."""
    if out is not None:
        _refuse_missing([*training.files(), out])
    training.run()


def run_sweep(
    jobs: Jobs,
    pool: Pool,
    *,
    untrained: Mapping[str, str] = MappingProxyType({}),
    send: bool = False,
    done: Callable[[int], None] = lambda place: None,
) -> None:
    """Run the simulations that are missing and write the tables, also where some of them failed.

    Args:
        jobs: As `plan_jobs` gives them.
        pool: Who runs them.
        untrained: Why trainings failed, by name, as `run_trainings` returns it.
        send: As for `job_outcomes`.
        done: Called with the place of each job that succeeded, in the order in which they finish.

    Raises:
        RunError: With the mistakes in all jobs, after every job was tried; or where the cluster is lost.
    """
    ended, failures, stopped = bytearray(len(jobs)), dict[int, str](), None
    places: Sequence[int] = range(len(jobs))
    if untrained:
        failures = {
            place: f"{job.training}: {untrained[job.training.name]}"
            for place, job in enumerate(jobs)
            if job.training is not None and job.training.name in untrained
        }
        places = [place for place in places if place not in failures]
    try:
        for number, failure in job_outcomes(jobs.at(places), jobs.out, pool, "analog-samson sweep", send=send):
            place = places[number]
            ended[place] = 1
            if failure is None:
                done(place)
            else:
                failures[place] = failure
    except RunError as error:
        stopped = error
    if jobs.out.is_dir():
        missing = {place: _MISSING for place, has_ended in enumerate(ended) if not has_ended}
        write_tables(jobs, missing | failures)
    if stopped is not None:
        raise stopped
    if failures:
        raise RunError(failures_text(jobs, failures))


def shard_folder(out: Path, number: int, count: int) -> Path:
    """Where shard `number` of `count` writes."""
    return out / SHARDS / f"{number}of{count}"


def merge_shards(jobs: Jobs) -> None:
    """Copy what shards finished to its place below the output folder, and write the tables.

    Raises:
        RunError: With every simulation that no shard has finished; what is there is merged all the same.
    """
    shards = sorted((jobs.out / SHARDS).glob("*of*"))
    if not shards:
        raise RunError(f"{jobs.out / SHARDS}: holds no shards; run `sweep --shard 0/2` and `--shard 1/2` first")
    failures = {place: text for place, job in enumerate(jobs) if (text := _merge(job, jobs.out, shards)) is not None}
    write_tables(jobs, failures)
    if failures:
        raise RunError(failures_text(jobs, failures))


def _merge(job: SweepJob, out: Path, shards: list[Path]) -> str | None:
    """Why a simulation is not at its place below `out` now; None where it is."""
    if (job.folder / RUN_FILE).is_file():
        return None
    found = "no shard has begun it"
    for source in (shard / job.folder.relative_to(out) for shard in shards):
        if not (source / RUN_FILE).is_file():
            continue
        unfinished = _unfinished(source)
        if unfinished is None:
            part = job.folder.with_name(f".{job.folder.name}.part")
            make_folder(job.folder.parent, below=out)
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(source, part, ignore=shutil.ignore_patterns(".*"))
            part.replace(job.folder)
            return None
        found = f"{source}: {unfinished}"
    return found


def count_finished(jobs: Jobs) -> int:
    """How many of the simulations hold every time and chip. Those with an error budget are not counted."""

    def is_finished(job: SweepJob) -> bool:
        try:
            return job.budget is None and (job.folder / RUN_FILE).is_file() and _unfinished(job.folder) is None
        except AnalogSamsonError:  # whoever resumes it says why
            return False

    return sum(map(is_finished, jobs))


def _unfinished(folder: Path) -> str | None:
    """What a run folder lacks; None where it is finished."""
    with open_run(folder) as run:
        return _MISSING if run.is_empty() else missing_conditions(read_runs([run])[0])


def job_outcomes(
    jobs: "Jobs | list[SweepJob]", out: Path, pool: Pool, command: str, *, send: bool = False
) -> Iterator[tuple[int, str | None]]:
    """Simulate or resume each job; yields the place of each finished one and None, or why it did not finish.

    Args:
        jobs: Their folders are below `out`.
        out: The folder that all workers have to see.
        pool: Who runs them.
        command: What the run folders say that made them.
        send: Send run folders to the workers and back, which then need not see `out`.
    """
    there = (replace(job, folder=job.folder.absolute()) for job in jobs)
    if pool.address is not None:
        check_address(pool)
        make_folder(out)  # workers that do not see it say so
    if send:
        away: Callable[[JobAway], Files] = partial(run_job_away, command=command)
        found = outcomes(away, map(JobAway.of, there), pool)
    elif pool.address is not None:
        found = outcomes(partial(run_job_elsewhere, command=command, out=out.absolute()), there, pool)
    else:
        found = outcomes(partial(run_job, command=command), there, pool)
    for place, outcome in found:
        if isinstance(outcome, dict):
            make_folder(jobs[place].folder, below=out)
            receive(jobs[place].folder, outcome)
        yield place, outcome if isinstance(outcome, str) else _absence(jobs[place])


def run_job(job: SweepJob, *, command: str) -> None:
    """Simulate or resume one job, with the threads that this process has."""
    job.run(command=command)


def run_job_elsewhere(job: SweepJob, *, command: str, out: Path) -> None:
    """`run_job` on a worker of a cluster; RunError names the machine where it lacks a file."""
    _refuse_missing([*files_of(dict(job.options)), out])
    run_job(job, command=command)


def run_job_away(away: JobAway, *, command: str) -> Files:
    """`run_job` on a worker that does not see the output folder; returns the files of the run."""
    _refuse_missing(files_of(dict(away.job.options)))
    return away.run(command=command)


def _refuse_missing(paths: Iterable[Path]) -> None:
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        raise RunError(
            f"the worker on {socket.gethostname()} does not see {', '.join(absent)}; "
            "put it in a folder that this machine and all workers share"
        )


def _absence(job: SweepJob) -> str | None:
    """A message where a finished job has no folder here."""
    if (job.folder / RUN_FILE).is_file():
        return None
    return "its worker finished it, but not in this folder; choose an --out that this machine and all workers share"


def write_tables(jobs: Jobs, failures: Failures) -> None:
    """Write SUMMARY_FILE, GATHERED and, where simulations failed, FAILED_FILE; of the jobs that finished.

    Args:
        jobs: All simulations.
        failures: Why a job did not finish, by place.
    """
    names = list(dict.fromkeys(name for one in jobs.series for name in one.point))
    rows = [row for group in _groups(jobs) for row in _summary_rows(group, failures, names)]
    write_atomically(jobs.out / SUMMARY_FILE, csv_text((*SUMMARY_COLUMNS, *names), rows).encode())
    gather(
        jobs.out,
        (
            (job.folder, job.point, None if job.training is None else f"{TRAININGS}/{job.training.name}")
            for place, job in enumerate(jobs)
            if place not in failures
        ),
    )
    told = [(jobs[place].folder.relative_to(jobs.out).as_posix(), failures[place]) for place in sorted(failures)]
    if told:
        write_atomically(jobs.out / FAILED_FILE, csv_text(("run", "reason"), told).encode())
    else:
        (jobs.out / FAILED_FILE).unlink(missing_ok=True)


def _groups(jobs: Jobs) -> Iterator[list[tuple[int, SweepJob]]]:
    """The jobs of each network on each preset, with their places."""
    for _, group in groupby(enumerate(jobs), key=lambda each: each[1].folder.parent):
        yield list(group)


def _summary_rows(
    group: list[tuple[int, SweepJob]], failures: Failures, names: list[str]
) -> Iterator[tuple[object, ...]]:
    """One row for every condition over the chips of all seeds that finished, and the values that are varied last."""
    runs = [LoadedRun(job.folder, META_KEYS) for place, job in group if place not in failures]
    first = group[0][1]
    place = first.folder.parts[-3], first.folder.parts[-2]
    failed = [job.options.seed for number, job in group if number in failures]
    varied = [first.point.get(name) for name in names]
    for row in summary_rows(read_runs(runs) if runs else (), place, failed):
        yield (*row, *varied)
