"""Image sets for classification: 8-bit pixels in memory or in a file, labels, and what is known about them."""

from analog_samson.data.augment import augment
from analog_samson.data.image_set import ImageSet, image_set
from analog_samson.data.normalization import (
    NORMALIZATIONS,
    Normalization,
    choose_normalization,
    default_normalization,
    normalization_for,
    parse_normalization,
)
from analog_samson.data.overlap import count_overlap, refuse_overlap
from analog_samson.data.sources import open_data

__all__ = [
    "NORMALIZATIONS",
    "ImageSet",
    "Normalization",
    "augment",
    "choose_normalization",
    "count_overlap",
    "default_normalization",
    "image_set",
    "normalization_for",
    "open_data",
    "parse_normalization",
    "refuse_overlap",
]
