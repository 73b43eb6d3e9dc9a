"""What the options of a simulation name, loaded and checked against each other."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analog_samson.chip.engine_check import check_engine
from analog_samson.chip.input_ranges import needs_calibration
from analog_samson.data import ImageSet, Normalization, choose_normalization, open_data, refuse_overlap
from analog_samson.data.arrays import load_callable
from analog_samson.data.augment import as_in_training
from analog_samson.data.batch_set import BatchSet
from analog_samson.data.batches import Batches
from analog_samson.data.chosen_task import choose_task
from analog_samson.data.feeding import (
    Data,
    Feeding,
    as_embedder,
    folder_network,
    guess_from_data,
    labelled_as_trained,
    refuse_shared,
    tokenizer_of,
)
from analog_samson.data.held_out import find_held_out
from analog_samson.data.normalization import warn_of_normalization
from analog_samson.data.samples import SAMPLES, Samples, is_samples, open_samples
from analog_samson.data.sources import is_own_data
from analog_samson.errors import DataError, OptionError
from analog_samson.models.checkpoint import Checkpoint, load_checkpoint
from analog_samson.models.huggingface import HUGGING_FACE, parse_huggingface
from analog_samson.models.restore import restore_model
from analog_samson.models.weight_sources import split_copy
from analog_samson.models.zoo.search import checkpoint_path
from analog_samson.presets.layers import read_layer_presets
from analog_samson.presets.schema import Preset
from analog_samson.presets.search import load_preset
from analog_samson.runtime.devices import check_noise_device, find_device
from analog_samson.runtime.memory_format import takes_channels_last
from analog_samson.simulation.options import SimulateOptions
from analog_samson.tasks.batch import few_inputs
from analog_samson.tasks.catalogue import task_names
from analog_samson.tasks.evaluation import first_answers
from analog_samson.tasks.scoring import most_positions, score
from analog_samson.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the options name, loaded and checked against each other."""

    model: nn.Module
    model_name: str
    checkpoint: Checkpoint
    preset: Preset
    images: Data | BatchSet
    calibration: Data | BatchSet | None
    normalization: Normalization | None
    normalization_origin: str
    task: Task
    tokenizer: Any = None
    layer_presets: Mapping[str, Preset] = field(default_factory=dict)

    @property
    def presets(self) -> list[Preset]:
        """That of the run, and those of single layers."""
        return [self.preset, *self.layer_presets.values()]

    def batches(self, images: Data | BatchSet, options: SimulateOptions, *, channels_last: bool) -> Any:
        """Batches of the data that can be gone through again and again."""
        device = find_device(options.device)
        if isinstance(images, BatchSet):
            return images.on(device)
        if not isinstance(images, ImageSet):
            return self._feeding.batches(images, batch_size=options.batch_size, device=device)
        assert self.normalization is not None
        return Batches(
            images, self.normalization, batch_size=options.batch_size, device=device, channels_last=channels_last
        )

    def first(self, count: int) -> Data | BatchSet:
        """The first samples of the data, or as much of a running text as makes so many blocks."""
        if isinstance(self.images, ImageSet | BatchSet):
            return self.images.take(count)
        return self._feeding.first(self.images, count)

    @property
    def _feeding(self) -> Feeding:
        return Feeding(self.task, self.tokenizer, most_positions(self.model))


def load_inputs(options: SimulateOptions) -> Inputs:
    """Everything that the options name; raises an AnalogSamsonError for whatever is missing or does not fit.

    Where the network was trained on a part of the very images that the options name, it is tested on the others.
    """
    device = find_device(options.device)
    check_engine(options.engine, device)
    check_noise_device(options.noise_device, device)
    preset = load_preset(options.preset)
    layers = {} if options.layer_presets is None else read_layer_presets(options.layer_presets)
    calibrated = bool(options.calibrate) or any(map(needs_calibration, (preset, *layers.values())))
    own = load_callable(options.data, "test", options.limit) if is_own_data(options.data) else None
    is_folder = any(str(name).startswith(HUGGING_FACE) for name in (options.checkpoint, options.model))
    if is_samples(options.data) or isinstance(own, BatchSet) or is_folder:
        return _any_inputs(options, preset, layers, device, own, calibrated=calibrated)
    checkpoint = load_checkpoint(options.checkpoint)
    divided = find_held_out(options.data, checkpoint.metadata)
    images = open_data(options.data, "test", limit=options.limit) if divided is None else divided[0].take(options.limit)
    model = restore_model(checkpoint, options.model)
    name = options.model or checkpoint.metadata["model"]
    normalization, origin = choose_normalization(
        text=options.normalization,
        metadata=checkpoint.metadata,
        model_name=name,
        data_spec=options.data,
        channels=images.channels,
    )
    model.to(device)
    model.eval()
    return Inputs(
        model=model,
        model_name=name,
        checkpoint=checkpoint,
        preset=preset,
        images=images,
        calibration=_calibration(options, images, None if divided is None else divided[1]) if calibrated else None,
        normalization=normalization,
        normalization_origin=origin,
        task=choose_task(options.task, model, images),
        layer_presets=layers,
    )


def warn_of_input(inputs: Inputs) -> None:
    """Warn where the normalization of images is a guess, or not that of the checkpoint."""
    if inputs.normalization is not None:
        warn_of_normalization(inputs.checkpoint, inputs.normalization, inputs.normalization_origin)


def _any_inputs(
    options: SimulateOptions,
    preset: Preset,
    layers: Mapping[str, Preset],
    device: torch.device,
    own: ImageSet | BatchSet | None,
    *,
    calibrated: bool,
) -> Inputs:
    """The inputs of networks from folders, and of data that is no image set; own: what the user's code gives."""
    spec = parse_huggingface(options.checkpoint) if options.checkpoint.startswith(HUGGING_FACE) else None
    if options.normalization is not None:
        raise OptionError(f"--normalization: has no effect on data {options.data}; leave it out")
    if isinstance(own, ImageSet) or not (own or is_samples(options.data)):
        raise OptionError(
            f"--data {options.data}: networks of Hugging Face are tested on {', '.join(SAMPLES)}: data, or on batches "
            "that package.module:callable gives; for image data build the network yourself and name it as "
            "package.module:callable, with --checkpoint"
        )
    if spec is not None:
        model, checkpoint = folder_network(spec)
        name = checkpoint.metadata["model"]
    else:
        checkpoint = load_checkpoint(options.checkpoint)
        model = restore_model(checkpoint, options.model)
        name = options.model or checkpoint.metadata["model"]
        spec = parse_huggingface(name) if name.startswith(HUGGING_FACE) else None
    divided = None if own else find_held_out(options.data, checkpoint.metadata)
    classes = checkpoint.metadata.get("classes") or ()

    def labelled(found: Samples, limit: int | None) -> Samples:
        return labelled_as_trained(found.take(limit), model, classes)

    samples = own or labelled(open_samples(options.data) if divided is None else divided[0], options.limit)
    trained = checkpoint.metadata.get("task")
    named = options.task or (trained if trained in task_names() else None)
    named = named or (None if isinstance(samples, BatchSet) else guess_from_data(samples))
    tokenizer = tokenizer_of(spec, samples, named)
    task = choose_task(named, model, samples, tokenizer)
    model = as_embedder(model, task).to(device).eval()
    calibration: Samples | BatchSet | None = None
    if calibrated:
        where = options.calibration_data or (options.data if own else "")
        if not where and divided is not None:
            calibration = labelled(divided[1], options.calibration_limit)
        elif is_own_data(where) and isinstance(
            found := load_callable(where, "train", options.calibration_limit), BatchSet
        ):
            calibration = found
        elif is_samples(where):
            calibration = labelled(open_samples(where), options.calibration_limit)
        else:
            kind = "package.module:callable" if own else f"{options.data.partition(':')[0]}:FILE"
            raise DataError(f"calibration: give --calibration-data {kind} with other samples than --data")
        refuse_shared(calibration, samples)
    return Inputs(
        model=model,
        model_name=name,
        checkpoint=checkpoint,
        preset=preset,
        images=samples,
        calibration=calibration,
        normalization=None,
        normalization_origin="",
        task=task,
        tokenizer=tokenizer,
        layer_presets=layers,
    )


def fits_channels_last(inputs: Inputs, options: SimulateOptions) -> bool:
    """Raise DataError unless data and network fit; returns whether the network takes the faster memory layout."""
    own = isinstance(inputs.images, BatchSet)  # nothing else has looked at any of its targets
    score(
        inputs.model,
        inputs.batches(inputs.images if own else inputs.first(2), options, channels_last=False),
        inputs.task,
    )
    batches = inputs.batches(inputs.first(2), options, channels_last=False)
    return takes_channels_last(inputs.model, few_inputs(batches, 2))


def first_outputs(inputs: Inputs, options: SimulateOptions) -> list[float]:
    """What the digital network answers to the first two images. Raises DataError where an answer is no number."""
    few = inputs.batches(inputs.first(2), options, channels_last=False)
    outputs = first_answers(inputs.model, few, inputs.task)
    if any(map(math.isnan, outputs)):
        raise DataError(f"the network answers {inputs.images.name} with NaN; look at its forward and its weights")
    return outputs


def _calibration(options: SimulateOptions, test: ImageSet, trained_on: ImageSet | None) -> ImageSet:
    """Images for AdaBS and input ranges: `calibration_data`, or else the data's own training split.

    trained_on: the training images, where data without parts was divided by the training.
    Raises DataError where test images are among them.
    """
    if options.calibration_data is None and trained_on is not None:
        images = trained_on.take(options.calibration_limit)
    else:
        images = open_data(options.calibration_data or options.data, "train", limit=options.calibration_limit)
    refuse_overlap(images, test, chosen=options.calibration_data is not None)
    return as_in_training(images, seed=options.seed) if options.calibration_augment else images


def checkpoint_label(options: SimulateOptions) -> str:
    """The checkpoint's name in tables where no label is given: its file, or its folder if that says more."""
    if options.checkpoint.startswith(HUGGING_FACE):
        return Path(parse_huggingface(options.checkpoint).source).name
    named, copy = split_copy(options.checkpoint)
    path = checkpoint_path(named)
    label = path.parent.name if path.stem == "checkpoint" and path.parent.name else path.stem
    return label if copy is None else f"{label}-{copy}"
