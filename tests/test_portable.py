"""Windows and macOS lack modules and calls of Linux: nothing on the way to `simulate` needs them."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small import SMALL, small_options

from analog_samson.errors import OptionError
from analog_samson.results import atomic
from analog_samson.results.store import open_run
from analog_samson.runtime import size_limit, threads
from analog_samson.simulation.jobs import named_checkpoints

POSIX_ONLY = ("fcntl", "resource", "termios", "pwd", "grp", "pty", "tty", "syslog")
# A stand-in for msvcrt, which Windows has, holds the lock of a byte until its file is closed, as that does.
WITHOUT = f"""
import os, sys, types
from analog_samson import __version__  # the front door alone

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {POSIX_ONLY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in {POSIX_ONLY}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocker())

def locking(descriptor, mode, count):
    file = os.fstat(descriptor).st_ino
    if file in held and held[file][0] != descriptor and is_open(file, held[file][0]):
        raise PermissionError(13, "Permission denied")
    held[file] = descriptor, os.lseek(descriptor, 0, os.SEEK_CUR)

def is_open(file, descriptor):
    try:
        return os.fstat(descriptor).st_ino == file
    except OSError:
        return False

held = {{}}
for name in ("sysconf", "sched_getaffinity", "O_NOFOLLOW", "O_NONBLOCK", "pread", "pwrite", "fork", "getuid", "killpg"):
    if hasattr(os, name):
        delattr(os, name)
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
import analog_samson.results.lock
del sys.modules["msvcrt"]  # by which the standard library recognises Windows
"""
SIMULATE = """
from pathlib import Path
from analog_samson.cli.main import main
from analog_samson.errors import RunError
from analog_samson.results.lock import FolderLock

status = main(sys.argv[1:])
assert status == 0, status
assert all(place >= 1 << 20 for _, place in held.values()), held
first = FolderLock(Path("out"))
try:
    FolderLock(Path("out"))
except RunError as error:
    assert f"process {os.getpid()} is writing" in str(error), error
else:
    raise AssertionError("locked twice")
first.release()
FolderLock(Path("out")).release()
"""


def test_simulate_runs_without_modules_and_calls_that_linux_alone_has(tmp_path: Path) -> None:
    options = small_options(tmp_path, images=30, tested=20, instances=1)
    given = (
        f"simulate --checkpoint net.safetensors --model {SMALL['model']} --data npz:test.npz --preset {options.preset}"
    )
    arguments = [*given.split(), "--times", "1s", "--threads", "1", "--sigmas", "none", "--no-html", "--out", "out"]
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT + SIMULATE, *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    with open_run(tmp_path / "out") as run:
        assert {record.stage for record in run.records()} == {"digital", "drift"}


def test_files_are_written_on_windows_without_signals_and_open_folders(tmp_path, monkeypatch) -> None:
    """There os.kill(process, 0) sends Ctrl-C, and a folder cannot be opened."""
    left = atomic.part_of(tmp_path / "a.txt")
    left.with_name(left.name.replace(str(os.getpid()), "999999999")).touch()
    monkeypatch.setattr(atomic, "_WINDOWS", True)
    with monkeypatch.context() as patched:
        for name in ("kill", "open"):
            patched.setattr(os, name, lambda *_, name=name: pytest.fail(f"os.{name}"))
        atomic.write_atomically(tmp_path / "a.txt", b"a\n")
    assert (tmp_path / "a.txt").read_bytes() == b"a\n"
    assert len(list(tmp_path.iterdir())) == 2  # whether its writer runs is not known


def test_memory_and_cores_are_known_or_assumed_where_the_system_does_not_say(monkeypatch, tmp_path) -> None:
    monkeypatch.delattr("os.sysconf")
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(size_limit, "_CGROUP", tmp_path / "none")
    monkeypatch.delenv(size_limit.VARIABLE, raising=False)
    assert size_limit.size_limit() == size_limit._UNKNOWN // 2
    assert threads.usable_cores() >= 1
    assert threading.active_count()  # nothing above began a thread that waits for a module


@pytest.mark.parametrize("name", ["a/b", "a\\b", ".."])
def test_label_that_is_a_path_on_some_system_is_refused_on_all(name) -> None:
    with pytest.raises(OptionError, match="cannot be the name of a folder"):
        named_checkpoints([f"{name}=net.pt"])


def test_label_of_a_hugging_face_folder_has_no_colon() -> None:
    assert list(named_checkpoints(["hf:gpt2", "hf:nets/bert"])) == ["gpt2", "bert"]


def test_text_files_are_read_and_written_with_an_encoding() -> None:
    """Windows takes another encoding where a call names none."""
    package = Path(atomic.__file__).parents[1]
    calls = ("read_text()", ".write_text(", 'open("r")', 'open("w")')
    found = [
        f"{path.name}: {line.strip()}"
        for path in package.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(call in line for call in calls) and "encoding" not in line and ">>>" not in line
    ]
    assert not found
