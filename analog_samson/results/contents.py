"""A run is continued or repeated with the contents that it was begun with, whatever its files are called."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analog_samson.errors import RunError, list_faults
from analog_samson.results.database import DATABASE
from analog_samson.results.loaded import LoadedRun
from analog_samson.results.runfile import RUN_FILE
from analog_samson.results.store import RunFolder, open_run

_ROUNDING = 1e-2  # of the largest output; TF32 and other orders of summation stay far below it


def refuse_other_contents(run: RunFolder, contents: Mapping[str, Any]) -> None:
    """Raise RunError, and close `run`, where its meta holds another fingerprint under one of these keys.

    A run in which nothing was measured yet may be of other contents from now on.
    contents: by key of the meta a fingerprint, a dictionary with one (`sha256` or `fingerprint`), a list of what the
    network answers, or None.
    """
    changed = [] if run.is_empty() else changed_contents(run, contents)
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
            changed = changed_contents(run, contents)
    except RunError as error:
        raise RunError(f"{error}\n  so nobody can tell what it was made from; {alone}") from error
    if changed:
        told = list_faults(f"{folder / RUN_FILE}: its run was of other contents and would not be repeated", changed)
        raise RunError(f"{told}\n  put them back to repeat it, or {alone}")


def changed_contents(run: RunFolder | LoadedRun, contents: Mapping[str, Any]) -> list[str]:
    """A line for each of `contents` that the run has another fingerprint of; see `refuse_other_contents`."""
    stored = {key: run.meta(key) for key in contents}
    changed = [key for key, before in stored.items() if before is not None and _differ(before, contents[key])]
    # What the network answers follows from the files: it tells something only where they are the same.
    told = [key for key in changed if not isinstance(contents[key], list)] or changed
    return [
        f"{key}: the run there has {_fingerprint(stored[key])}, this one {_fingerprint(contents[key])}" for key in told
    ]


def same_answers(before: Sequence[float], now: Sequence[float]) -> bool:
    """Whether two lists of a network's answers are equal up to rounding, which depends on processor and threads."""
    return len(before) == len(now) and np.allclose(before, now, rtol=0, atol=_ROUNDING * max(map(abs, now)))


def _differ(before: Any, now: Any) -> bool:
    if isinstance(now, list):
        return not same_answers(before, now)
    return _fingerprint(before) != _fingerprint(now)


def _fingerprint(described: Any) -> str:
    if isinstance(described, list):
        return ", ".join(f"{value:.3g}" for value in described[:3]) + ", ..."
    if isinstance(described, Mapping):
        described = described.get("sha256") or described["fingerprint"]
    return "none" if described is None else str(described)[:12]
