"""What does a whole drift study cost beside bare digital evaluations of the same images?

    python benchmarks/simulate_total.py --checkpoint resnet20-12fca82f.th --data npz:cifar10_test.npz

Runs `simulate` (4 times x 10 instances, pcm_nandakumar_2019, every cell stored) on the whole test set, and digital
evaluations of the same set before, between and after, in one process that keeps freed memory, as the commands do.
Reported: wall time over 40 median digital evaluations (channels_last, as the simulation evaluates; and NCHW), the peak
memory of the process, and what bfloat16 does to time and accuracy, where the CPU does not only emulate it. Writes
results/simulate_total_THREADSthread_CPU.json, CPU as torch names its vector instructions.
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

from analog_samson.data import choose_normalization, open_data
from analog_samson.data.batches import Batches
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.runtime.devices import bfloat16_is_emulated
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.tasks.evaluation import evaluate

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
        sigmas=(),
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


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The study between digital evaluations, and again in bfloat16 where the CPU has it."""
    layouts: dict[str, dict[str, bool]] = {"nchw": {"channels_last": False}, "channels_last": {"channels_last": True}}
    if not bfloat16_is_emulated(torch.device("cpu")):
        layouts["bf16"] = {"channels_last": True, "bf16": True}
    digital = Digital(options)
    times: dict[str, list[float]] = {name: [] for name in layouts}

    def take_turns() -> dict[str, float]:
        accuracy = {}
        for name, layout in layouts.items():
            seconds, accuracy[name] = digital.measure(**layout)
            times[name].append(seconds)
        return accuracy

    accuracy = take_turns()
    take_turns()
    studies = {}
    for bf16 in (False, True)[: 1 + ("bf16" in layouts)]:
        studies[bf16] = simulate(options, bf16=bf16)
        take_turns()
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    cells = options.instances * len(TIMES)

    def over(name: str, wall: float) -> float:
        return round(wall / cells / median[name], 3)

    wall, means = studies[False]
    found: dict[str, Any] = {
        "images": len(digital.images),
        "cells": cells,
        "digital_seconds": {name: round(seconds, 3) for name, seconds in median.items()},
        "digital_accuracy_percent": accuracy,
        "wall_seconds": round(wall, 1),
        "over_digital_channels_last": over("channels_last", wall),
        "over_digital_nchw": over("nchw", wall),
        "mean_accuracy_percent": {f"{t:g}s": round(means[t], 3) for t in TIMES},
    }
    if True in studies:
        wall, in_bf16 = studies[True]
        found["bf16"] = {
            "wall_seconds": round(wall, 1),
            "over_digital_bf16": over("bf16", wall),
            "over_digital_nchw": over("nchw", wall),
            "accuracy_change_points": {f"{t:g}s": round(in_bf16[t] - means[t], 3) for t in TIMES},
        }
    return found


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
    kept = keep_freed_memory()
    report = {
        "benchmark": "simulate_total",
        "network": options.model,
        "threads": options.threads,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "freed_memory_kept": kept,
        **measure(options),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    RESULTS.mkdir(exist_ok=True)
    name = f"simulate_total_{options.threads}thread_{str(report['cpu']).lower()}.json"
    (RESULTS / name).write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
