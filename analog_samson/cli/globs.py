"""Patterns such as 'runs/*.safetensors' and 'pcm_*' where a shell has left them to us."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from analog_samson.errors import OptionError


def expanded(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, with every pattern among checkpoints, presets and runs replaced by what it matches.

    Raises:
        OptionError: Nothing matches, or a pattern with a name of its own matches several files.
    """
    folders = [Path(folder) for folder in given.get("preset_dir", ())]
    found = dict(given)
    if "checkpoint" in given:
        found["checkpoint"] = [one for text in given["checkpoint"] for one in _checkpoints(text)]
    if "preset" in given:
        found["preset"] = [one for text in given["preset"] for one in _presets(text, folders)]
    if "runs" in given:
        found["runs"] = [str(path) for path in run_folders(map(Path, given["runs"]))]
    return found


def run_folders(paths: Iterable[Path]) -> list[Path]:
    """The paths, with the run folders that match in place of each pattern. Raises OptionError where none does."""
    from analog_samson.results.runfile import RUN_FILE

    found: list[Path] = []
    for path in paths:
        if not _is_pattern(str(path)):
            found.append(path)
            continue
        matches = [Path(match) for match in sorted(glob(str(path), recursive=True))]
        runs = [match for match in matches if (match / RUN_FILE).is_file()]
        if not runs:
            others = f", only {matches[0]}" if matches else ""
            raise OptionError(f"run {str(path)!r}: no run folder matches{others}; a run folder holds {RUN_FILE}")
        found += runs
    return found


def _checkpoints(text: str) -> list[str]:
    name, equals, rest = text.rpartition("=")
    if not _is_pattern(rest):
        return [text]
    matches = sorted(glob(str(Path(rest).expanduser()), recursive=True))
    if not matches:
        raise OptionError(f"checkpoint {text!r}: no file matches this pattern; looked in {Path.cwd()}")
    if equals and len(matches) > 1:
        raise OptionError(f"checkpoint {text!r}: {len(matches)} files match, but {name}= names one; leave {name}= out")
    return [f"{name}{equals}{match}" for match in matches]


def _presets(text: str, folders: list[Path]) -> list[str]:
    from analog_samson.presets.search import find_preset_files

    pattern, at, changes = text.partition("@")
    if not _is_pattern(pattern):
        return [text]
    is_path = "/" in pattern or pattern.endswith(".toml")
    names = sorted(glob(pattern)) if is_path else [n for n in find_preset_files(folders) if fnmatchcase(n, pattern)]
    if not names:
        where = "no file" if is_path else "no preset"
        raise OptionError(
            f"preset {text!r}: {where} matches this pattern; `analog-samson presets list` shows all names"
        )
    return [f"{name}{at}{changes}" for name in names]


def _is_pattern(text: str) -> bool:
    return has_magic(text) and not Path(text).exists()
