"""The table of named networks; each module of this folder enters its own."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

Builder = Callable[..., nn.Module]


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """How a named network is built. `build` takes the keywords num_classes and in_channels.

    normalization: name of the input normalisation that published checkpoints of this network were trained with;
    None where there are none, then the data decides.
    """

    build: Builder
    num_classes: int
    in_channels: int
    summary: str
    normalization: str | None = None


MODELS: dict[str, ModelEntry] = {}


def register(
    name: str, *, num_classes: int, in_channels: int, summary: str, normalization: str | None = None
) -> Callable[[Builder], Builder]:
    """Decorator that enters a builder under `name`; a name that is taken raises ValueError."""

    def enter(build: Builder) -> Builder:
        if name in MODELS:
            raise ValueError(f"model {name!r} is registered already")
        MODELS[name] = ModelEntry(
            build=build,
            num_classes=num_classes,
            in_channels=in_channels,
            summary=summary,
            normalization=normalization,
        )
        return build

    return enter
