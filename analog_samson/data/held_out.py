"""Samples that a training holds out of data without parts, found again where its network is tested."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from analog_samson.data.feeding import Data
from analog_samson.data.image_set import ImageSet, stratified
from analog_samson.data.samples import is_samples, open_samples
from analog_samson.data.sources import open_data
from analog_samson.errors import OptionError

_SEED = 0  # one split for all training seeds, so that their accuracies are of the same images


def hold_out(samples: Data, share: float) -> tuple[Any, Any]:
    """What a training is tested on, round(share * N) samples of each class alike, and what it trains on."""
    if isinstance(samples, ImageSet):
        return samples.split(share, _SEED)
    labels = samples.targets
    if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point():
        labels = torch.zeros(len(samples), dtype=torch.int64)
    test = stratified(labels, share, _SEED)
    rest = torch.ones(len(samples), dtype=torch.bool)
    rest[test] = False
    if not 0 < len(test) < len(samples):
        raise OptionError(f"{samples.name}: {share:.0%} of {len(samples)} samples to test on leaves one part empty")
    return samples.pick(test), samples.pick(rest.nonzero().flatten())


def find_held_out(data: str, metadata: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """The two sets of `hold_out` again, for a checkpoint whose training divided this data; else None.

    data: as for --data. metadata: that of the checkpoint; it has to name the fingerprint of its training images.
    """
    told = metadata.get("held_out")
    if told is None:
        return None
    images = (
        open_samples(data, limit=told["images"]) if is_samples(data) else open_data(data, "test", limit=told["images"])
    )
    if getattr(images, "divided", False) or len(images) < told["images"]:
        return None
    test, rest = hold_out(images, told["share"])
    if rest.fingerprint != metadata.get("data_fingerprint"):
        return None
    return replace(test, name=f"{test.name}, held out of training"), rest
