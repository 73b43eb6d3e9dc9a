"""Images that two sets share: whoever calibrates on test images measures too well."""

import hashlib
from collections.abc import Iterator

from analog_samson.data.image_set import ImageSet
from analog_samson.data.stored import in_parts
from analog_samson.errors import DataError


def count_overlap(first: ImageSet, second: ImageSet) -> int:
    """How many images of `first` are in `second` too, pixel for pixel, whatever their labels."""
    if first.images.shape[1:] != second.images.shape[1:]:
        return 0
    known = set(_digests(second))
    return sum(digest in known for digest in _digests(first))


def refuse_overlap(calibration: ImageSet, test: ImageSet, *, chosen: bool) -> None:
    """Raise DataError where a calibration image is a test image.

    chosen: the user named the calibration data; otherwise it is the training part of what is tested on, which for a
    file without parts is the test set itself.
    """
    shared = count_overlap(calibration, test)
    if not shared:
        return
    origin = "" if chosen else f"; the training part of {test.name} was taken (a file without parts serves for both)"
    raise DataError(
        f"calibration set {calibration.name}: {shared} of its {len(calibration)} images are also among the {len(test)} "
        f"test images, so results would come out too good{origin}; name data without them by --calibration-data"
    )


def _digests(images: ImageSet) -> Iterator[bytes]:
    """A 16-byte digest of each image's pixels; two different images share one with a chance of 2**-128."""
    for part in in_parts(images.images):
        for image in part.numpy():
            yield hashlib.blake2b(image.data, digest_size=16).digest()
