"""Which hardware, and which layers lie on it: options of every command that converts a network."""

from typing import Annotated

from analog_samson.options import HARDWARE, option

PresetName = Annotated[str, option("Hardware preset: a name or a TOML file.", HARDWARE, "PRESET")]
KeepDigital = Annotated[
    tuple[str, ...],
    option(
        "Layer that stays digital: a path, a pattern such as layer1.*, or first, last, head or embeddings; may be "
        "repeated.",
        HARDWARE,
        "LAYER",
    ),
]
OnChip = Annotated[
    tuple[str, ...],
    option("Layer on tiles though digital by default: embeddings, adapters; may be repeated.", HARDWARE, "LAYER"),
]
LayerPresets = Annotated[
    str | None,
    option(
        "TOML file that maps patterns of layers to presets of their own.", HARDWARE, "FILE.toml", default="one preset"
    ),
]
