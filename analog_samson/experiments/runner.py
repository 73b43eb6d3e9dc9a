"""Reproduce an experiment: run the cells that are missing, then write its table or figure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analog_samson.errors import OptionError, list_faults
from analog_samson.experiments.catalogue import Networks, networks_of
from analog_samson.experiments.cells import run_cell, test_images
from analog_samson.experiments.cost import estimate_seconds, format_seconds
from analog_samson.experiments.jobs import RUN, TRAINING, CellJob, is_complete, is_finished
from analog_samson.experiments.plan import (
    PRETRAINING,
    Cell,
    Overrides,
    count_planned,
    plan_candidates,
    plan_cells,
    plan_pretrainings,
)
from analog_samson.experiments.render import write_results, write_worst_case
from analog_samson.experiments.results import ExperimentResults, read_results
from analog_samson.experiments.schema import Experiment, Scale, Tuning
from analog_samson.experiments.shown import WorstCase, measures_of
from analog_samson.experiments.sources import Sources, check_sources
from analog_samson.experiments.tune import Choice, choose, chosen_options, write_choices
from analog_samson.presets.search import load_preset
from analog_samson.results.links import refuse_links
from analog_samson.runtime.workers import Pool, run_cells
from analog_samson.training.options import TrainOptions

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how an experiment is run. threads: of the CPU, None leaves a worker its share of the cores."""

    scale: str
    out: Path
    overrides: Overrides = field(default_factory=Overrides)
    sources: Sources = field(default_factory=Sources)
    device: str = "cpu"
    threads: int | None = None
    pool: Pool = field(default_factory=Pool)


def reproduce_experiment(experiment: Experiment, options: RunOptions, say: Say = lambda text: None) -> str:
    """Run what is missing below options.out and write the results there; returns the text of the tables.

    Options, data and checkpoints of everything that is to run are checked before anything is. A killed run goes on
    where it stopped. Raises AnalogSamsonError.
    """
    if isinstance(experiment.shows, WorstCase):
        return write_worst_case(experiment, experiment.shows, options.out)
    networks = networks_of(experiment)
    scale = networks.scale(options.scale)
    choices = _tune(experiment, networks, scale, options, say)
    cells = plan_cells(networks, scale, options.overrides, chosen_options(choices))
    check_training([cell for cell in cells if cell.training])
    run_missing(experiment, scale, _selected(cells, options.overrides.only), options, say)
    outcome = collect_results(experiment, networks, scale, cells, options, choices)
    text = write_results(outcome, options.out)
    say(f"wrote {options.out}/{experiment.name}_{options.scale}.txt and the files beside it")
    return text


def run_missing(
    experiment: Experiment,
    scale: Scale,
    cells: Sequence[Cell],
    options: RunOptions,
    say: Say,
    tuning: Tuning | None = None,
) -> None:
    """Run the cells that are not finished: first the networks that others begin with, one after the other.

    Then the first seed of every method before the second of any, so that a run cut short compares all of them.
    """
    jobs = [(cell, _job(experiment, scale, cell, options, tuning)) for cell in cells]
    refuse_links(options.out, [job.folder / name for _, job in jobs for name in (TRAINING, RUN)])
    missing = _missing(jobs)
    to_train = [cell for cell, job in missing if not is_finished(job)]
    check_sources(to_train, options.sources)
    if scale.evaluation is not None:
        load_preset(scale.evaluation.preset)
    if len(missing) < len(jobs):
        say(f"{len(jobs) - len(missing)} of {len(jobs)} networks are finished")
    if missing:
        chips = options.overrides.instances
        seconds = estimate_seconds(to_train, scale, experiment.shows, chips, tuning)
        say(f"{len(missing)} to run, about {format_seconds(seconds)} on {scale.cost.machine}")
    for job in {job.data: job for _, job in missing}.values():
        test_images(job)  # wrong images are found before the first training
    first = [job for cell, job in missing if cell.method == PRETRAINING]
    rest = sorted((job for cell, job in missing if cell.method != PRETRAINING), key=lambda job: job.cell.seed)
    _run(first, Pool(), say)
    _run(rest, options.pool, say)


def _missing(jobs: Sequence[tuple[Cell, CellJob]]) -> list[tuple[Cell, CellJob]]:
    """What is not complete, and the networks without a checkpoint that the rest of it begins with."""
    open_jobs = [(cell, job) for cell, job in jobs if not is_complete(job)]
    starts = {cell.start_cell for cell, job in open_jobs if not is_finished(job)}
    return [
        (cell, job)
        for cell, job in jobs
        if (cell, job) in open_jobs or (cell.folder in starts and not job.checkpoint.is_file())
    ]


def check_training(cells: Sequence[Cell]) -> None:
    """Raise one OptionError for all trainings with options that cannot be."""
    faults = []
    for cell in cells:
        try:
            TrainOptions(seed=cell.seed, **cell.training)
        except OptionError as error:
            faults.append(f"{cell.folder}: {error}")
    if faults:
        raise OptionError(list_faults("trainings", faults))


def collect_results(
    experiment: Experiment,
    networks: Networks,
    scale: Scale,
    cells: Sequence[Cell],
    options: RunOptions,
    choices: Sequence[Choice],
) -> ExperimentResults:
    """What is finished of an experiment, ready to be rendered."""
    shown = [cell for cell in cells if cell.method != PRETRAINING]
    return ExperimentResults(
        experiment=experiment,
        networks=networks,
        scale_name=options.scale,
        scale=scale,
        overrides=options.overrides,
        planned=count_planned(networks, scale, options.overrides),
        results=read_results(
            shown, options.out, measures_of(experiment.shows), with_noise=scale.evaluation is not None
        ),
        choices=choices,
    )


def _tune(experiment: Experiment, networks: Networks, scale: Scale, options: RunOptions, say: Say) -> Sequence[Choice]:
    """Tune what is to be tuned, as far as --only lets it, and write down what was chosen from what."""
    candidates = plan_candidates(networks, scale, options.overrides)
    if not candidates:
        return ()
    check_training(candidates)
    wanted = [cell for cell in candidates if cell.is_named(options.overrides.only)]
    starts = {cell.start_cell for cell in wanted}
    first = [cell for cell in plan_pretrainings(networks, scale, options.overrides) if cell.folder in starts]
    say("choosing hyper-parameters")
    run_missing(experiment, scale, [*first, *wanted], options, say, networks.own.tuning)
    choices = choose(candidates, options.out)
    write_choices(choices, options.out / f"{experiment.name}_{options.scale}_choices.json")
    return choices


def _selected(cells: Sequence[Cell], only: str) -> list[Cell]:
    """The cells that --only names, and what they begin with."""
    chosen = [cell for cell in cells if cell.is_named(only) and cell.method != PRETRAINING]
    if not chosen:
        known = ", ".join(cell.folder for cell in cells[:3])
        raise OptionError(f"--only {only!r}: no network has this in its name; names are such as {known}")
    starts = {cell.start_cell for cell in chosen}
    return [*(cell for cell in cells if cell.folder in starts), *chosen]


def _job(experiment: Experiment, scale: Scale, cell: Cell, options: RunOptions, tuning: Tuning | None) -> CellJob:
    overrides = options.overrides
    return CellJob(
        cell=cell,
        out=options.out,
        sources=options.sources,
        limit=overrides.limit_images,
        evaluation=scale.evaluation,
        measures=measures_of(experiment.shows),
        criterion=tuning.criterion if tuning is not None and cell.holdout else None,
        instances=overrides.instances or cell.setting.instances,
        device=options.device,
        threads=options.threads or options.pool.threads,
    )


def _run(jobs: Sequence[CellJob], pool: Pool, say: Say) -> None:
    """One after the other with every epoch told, or in several processes with every finished network told."""
    if pool.in_process:
        for place, job in enumerate(jobs, 1):
            say(f"[{place}/{len(jobs)}] {job.cell.folder}")
            run_cell(job, say)
        return
    run_cells(run_cell, jobs, pool, done=lambda place: say(f"finished {jobs[place].cell.folder}"))
