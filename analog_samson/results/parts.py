"""Finished parts of longer work: one small JSON file each, with its options and its values.

A part is finished when its file is there; the file is written whole, so a kill leaves it out or complete.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analog_samson.errors import RunError
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.runfile import check_same_options
from analog_samson.runtime.plain_values import parse_json


def read_part(path: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """The values of a finished part, None where it is not finished; RunError where it has other options."""
    stored = load_part(path)
    if stored is None:
        return None
    check_same_options(path, stored["asked"], _plain(asked), volatile=())
    return dict(stored["values"])


def write_part(path: Path, asked: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Mark a part as finished."""
    make_folder(path.parent)
    write_atomically(path, (json.dumps({"asked": _plain(asked), "values": values}, indent=1) + "\n").encode())


def load_part(path: Path) -> dict[str, Any] | None:
    """What `write_part` stored, unchecked."""
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); delete it to measure this again") from error
    if not isinstance(stored, dict) or not {"asked", "values"} <= stored.keys():
        raise RunError(f"{path}: not written by analog-samson; choose another output folder")
    return stored


def _plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back; None is left out, infinity becomes text."""
    given = {name: "inf" if value == math.inf else value for name, value in asked.items() if value is not None}
    return dict(json.loads(json.dumps(given)))
