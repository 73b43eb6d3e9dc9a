"""run.toml: every option of a run, resolved, in a file that a person can read and a command can repeat."""

import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from analog_samson.errors import RunError, list_faults

RUN_FILE = "run.toml"
MARK = "# analog-samson run"
_HEADER = f"""{MARK}: every option as it was used; an option that is not listed was not given (none).
# """
REPEAT = "Repeat it with: analog-samson simulate --config run.toml --out ANOTHER_FOLDER"


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as TOML values: paths become text, tuples lists; None is left out, for TOML has no null.

    >>> plain_options({"times": (1.0, 3600.0), "limit": None})
    {'times': [1.0, 3600.0]}
    """
    return {name: _plain(value, name) for name, value in options.items() if value is not None}


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return plain_options(value)
    if isinstance(value, list | tuple):
        return [_plain(item, where) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"option {where!r}: {type(value).__name__} cannot be stored in {RUN_FILE}")


def render_options(options: Mapping[str, Any], remark: str = REPEAT) -> bytes:
    """The bytes of run.toml for plain options, in the order given; `remark` says how to repeat the run."""
    return (f"{_HEADER}{remark}\n\n" + tomli_w.dumps(dict(options))).encode()


def run_folder(path: Path) -> Path:
    """The folder of a run that is named by its run.toml, or by the folder itself."""
    return path.parent if path.name == RUN_FILE else path


def read_options(folder: Path) -> dict[str, Any]:
    """The options stored in a run folder; RunError where run.toml is foreign or damaged."""
    path = folder / RUN_FILE
    try:
        text = path.read_text(encoding="utf-8")
        options = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunError(f"{path}: cannot be read as TOML ({error})") from error
    if not text.startswith(MARK):
        raise RunError(f"{path}: not written by analog-samson (expected a first line starting {MARK!r})")
    return options


def check_same_options(
    folder: Path, stored: Mapping[str, Any], asked: Mapping[str, Any], volatile: Collection[str]
) -> None:
    """Raise RunError naming every option that differs; those named in `volatile` may differ."""
    names = [name for name in sorted({*stored, *asked}) if name not in volatile]
    faults = [
        f"{name}: the run there has {_shown(stored, name)}, this one {_shown(asked, name)}"
        for name in names
        if _shown(stored, name) != _shown(asked, name)
    ]
    if faults:
        remedy = "choose another output folder, or give the options above as they are there to continue that run"
        raise RunError(f"{list_faults(f'{folder} holds another run', faults)}\n  {remedy}")


def _shown(options: Mapping[str, Any], name: str) -> str:
    return repr(options[name]) if name in options else "none"
