"""Whether a folder may be written to: one that holds this kind of result already, or nothing."""

from pathlib import Path

from analog_samson.errors import RunError
from analog_samson.results.atomic import is_leftover
from analog_samson.results.lock import LOCK_NAME


def holds(folder: Path, file: str) -> bool:
    """Whether `folder` has `file`, by which a result there can be gone on with; False where a new one can be made.

    Raises RunError for a folder that cannot be read, or that holds the files of something else.
    """
    try:
        names = sorted(child.name for child in folder.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise RunError(f"{folder}: cannot be an output folder ({error.strerror}); choose another") from error
    foreign = [name for name in names if name != LOCK_NAME and not is_leftover(name, file)]
    if file not in names and foreign:
        listed = ", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else "")
        raise RunError(f"{folder}: holds other files ({listed}) and no {file}; choose a new or empty output folder")
    return file in names
