"""Sharpness of a set of checkpoints, beside what their runs say about robustness: names of files in, a study out."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator
from torch import nn

from analog_samson.analysis.labels import distinct_names
from analog_samson.analysis.robustness import Subject, read_robustness
from analog_samson.analysis.sharpness import Finding, SharpnessStudy, rows_as_csv
from analog_samson.data import ImageSet, choose_normalization, open_data
from analog_samson.data.batches import Batches
from analog_samson.data.normalization import warn_of_normalization
from analog_samson.errors import OptionError, did_you_mean
from analog_samson.models.checkpoint import Checkpoint, load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.options import Count, Options, Written, option
from analog_samson.results.atomic import write_atomically
from analog_samson.runtime.devices import find_device
from analog_samson.sharpness.measure import measure_sharpness
from analog_samson.sharpness.methods import find_method, measuring_methods
from analog_samson.sharpness.selection import SelectionName, selection_name
from analog_samson.tasks.evaluation import evaluate

Progress = Callable[[str], None]


MEASURED, ROBUSTNESS = "What is measured", "Robustness"


def _measuring(text: str) -> str:
    if text not in measuring_methods():
        hint = did_you_mean(text, measuring_methods())
        raise OptionError(f"expected one of {', '.join(measuring_methods())}, got {text!r}{hint}")
    return text


MeasuringMethod = Annotated[str, Written(_measuring)]


class StudyOptions(Options):
    """What is measured on what, and beside which runs."""

    NAME = "sharpness"
    PANELS = (MEASURED, ROBUSTNESS)

    checkpoints: Annotated[
        tuple[str, ...],
        option(
            "Checkpoint file or zoo:NAME; repeat it to compare several.",
            MEASURED,
            "FILE",
            flags=("--checkpoint",),
            min_length=1,
        ),
    ]
    data: Annotated[
        str, option("digits, cifar10:DIR, cifar100:DIR, npz:FILE, folder:DIR or shards:DIR.", MEASURED, "DATA")
    ]
    split: Annotated[
        Literal["train", "test"], option("Which part of --data; sharpness is of the training loss.", MEASURED)
    ] = "train"
    methods: Annotated[
        tuple[MeasuringMethod, ...],
        option(
            "samson, sam, asam (neighbourhoods of eq. 10-12) or keskar (box); repeatable.",
            MEASURED,
            "METHOD",
            flags=("--method",),
            min_length=1,
        ),
    ] = ("samson",)
    rho: Annotated[
        float | None,
        option(
            "Radius; keskar: relative half-width of the box.",
            MEASURED,
            default="sam 0.05, asam and samson 0.5, keskar 0.001",
            ge=0,
            allow_inf_nan=False,
        ),
    ] = None
    p: Annotated[float, option("Norm of SAMSON: a number of 1 or more, or inf.", MEASURED, ge=1)] = math.inf
    selection: Annotated[SelectionName, BeforeValidator(selection_name), option("What is perturbed.", MEASURED)] = (
        "weights_only"
    )
    steps: Annotated[Count, option("Ascent steps in each minibatch; 1 is that of training.", MEASURED)] = 1
    batch_size: Annotated[Count, option("Samples in a minibatch: m of eq. 10.", MEASURED)] = 128
    limit: Annotated[int | None, option("Use the first N samples.", MEASURED, default="all", ge=1)] = None
    model: Annotated[
        str | None,
        option(
            "NAME, torchvision:NAME, timm:NAME or package.module:callable.",
            MEASURED,
            "NAME",
            default="the checkpoints'",
        ),
    ] = None
    normalization: Annotated[
        str | None,
        option(
            "Of the input, as for simulate.", MEASURED, "NAME", default="the checkpoint's, the model's or the data's"
        ),
    ] = None
    robustness: Annotated[
        tuple[str, ...],
        option("Run folder of one of the checkpoints, found by content or label; may be repeated.", ROBUSTNESS, "RUN"),
    ] = ()
    device: Annotated[str, option("cpu, cuda, cuda:N or auto.", MEASURED, "DEVICE")] = "cpu"

    def problems(self) -> Iterator[str]:
        if self.p != math.inf and "samson" not in self.methods:
            yield f"p: has no effect with {', '.join(self.methods)}; leave it out or measure samson"
        if self.rho is not None and len(self.methods) > 1:
            yield f"rho: one radius for {len(self.methods)} methods; give one method, or let each take its own"
        lists = {"checkpoint": self.checkpoints, "method": self.methods, "robustness": self.robustness}
        for name, given in lists.items():
            yield from (f"{name} {each!r}: given twice" for each in sorted(set(given)) if given.count(each) > 1)


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A checkpoint ready to be measured."""

    subject: Subject
    model: nn.Module
    batches: Batches
    note: str


def study_sharpness(options: StudyOptions, *, progress: Progress = lambda text: None) -> SharpnessStudy:
    """Measure every checkpoint with every method; `progress` hears of each measure that is done.

    Everything that can be wrong is found before the first measure. Draws nothing. Raises AnalogSamsonError.
    """
    device = find_device(options.device)
    images = open_data(options.data, options.split, limit=options.limit)
    checkpoints = [load_checkpoint(path) for path in options.checkpoints]
    subjects = _subjects(checkpoints)
    robustness = read_robustness(options.robustness, subjects) if options.robustness else None
    candidates = [
        _candidate(checkpoint, subject, images, options, device)
        for checkpoint, subject in zip(checkpoints, subjects, strict=True)
    ]
    return SharpnessStudy(
        findings=tuple(_findings(candidates, options, progress)),
        robustness=robustness,
        notes=_notes(candidates, images, options),
    )


def count_measures(options: StudyOptions) -> int:
    """How many measures a study takes, for a progress bar."""
    return len(options.checkpoints) * len(options.methods)


def save_rows(study: SharpnessStudy, path: Path) -> None:
    """The raw rows as CSV, whole or not at all; the folder has to exist."""
    write_atomically(path, rows_as_csv(study).encode())


def check_output(path: Path) -> None:
    """Raise OptionError for a place where `save_rows` could not write, before anything is measured."""
    if path.is_dir():
        raise OptionError(f"--out {path}: is a folder; expected a file such as {path / 'sharpness.csv'}")
    if path.suffix != ".csv":
        raise OptionError(f"--out {path}: expected a file name that ends in .csv")
    if not path.parent.is_dir():
        raise OptionError(f"--out {path}: there is no folder {path.parent}; make it first")


def _subjects(checkpoints: Sequence[Checkpoint]) -> list[Subject]:
    """The checkpoints by the shortest names that tell them apart."""
    places = [_place(checkpoint.path) for checkpoint in checkpoints]
    if len(set(places)) < len(places):  # net.pt beside net.safetensors
        places = [checkpoint.path.resolve() for checkpoint in checkpoints]
    seen: dict[str, str] = {}
    for name, checkpoint in zip(distinct_names(places), checkpoints, strict=True):
        if checkpoint.sha256 in seen:
            raise OptionError(
                f"checkpoints {seen[checkpoint.sha256]} and {name}: the same content twice; give each network once"
            )
        seen[checkpoint.sha256] = name
    return [
        Subject(label=seen[checkpoint.sha256], run_label=_place(checkpoint.path).name, sha256=checkpoint.sha256)
        for checkpoint in checkpoints
    ]


def _place(path: Path) -> Path:
    """runs/sgd/checkpoint.safetensors is called sgd, nets/sgd.pt too; as `simulate` labels them."""
    whole = path.resolve()
    return whole.parent if whole.stem == "checkpoint" else whole.with_suffix("")


def _candidate(
    checkpoint: Checkpoint, subject: Subject, images: ImageSet, options: StudyOptions, device: torch.device
) -> _Candidate:
    model = restore_model(checkpoint, options.model).to(device)
    model.eval()
    normalization, origin = choose_normalization(
        text=options.normalization,
        metadata=checkpoint.metadata,
        model_name=options.model or checkpoint.metadata.get("model"),
        data_spec=options.data,
        channels=images.channels,
    )
    warn_of_normalization(checkpoint, normalization, origin)
    evaluate(model, Batches(images.take(1), normalization, batch_size=1, device=device))  # do data and network fit?
    return _Candidate(
        subject=subject,
        model=model,
        batches=Batches(images, normalization, batch_size=options.batch_size, device=device),
        note=f"{subject.label}: normalization {normalization} ({origin})",
    )


def _findings(candidates: Sequence[_Candidate], options: StudyOptions, progress: Progress) -> list[Finding]:
    findings = []
    for candidate in candidates:
        for method in options.methods:
            findings.append(_finding(candidate, method, options))
            progress(f"{candidate.subject.label} {method}")
    return findings


def _finding(candidate: _Candidate, method: str, options: StudyOptions) -> Finding:
    rho = find_method(method)().size if options.rho is None else options.rho
    found = measure_sharpness(
        candidate.model,
        candidate.batches,
        method=method,
        rho=rho,
        p=options.p,
        selection=options.selection,
        steps=options.steps,
    )
    return Finding(
        checkpoint=candidate.subject.label,
        sha256=candidate.subject.sha256,
        data=_source(candidate.batches.image_set, options),
        method=method,
        rho=rho,
        p=options.p,
        selection=options.selection,
        steps=options.steps,
        batch_size=options.batch_size,
        samples=found.images,
        batches=found.batches,
        loss=found.loss,
        value=found.value,
    )


def _source(images: ImageSet, options: StudyOptions) -> str:
    """The images by name and part; a file without parts is neither for training nor for testing."""
    return f"{images.name} {options.split}" if images.divided else images.name


def _notes(candidates: Sequence[_Candidate], images: ImageSet, options: StudyOptions) -> tuple[str, ...]:
    rest = len(images) % options.batch_size
    lines = [
        f"{len(images)} images of {_source(images, options)}, "
        f"selection {options.selection}, climbing steps {options.steps}"
    ]
    if rest:
        lines.append(f"the last minibatch has {rest} of {options.batch_size} images; minibatches count by their images")
    return (*lines, *(candidate.note for candidate in candidates))
