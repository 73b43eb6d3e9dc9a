"""One cell, run: train, then measure what the experiment needs. Parts that are finished are not done again."""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analog_samson.data import NORMALIZATIONS, ImageSet, Normalization, choose_normalization, open_data
from analog_samson.data.augment import as_in_training
from analog_samson.data.batches import Batches
from analog_samson.errors import DataError
from analog_samson.experiments.jobs import (
    CLEAN_FILE,
    RUN,
    RUN_FILE,
    TRAINING,
    TRAINING_FILE,
    VALUES_FILE,
    CellJob,
    asked_of_run,
    asked_of_score,
    asked_of_sharpness,
    asked_of_training,
    fewest,
    is_complete,
)
from analog_samson.experiments.plan import PRETRAINING, Cell
from analog_samson.experiments.schema import Criterion, Evaluation
from analog_samson.experiments.score import score_network
from analog_samson.experiments.shown import Measure
from analog_samson.experiments.tune import SCORE_FILE
from analog_samson.experiments.values import write_values
from analog_samson.models.build import stated_normalization
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.results.metric import ACCURACY
from analog_samson.results.parts import read_part, write_part
from analog_samson.results.store import RunFolder
from analog_samson.runtime.devices import find_device
from analog_samson.sharpness.measure import measure_sharpness
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.tasks.classification import TOP5, Classification
from analog_samson.tasks.scoring import score
from analog_samson.training.job import TrainJob, prepare_training
from analog_samson.training.records import TrainProgress
from analog_samson.units import parse_duration

Say = Callable[[str], None]
_BATCH = 500
_WORTH_TELLING = 5.0  # seconds


def run_cell(job: CellJob, say: Say = lambda text: None) -> None:
    """Do what is missing of a cell; parts that are finished stay as they are."""
    if is_complete(job) and job.cell.method != PRETRAINING:
        return
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    checkpoint = train_part(job, say)
    if job.cell.method == PRETRAINING:
        return
    if job.criterion is not None:
        score_part(job, job.criterion, checkpoint)
        return
    clean_part(job, checkpoint)
    if job.evaluation is not None:
        noise_part(job, job.evaluation, checkpoint, say)
    for measure in job.measures:
        sharpness_part(job, measure, checkpoint)


def train_part(job: CellJob, say: Say) -> Path:
    """The trained checkpoint, or the one the cell starts from where nothing is trained."""
    if not job.cell.training:
        assert job.start is not None
        return job.start
    path, asked = job.folder / TRAINING_FILE, asked_of_training(job)
    if read_part(path, asked) is None or not job.checkpoint.is_file():
        result = prepare_training(_train_job(job)).run(job.folder / TRAINING, _epochs(say))
        seconds = sum(record.seconds for record in result.history)
        write_part(path, asked, {"seconds": seconds, "accuracy_percent": result.evaluation.accuracy_percent})
    return job.checkpoint


def clean_part(job: CellJob, checkpoint: Path) -> None:
    """Top-1 and top-5 accuracy on the test images, without noise."""
    path, asked = job.folder / CLEAN_FILE, {"limit": job.limit}
    if read_part(path, asked) is None:
        model, normalization = load_network(job, checkpoint)
        images = test_images(job)
        batches = Batches(images, normalization, batch_size=_BATCH, device=find_device(job.device))
        scores = score(model, batches, Classification(classes=images.num_classes, detailed=True))
        top = {"top1_percent": scores.values[ACCURACY.name], "top5_percent": scores.values[TOP5.name]}
        write_part(path, asked, {**top, "count": scores.count})


def noise_part(job: CellJob, evaluation: Evaluation, checkpoint: Path, say: Say) -> None:
    """Gaussian sweep and drift in the run folder `run` of the cell, and all of its values beside it."""
    path, asked = job.folder / RUN_FILE, asked_of_run(job, evaluation)
    values = job.folder / VALUES_FILE
    if read_part(path, asked) is None or not values.is_file():
        say("  simulating")
        with run_simulation(_simulate_options(job, evaluation, checkpoint), job.folder / RUN) as run:
            write_values(values, run.records())
            write_part(path, asked, _origin(run))


def sharpness_part(job: CellJob, measure: Measure, checkpoint: Path) -> None:
    """Sharpness on training images, in minibatches of the training's size."""
    path, asked = job.folder / measure.file, asked_of_sharpness(job, measure)
    if read_part(path, asked) is None:
        model, normalization = load_network(job, checkpoint)
        images = open_data(job.data.train, "train").take(fewest(job.limit, asked["limit"]))
        batches = Batches(images, normalization, batch_size=asked["batch_size"], device=find_device(job.device))
        found = measure_sharpness(
            model,
            batches,
            method=measure.method,
            rho=measure.rho,
            p=math.inf if measure.p is None else measure.p,
            eta=measure.eta,
            selection=measure.selection,
        )
        write_part(path, asked, asdict(found))


def score_part(job: CellJob, criterion: Criterion, checkpoint: Path) -> None:
    """The score of a tuning candidate on the images that its training held out."""
    path, asked = job.folder / SCORE_FILE, asked_of_score(job, criterion)
    if read_part(path, asked) is None:
        prepared = prepare_training(_train_job(job))
        assert isinstance(prepared.train_set, ImageSet)
        assert isinstance(prepared.test_set, ImageSet)
        model, normalization = load_network(job, checkpoint)
        batches = partial(Batches, normalization=normalization, batch_size=_BATCH, device=find_device(job.device))
        seed = job.cell.seed
        calibration = prepared.train_set.take(criterion.calibration_limit or None)
        calibration = as_in_training(calibration, seed=seed)
        held_out = batches(prepared.test_set.take(asked["images"]))
        write_part(path, asked, score_network(model, criterion, held_out, batches(calibration), seed=seed))


def load_network(job: CellJob, checkpoint: Path) -> tuple[nn.Module, Normalization]:
    """A checkpoint's network on the job's device, and the normalisation of its input."""
    stored = load_checkpoint(checkpoint)
    model = restore_model(stored, job.cell.network).to(find_device(job.device))
    model.eval()
    chosen, _ = choose_normalization(
        text=_normalization(job.cell), metadata=stored.metadata, model_name=job.cell.network, data_spec=job.data.train
    )
    return model, chosen


def test_images(job: CellJob) -> ImageSet:
    """The test images; DataError where they are the training images."""
    test = open_data(job.data.test, "test")
    if job.data.train != "digits":
        train = open_data(job.data.train, "train")
        few = min(len(train), len(test))
        if train.take(few).fingerprint == test.take(few).fingerprint:
            raise DataError(
                f"{job.data.test}: the test images are the training images; name others, for example with "
                "--cifar10-test, or a file with train_images and test_images"
            )
    return test.take(job.limit)


def _train_job(job: CellJob) -> TrainJob:
    cell = job.cell
    normalization = _normalization(cell)
    tested: dict[str, Any] = {"holdout": cell.holdout} if cell.holdout else {"test_data": job.data.test}
    return TrainJob(
        data=job.data.train,
        seed=cell.seed,
        model=cell.network,
        limit=fewest(job.limit, cell.sample),
        from_checkpoint=job.start,
        normalization=None if normalization is None else NORMALIZATIONS[normalization],
        device=job.device,
        threads=job.threads,
        distill=job.start if cell.distill else None,
        distill_model=cell.network if cell.distill else None,
        **tested,
        **{"method": "sgd", **cell.training},
    )


def _simulate_options(job: CellJob, evaluation: Evaluation, checkpoint: Path) -> SimulateOptions:
    return SimulateOptions(
        checkpoint=str(checkpoint),
        data=job.data.test,
        preset=evaluation.preset,
        times=tuple(parse_duration(time) for time in evaluation.times),
        model=job.cell.network,
        label=job.cell.folder,
        instances=job.instances,
        seed=job.cell.seed,
        sigmas=evaluation.sigmas,
        limit=fewest(job.limit, evaluation.test_limit or None),
        calibrate=("adabs",) if evaluation.adabs else (),
        bf16=evaluation.bf16,
        calibration_data=job.data.train,
        calibration_limit=fewest(job.limit, evaluation.calibration_limit or None),
        normalization=_normalization(job.cell),
        device=job.device,
        threads=job.threads,
    )


def _origin(run: RunFolder) -> dict[str, Any]:
    """What the values of a run were made with; no paths."""
    return {
        "values": len(run.records()),
        "checkpoint_sha256": run.meta("checkpoint")["sha256"],
        "preset_sha256": run.meta("preset_sha256"),
        "data_fingerprint": run.meta("data")["fingerprint"],
        "environment": run.meta("environment"),
    }


def _normalization(cell: Cell) -> str | None:
    """That of the dataset, however its files are named; None leaves it to what the network or the data state."""
    known = cell.data in NORMALIZATIONS and stated_normalization(cell.network) is None
    return cell.data if known else None


def _epochs(say: Say) -> Callable[[TrainProgress], None]:
    """Tells every epoch that took a while, and the last one."""

    def show(now: TrainProgress) -> None:
        record = now.record
        if record is not None and (record.seconds >= _WORTH_TELLING or now.epoch == now.epochs):
            accuracy = f"{record.test_accuracy_percent:.2f} % of the test images"
            say(f"  epoch {now.epoch}/{now.epochs}: {accuracy}, {record.seconds:.0f} s")

    return show
