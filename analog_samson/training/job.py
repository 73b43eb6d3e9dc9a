"""A training as the command line asks for it: names of model, data and files in, a network ready to be trained out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analog_samson import rng
from analog_samson.checkpoint import Checkpoint, load_checkpoint, load_into
from analog_samson.data import ImageSet, choose_normalization, open_data
from analog_samson.devices import find_device
from analog_samson.errors import OptionError
from analog_samson.models import build_model
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions
from analog_samson.training.recipes import recipe_for
from analog_samson.training.records import Progress, TrainResult

HOLDOUT = 0.1
_HOLDOUT_SEED = 0  # one split for all training seeds, so that their accuracies are of the same images


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """What is asked for. options: fields of TrainOptions that were given; the recipe of the data fills in the rest.

    holdout: the share of the training images to test on, in place of test data. limit: the first training images
    only. threads: of the CPU, None leaves torch's own choice.
    """

    data: str
    seed: int
    model: str | None = None
    test_data: str | None = None
    holdout: float | None = None
    limit: int | None = None
    from_checkpoint: Path | None = None
    normalization: str | None = None
    device: str = "cpu"
    threads: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.holdout is not None and self.test_data is not None:
            raise OptionError("holdout and test_data: both say what to test on; give one of them")
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise OptionError(f"holdout: expected a share of the images between 0 and 1, got {self.holdout!r}")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads: expected at least 1, got {self.threads}")


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedTraining:
    """Everything loaded and checked, nothing written. notes: lines that say what was decided for the user."""

    model: nn.Module
    train_set: ImageSet
    test_set: ImageSet
    options: TrainOptions
    metadata: Mapping[str, Any]
    notes: tuple[str, ...]

    def run(self, out: Path, progress: Progress | None = None) -> TrainResult:
        return fit(
            self.model,
            self.train_set,
            self.test_set,
            self.options,
            folder=out,
            metadata=self.metadata,
            progress=progress,
        )


def prepare_training(job: TrainJob) -> PreparedTraining:
    """Load what the job names. Initial weights are drawn from the job's seed. Raises AnalogSamsonError."""
    device = find_device(job.device)
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    start = None if job.from_checkpoint is None else load_checkpoint(job.from_checkpoint)
    name = _model_name(job, start)
    train_set, test_set, parts = _sets(job)
    normalization, origin = choose_normalization(
        text=job.normalization,
        metadata=None if start is None else start.metadata,
        model_name=name,
        data_spec=job.data,
        channels=train_set.channels,
    )
    recipe = recipe_for(train_set, fine_tuning=start is not None)
    options = TrainOptions(seed=job.seed, normalization=normalization, **{**recipe.options, **job.options})
    return PreparedTraining(
        model=_model(name, train_set, start, job.seed).to(device),
        train_set=train_set,
        test_set=test_set,
        options=options,
        metadata=_metadata(name, start),
        notes=(parts, f"normalization {normalization} ({origin})", f"recipe: {recipe.name}"),
    )


def _model_name(job: TrainJob, start: Checkpoint | None) -> str:
    name = job.model or (start and start.metadata.get("model"))
    if not name:
        raise OptionError("model: name the network to train, for example --model resnet20")
    return name


def _model(name: str, train_set: ImageSet, start: Checkpoint | None, seed: int) -> nn.Module:
    with rng.stream(seed, "initial weights"):
        model = build_model(name, num_classes=train_set.num_classes, in_channels=train_set.channels)
    if start is not None:
        load_into(model, start)
    return model


def _sets(job: TrainJob) -> tuple[ImageSet, ImageSet, str]:
    """Training and test images, and a line that says where the latter come from."""
    train = open_data(job.data, "train", limit=job.limit)
    if job.test_data is not None:
        return train, open_data(job.test_data, "test"), f"tested on {job.test_data}"
    if job.holdout is None:
        test = open_data(job.data, "test")
        if test.take(len(train)).fingerprint != train.fingerprint:
            return train, test, f"tested on the test part of {job.data}"
    share = HOLDOUT if job.holdout is None else job.holdout
    test, rest = train.split(share, _HOLDOUT_SEED)
    return rest, test, f"tested on {len(test)} images held out of {job.data} ({share:.0%})"


def _metadata(name: str, start: Checkpoint | None) -> dict[str, Any]:
    if start is None:
        return {"model": name}
    return {"model": name, "started_from": {"file": start.path.name, "sha256": start.sha256}}
