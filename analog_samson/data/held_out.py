"""Images that a training holds out of data without parts, found again where its network is tested."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from analog_samson.data.image_set import ImageSet
from analog_samson.data.sources import open_data

_SEED = 0  # one split for all training seeds, so that their accuracies are of the same images


def hold_out(images: ImageSet, share: float) -> tuple[ImageSet, ImageSet]:
    """The images that a training is tested on, round(share * N) of each class alike, and those it trains on."""
    return images.split(share, _SEED)


def find_held_out(data: str, metadata: Mapping[str, Any]) -> tuple[ImageSet, ImageSet] | None:
    """The two sets of `hold_out` again, for a checkpoint whose training divided this data; else None.

    data: as for --data. metadata: that of the checkpoint; it has to name the fingerprint of its training images.
    """
    told = metadata.get("held_out")
    if told is None:
        return None
    images = open_data(data, "test", limit=told["images"])
    if images.divided or len(images) < told["images"]:
        return None
    test, rest = hold_out(images, told["share"])
    if rest.fingerprint != metadata.get("data_fingerprint"):
        return None
    return replace(test, name=f"{test.name}, held out of training"), rest
