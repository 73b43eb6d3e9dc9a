"""Options that several commands have and that are no part of what they compute."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from typing_extensions import Self

from analog_samson.options import HARDWARE, MACHINE, Options, option


class PresetFolders(Options):
    """More presets, by name."""

    preset_dir: Annotated[
        tuple[Path, ...],
        option(
            "Folder with more preset files; may be repeated. $ANALOG_SAMSON_PRESETS is searched too.", HARDWARE, "DIR"
        ),
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


class PoolOptions(Options):
    """The processes of commands that run several simulations."""

    workers: Annotated[
        int | None, option("Simulations at a time.", MACHINE, "N", default="1; with --address all workers there")
    ] = None
    threads: Annotated[
        int | None,
        option(
            "CPU threads of each; equal threads give files equal to the byte.",
            MACHINE,
            "N",
            default="cores / workers; with --address 1",
        ),
    ] = None
    backend: Annotated[str, option("loky, dask or ray.", MACHINE, "NAME")] = "loky"
    address: Annotated[
        str | None, option("Of a running Dask or Ray cluster whose workers see the same files.", MACHINE, "URL")
    ] = None

    @property
    def pool(self) -> Any:
        """The `Pool` of these processes. Raises OptionError."""
        from analog_samson.runtime.workers import Pool

        return Pool(workers=self.workers, backend=self.backend, threads_each=self.threads, address=self.address)


def resolve_preset(preset: str, folders: Sequence[Path]) -> str:
    """The path of a preset that only `folders` have; every other name or path as it is. Raises PresetError."""
    from analog_samson.presets.changes import join_changes, split_changes
    from analog_samson.presets.search import find_preset_files, load_preset

    if not folders:
        return preset
    load_preset(preset, folders)
    name, changes = split_changes(preset)
    file = find_preset_files(folders).get(name)
    return preset if file is None or name in find_preset_files() else join_changes(file.where, changes)


def command_line() -> str:
    """The command as it was typed, for the run folders that it makes."""
    return shlex.join(["analog-samson", *sys.argv[1:]])
