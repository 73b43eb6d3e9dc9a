"""run.toml: every option of a run, resolved, in a file that a person can read and a command can repeat."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from analog_samson.errors import RunError, list_faults
from analog_samson.runtime.plain_values import parse_toml

# Options of runs of version 0.1 by the names that they have now.
RENAMED = {
    "exclude": "keep_digital",
    "explain_time_seconds": "error_budget_time",
    "explain_instances": "error_budget_instances",
    "explain_limit": "error_budget_limit",
}
Spelling = Callable[[Mapping[str, Any]], Mapping[str, Any]]
RUN_FILE = "run.toml"
BUDGET_FOLDER = "error_budget"
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


def options_file(path: Path) -> Path:
    """The file with the options of a run that is named by its folder, or by that file or a copy of it."""
    return path / RUN_FILE if path.is_dir() else path


def budget_folder(run: Path) -> Path:
    """The folder inside a run folder that holds its error budget; runs of version 0.1 call it `explain`."""
    old = run / "explain"
    return old if old.is_dir() else run / BUDGET_FOLDER


def repeated_run(path: Path) -> Path | None:
    """The folder of the run that `path` names; None for a copy of run.toml under another name, which is of no run."""
    file = options_file(path)
    return file.parent if file.name == RUN_FILE else None


def read_options(path: Path) -> dict[str, Any]:
    """The options stored in a run.toml or a copy of it, under their present names.

    Raises:
        RunError: The file is missing, foreign or damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
        options = parse_toml(text)
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such file; expected the {RUN_FILE} of a run, or a copy of it") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read as TOML ({error})") from error
    if not text.startswith(MARK):
        raise RunError(f"{path}: not written by analog-samson (expected a first line starting {MARK!r})")
    return _present(options)


def _present(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options under their present names and in their present form."""
    present = {RENAMED.get(name, name): value for name, value in options.items()}
    if isinstance(present.get("adabs"), bool):
        present.setdefault("calibrate", ["adabs"] if present.pop("adabs") else [])
    return present


def check_same_options(
    folder: Path,
    stored: Mapping[str, Any],
    asked: Mapping[str, Any],
    volatile: Collection[str],
    spelling: Spelling = dict,
) -> None:
    """Raise RunError naming every option that differs; those named in `volatile` may differ.

    spelling: turns options into the form in which they are compared, such as with absolute paths.
    """
    stored, asked = spelling(stored), spelling(asked)
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
