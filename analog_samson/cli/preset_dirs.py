"""The option --preset-dir, and the names that it adds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

PresetDirs = Annotated[
    list[Path] | None,
    typer.Option(
        "--preset-dir",
        metavar="DIR",
        help="Folder with more preset files; may be repeated. Folders in the environment variable "
        "ANALOG_SAMSON_PRESETS are searched as well.",
    ),
]


def resolve_preset(preset: str, preset_dirs: Sequence[Path] | None) -> str:
    """The path of a preset that only `preset_dirs` have, every other name or path as it is.

    A run stores that path, so it can be continued and repeated without the option. Raises PresetError.
    """
    from analog_samson.presets.search import find_preset_files, load_preset

    if not preset_dirs:
        return preset
    load_preset(preset, preset_dirs)
    file = find_preset_files(preset_dirs).get(preset)
    return preset if file is None or preset in find_preset_files() else file.where
