"""A run is continued with the contents that it was begun with, whatever its files are called."""

from collections.abc import Mapping
from typing import Any

from analog_samson.errors import RunError, list_faults
from analog_samson.results.store import RunFolder


def refuse_other_contents(run: RunFolder, contents: Mapping[str, Any]) -> None:
    """Raise RunError, and close `run`, where its meta holds another fingerprint under one of these keys.

    contents: by key of the meta a fingerprint, a dictionary with one (`sha256` or `fingerprint`), or None.
    """
    stored = {key: run.meta(key) for key in contents}
    changed = [
        f"{key}: the run there has {_fingerprint(before)}, this one {_fingerprint(contents[key])}"
        for key, before in stored.items()
        if before is not None and _fingerprint(before) != _fingerprint(contents[key])
    ]
    if changed:
        run.close()
        remedy = "choose another output folder, or put the files back to continue that run"
        raise RunError(f"{list_faults(f'{run.path} holds a run of other contents', changed)}\n  {remedy}")


def _fingerprint(described: Any) -> str:
    if isinstance(described, Mapping):
        described = described.get("sha256") or described["fingerprint"]
    return "none" if described is None else str(described)[:12]
