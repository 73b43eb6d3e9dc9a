"""The average of several trained networks as one network of the same size.

Networks that were fine-tuned from one start lie in one valley, and points between them are often better than either:
between a network and its fine-tuned version (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022) and
between several fine-tuned ones (Wortsman et al., Model soups, ICML 2022).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from analog_samson.chip.batchnorm import adapt_batchnorm, batchnorm_layers
from analog_samson.data import ImageSet, Normalization, choose_normalization, open_data
from analog_samson.data.augment import as_in_training
from analog_samson.data.batches import Batches
from analog_samson.data.held_out import find_held_out
from analog_samson.errors import CheckpointError, OptionError, RunError, list_faults
from analog_samson.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from analog_samson.models.restore import restore_model, stated_model
from analog_samson.options import Count, Options, Seed, Written, listed, option
from analog_samson.results.claim import holds
from analog_samson.runtime.devices import find_device
from analog_samson.training.folder import CHECKPOINT_FILE

_TOTAL_TOLERANCE = 1e-6  # of the sum of the shares


def _write_shares(shares: tuple[float, ...]) -> str:
    return ",".join(f"{share:g}" for share in shares)


class AverageOptions(Options):
    """What is averaged, and on what batch-norm statistics are recomputed."""

    NAME = "average"

    checkpoints: Annotated[
        tuple[str, ...],
        option("Checkpoint or zoo:NAME; give two or more.", metavar="FILE", flags=("--checkpoint",), min_length=2),
    ]
    shares: Annotated[
        tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None,
        option("Of each checkpoint, such as 0.3,0.7; they sum to one.", default="equal parts"),
        Written(listed(float, "numbers such as 0.3,0.7"), _write_shares, "SHARES"),
    ] = None
    model: Annotated[
        str | None,
        option(
            "NAME, torchvision:NAME, timm:NAME or package.module:callable.", metavar="NAME", default="the checkpoints'"
        ),
    ] = None
    data: Annotated[
        str | None,
        option("Training images for batch-norm statistics, cropped and flipped as in training.", metavar="DATA"),
    ] = None
    limit: Annotated[int | None, option("Use the first N of them.", ge=1)] = 5000
    normalization: Annotated[
        str | None, option("Of the input, as for simulate.", metavar="NAME", default="the checkpoints'")
    ] = None
    seed: Annotated[Seed, option("Of the crops and flips of these images.")] = 0
    batch_size: Annotated[Count, option("Images in a batch.")] = 250
    device: Annotated[str, option("cpu, cuda, cuda:N or auto.", metavar="DEVICE")] = "cpu"

    def problems(self) -> Iterator[str]:
        if self.shares is not None:
            yield from _share_faults(self.shares, len(self.checkpoints))

    @property
    def parts(self) -> tuple[float, ...]:
        """The share of each checkpoint."""
        return self.shares or (1 / len(self.checkpoints),) * len(self.checkpoints)


@dataclass(frozen=True)
class Averaged:
    """The averaged network, in eval mode, and what its checkpoint tells of it."""

    model: nn.Module
    metadata: Mapping[str, Any]


def average_checkpoints(options: AverageOptions) -> Averaged:
    """The network whose every weight is the mean, by share, of those of the checkpoints.

    Running statistics of batch norm do not average: they are recomputed with the mean weights on training images.
    Draws the crops and flips of those images from `seed`, nothing else. Raises an AnalogSamsonError where checkpoints
    do not fit each other, or where batch norm has no images to recompute its statistics on.
    """
    checkpoints = [load_checkpoint(path) for path in options.checkpoints]
    models = [restore_model(checkpoint, options.model) for checkpoint in checkpoints]
    models[0].load_state_dict(mean_state([each.state_dict() for each in models], options.parts, options.checkpoints))
    model = models[0].to(find_device(options.device))
    model.eval()
    name = options.model or str(stated_model(checkpoints[0]))
    normalization = _normalization(options, checkpoints, name)
    metadata = _metadata(options, checkpoints, name, normalization)
    return Averaged(model, metadata | _recompute(model, options, normalization, metadata))


def mean_state(
    states: Sequence[Mapping[str, Tensor]], shares: Sequence[float], names: Sequence[str]
) -> dict[str, Tensor]:
    """Every floating-point tensor as the mean by share, in double precision; others as in the first state.

    A tensor that all states share stays as it is, a mask of -inf too.

    >>> mean_state([{"w": torch.zeros(2)}, {"w": torch.ones(2)}], [0.75, 0.25], ["a", "b"])
    {'w': tensor([0.2500, 0.2500])}
    """
    first = states[0]
    faults = [
        f"{name}: {key} is {_shape(state.get(key))}, in {names[0]} it is {_shape(first.get(key))}"
        for name, state in zip(names[1:], states[1:], strict=True)
        for key in sorted({*first, *state})
        if _shape(state.get(key)) != _shape(first.get(key))
    ]
    if faults:
        raise CheckpointError(list_faults("average: checkpoints of different networks", faults))
    mean = dict(first)
    for key, tensor in first.items():
        if tensor.is_floating_point() and not all(torch.equal(tensor, state[key]) for state in states):
            parts = [share * state[key].double() for share, state in zip(shares, states, strict=True)]
            mean[key] = torch.stack(parts).sum(0).to(tensor.dtype)
    return mean


def average_path(out: Path) -> Path:
    """Where an average is stored; RunError where the folder holds a checkpoint or other files already."""
    path = out / CHECKPOINT_FILE
    if holds(out, CHECKPOINT_FILE):
        raise RunError(f"{path}: there already; choose another output folder, or take the file away")
    return path


def write_average(averaged: Averaged, out: Path) -> Path:
    """Store the network in the folder `out`, which is made, at `average_path`."""
    path = average_path(out)
    save_checkpoint(path, averaged.model, averaged.metadata)
    return path


def _recompute(
    model: nn.Module, options: AverageOptions, normalization: Normalization | None, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """New running statistics where there are any; what the checkpoint tells of the images they come from.

    Images that the trainings held out for tests, which `metadata` tells, stay out.
    """
    if not batchnorm_layers(model):
        return {}
    if options.data is None or normalization is None:
        raise OptionError("average: the network has batch norm; name its training images with --data")
    divided = find_held_out(options.data, metadata)
    images = open_data(options.data, "train") if divided is None else divided[1]
    images = images if options.limit is None else images.take(options.limit)
    adapt_batchnorm(model, _batches(as_in_training(images, seed=options.seed), normalization, options))
    told = {"data": images.name, "fingerprint": images.fingerprint, "images": len(images), "seed": options.seed}
    return {"statistics": told}


def _batches(images: ImageSet, normalization: Normalization, options: AverageOptions) -> Batches:
    device = find_device(options.device)
    return Batches(images, normalization, batch_size=options.batch_size, device=device)


def _normalization(options: AverageOptions, checkpoints: Sequence[Checkpoint], name: str) -> Normalization | None:
    """That of the input, which has to be the same for all; None where neither files nor data tell."""
    told = {checkpoint: _told(options, checkpoint, name) for checkpoint in checkpoints}
    found = {checkpoint: each for checkpoint, each in told.items() if each is not None}
    if len({*found.values()}) > 1:
        faults = [f"{checkpoint.path.name}: {each}" for checkpoint, each in found.items()]
        raise CheckpointError(list_faults("average: trained with different normalizations", faults))
    return next(iter(found.values()), None)


def _told(options: AverageOptions, checkpoint: Checkpoint, name: str) -> Normalization | None:
    """What the option, the checkpoint, or with data the network and the data say."""
    if options.data is None and options.normalization is None and not checkpoint.metadata.get("normalization"):
        return None
    return choose_normalization(
        text=options.normalization, metadata=checkpoint.metadata, model_name=name, data_spec=options.data or ""
    )[0]


def _metadata(
    options: AverageOptions, checkpoints: Sequence[Checkpoint], name: str, normalization: Normalization | None
) -> dict[str, Any]:
    first = checkpoints[0].metadata
    sources = [
        {"file": checkpoint.path.name, "sha256": checkpoint.sha256, "share": share}
        for checkpoint, share in zip(checkpoints, options.parts, strict=True)
    ]
    known = {key: first[key] for key in ("num_classes", "in_channels") if key in first}
    own = {"model": name, "normalization": normalization and normalization.metadata(), "averaged": sources}
    return known | _held_out(checkpoints) | own


def _held_out(checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
    """How undivided data was divided, where all parts were trained on the same images of it."""
    keys = ("held_out", "data_fingerprint")
    told = [{key: checkpoint.metadata.get(key) for key in keys} for checkpoint in checkpoints]
    return told[0] if told[0]["held_out"] and all(one == told[0] for one in told) else {}


def _share_faults(shares: Sequence[float], count: int) -> list[str]:
    faults = []
    if len(shares) != count:
        faults.append(f"shares: expected one for each of {count} checkpoints, got {len(shares)}")
    if not faults and abs(sum(shares) - 1) > _TOTAL_TOLERANCE:
        faults.append(f"shares: expected a sum of 1, got {sum(shares):g}")
    return faults


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{tuple(tensor.shape)}"
