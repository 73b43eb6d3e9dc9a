"""A training on disk: what was asked, the state after the last finished epoch, and what it gave.

`train.toml` every option; `resume.pt` the state to go on from, written whole after each epoch; made from it again at
every opening: `checkpoint.safetensors` and `history.csv`.
"""

import csv
import io
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
import torch
from typing_extensions import Self

from analog_samson.errors import RunError
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.claim import holds
from analog_samson.results.lock import FolderLock
from analog_samson.results.runfile import check_same_options, plain_options
from analog_samson.runtime.plain_values import parse_toml
from analog_samson.runtime.torch_file import refuse_packed
from analog_samson.sharpness.selection import selection_name

TRAIN_FILE, STATE_FILE = "train.toml", "resume.pt"
CHECKPOINT_FILE, HISTORY_FILE = "checkpoint.safetensors", "history.csv"
SCHEMA = 1
_IMPLIED = {"processes": 1}  # not stated by a training in one process
_MARK = "# analog-samson training"
_HEADER = f"{_MARK}: every option as it was used; one that is not listed was not given.\n\n"


class TrainingFolder:
    """The folder of one training, locked for this process; a context manager."""

    def __init__(self, path: Path, lock: FolderLock) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path | str, options: Mapping[str, Any]) -> "TrainingFolder":
        """Make the folder, or go on with the training there if its options are the same.

        A training that finished no epoch, as one that diverged at once, is replaced. Raises RunError, before anything
        is written, for another training (naming the options that differ), other files, or a folder that cannot be
        written.
        """
        folder, asked = Path(path), plain_options(options)
        _check_free(folder, asked)
        make_folder(folder)
        lock = FolderLock(folder)
        if _check_free(folder, asked):  # again: now no other process can be making it
            write_atomically(folder / TRAIN_FILE, (_HEADER + tomli_w.dumps(asked)).encode())
        return cls(folder, lock)

    def load_state(self) -> dict[str, Any] | None:
        """What `save_state` stored last; None before the first epoch is finished."""
        path = self.path / STATE_FILE
        if not path.exists():
            return None
        try:
            refuse_packed(path)
            with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums of the tensors
                broken = archive.testzip()
            if broken is not None:
                raise zipfile.BadZipFile(f"checksum of {broken}")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickle protocols; what matters is raised
                state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a parser on damaged bytes may raise anything; nothing of ours runs in there
            raise RunError(f"{path}: damaged ({type(error).__name__}); delete {self.path} to train anew") from error
        if not isinstance(state, dict) or type(state.get("schema")) is not int or state["schema"] != SCHEMA:
            raise RunError(f"{path}: written by another version of analog-samson; choose another output folder")
        return state

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Store tensors and plain containers; a kill at any moment leaves the old state or this one."""
        buffer = io.BytesIO()
        torch.save({"schema": SCHEMA, **state}, buffer)
        write_atomically(self.path / STATE_FILE, buffer.getvalue())

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """history.csv, one row an epoch."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.path / HISTORY_FILE, text.getvalue().encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def finished_epochs(path: Path | str) -> int:
    """Epochs that a training folder holds; 0 where there is none."""
    history = Path(path) / HISTORY_FILE
    return max(len(history.read_text(encoding="utf-8").splitlines()) - 1, 0) if history.is_file() else 0


def _check_free(folder: Path, asked: Mapping[str, Any]) -> bool:
    """True where a training can begin, False where this one can go on; RunError where neither holds."""
    if not holds(folder, TRAIN_FILE) or _is_barren(folder):
        return True
    stored = _read(folder / TRAIN_FILE)
    if "selection" in stored:
        stored["selection"] = selection_name(stored["selection"])  # trainings of 0.1 store an older name
    check_same_options(folder, _IMPLIED | stored, {**_IMPLIED, **asked}, volatile=())
    return False


def _is_barren(folder: Path) -> bool:
    """Whether a training of ours began here and finished no epoch, so that nothing is lost with it."""
    results = (STATE_FILE, CHECKPOINT_FILE, HISTORY_FILE)
    return not any((folder / name).exists() for name in results) and _is_ours(folder / TRAIN_FILE)


def _is_ours(path: Path) -> bool:
    try:
        return path.read_text(encoding="utf-8").startswith(_MARK)
    except (OSError, UnicodeDecodeError):
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({_first_line(error)}); choose another output folder") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
