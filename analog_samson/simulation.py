"""One run from end to end: a checkpoint, a preset and data in, a run folder out."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analog_samson import __version__, rng
from analog_samson.checkpoint import Checkpoint, load_checkpoint
from analog_samson.conductance import sweep_conductance_noise
from analog_samson.data import ImageSet, Normalization, augment, choose_normalization, open_data, refuse_overlap
from analog_samson.data.augment import suits_augmentation
from analog_samson.devices import find_device
from analog_samson.drift import Progress, extent_faults, simulate_drift
from analog_samson.errors import DataError, OptionError, RunError, did_you_mean, list_faults
from analog_samson.evaluation import Batches, evaluate
from analog_samson.models import restore_model
from analog_samson.presets.schema import Preset
from analog_samson.presets.search import load_preset
from analog_samson.results.contents import refuse_changed_files, refuse_other_contents
from analog_samson.results.runfile import options_file, read_options
from analog_samson.results.store import RunFolder
from analog_samson.tiles.calibrate import needs_calibration
from analog_samson.tiles.convert import ENGINES
from analog_samson.tiles.plan import plan_conversion
from analog_samson.tiles.rpu import compiled_with_cuda
from analog_samson.zoo.search import checkpoint_path

PACKAGES = ("torch", "torchvision", "aihwkit", "numpy")
VOLATILE = ("device", "threads")
CONTENTS = ("checkpoint", "preset_sha256", "data", "calibration")  # what a run was begun with


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """Everything that decides a run's numbers; stored whole in its run.toml.

    times are seconds after programming, sigmas relative conductance errors; an empty `sigmas` skips the Gaussian
    model. `limit` and `calibration_limit` take the first so many images, None takes all. calibration_augment: colour
    images for calibration are cropped and flipped as in training: the network's own statistics are of such images, and
    AdaBS on plain ones costs points.
    """

    checkpoint: str
    data: str
    preset: str
    times: tuple[float, ...]
    model: str | None = None
    label: str | None = None
    instances: int = 10
    target_halfwidth: float | None = None
    max_instances: int = 100
    seed: int = 0
    sigmas: tuple[float, ...] = ()
    limit: int | None = None
    adabs: bool = False
    calibration_data: str | None = None
    calibration_limit: int | None = 1000
    calibration_augment: bool = True
    normalization: str | None = None
    exclude: tuple[str, ...] = ()
    engine: str = "fast"
    bf16: bool = False
    batch_size: int = 250
    device: str = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        faults = extent_faults(self.times, self.instances, self.target_halfwidth, self.max_instances)
        names = ("batch_size", "limit", "max_instances", "calibration_limit", "threads")
        counts = {name: getattr(self, name) for name in names}
        faults += [f"{name}: expected 1 or more, got {n}" for name, n in counts.items() if n is not None and n < 1]
        faults += [f"sigmas: expected finite numbers of 0 or more, got {s}" for s in self.sigmas if not 0 <= s < inf]
        if self.engine not in ENGINES:
            faults.append(f"engine: expected one of {', '.join(ENGINES)}, got {self.engine!r}")
        if faults:
            raise OptionError(list_faults("simulate", faults))


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the options name, loaded and checked against each other."""

    model: nn.Module
    model_name: str
    checkpoint: Checkpoint
    preset: Preset
    images: ImageSet
    calibration: ImageSet | None
    normalization: Normalization
    normalization_origin: str

    def batches(self, images: ImageSet, options: SimulateOptions, *, channels_last: bool) -> Batches:
        return Batches(
            images,
            self.normalization,
            batch_size=options.batch_size,
            device=find_device(options.device),
            channels_last=channels_last,
        )


def run_simulation(
    options: SimulateOptions,
    out: Path,
    *,
    repeats: Path | None = None,
    command: str = "",
    progress: Progress = lambda text: None,
) -> RunFolder:
    """Simulate `options` into the run folder `out`, or continue the run that is there.

    Every finished cell is stored at once, so a run that was killed continues where it stopped and ends with the
    same records. repeats: the run folder that the options were taken from. Returns the folder, opened. Raises an
    AnalogSamsonError before anything is written where an option, file or combination is wrong, or where the files of
    the run to repeat have changed.
    """
    with limited_threads(options.threads):
        inputs = load_inputs(options)
        channels_last = takes_channels_last(inputs, options)
        description = _describe(inputs, options, command) | {"channels_last": channels_last}
        contents = {key: description[key] for key in CONTENTS}
        if repeats is not None:
            refuse_changed_files(repeats, contents)
        run = RunFolder.create(out, asdict(options), volatile=VOLATILE)
        refuse_other_contents(run, contents)
        for key, value in description.items():
            run.set_meta(key, value)
        data = inputs.batches(inputs.images, options, channels_last=channels_last)
        shared: dict[str, Any] = {
            "instances": options.instances,
            "seed": options.seed,
            "adabs": options.adabs,
            "exclude": options.exclude,
            "bf16": options.bf16,
            "calibration": inputs.calibration
            and inputs.batches(inputs.calibration, options, channels_last=channels_last),
            "label": options.label or checkpoint_label(options),
            "store": run,
            "progress": progress,
        }
        simulate_drift(
            inputs.model,
            inputs.preset,
            data,
            times=options.times,
            engine=options.engine,
            target_halfwidth=options.target_halfwidth,
            max_instances=options.max_instances,
            **shared,
        )
        if options.sigmas:
            sweep_conductance_noise(inputs.model, data, sigmas=options.sigmas, **shared)
    return run


def count_cells(options: SimulateOptions) -> int:
    """How many evaluations a run takes, for a progress bar."""
    states = 2 if options.adabs else 1
    noisy = sum(options.instances if sigma > 0 else 1 for sigma in options.sigmas)
    return states * (options.instances * len({*options.times}) + noisy)


def load_inputs(options: SimulateOptions) -> Inputs:
    """Everything that the options name; raises an AnalogSamsonError for whatever is missing or does not fit."""
    device = find_device(options.device)
    if options.engine == "aihwkit" and device.type == "cuda" and not compiled_with_cuda():
        raise OptionError("engine aihwkit: the installed aihwkit has no CUDA tiles; use --device cpu or --engine fast")
    preset = load_preset(options.preset)
    checkpoint = load_checkpoint(options.checkpoint)
    images = open_data(options.data, "test", limit=options.limit)
    model = restore_model(checkpoint, options.model)
    name = options.model or checkpoint.metadata["model"]
    normalization, origin = choose_normalization(
        text=options.normalization,
        metadata=checkpoint.metadata,
        model_name=name,
        data_spec=options.data,
        channels=images.channels,
    )
    return Inputs(
        model=model.to(device).eval(),
        model_name=name,
        checkpoint=checkpoint,
        preset=preset,
        images=images,
        calibration=_calibration(options, preset, images),
        normalization=normalization,
        normalization_origin=origin,
    )


def takes_channels_last(inputs: Inputs, options: SimulateOptions) -> bool:
    """Raise DataError unless data and network fit; returns whether the network takes the faster memory layout.

    A network that calls ``view`` on a feature map runs on contiguous maps only.
    """
    few = inputs.images.take(2)
    evaluate(inputs.model, inputs.batches(few, options, channels_last=False))
    try:
        evaluate(inputs.model, inputs.batches(few, options, channels_last=True))
    except DataError:
        return False
    return True


def _calibration(options: SimulateOptions, preset: Preset, test: ImageSet) -> ImageSet | None:
    """Images for AdaBS and input ranges: `calibration_data`, or else the data's own training split.

    Raises DataError where test images are among them.
    """
    if not options.adabs and not needs_calibration(preset):
        return None
    source = options.calibration_data or options.data
    images = open_data(source, "train", limit=options.calibration_limit)
    refuse_overlap(images, test, chosen=options.calibration_data is not None)
    return as_in_training(images, seed=options.seed) if options.calibration_augment else images


def as_in_training(images: ImageSet, *, seed: int) -> ImageSet:
    """Calibration images as a training sees them: colour images cropped and flipped, others as they are."""
    if not suits_augmentation(images):
        return images
    return replace(images, images=augment(images.images, generator=rng.generator(seed, "calibration")))


def checkpoint_label(options: SimulateOptions) -> str:
    """The checkpoint's name in tables where no label is given: its file, or its folder if that says more."""
    path = checkpoint_path(options.checkpoint)
    return path.parent.name if path.stem == "checkpoint" and path.parent.name else path.stem


def _describe(inputs: Inputs, options: SimulateOptions, command: str) -> dict[str, Any]:
    """What the report says about a run besides its numbers."""
    shape = inputs.images.images.shape[1:]
    plan = plan_conversion(inputs.model, inputs.preset, exclude=options.exclude, input_shape=shape)
    plan.check()
    return {
        "command": command,
        "environment": _environment(),
        "preset": inputs.preset.model_dump(mode="json"),
        "preset_sha256": inputs.preset.fingerprint,
        "checkpoint": {
            "path": options.checkpoint,
            "sha256": inputs.checkpoint.sha256,
            "metadata": inputs.checkpoint.metadata,
            "model": inputs.model_name,
            "normalization": f"{inputs.normalization} ({inputs.normalization_origin})",
        },
        "data": {
            "name": inputs.images.name,
            "fingerprint": inputs.images.fingerprint,
            "count": len(inputs.images),
            "num_classes": inputs.images.num_classes,
        },
        "calibration": inputs.calibration
        and {"name": inputs.calibration.name, "fingerprint": inputs.calibration.fingerprint},
        "hardware": asdict(plan.summary()),
        "plan": plan.records(),
        "seed": options.seed,
    }


def _environment() -> dict[str, Any]:
    found: dict[str, Any] = {"analog-samson": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found | {"threads": torch.get_num_threads(), "processor": platform.machine()}


def read_config(path: Path) -> SimulateOptions:
    """The options of another run, from its folder, its run.toml or a copy; raises RunError for anything else."""
    stored = read_options(options_file(path))
    known = {field.name for field in fields(SimulateOptions)}
    unknown = [f"{key}: unknown option{did_you_mean(key, known)}" for key in stored if key not in known]
    if unknown:
        raise RunError(list_faults(f"{path}: not the options of a simulation", unknown))
    options: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in stored.items()}
    return SimulateOptions(**options)


@contextmanager
def limited_threads(count: int | None) -> Iterator[None]:
    """So many CPU threads inside, as many as before after; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
