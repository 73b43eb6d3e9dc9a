"""A run is continued or repeated with the contents that it was begun with, whatever its files are called."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analog_samson.errors import RunError, list_faults
from analog_samson.results.database import DATABASE
from analog_samson.results.runfile import RUN_FILE
from analog_samson.results.store import RunFolder, open_run


def refuse_other_contents(run: RunFolder, contents: Mapping[str, Any]) -> None:
    """Raise RunError, and close `run`, where its meta holds another fingerprint under one of these keys.

    contents: by key of the meta a fingerprint, a dictionary with one (`sha256` or `fingerprint`), or None.
    """
    changed = _changed(run, contents)
    if changed:
        run.close()
        remedy = "choose another output folder, or put the files back to continue that run"
        raise RunError(f"{list_faults(f'{run.path} holds a run of other contents', changed)}\n  {remedy}")


def refuse_changed_files(folder: Path, contents: Mapping[str, Any]) -> None:
    """Raise RunError where the run in `folder` was of other contents, so that its options would not repeat it.

    A run.toml without values beside it is of no run and asks for nothing.
    """
    if not (folder / DATABASE).is_file():
        return
    alone = f"copy {folder / RUN_FILE} elsewhere to take only the options"
    try:
        with open_run(folder) as run:
            changed = _changed(run, contents)
    except RunError as error:
        raise RunError(f"{error}\n  so nobody can tell what it was made from; {alone}") from error
    if changed:
        told = list_faults(f"{folder / RUN_FILE}: its run was of other contents and would not be repeated", changed)
        raise RunError(f"{told}\n  put them back to repeat it, or {alone}")


def _changed(run: RunFolder, contents: Mapping[str, Any]) -> list[str]:
    stored = {key: run.meta(key) for key in contents}
    return [
        f"{key}: the run there has {_fingerprint(before)}, this one {_fingerprint(contents[key])}"
        for key, before in stored.items()
        if before is not None and _fingerprint(before) != _fingerprint(contents[key])
    ]


def _fingerprint(described: Any) -> str:
    if isinstance(described, Mapping):
        described = described.get("sha256") or described["fingerprint"]
    return "none" if described is None else str(described)[:12]
