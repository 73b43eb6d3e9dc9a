"""A cell as a job: where it lies, what it is made from, and how to see that it is finished. No torch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analog_samson.errors import CheckpointError
from analog_samson.experiments.plan import PRETRAINING, Cell
from analog_samson.experiments.schema import Criterion, Evaluation
from analog_samson.experiments.shown import Measure
from analog_samson.experiments.sources import DataSpecs, Sources, start_of
from analog_samson.experiments.tune import SCORE_FILE
from analog_samson.results.parts import read_part

TRAINING_FILE, CLEAN_FILE, RUN_FILE = "training.json", "clean.json", "run.json"
VALUES_FILE = "run.csv"  # every value of the simulation
TRAINING, RUN, CHECKPOINT = "training", "run", "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True)
class CellJob:
    """A cell with everything that its run needs; can be sent to another process.

    limit: the first images of each set only. evaluation, criterion: None where nothing of the kind is asked for.
    measures: of sharpness. instances: simulated chips.
    """

    cell: Cell
    out: Path
    sources: Sources
    limit: int | None = None
    evaluation: Evaluation | None = None
    measures: tuple[Measure, ...] = ()
    criterion: Criterion | None = None
    instances: int = 1
    device: str = "cpu"
    threads: int | None = None

    def __str__(self) -> str:
        return self.cell.folder

    @property
    def folder(self) -> Path:
        return self.out / self.cell.folder

    @property
    def data(self) -> DataSpecs:
        return self.sources.data(self.cell.data)

    @property
    def checkpoint(self) -> Path:
        """Where the trained network lies."""
        return self.folder / TRAINING / CHECKPOINT

    @property
    def start(self) -> Path | None:
        """The checkpoint to begin with."""
        if self.cell.start_cell is not None:
            return self.out / self.cell.start_cell / TRAINING / CHECKPOINT
        return start_of(self.cell, self.sources)


def is_finished(job: CellJob) -> bool:
    """Whether all of a cell is measured; RunError where the folder holds something else.

    The checkpoint is not asked for: a finished cell may be kept without it.
    """
    found = [read_part(job.folder / name, asked) is not None for name, asked in _parts(job)]
    _further(job)  # only refused where they are of something else
    return all(found) and (job.evaluation is None or not _is_final(job) or (job.folder / VALUES_FILE).is_file())


def is_complete(job: CellJob) -> bool:
    """Whether it is finished, and every measure of sharpness taken that its checkpoint still allows."""
    return is_finished(job) and (not _is_final(job) or not _has_weights(job) or all(_further(job)))


def _further(job: CellJob) -> list[bool]:
    """Of every measure but the first, whether it is taken; RunError where the folder holds something else."""
    parts = ((job.folder / one.file, asked_of_sharpness(job, one)) for one in job.measures[1:])
    return [read_part(path, asked) is not None for path, asked in parts]


def _has_weights(job: CellJob) -> bool:
    """Whether the network is still there to be measured."""
    if job.cell.training:
        return job.checkpoint.is_file()
    try:
        return job.start is not None and job.start.is_file()
    except CheckpointError:  # not where the user said, or nothing was said
        return False


def _is_final(job: CellJob) -> bool:
    """Whether it is a network to be shown, and not one to begin with or to choose among."""
    return job.cell.method != PRETRAINING and job.criterion is None


def _parts(job: CellJob) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of a finished cell, with what they must have been asked."""
    if job.cell.training:
        yield TRAINING_FILE, asked_of_training(job)
    if job.cell.method == PRETRAINING:
        return
    if job.criterion is not None:
        yield SCORE_FILE, asked_of_score(job, job.criterion)
        return
    yield CLEAN_FILE, {"limit": job.limit}
    if job.evaluation is not None:
        yield RUN_FILE, asked_of_run(job, job.evaluation)
    for measure in job.measures[:1]:
        yield measure.file, asked_of_sharpness(job, measure)


def asked_of_sharpness(job: CellJob, measure: Measure) -> dict[str, Any]:
    """What decides a sharpness beside the network."""
    assert job.evaluation is not None
    limit = fewest(job.limit, job.evaluation.sharpness_limit or None)
    batch = job.cell.setting.training.batch_size
    return measure.model_dump() | {"limit": limit, "batch_size": batch}


def asked_of_run(job: CellJob, evaluation: Evaluation) -> dict[str, Any]:
    """What decides a simulation beside the network."""
    return evaluation.model_dump(exclude={"sharpness_limit"}) | {
        "times": list(evaluation.times),
        "sigmas": list(evaluation.sigmas),
        "instances": job.instances,
        "limit": job.limit,
        "seed": job.cell.seed,
    }


def asked_of_training(job: CellJob) -> dict[str, Any]:
    """What decides a training; paths do not."""
    cell = job.cell
    start = cell.start_file or cell.start_cell
    return {
        **cell.training,
        "network": cell.network,
        "data": cell.data,
        "seed": cell.seed,
        "start": start,
        "teacher": "start" if cell.distill else None,
        "limit": fewest(job.limit, cell.sample),
        "holdout": cell.holdout,
    }


def asked_of_score(job: CellJob, criterion: Criterion) -> dict[str, Any]:
    images = fewest(job.limit, job.cell.scored)
    return criterion.model_dump(mode="json") | {"limit": job.limit, "images": images, "seed": job.cell.seed}


def fewest(*limits: int | None) -> int | None:
    given = [limit for limit in limits if limit is not None]
    return min(given) if given else None
