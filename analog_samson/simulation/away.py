"""A simulation on a worker that does not see the output folder: its files go there and come back with the work."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.database import DATABASE
from analog_samson.results.lock import FolderLock
from analog_samson.results.runfile import BUDGET_FOLDER, RUN_FILE
from analog_samson.simulation.jobs import SweepJob

Files = dict[str, bytes]  # by path below the run folder
_NAMES = (RUN_FILE, DATABASE, f"{BUDGET_FOLDER}/{RUN_FILE}", f"{BUDGET_FOLDER}/{DATABASE}")


@dataclass(frozen=True)
class JobAway:
    """A job and what its run folder holds already."""

    job: SweepJob
    files: Files

    @classmethod
    def of(cls, job: SweepJob) -> "JobAway":
        """The job with the files of its folder, so that a worker continues the run there."""
        paths = {name: job.folder / name for name in _NAMES}
        return cls(job, {name: path.read_bytes() for name, path in paths.items() if path.is_file()})

    def run(self, *, command: str) -> Files:
        """Simulate or resume the job in a temporary folder; returns the files of the finished run."""
        with tempfile.TemporaryDirectory(prefix="analog-samson-") as temporary:
            folder = Path(temporary) / "run"
            _write(folder, self.files)
            replace(self.job, folder=folder).run(command=command)
            return JobAway.of(replace(self.job, folder=folder)).files


def receive(folder: Path, files: Files) -> None:
    """Write the files of a finished run into its folder. Raises RunError where another process writes there."""
    make_folder(folder)
    lock = FolderLock(folder)
    try:
        _write(folder, {name: files[name] for name in _NAMES if name in files})
    finally:
        lock.release()


def _write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        make_folder((folder / name).parent)
        write_atomically(folder / name, content)
