"""How pixels become the input of a network: (pixel / 255 - mean) / std for each channel."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from analog_samson.errors import CheckpointError, NormalizationWarning, OptionError, did_you_mean, list_faults
from analog_samson.models.build import stated_normalization
from analog_samson.models.checkpoint import Checkpoint


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel on the [0, 1] scale; one value serves any number of channels.

    >>> print(Normalization((0.5,), (0.25,)))
    mean 0.5, std 0.25
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        faults = []
        if not self.mean or len(self.mean) != len(self.std):
            faults.append(f"expected as many means as deviations, got {len(self.mean)} and {len(self.std)}")
        if not all(math.isfinite(value) for value in self.mean):
            faults.append(f"mean: expected finite numbers, got {self.mean}")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            faults.append(f"std: expected finite numbers above 0, got {self.std}")
        if faults:
            raise OptionError(list_faults("normalization", faults))

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{self.name + ': ' if self.name else ''}mean {mean}, std {std}"

    def text(self) -> str:
        """What `parse_normalization` reads back as this one."""
        if NORMALIZATIONS.get(self.name) == self:
            return self.name
        return "/".join(",".join(map(repr, values)) for values in (self.mean, self.std))

    def fits(self, channels: int) -> bool:
        return len(self.mean) in (1, channels)

    def metadata(self) -> dict[str, Any]:
        """Plain values for a checkpoint; `from_metadata` reads them."""
        return {"name": self.name, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_metadata(cls, stored: Mapping[str, Any]) -> "Normalization":
        try:
            mean, std = (tuple(float(value) for value in stored[key]) for key in ("mean", "std"))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"normalization of the checkpoint is unreadable: {stored!r}") from error
        return cls(mean, std, str(stored.get("name", "")))


# cifar10, cifar100, fashion_mnist and digits: mean and deviation over all pixels of the training images, measured.
# rgb255 leaves pixels in 0..255; half maps [0, 1] to [-1, 1].
NORMALIZATIONS: dict[str, Normalization] = {
    name: Normalization(mean, std, name)
    for name, mean, std in (
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("cifar10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ("cifar100", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
        ("fashion_mnist", (0.2860,), (0.3530,)),
        ("digits", (0.3052,), (0.3761,)),
        ("unit", (0.0,), (1.0,)),
        ("half", (0.5,), (0.5,)),
        ("rgb255", (0.0,), (1 / 255,)),
    )
}
# By kind of data; any other kind takes `half`, which needs no knowledge of the data.
_BY_SCHEME = {
    "digits": "digits",
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "fashion_mnist": "fashion_mnist",
    "folder": "imagenet",
    "imagenet": "imagenet",
}

# How the origin begins where nothing is known of the network.
_FROM_DATA = _USUAL, _ANY = "usual for the data", "for images of"


def parse_normalization(text: str) -> Normalization:
    """A name, or means and deviations as `m1,m2,m3/s1,s2,s3` on the [0, 1] scale.

    >>> parse_normalization("0.5,0.5,0.5/0.25,0.25,0.25").std
    (0.25, 0.25, 0.25)
    """
    if text in NORMALIZATIONS:
        return NORMALIZATIONS[text]
    mean, slash, std = text.partition("/")
    try:
        if slash:
            return Normalization(_numbers(mean), _numbers(std))
    except ValueError:
        pass
    raise OptionError(
        f"normalization {text!r}{did_you_mean(text, NORMALIZATIONS)}; expected one of {', '.join(NORMALIZATIONS)}, "
        "or means and deviations such as 0.485,0.456,0.406/0.229,0.224,0.225"
    )


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(value) for value in text.split(","))


def normalization_for(spec: str) -> Normalization:
    """What a network trained from scratch on this kind of data takes; `spec` as in --data, or an ImageSet's name."""
    return NORMALIZATIONS[_BY_SCHEME.get(spec.partition(":")[0], "half")]


def default_normalization(model_name: str | None, data_spec: str) -> Normalization:
    """What the network's published checkpoints take, else what suits the data."""
    return choose_normalization(model_name=model_name, data_spec=data_spec)[0]


def choose_normalization(
    *,
    text: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    model_name: str | None = None,
    data_spec: str,
    channels: int | None = None,
) -> tuple[Normalization, str]:
    """The normalisation to use and, for printing, who decided it.

    The user's `text` wins, then the checkpoint's metadata, then the statement of the network, then the data.
    channels: of the data; one that does not fit raises OptionError, a mere statement of the network is passed over.
    """
    if text is not None:
        chosen, origin = parse_normalization(text), "given"
    elif metadata and metadata.get("normalization"):
        chosen, origin = Normalization.from_metadata(metadata["normalization"]), "stored in the checkpoint"
    else:
        chosen, origin = _default(model_name, data_spec, channels)
    if channels is not None and not chosen.fits(channels):
        raise OptionError(
            f"normalization ({origin}): {len(chosen.mean)} channels ({chosen}), the data has {channels}; "
            "give one with --normalization, for example half"
        )
    return chosen, origin


def _default(model_name: str | None, data_spec: str, channels: int | None) -> tuple[Normalization, str]:
    stated = stated_normalization(model_name) if model_name else None
    if model_name and stated:
        normalization = parse_normalization(stated)
        if channels is None or normalization.fits(channels):
            return normalization, f"stated by the model {model_name}"
    by_data = normalization_for(data_spec)
    if channels is None or by_data.fits(channels):
        return by_data, f"{_USUAL} {data_spec.partition(':')[0]}"
    return NORMALIZATIONS["half"], f"{_ANY} {channels} channels"


def warn_of_normalization(checkpoint: Checkpoint, chosen: Normalization, origin: str) -> None:
    """Warn where a trained network may get another input than in its training, which costs accuracy silently.

    Args:
        checkpoint: The weights.
        chosen: The normalization that `choose_normalization` chose for them.
        origin: Who decided it, as `choose_normalization` says.

    Warns:
        NormalizationWarning: The data alone decided, or `chosen` replaces another one that the checkpoint stores.
    """
    stored = checkpoint.metadata.get("normalization")
    if origin.startswith(_FROM_DATA):
        doubt = (
            f"normalization {chosen} is a guess ({origin}); if the digital result is worse than the one you know, "
            "give --normalization"
        )
    elif stored and (replaced := Normalization.from_metadata(stored)) != chosen:
        doubt = f"normalization {chosen} ({origin}) replaces the one stored in the checkpoint, {replaced}"
    else:
        return
    warnings.warn(f"{checkpoint.path}: {doubt}", NormalizationWarning, stacklevel=3)
