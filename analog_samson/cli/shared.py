"""Options that several commands have and that are no part of what they compute."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import Self

from analog_samson.options import Options, Shown
from analog_samson.simulation.options import HARDWARE, OUTPUT


class PresetFolders(Options):
    """More presets, by name."""

    preset_dir: Annotated[
        tuple[Path, ...],
        Field(description="Folder with more preset files; may be repeated. $ANALOG_SAMSON_PRESETS is searched too."),
        Shown(panel=HARDWARE, metavar="DIR"),
    ] = ()

    @classmethod
    def from_text(cls, given: Mapping[str, Any], known: Mapping[str, Any] = MappingProxyType({})) -> Self:
        """As `Options.from_text`; a preset that only those folders have is named by its file.

        A run stores that path, so it can be continued and repeated without the option. Raises PresetError.
        """
        if not given.get("preset_dir") or not given.get("preset"):
            return super().from_text(given, known)
        preset, folders = given["preset"], [Path(folder) for folder in given["preset_dir"]]
        found = [resolve_preset(name, folders) for name in ([preset] if isinstance(preset, str) else preset)]
        return super().from_text({**given, "preset": found[0] if isinstance(preset, str) else found}, known)


def resolve_preset(preset: str, folders: Sequence[Path]) -> str:
    """The path of a preset that only `folders` have; every other name or path as it is. Raises PresetError."""
    from analog_samson.presets.search import find_preset_files, load_preset

    if not folders:
        return preset
    load_preset(preset, folders)
    file = find_preset_files(folders).get(preset)
    return preset if file is None or preset in find_preset_files() else file.where


class ReportOptions(Options):
    """What is reported of finished runs."""

    threshold: Annotated[
        float | None,
        Field(allow_inf_nan=False, description="Accuracy in percent for lifetime and yield."),
        Shown(panel=OUTPUT, default="1, 2, 5, 10 below digital"),
    ] = None
    html: Annotated[bool, Field(description="Write report.html into --out."), Shown(panel=OUTPUT)] = True


class TableOptions(Options):
    """How tables are printed."""

    format: Annotated[
        Literal["text", "md", "csv", "json", "tex"],
        Field(description="text, md and tex print tables, csv the raw rows, json everything."),
        Shown(panel=OUTPUT, metavar="FORMAT"),
    ] = "text"
    table: Annotated[
        str | None,
        Field(description="Print only the tables of this name, such as lifetime."),
        Shown(panel=OUTPUT, metavar="NAME"),
    ] = None


def command_line() -> str:
    """The command as it was typed, for the run folders that it makes."""
    return shlex.join(["analog-samson", *sys.argv[1:]])
