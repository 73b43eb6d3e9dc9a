"""Data that is no image set for classification, by name: `text:FILE`, `pairs:FILE`, `audio:DIR`, `segmentation:DIR`."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from analog_samson.data.audio import load_audio
from analog_samson.data.segmented import load_segmentation
from analog_samson.data.tensor_set import TensorSet
from analog_samson.data.text_files import read_texts
from analog_samson.data.text_set import TextSet
from analog_samson.errors import DataError, OptionError

Samples = TextSet | TensorSet
_OPTION = re.compile(r",([a-z_]+)=([^,]+)$")
SAMPLES: dict[str, Callable[[Path, Mapping[str, str]], Samples]] = {
    "text": read_texts,
    "pairs": lambda path, options: read_texts(path, options, pairs=True),
    "audio": load_audio,
    "segmentation": load_segmentation,
}


def is_samples(spec: str) -> bool:
    """Whether `spec` is one of the kinds that `open_samples` reads."""
    return spec.partition(":")[0] in SAMPLES


def open_samples(spec: str, *, limit: int | None = None) -> Samples:
    """Read data into memory.

    Args:
        spec: A kind of SAMPLES and a path, with options behind commas, such as `text:FILE,text=review,label=stars`.
        limit: The first samples only.

    Raises:
        DataError: The data cannot be read.
        OptionError: The limit is below 1.
    """
    if limit is not None and limit < 1:
        raise OptionError(f"limit: expected at least 1 sample, got {limit}")
    kind = spec.partition(":")[0]
    rest, options = _parted(spec)
    if kind not in SAMPLES or not rest:
        raise DataError(f"unknown data {spec!r}; expected {', '.join(f'{name}:PATH' for name in SAMPLES)}")
    return SAMPLES[kind](Path(rest).expanduser(), options).take(limit)


def samples_path(spec: str) -> Path:
    """The file or folder that `spec` names, as it is written there."""
    return Path(_parted(spec)[0])


def _parted(spec: str) -> tuple[str, dict[str, str]]:
    """The path and the options behind it."""
    rest, options = spec.partition(":")[2], {}
    while match := _OPTION.search(rest):
        options[match[1]] = match[2]
        rest = rest[: match.start()]
    return rest, options
