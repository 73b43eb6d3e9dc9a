"""Trained networks by name: everywhere a checkpoint is named, `zoo:NAME` is one.

The package has the cards of all networks and the weights of two; a second distribution has the other weights.
"""

import hashlib
from importlib import resources, util
from pathlib import Path

from pydantic import ValidationError

from analog_samson.errors import CheckpointError, did_you_mean, list_faults
from analog_samson.models.zoo.schema import Card
from analog_samson.presets.faults import describe_faults
from analog_samson.runtime.older_python import Traversable

PACKAGE = "analog_samson.models.zoo"
EXTRA_PACKAGE = "analog_samson_zoo"
HOW_TO_INSTALL = "`pip install ./zoo` in a clone of analog-samson"
PREFIX = "zoo:"
WEIGHTS, CARD = ".safetensors", ".json"


def zoo_names() -> list[str]:
    """The names of all networks that have a card, sorted; their weights may have to be installed.

    >>> "resnet32_cifar10" in zoo_names()
    True
    """
    files = resources.files(PACKAGE).iterdir()
    return sorted(file.name.removesuffix(CARD) for file in files if file.name.endswith(CARD))


def installed_names() -> list[str]:
    """The names of the networks whose weights are installed, sorted.

    >>> "resnet32_cifar10" in installed_names()
    True
    """
    return [name for name in zoo_names() if _weights(name) is not None]


def checkpoint_path(checkpoint: Path | str) -> Path:
    """The file of a checkpoint as a user names it: `zoo:NAME`, or a path, which stays as it is.

    Raises:
        CheckpointError: The zoo has no network of that name, its weights are not installed, or the file differs from
            the one that its card describes.

    >>> checkpoint_path("runs/net.pt"), checkpoint_path("zoo:resnet32_cifar10").name
    (PosixPath('runs/net.pt'), 'resnet32_cifar10.safetensors')
    """
    text = str(checkpoint)
    if not text.startswith(PREFIX):
        return Path(checkpoint)
    card = load_card(text)
    file = _weights(card.name)
    if file is None:
        raise CheckpointError(f"checkpoint {text!r}: its weights are not installed; get them with {HOW_TO_INSTALL}")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    if sha256 != card.network.sha256:
        raise CheckpointError(
            f"{file}: expected SHA-256 {card.network.sha256} (card of {text!r}), got {sha256}; "
            f"the file was changed or is damaged; install it again with {HOW_TO_INSTALL}"
        )
    return Path(str(file))


def load_card(name: str) -> Card:
    """The card of a network, by its name with or without `zoo:`; CheckpointError with all faults at once.

    >>> load_card("resnet32_cifar10").network.model
    'resnet32'
    """
    name = name.removeprefix(PREFIX)
    return parse_card(_card(name).read_text(encoding="utf-8"), f"{name}{CARD}")


def list_cards() -> list[Card]:
    """The cards of all networks, sorted by name."""
    return [load_card(name) for name in zoo_names()]


def parse_card(text: str, where: str) -> Card:
    """The card in JSON text; `where` is what a message calls it."""
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        broken = first["type"] == "json_invalid"
        faults = [first["msg"]] if broken else describe_faults(error, Card)
        raise CheckpointError(list_faults(where, faults)) from None


def _weights(name: str) -> Traversable | None:
    """The file of the weights, in this package or the second one; None if neither has it."""
    packages = [PACKAGE] if util.find_spec(EXTRA_PACKAGE) is None else [PACKAGE, EXTRA_PACKAGE]
    files = (resources.files(package) / f"{name}{WEIGHTS}" for package in packages)
    return next((file for file in files if file.is_file()), None)


def _card(name: str) -> Traversable:
    known = zoo_names()
    if name not in known:
        hint = did_you_mean(name, known)
        raise CheckpointError(
            f"checkpoint {PREFIX + name!r}: no such network in the zoo{hint}; known: {', '.join(known) or 'none'} "
            "(`analog-samson zoo list` says more)"
        )
    return resources.files(PACKAGE) / f"{name}{CARD}"
