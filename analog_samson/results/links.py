"""Symbolic links inside an output folder are never followed on writing: they could lead to any file of the user's.

The output folder itself may be a link, and so may folders above it: that is the user's choice.
"""

from collections.abc import Iterable
from pathlib import Path

from analog_samson.errors import RunError


def refuse_link(path: Path) -> None:
    """Raise RunError where `path` is a symbolic link, whatever it points to."""
    if path.is_symlink():
        raise RunError(
            f"{path}: is a symbolic link, and nothing is written through one inside an output folder; "
            "remove the link or choose another output folder"
        )


def refuse_links(root: Path, paths: Iterable[Path]) -> None:
    """Raise RunError where a folder between `root`, which may be a link, and one of `paths` is a symbolic link.

    Args:
        root: The output folder as the user named it.
        paths: Files or folders below it that are going to be written; they need not exist yet.
    """
    parts = {part for path in paths for part in (path, *path.parents) if root in part.parents}
    for part in sorted(parts):
        refuse_link(part)
