"""What does a whole drift study cost beside bare digital evaluations of the same images?

    python benchmarks/simulate_total.py --checkpoint resnet20-12fca82f.th --data npz:cifar10_test.npz

Runs `simulate` (4 times x 10 instances, pcm_nandakumar_2019, every cell stored) on the whole test set, and digital
evaluations of the same set before, between and after, in one process. Reported: wall time over 40 median digital
evaluations (channels_last, as the simulation evaluates; and NCHW), the peak memory of the process, and what bfloat16
does to time and accuracy. Writes results/simulate_total.json.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from analog_samson.checkpoint import load_checkpoint
from analog_samson.data import choose_normalization, open_data
from analog_samson.evaluation import Batches, evaluate
from analog_samson.models import restore_model
from analog_samson.simulation import SimulateOptions, run_simulation

RESULTS = Path(__file__).parent / "results"
TIMES = (1.0, 3600.0, 86400.0, 31536000.0)


class Digital:
    """Evaluations of the digital network, timed."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.model = restore_model(load_checkpoint(options.checkpoint), options.model).eval()
        self.images = open_data(options.data, "test", limit=options.limit)
        self.normalization, _ = choose_normalization(model_name=options.model, data_spec=options.data)

    def measure(self, *, channels_last: bool, bf16: bool = False) -> tuple[float, float]:
        """Seconds and accuracy [%] of one evaluation."""
        batches = Batches(self.images, self.normalization, batch_size=250, device="cpu", channels_last=channels_last)
        begin = time.perf_counter()
        accuracy = evaluate(self.model, batches, bf16=bf16).accuracy_percent
        return time.perf_counter() - begin, accuracy


def simulate(options: argparse.Namespace, *, bf16: bool) -> tuple[float, dict[float, float]]:
    """Wall seconds of the study, and the mean accuracy [%] at each time."""
    study = SimulateOptions(
        checkpoint=options.checkpoint,
        model=options.model,
        data=options.data,
        preset="pcm_nandakumar_2019",
        times=TIMES,
        instances=options.instances,
        limit=options.limit,
        bf16=bf16,
    )
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        with run_simulation(study, Path(folder) / "run") as run:
            seconds = time.perf_counter() - begin
            records = [r for r in run.records() if r.stage == "drift" and r.metric == "accuracy_percent"]
    means = {t: statistics.mean(r.value for r in records if r.time_seconds == t) for t in TIMES}
    return seconds, means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--data", required=True)
    parser.add_argument("--instances", type=int, default=10)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    digital = Digital(options)
    times: dict[str, list[float]] = {"nchw": [], "channels_last": [], "bf16": []}

    def take_turns() -> dict[str, float]:
        layouts: dict[str, Any] = {
            "nchw": {"channels_last": False},
            "channels_last": {"channels_last": True},
            "bf16": {"channels_last": True, "bf16": True},
        }
        accuracy = {}
        for name, layout in layouts.items():
            seconds, accuracy[name] = digital.measure(**layout)
            times[name].append(seconds)
        return accuracy

    accuracy = take_turns()
    take_turns()
    wall, means = simulate(options, bf16=False)
    take_turns()
    wall_bf16, means_bf16 = simulate(options, bf16=True)
    take_turns()
    cells = options.instances * len(TIMES)
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    report = {
        "benchmark": "simulate_total",
        "network": options.model,
        "images": len(digital.images),
        "cells": cells,
        "threads": options.threads,
        "digital_seconds": {name: round(seconds, 3) for name, seconds in median.items()},
        "digital_accuracy_percent": accuracy,
        "wall_seconds": round(wall, 1),
        "over_digital_channels_last": round(wall / cells / median["channels_last"], 3),
        "over_digital_nchw": round(wall / cells / median["nchw"], 3),
        "bf16": {
            "wall_seconds": round(wall_bf16, 1),
            "over_digital_bf16": round(wall_bf16 / cells / median["bf16"], 3),
            "over_digital_nchw": round(wall_bf16 / cells / median["nchw"], 3),
            "accuracy_change_points": {f"{t:g}s": round(means_bf16[t] - means[t], 3) for t in TIMES},
        },
        "mean_accuracy_percent": {f"{t:g}s": round(means[t], 3) for t in TIMES},
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "simulate_total.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
