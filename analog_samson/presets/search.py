"""Finding presets by name or path: built-in, from folders, from installed packages.

A name means one file: the same name found twice is an error, and nothing shadows a built-in.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from analog_samson.errors import OptionError, PresetError, did_you_mean, shortened
from analog_samson.presets.base import Resolved, resolve
from analog_samson.presets.changes import split_changes, with_changes
from analog_samson.presets.schema import Preset, parse_preset
from analog_samson.runtime.older_python import Traversable
from analog_samson.runtime.plain_values import parse_toml

BUILT_IN = "analog_samson.hw_presets"
ENVIRONMENT = "ANALOG_SAMSON_PRESETS"
ENTRY_POINTS = "analog_samson.presets"
Hardware = Preset | str | Path  # a preset, its name, or its file
_HOW_TO_LIST = "`analog-samson presets list` shows all names"


@dataclass(frozen=True)
class PresetFile:
    """A file that may hold a preset: its name (the file's stem), how messages call it, and its content."""

    name: str
    where: str
    content: Traversable


def list_presets(preset_dirs: Sequence[Path | str] = ()) -> list[Preset]:
    """All presets, sorted by name; raises PresetError with the faults of every faulty file.

    >>> "pcm_nandakumar_2019" in [preset.name for preset in list_presets()]
    True
    """
    presets, faults = [], []
    for file in find_preset_files(preset_dirs).values():
        try:
            presets.append(_read(file))
        except PresetError as error:
            faults.append(str(error))
    if faults:
        raise PresetError("\n".join(faults))
    return presets


def load_preset(name_or_path: str | Path, preset_dirs: Sequence[Path | str] = ()) -> Preset:
    """The preset of that name, or the one in that file (a path ends in .toml or has a folder in it).

    A text may go on with changed numbers, `NAME@section.key=value,...`: see `presets.changes`.

    >>> load_preset("pcm_nandakumar_2019").device.g_max_microsiemens
    25.0
    >>> load_preset("pcm_nandakumar_2019@device.g_max_microsiemens=20").device.g_max_microsiemens
    20.0
    """
    base, changes = split_changes(name_or_path) if isinstance(name_or_path, str) else (name_or_path, {})
    if changes:
        return with_changes(load_preset(base, preset_dirs), changes)
    if _is_path(name_or_path):
        return _load_file(Path(name_or_path), preset_dirs)
    return _read(_file_of(str(name_or_path), preset_dirs))


def load_resolved(name_or_path: str | Path) -> Resolved:
    """What the file of a preset says itself and what it takes from its base; arguments as for `load_preset`.

    >>> load_resolved("pcm_nandakumar_2019_per_column").base, load_resolved("ideal").base
    ('pcm_nandakumar_2019', '')
    """
    path = Path(name_or_path)
    is_path = _is_path(name_or_path)
    return _resolved(PresetFile(path.stem, str(path), path) if is_path else _file_of(str(name_or_path), ()))


def _file_of(name: str, preset_dirs: Sequence[Path | str]) -> PresetFile:
    files = find_preset_files(preset_dirs)
    if name not in files:
        hint = did_you_mean(name, files) or ";"
        raise PresetError(f"preset {name!r}: no such preset{hint} {_HOW_TO_LIST}; a file's name ends in .toml")
    return files[name]


def as_preset(given: Hardware) -> Preset:
    """The preset itself, or the one that `load_preset` finds by a name or a path.

    >>> as_preset("ideal") == as_preset(load_preset("ideal"))
    True
    """
    if isinstance(given, Preset):
        return given
    if isinstance(given, str | Path):
        return load_preset(given)
    raise OptionError(f"preset: expected the name or file of a preset, or a Preset, got a {type(given).__name__}")


def read_preset(path: Path) -> Preset:
    """The preset in one file, whatever else has its name."""
    return _read(PresetFile(path.stem, str(path), path))


def find_preset_files(preset_dirs: Sequence[Path | str] = ()) -> dict[str, PresetFile]:
    """Every preset file that a name can mean, sorted by name; nothing is parsed."""
    found: dict[str, PresetFile] = {}
    twice = []
    for folder in _folders(preset_dirs):
        for file in _files(folder):
            first = found.setdefault(file.name, file)
            if _identity(first.content) != _identity(file.content):
                twice.append(_found_twice(file.name, first.where, file.where))
    if twice:
        raise PresetError("\n".join(twice))
    return dict(sorted(found.items()))


def is_built_in(name: str) -> bool:
    """Whether a preset of this name comes with the package."""
    return (resources.files(BUILT_IN) / f"{name}.toml").is_file()


def preset_path(name_or_path: str | Path) -> Path | None:
    """The file of a preset that other machines may not have: a path, or a name found in a folder of ENVIRONMENT."""
    name_or_path = split_changes(name_or_path)[0] if isinstance(name_or_path, str) else name_or_path
    if _is_path(name_or_path):
        return Path(name_or_path)
    folders = filter(None, os.environ.get(ENVIRONMENT, "").split(os.pathsep))
    files = (Path(folder) / f"{name_or_path}.toml" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def _folders(preset_dirs: Sequence[Path | str]) -> Iterator[Traversable]:
    yield resources.files(BUILT_IN)
    for folder in preset_dirs:
        yield _existing(Path(folder), "preset folder")
    for entry in filter(None, os.environ.get(ENVIRONMENT, "").split(os.pathsep)):
        yield _existing(Path(entry), f"preset folder in {ENVIRONMENT}")
    for point in metadata.entry_points(group=ENTRY_POINTS):
        yield _package_folder(point)


def _existing(folder: Path, what: str) -> Path:
    try:
        if folder.is_dir():
            return folder
        found = "a file" if folder.exists() else "nothing there"
    except (OSError, ValueError) as error:  # a name that no folder can have
        found = str(error.strerror if isinstance(error, OSError) else error)
    raise PresetError(shortened(f"{what} {str(folder)!r}: expected a folder, found {found}"))


def _package_folder(point: metadata.EntryPoint) -> Traversable:
    try:
        return resources.files(point.module)
    except (ImportError, TypeError) as error:
        package = point.dist.name if point.dist else "an installed package"
        raise PresetError(
            f"{package}: its entry point {point.name!r} in group {ENTRY_POINTS} names {point.module!r}, "
            f"which cannot be imported ({error}); mend or remove that package"
        ) from error


def _files(folder: Traversable) -> Iterator[PresetFile]:
    for item in folder.iterdir():
        if item.name.endswith(".toml") and not item.name.startswith(".") and item.is_file():
            yield PresetFile(item.name.removesuffix(".toml"), str(item), item)


def _identity(content: Traversable) -> str:
    """One text for one file, however the folder was spelled."""
    return str(content.resolve() if isinstance(content, Path) else content)


def _found_twice(name: str, first: str, second: str) -> str:
    return f"preset {name!r} is in two files, {first} and {second}; rename one (file and `name` key alike)"


def _is_path(name_or_path: str | Path) -> bool:
    if isinstance(name_or_path, Path) or name_or_path.endswith(".toml"):
        return True
    return any(separator in name_or_path for separator in filter(None, ("/", os.sep, os.altsep)))


def _load_file(path: Path, preset_dirs: Sequence[Path | str]) -> Preset:
    preset = read_preset(path)
    other = find_preset_files(preset_dirs).get(preset.name)
    is_other_file = other is not None and _identity(other.content) != _identity(path)
    if other is not None and is_other_file and _read(other).fingerprint != preset.fingerprint:
        raise PresetError(_found_twice(preset.name, other.where, str(path)))
    return preset


def _read(file: PresetFile) -> Preset:
    return parse_preset(_resolved(file).mapping, file.where, file_stem=file.name)


def _resolved(file: PresetFile) -> Resolved:
    """The whole preset of a file; its base lies beside it, or has a name that means one file."""

    def find(name: str) -> tuple[dict[str, Any], str]:
        beside = file.content.parent / f"{name}.toml" if isinstance(file.content, Path) else None
        is_there = beside is not None and name.isidentifier() and beside.is_file()
        base = PresetFile(name, str(beside), beside) if beside is not None and is_there else _file_of(name, ())
        return _parse_toml(base), base.where

    return resolve(_parse_toml(file), file.where, find)


def _parse_toml(file: PresetFile) -> dict[str, Any]:
    try:
        return parse_toml(file.content.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PresetError(f"{file.where}: no such file; {_HOW_TO_LIST}") from None
    except OSError as error:
        raise PresetError(f"{file.where}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PresetError(f"{file.where}: not UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise PresetError(f"{file.where}: not valid TOML: {error}") from None
