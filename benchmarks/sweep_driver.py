"""What does the driver of a sweep take for each simulation, in time and in memory, up to a million of them?

    python benchmarks/sweep_driver.py

The sweep has one network, a hundred points of two numbers of a preset, and as many seeds as the size asks for. Its
simulations are planned as the command plans them, but do nothing: what is left is the driver and the way to a worker
and back. Each row is a process of its own; told are the time for each simulation and how much the peak memory of the
driver lies above what it had before the plan. Then the tables of finished run folders: ten chips at four times, three
metrics. Writes results/sweep_driver.json.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

RESULTS = Path(__file__).parent / "results"
CASES = ((10_000, 1), (100_000, 1), (1_000_000, 1), (100_000, 2))  # simulations, workers
POINTS = ("programming.scale=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1", "read.scale=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1")
RUNS = 200  # run folders for the tables
NUMBERS = {"chips": 10, "times": (1.0, 3600.0, 86400.0, 31536000.0)}


def nothing(job: Any) -> None:
    """What a worker does."""


def planned(folder: Path, simulations: int) -> Any:
    from analog_samson.models.build import build_model
    from analog_samson.models.checkpoint import save_checkpoint
    from analog_samson.simulation.jobs import plan_jobs
    from analog_samson.simulation.many_options import SweepOptions

    file = folder / "net.safetensors"
    if not file.exists():
        save_checkpoint(file, build_model("digits_cnn"), {"model": "digits_cnn"})
    vary, seeds = (POINTS, simulations // 100) if simulations > RUNS else ((), simulations)
    options = SweepOptions(checkpoint=(str(file),), data="digits", vary=vary, seed=tuple(range(seeds)))
    return plan_jobs(options, folder / "out")


def driver(simulations: int, workers: int) -> dict[str, Any]:
    """Plan the sweep and hand each simulation out, in this process."""
    from analog_samson.runtime.workers import Pool, outcomes

    with tempfile.TemporaryDirectory() as folder:
        planned(Path(folder), 1000)  # all code is loaded
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = perf_counter()
        jobs = planned(Path(folder), simulations)
        plan_seconds = perf_counter() - begun
        ended = bytearray(len(jobs))
        there = (replace(job, folder=job.folder.absolute()) for job in jobs)
        for place, failure in outcomes(nothing, there, Pool(workers=workers, threads_each=1)):
            assert failure is None
            ended[place] = 1
        seconds = perf_counter() - begun
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(ended) == simulations
    return {
        "simulations": simulations,
        "workers": workers,
        "plan_seconds": plan_seconds,
        "microseconds_each": 1e6 * seconds / simulations,
        "mib_more": (after - before) / 1024,
    }


def tables() -> dict[str, Any]:
    """Make finished run folders, and time the tables of all."""
    from analog_samson.results.records import Record
    from analog_samson.results.store import RunFolder
    from analog_samson.simulation.sweep import write_tables

    with tempfile.TemporaryDirectory() as folder:
        jobs = planned(Path(folder), RUNS)
        for job in jobs:
            place = {"checkpoint": "net", "preset": "pcm", "stage": "drift", "calibration": "none", "sigma_c": None}
            records = [
                Record(**place, instance=chip, time_seconds=time, metric=metric, value=50.0 + chip)
                for chip in range(NUMBERS["chips"])
                for time in NUMBERS["times"]
                for metric in ("accuracy_percent", "loss", "weight_error")
            ]
            with RunFolder.create(job.folder, dict(job.options)) as run:
                run.commit(records)
        begun = perf_counter()
        write_tables(jobs, {})
        return {"runs": RUNS, "milliseconds_each": 1e3 * (perf_counter() - begun) / RUNS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--case", nargs=2, type=int, metavar=("SIMULATIONS", "WORKERS"), help="one case, in this process"
    )
    parser.add_argument("--tables", action="store_true", help="the tables alone")
    parser.add_argument("--out", type=Path, default=RESULTS / "sweep_driver.json")
    given = parser.parse_args()
    if given.case or given.tables:
        print(json.dumps(driver(*given.case) if given.case else tables()))
        return
    cases = [["--case", str(simulations), str(workers)] for simulations, workers in CASES]
    rows = []
    for arguments in (*cases, ["--tables"]):
        command = [sys.executable, __file__, *arguments]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(rows[-1], flush=True)
    result = {
        "benchmark": "sweep_driver",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "rows": rows[:-1],
        "tables": rows[-1],
    }
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
