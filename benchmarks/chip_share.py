"""What part of a simulated cell goes into making the chip, before the first image?

    python benchmarks/chip_share.py

Programming a network's tiles, drifting them for a day and reading out the drift compensation, against the forward of
one batch on that chip; one process, one thread, in turns; pcm_nandakumar_2019. Reported: medians of processor seconds,
and the part of each in a cell of 10,000 images (a chip is programmed once for all its times).
Writes results/chip_share.json.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from analog_samson.chip.convert import mount
from analog_samson.chip.fold import foldable, folded
from analog_samson.chip.network import CrossbarNetwork
from analog_samson.crossbar.plan import plan_conversion
from analog_samson.models.build import build_model
from analog_samson.presets.search import load_preset
from analog_samson.runtime.allocation import keep_freed_memory

RESULTS = Path(__file__).parent / "results"
NETWORKS = {"resnet20": (250, 3, 32, 32), "torchvision:resnet18": (16, 3, 224, 224)}
DAY, IMAGES = 86400.0, 10_000


def timed(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def measure(name: str, shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    model = build_model(name).eval()
    x = torch.randn(shape).to(memory_format=torch.channels_last)
    analog = mount(model, plan_conversion(model, load_preset("pcm_nandakumar_2019")))
    assert isinstance(analog, CrossbarNetwork)
    pairs = foldable(model, x[:1])

    def forward() -> None:
        with torch.no_grad(), folded(analog, pairs):
            analog.network(x)

    steps = {
        "program": analog.program_analog_weights,
        "drift": lambda: analog.drift_analog_weights(DAY),
        "forward": forward,
    }
    turns = [{step: timed(run) for step, run in steps.items()} for _ in range(rounds + 1)]
    seconds = {step: statistics.median(turn[step] for turn in turns[1:]) for step in steps}
    images = seconds["forward"] * IMAGES / shape[0]
    return {
        "network": name,
        "shape": shape,
        "seconds": {step: round(value, 4) for step, value in seconds.items()},
        "drift_percent_of_a_cell": round(100 * seconds["drift"] / (seconds["drift"] + images), 3),
        "program_percent_of_a_cell": round(100 * seconds["program"] / (seconds["program"] + images), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_memory()
    report = {
        "benchmark": "chip_share",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "rounds": rounds,
        "images": IMAGES,
        "rows": [measure(name, shape, rounds) for name, shape in NETWORKS.items()],
    }
    (RESULTS / "chip_share.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
