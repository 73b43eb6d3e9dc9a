"""What the options of a simulation name, loaded and checked against each other."""

import math
from dataclasses import dataclass

from torch import nn

from analog_samson.chip.engine_check import check_engine
from analog_samson.chip.input_ranges import needs_calibration
from analog_samson.data import ImageSet, Normalization, choose_normalization, open_data, refuse_overlap
from analog_samson.data.augment import as_in_training
from analog_samson.data.batches import Batches
from analog_samson.data.held_out import find_held_out
from analog_samson.errors import DataError
from analog_samson.models.checkpoint import Checkpoint, load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.models.zoo.search import checkpoint_path
from analog_samson.presets.schema import Preset
from analog_samson.presets.search import load_preset
from analog_samson.runtime.devices import find_device
from analog_samson.simulation.chosen_task import choose_task
from analog_samson.simulation.options import SimulateOptions
from analog_samson.tasks.evaluation import first_answers
from analog_samson.tasks.scoring import score
from analog_samson.tasks.task import Task


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
    task: Task

    def batches(self, images: ImageSet, options: SimulateOptions, *, channels_last: bool) -> Batches:
        return Batches(
            images,
            self.normalization,
            batch_size=options.batch_size,
            device=find_device(options.device),
            channels_last=channels_last,
        )


def load_inputs(options: SimulateOptions) -> Inputs:
    """Everything that the options name; raises an AnalogSamsonError for whatever is missing or does not fit.

    Where the network was trained on a part of the very images that the options name, it is tested on the others.
    """
    device = find_device(options.device)
    check_engine(options.engine, device)
    preset = load_preset(options.preset)
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
        calibration=_calibration(options, preset, images, None if divided is None else divided[1]),
        normalization=normalization,
        normalization_origin=origin,
        task=choose_task(options.task, model, images),
    )


def takes_channels_last(inputs: Inputs, options: SimulateOptions) -> bool:
    """Raise DataError unless data and network fit; returns whether the network takes the faster memory layout.

    A network that calls ``view`` on a feature map runs on contiguous maps only.
    """
    few = inputs.images.take(2)
    score(inputs.model, inputs.batches(few, options, channels_last=False), inputs.task)
    try:
        score(inputs.model, inputs.batches(few, options, channels_last=True), inputs.task)
    except DataError:
        return False
    return True


def first_outputs(inputs: Inputs, options: SimulateOptions) -> list[float]:
    """What the digital network answers to the first two images. Raises DataError where an answer is no number."""
    outputs = first_answers(inputs.model, inputs.batches(inputs.images.take(2), options, channels_last=False))
    if any(map(math.isnan, outputs)):
        raise DataError(f"the network answers {inputs.images.name} with NaN; look at its forward and its weights")
    return outputs


def _calibration(
    options: SimulateOptions, preset: Preset, test: ImageSet, trained_on: ImageSet | None
) -> ImageSet | None:
    """Images for AdaBS and input ranges: `calibration_data`, or else the data's own training split.

    trained_on: the training images, where data without parts was divided by the training.
    Raises DataError where test images are among them.
    """
    if not options.calibrate and not needs_calibration(preset):
        return None
    if options.calibration_data is None and trained_on is not None:
        images = trained_on.take(options.calibration_limit)
    else:
        images = open_data(options.calibration_data or options.data, "train", limit=options.calibration_limit)
    refuse_overlap(images, test, chosen=options.calibration_data is not None)
    return as_in_training(images, seed=options.seed) if options.calibration_augment else images


def checkpoint_label(options: SimulateOptions) -> str:
    """The checkpoint's name in tables where no label is given: its file, or its folder if that says more."""
    path = checkpoint_path(options.checkpoint)
    return path.parent.name if path.stem == "checkpoint" and path.parent.name else path.stem
