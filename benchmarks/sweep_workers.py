"""How much faster are two workers than one? A sweep of real simulations, with loky and with Dask.

    python benchmarks/sweep_workers.py

The sweep has one ResNet-20 of random weights for 32 x 32 images, on one preset with several seeds. Each case is
the whole command in a process of its own, with one thread a worker: starting workers, loading, simulating and the
tables are all in its wall time. Cases alternate, and the smallest of the repeats counts. All cases must give the same
summary. Writes results/sweep_workers.json. Needs `pip install 'analog-samson[dask]'` and two idle cores.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
CASES = (("loky", 1), ("loky", 2), ("dask", 1), ("dask", 2))
SMALLEST = 0.55  # of the time of one worker, that two should need at most


def prepare(folder: Path, images: int) -> None:
    """A checkpoint and data in `folder`."""
    from analog_samson import rng
    from analog_samson.models.build import build_model
    from analog_samson.models.checkpoint import save_checkpoint

    with rng.stream(0, "weights"):
        save_checkpoint(folder / "net.safetensors", build_model("resnet20"), {"model": "resnet20"})
    pixels = np.random.default_rng(0).integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "data.npz", images=pixels, labels=np.arange(images) % 10)


def seconds_of(folder: Path, backend: str, workers: int, seeds: int, out: str) -> float:
    """The wall time of one sweep [s]."""
    sweep = "sweep net.safetensors --data npz:data.npz,classes=10 --normalization cifar10 --preset pcm_nandakumar_2019 "
    sweep += f"--times 1s,1d --instances 5 --seeds 0-{seeds - 1} --threads 1 --no-html"
    command = [sys.executable, "-m", "analog_samson", *sweep.split()]
    command += ["--backend", backend, "--workers", str(workers), "--out", out]
    begun = perf_counter()
    subprocess.run(
        command, check=True, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    )
    return perf_counter() - begun


def measure(seeds: int, images: int, repeats: int) -> list[dict[str, Any]]:
    """A row for each case."""
    times: dict[tuple[str, int], list[float]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, images)
        for repeat in range(repeats):
            for backend, workers in CASES:
                out = f"{backend}{workers}_{repeat}"
                times[backend, workers].append(seconds_of(folder, backend, workers, seeds, out))
                print(f"{backend}, {workers}: {times[backend, workers][-1]:.1f} s", flush=True)
        summaries = {path.read_bytes() for path in folder.glob("*/summary.csv")}
        assert len(summaries) == 1, "cases differ"
    return [
        {
            "backend": backend,
            "workers": workers,
            "seconds": times[backend, workers],
            "of_one_worker": min(times[backend, workers]) / min(times[backend, 1]),
        }
        for backend, workers in CASES
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=32, help="simulations")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "sweep_workers.json")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rows = measure(given.seeds, given.images, given.repeats)
    result = {
        "benchmark": "sweep_workers",
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_before": load,
        "seeds": given.seeds,
        "images": given.images,
        "rows": rows,
    }
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        if row["workers"] > 1:
            met = "met" if row["of_one_worker"] <= SMALLEST else "not met"
            print(f"{row['backend']}: two workers take {row['of_one_worker']:.2f} of one ({SMALLEST} {met})")


if __name__ == "__main__":
    main()
