"""Finding the networks that come with the package, by name; everywhere a checkpoint is named, `zoo:NAME` is one."""

from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from analog_samson.errors import CheckpointError, did_you_mean, list_faults
from analog_samson.models.zoo.schema import Card
from analog_samson.presets.faults import describe_faults
from analog_samson.runtime.older_python import Traversable

PACKAGE = "analog_samson.models.zoo"
PREFIX = "zoo:"
WEIGHTS, CARD = ".safetensors", ".json"


def zoo_names() -> list[str]:
    """The names, sorted.

    >>> "resnet32_cifar10" in zoo_names()
    True
    """
    files = resources.files(PACKAGE).iterdir()
    return sorted(file.name.removesuffix(WEIGHTS) for file in files if file.name.endswith(WEIGHTS))


def checkpoint_path(checkpoint: Path | str) -> Path:
    """The file of a checkpoint as a user names it: `zoo:NAME`, or a path, which stays as it is.

    Raises CheckpointError for a name that is not in the zoo.

    >>> checkpoint_path("runs/net.pt"), checkpoint_path("zoo:resnet32_cifar10").name
    (PosixPath('runs/net.pt'), 'resnet32_cifar10.safetensors')
    """
    text = str(checkpoint)
    if not text.startswith(PREFIX):
        return Path(checkpoint)
    return Path(str(_file(text.removeprefix(PREFIX), WEIGHTS)))


def load_card(name: str) -> Card:
    """The card of a network, by its name with or without `zoo:`; CheckpointError with all faults at once.

    >>> load_card("resnet32_cifar10").network.model
    'resnet32'
    """
    name = name.removeprefix(PREFIX)
    return parse_card(_file(name, CARD).read_text(encoding="utf-8"), f"{name}{CARD}")


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


def _file(name: str, suffix: str) -> Traversable:
    known = zoo_names()
    if name not in known:
        hint = did_you_mean(name, known)
        raise CheckpointError(
            f"checkpoint {PREFIX + name!r}: no such network in the zoo{hint}; known: {', '.join(known) or 'none'} "
            "(`analog-samson zoo list` says more)"
        )
    return resources.files(PACKAGE) / f"{name}{suffix}"
