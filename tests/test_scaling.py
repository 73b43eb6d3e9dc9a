"""The files to copy of docs/scaling.md: they parse, and every option in them is one of `sweep`."""

import ast
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from analog_samson.cli.from_options import parsed_text
from analog_samson.cli.sweep import SweepCommand, sweep

yaml = pytest.importorskip("yaml", reason="PyYAML comes with the extra dask")
ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs/examples/cluster"
FILES = sorted(FOLDER.iterdir())
VALUES = {"SLURM_CPUS_PER_TASK": "4", "SLURM_ARRAY_TASK_ID": "3", "JOB_COMPLETION_INDEX": "3", "nproc": "8"}


def options(words: list[str]) -> SweepCommand:
    """The options of a command line of `sweep`, as the command reads them."""
    assert words[:2] == ["analog-samson", "sweep"]
    return SweepCommand.from_text(parsed_text(sweep, words[2:]))


def test_every_case_of_the_page_is_a_file() -> None:
    text = (ROOT / "docs/scaling.md").read_text()
    assert sorted(set(re.findall(r"docs/examples/cluster/([\w.]+)", text))) == [file.name for file in FILES]


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix == ".sh"], ids=lambda file: file.name)
@pytest.mark.parametrize("argument", ["", "merge"])
def test_shell_script_calls_sweep_with_options_that_it_has(file: Path, argument: str, tmp_path: Path) -> None:
    """A stand-in for the command notes how it is called."""
    for name, text in (("analog-samson", 'printf "%q " "$@" >> calls; echo >> calls'), ("nproc", "echo 8")):
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**VALUES, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["bash", str(file), argument], check=True, cwd=tmp_path, env=environment)
    calls = [options(["analog-samson", *shlex.split(line)]) for line in (tmp_path / "calls").read_text().splitlines()]
    assert calls
    if file.name == "slurm_array.sh":
        count = int(re.findall(r"--array=0-(\d+)", file.read_text())[0]) + 1
        assert calls[0].shard == (None if argument else (3, count))
        assert calls[0].merge == bool(argument)


@pytest.mark.parametrize("file", [file for file in FILES if file.suffix == ".yaml"], ids=lambda file: file.name)
def test_manifest_calls_sweep_with_options_that_it_has(file: Path) -> None:
    found: list[Any] = list(yaml.safe_load_all(file.read_text()))
    jobs = [one for one in found if one["kind"] == "Job"]
    (container,) = jobs[0]["spec"]["template"]["spec"]["containers"]
    shell, flag, line = container["command"]
    assert (shell, flag) == ("/bin/sh", "-c")
    called = options(shlex.split(line.replace("$JOB_COMPLETION_INDEX", "3").removeprefix("exec ")))
    if jobs[0]["spec"].get("completionMode") == "Indexed":
        assert called.shard == (3, jobs[0]["spec"]["completions"])
    else:
        (cluster,) = (one for one in found if one["kind"] == "DaskCluster")
        name, service = cluster["metadata"]["name"], cluster["spec"]["scheduler"]["service"]
        assert (called.backend, called.address) == ("dask", f"tcp://{name}-scheduler:{service['ports'][0]['port']}")
        assert service["selector"]["dask.org/cluster-name"] == name


def test_slurm_script_of_dask_starts_workers_and_gives_sweep_their_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the arguments of dask-jobqueue 0.9, whose cluster is stood in for: there is no Slurm here."""

    class Cluster:
        scheduler_address = "tcp://10.0.0.1:8786"

        def __init__(self, *, cores: int, processes: int, memory: str, walltime: str) -> None:
            assert cores == processes  # one thread for each worker

        def scale(self, *, jobs: int) -> None:
            assert jobs > 1

        def __enter__(self) -> "Cluster":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    called: list[SweepCommand] = []
    module = types.ModuleType("dask_jobqueue")
    module.SLURMCluster = Cluster  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dask_jobqueue", module)
    monkeypatch.setattr(subprocess, "run", lambda words, check: called.append(options(words)))
    text = (FOLDER / "slurm_dask.py").read_text()
    ast.parse(text)
    exec(compile(text, "slurm_dask.py", "exec"), {"__name__": "__main__"})
    assert [(one.backend, one.address) for one in called] == [("dask", Cluster.scheduler_address)]
